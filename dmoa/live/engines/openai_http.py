"""Requests to an OpenAI-compatible server: made again where that may help, never for too long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from dmoa.core.streams import Stream, derive
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines.api_keys import ApiKey
from dmoa.live.engines.base import Cancellation
from dmoa.live.engines.openai_stream import StreamCutError, gather, reason_in

ATTEMPTS_MAX = 6
#: The longest pause between attempts; each is twice as long as the one before, give or take its
#: half, s.
PAUSE_MAX_S = 30.0
#: A server that asks for more patience than this is told no, s.
RETRY_AFTER_MAX_S = 60.0
CONNECT_S = 10.0
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
REFUSED = (401, 403)
_BODY_BYTES_MAX = 1 << 16


class Answer(Protocol):
    """What comes of one request.

    ``contents`` counts its pieces: after the first there is no second attempt. ``trouble`` says
    what went wrong at last.
    """

    contents: int
    trouble: str

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        ...

    async def take(self, kind: str, blocks: AsyncIterator[bytes]) -> None:
        """Read a body of a type of content."""
        ...


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, problem: str, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(problem)


class Server:
    """A server at a URL.

    Each request has its own event loop in the caller's thread: so that cancelling, and the limit
    of time, reach it wherever it waits, also in a name that does not resolve.

    Args:
        url: Where it is, with its ``/v1``.
        api_key: The key, if it needs one.
        timeout_s: Limit of one request with all its attempts.
        silence_s: How long the server may say nothing.
        pause_s: The first pause between attempts.
        key: Key of a random stream, for the pauses.

    Raises:
        ScenarioError: The URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: ApiKey | None,
        timeout_s: float,
        silence_s: float,
        pause_s: float,
        key: int,
    ) -> None:
        self._root, self._api_key = _checked(url), api_key
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._limits = httpx.Timeout(min(silence_s, timeout_s), connect=min(CONNECT_S, timeout_s))
        self._tls = httpx.create_ssl_context()
        self._jitter = Stream(derive(key, "retry"))

    def post(
        self, path: str, body: dict[str, Any], answer: Answer, cancelled: Cancellation, remedy: str
    ) -> None:
        """Send a request, and wait until its answer is complete or nobody wants it any more.

        Args:
            path: Below the server's URL.
            body: Sent as JSON.
            answer: Takes what comes.
            cancelled: Once it is set, this ends soon, whatever has come.
            remedy: What to do if the server does not take the request.

        Raises:
            EngineError: The server cannot be reached, refuses, fails, or sends something else.
        """
        if not cancelled.is_set():
            request = _Request(self._root + path, body, remedy)
            asyncio.run(self._serve(request, answer, cancelled))

    async def _serve(self, request: _Request, answer: Answer, cancelled: Cancellation) -> None:
        """Let the attempts run until they have ended, are cancelled, or time is up."""
        loop = asyncio.get_running_loop()
        attempts = loop.create_task(self._attempts(request, answer))

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the attempts with it
                loop.call_soon_threadsafe(attempts.cancel)

        with cancelled.notifying(cancel):
            await asyncio.wait([attempts], timeout=self._timeout_s)
        if attempts.done():
            if not attempts.cancelled():
                attempts.result()
            return
        attempts.cancel()
        await asyncio.gather(attempts, return_exceptions=True)
        if not answer.complete:
            raise EngineError(
                f"{request.url} did not finish within {self._timeout_s:g} s{answer.trouble}; "
                "raise the limit of time, or give it less to do"
            )

    async def _attempts(self, request: _Request, answer: Answer) -> None:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._attempt(request, answer)
            except _TryAgainError as error:
                if answer.contents:
                    raise EngineError(
                        f"{request.url} broke off after {answer.contents} pieces of the response "
                        f"({error})"
                    ) from error
                pause_s = error.after_s
                if pause_s is None:
                    pause_s = min(PAUSE_MAX_S, self._pause_s * 2 ** (attempt - 1))
                    pause_s *= 0.5 + self._jitter.uniform()
                if attempt == ATTEMPTS_MAX or pause_s > RETRY_AFTER_MAX_S:
                    raise EngineError(
                        f"{request.url} cannot serve: {error}, {_times(attempt)}; "
                        "see whether the server runs and is not overloaded"
                    ) from error
                answer.trouble = f" (at last {error})"
                await asyncio.sleep(pause_s)
            else:
                return

    async def _attempt(self, request: _Request, answer: Answer) -> None:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.value}"
        try:
            async with (
                httpx.AsyncClient(timeout=self._limits, verify=self._tls) as client,
                client.stream("POST", request.url, json=request.body, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    said = reason_in(await gather(response.aiter_bytes(), _BODY_BYTES_MAX))
                    raise self._failure(request, response, self._without_key(said))
                kind = response.headers.get("content-type", "")
                await answer.take(kind, response.aiter_bytes())
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise EngineError(
                f"{request.url} said nothing for {self._limits.read:g} s; "
                "see whether the server hangs or is overloaded"
            ) from error
        except StreamCutError as error:
            raise _TryAgainError("the stream ended in the middle") from error
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
            raise _TryAgainError(self._without_key(problem)) from error

    def _failure(self, request: _Request, response: httpx.Response, said: str) -> Exception:
        status = response.status_code
        if status in REFUSED:
            if self._api_key is None:
                remedy = "name the environment variable that holds its key with api_key_env"
            else:
                remedy = f"put a valid key into {self._api_key.source}"
            return EngineError(f"{request.url} refuses us with status {status} ({said}); {remedy}")
        if status in AGAIN:
            return _TryAgainError(
                f"status {status} ({said})", _retry_after_s(response.headers.get("retry-after"))
            )
        return EngineError(f"{request.url} answers with status {status} ({said}); {request.remedy}")

    def _without_key(self, text: str) -> str:
        """Keep the key out of messages, also where the server repeats it."""
        return text if self._api_key is None else text.replace(self._api_key.value, "***")


class _Request:
    """Where to, what, and what to do if it is not taken."""

    def __init__(self, url: str, body: dict[str, Any], remedy: str) -> None:
        self.url, self.body, self.remedy = url, body, remedy


def _checked(url: str) -> str:
    """Give a URL without its last slash, if it is one that can be asked."""
    remedy = "give it as http://HOST:PORT/v1"
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        known = known and parts.port != 0
    except ValueError:
        known, parts = False, urlsplit("")
    if parts.username or parts.password:
        raise ScenarioError(
            "must not hold a password; it would be shown", path="url", remedy="use api_key_env"
        )
    if not known or parts.query or parts.fragment:
        raise ScenarioError("not a URL of a server", path="url", given=url, remedy=remedy)
    return url.rstrip("/")


def _retry_after_s(value: str | None) -> float | None:
    """Read how long a server asks to wait: seconds, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if value.strip().isdigit() else _until_s(value)
    except (ValueError, OverflowError):
        return None


def _until_s(date: str) -> float:
    when = parsedate_to_datetime(date)
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _times(attempt: int) -> str:
    return "once" if attempt == 1 else f"{attempt} times"
