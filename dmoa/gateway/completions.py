"""``POST /v1/chat/completions``: a prompt is accepted, followed to its end, and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dmoa.errors import DmoaError
from dmoa.gateway.answers import DONE, Reply, event, progress_line, rest_of, tell
from dmoa.gateway.bodies import read_body
from dmoa.gateway.chat import Question, read_question
from dmoa.gateway.errors import (
    ApiError,
    ended_badly,
    json_response,
    not_accepted,
    refused,
    stopping,
)
from dmoa.gateway.leaving import drop, unless_gone
from dmoa.gateway.limits import GatewayLimits
from dmoa.live.door import Door, Ended, LayerJoined, Progress, Proposal, Refused, Ticket, Token

KEY_CHARACTERS_MAX = 255


class Completions:
    """Answers chat completions at the door of a node, until ``closing`` is set."""

    def __init__(self, door: Door, limits: GatewayLimits, closing: asyncio.Event) -> None:
        self._door, self._limits, self._closing = door, limits, closing

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        key = _idempotency_key(request)
        question = read_question(await read_body(request, self._limits))
        ticket = await self._submit(question, key)
        reply = Reply(question, ticket)
        headers = {"X-Dmoa-Prompt-Id": ticket.id}
        if question.stream:
            return _Stream(self._stream(reply, ticket), self._limits, headers)
        ended = await unless_gone(request, self._end_of(ticket))
        if ended is None:  # the client is gone, so nobody reads this
            return Response(status_code=499)
        if ended.state != "answered":
            raise ended_badly(ticket.id, ended)
        return json_response(reply.whole(ended, self._door.find(ticket.id)), headers=headers)

    async def _submit(self, question: Question, key: str | None) -> Ticket:
        try:
            return await self._door.submit(
                question.text,
                question.options,
                layers=question.layers,
                proposers=question.proposers,
                timeout_s=question.timeout_s,
                idempotency_key=key,
            )
        except Refused as refusal:
            raise refused(refusal, self._door.status()) from None
        except DmoaError as error:
            raise not_accepted(error) from error

    async def _end_of(self, ticket: Ticket) -> Ended:
        async with aclosing(self._follow(ticket)) as progress:
            async for happened in progress:
                if isinstance(happened, Ended):
                    return happened
        raise stopping(ticket.id)

    async def _stream(self, reply: Reply, ticket: Ticket) -> AsyncGenerator[bytes, None]:
        sent = ""
        yield reply.chunk({"role": "assistant", "content": ""}, {"id": ticket.id, **_plan(ticket)})
        try:
            async with aclosing(self._follow(ticket)) as progress:
                async for happened in progress:
                    if isinstance(happened, Token):
                        sent += happened.text
                        yield reply.chunk({"content": happened.text})
                    elif isinstance(happened, Ended):
                        for chunk in self._last_chunks(reply, ticket, happened, sent):
                            yield chunk
                    elif happened.layer <= ticket.layers:
                        line = progress_line(happened, ticket) + "\n"
                        yield reply.chunk({"reasoning_content": line}, _news(happened))
        except ApiError as error:
            # The status has been sent, so an error is an event of its own.
            yield event(error.body())
        except DmoaError as error:
            yield event(not_accepted(error).body())
        yield DONE

    def _last_chunks(self, reply: Reply, ticket: Ticket, ended: Ended, sent: str) -> list[bytes]:
        if ended.state != "answered":
            raise ended_badly(ticket.id, ended)
        rest = rest_of(ended.answer, sent)
        if rest is None:
            raise ApiError(
                502,
                "the aggregation was started again, so what was streamed is not the answer; "
                f"that is at /v1/dmoa/prompts/{ticket.id}",
                code="answer_replaced",
            )
        chunks = [reply.chunk({"content": rest})] if rest else []
        return chunks + reply.last_chunks(ended, self._door.find(ticket.id))

    async def _follow(self, ticket: Ticket) -> AsyncGenerator[Progress, None]:
        """Follow a prompt until it has ended.

        Raises:
            ApiError: The node stops before that.
        """
        progress = aiter(self._door.watch(ticket.id))
        closing = asyncio.ensure_future(self._closing.wait())
        coming: asyncio.Future[Progress | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(_next(anext(progress)))
                await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                happened = await coming if coming.done() else None
                if happened is None:
                    raise stopping(ticket.id)
                yield happened
                if isinstance(happened, Ended):
                    return
        finally:
            await drop(closing, coming)
            if (close := getattr(progress, "aclose", None)) is not None:
                await close()


class _Stream(EventSourceResponse):
    """A stream that is kept alive by comments, and that lets go of a client that takes nothing."""

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], limits: GatewayLimits, headers: dict[str, str]
    ) -> None:
        super().__init__(
            chunks,
            headers=headers,
            ping=limits.keep_alive_s,
            ping_message_factory=lambda: ServerSentEvent(comment="waiting", sep="\n"),
            send_timeout=limits.send_timeout_s,
            sep="\n",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            return  # the server closes what has not been ended


def _plan(ticket: Ticket) -> dict[str, Any]:
    return {"plan": {"layers": ticket.layers, "proposers": ticket.proposers}}


def _news(happened: Proposal | LayerJoined) -> dict[str, Any]:
    if isinstance(happened, LayerJoined):
        return {"joined": happened.layer}
    return {"proposal": {"layer": happened.layer, **tell(happened)}}


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= KEY_CHARACTERS_MAX and key.isprintable()):
        raise ApiError(
            400,
            f"Idempotency-Key: expected 1 to {KEY_CHARACTERS_MAX} printable characters",
            code="invalid_value",
            param="Idempotency-Key",
        )
    return key


async def _next(coming: Awaitable[Progress]) -> Progress | None:
    """Await the next event; None after the last, which no task may raise as an exception."""
    try:
        return await coming
    except StopAsyncIteration:
        return None
