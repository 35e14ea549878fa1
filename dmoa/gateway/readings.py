"""``POST /v1/completions`` and ``/v1/embeddings``: what this node's own model makes of texts."""

from __future__ import annotations

import base64
import struct
import time
import uuid
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from dmoa.errors import DmoaError, EngineError
from dmoa.gateway.bodies import (
    BEAMS,
    LOCAL,
    bad,
    check_local,
    convert,
    ignored,
    kind_of,
    read_body,
    read_object,
    refuse_unsupported,
)
from dmoa.gateway.errors import engine_failed, json_response, not_accepted, refused
from dmoa.gateway.leaving import unless_gone
from dmoa.gateway.limits import GatewayLimits
from dmoa.gateway.logprobs import text_logprobs, text_of
from dmoa.live.door import Door, Refused
from dmoa.live.engines.base import Embedding, TokenScore

T = TypeVar("T")

TEXTS_MAX, TOKEN_MAX = 2048, 2**31 - 1

#: What is not done with a text that is scored, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    **BEAMS,
    "frequency_penalty": (0,),
    "grammar": (),
    "logit_bias": ({}, []),
    "n": (1,),
    "presence_penalty": (0,),
    "stream": (False,),
    "suffix": ("",),
    "temperature": (0,),
}


class CompletionRequest(msgspec.Struct, frozen=True):
    """The body of ``POST /v1/completions``; its prompt is read by hand."""

    prompt: Any
    model: str = LOCAL
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    echo: bool | None = None


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """The body of ``POST /v1/embeddings``; its input is read by hand."""

    input: Any
    model: str = LOCAL
    encoding_format: Literal["float", "base64"] = "float"


class Scoring(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to be scored, as a node takes them."""

    texts: list[str] | list[list[int]]
    likeliest: int | None
    """How many of the likeliest tokens to tell; None: tell no log-probabilities."""
    goes_on: bool
    """Whether the likeliest token after the text is wanted."""
    ignored: tuple[str, ...]


class Readings:
    """Answers requests that are no prompts: nothing is accepted, so nothing outlives them."""

    def __init__(self, door: Door, limits: GatewayLimits) -> None:
        self._door, self._limits = door, limits

    async def complete(self, request: Request) -> Response:
        """Score texts."""
        asked = read_scoring(await read_body(request, self._limits))
        scored = await self._read(request, self._door.score(asked.texts, top=asked.likeliest or 0))
        if scored is None:
            return Response(status_code=499)
        body: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": LOCAL,
            "choices": [_choice(asked, index, scores) for index, scores in enumerate(scored)],
            "usage": _usage(
                sum(len(scores) - 1 for scores in scored), len(scored) if asked.goes_on else 0
            ),
        }
        if asked.ignored:
            body["dmoa"] = {"ignored": list(asked.ignored)}
        return json_response(body)

    async def embed(self, request: Request) -> Response:
        """Turn texts into vectors."""
        texts, encoding = read_embedding(await read_body(request, self._limits))
        made = await self._read(request, self._door.embed(texts))
        if made is None:
            return Response(status_code=499)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(each, encoding)}
            for index, each in enumerate(made)
        ]
        usage = _usage(sum(each.tokens for each in made), 0)
        del usage["completion_tokens"]
        return json_response({"object": "list", "data": data, "model": LOCAL, "usage": usage})

    async def _read(self, request: Request, reading: Coroutine[Any, Any, T]) -> T | None:
        """Await a reading; None if the client is gone, which ends it."""
        try:
            return await unless_gone(request, reading)
        except Refused as refusal:
            raise refused(refusal, self._door.status()) from None
        except EngineError as error:
            raise engine_failed(error, self._door.status()) from error
        except DmoaError as error:
            raise not_accepted(error) from error


def read_scoring(body: bytes) -> Scoring:
    """Read the body of a legacy completion, of which only scoring is done.

    Raises:
        ApiError: 400 with the parameter to blame; 404 if the model is unknown.

    >>> asked = read_scoring(b'{"prompt": [7, 8], "echo": true, "max_tokens": 1, "logprobs": 1}')
    >>> asked.texts, asked.likeliest, asked.goes_on
    ([[7, 8]], 1, True)
    """
    raw = read_object(body)
    needed = "give a text, its tokens by number, or a list of these"
    request = convert(raw, CompletionRequest, "prompt", needed)
    check_local(request.model, "scores texts")
    if not request.echo:
        raise bad(
            "echo",
            'texts are scored here (with "echo": true and max_tokens 0 or 1), not gone on with; '
            "for an answer ask /v1/chat/completions",
            "unsupported",
        )
    if request.max_tokens not in (0, 1):
        raise bad(
            "max_tokens",
            "max_tokens has to be 0 or 1 with echo: the text is scored, and at most the likeliest "
            "token after it told",
        )
    refuse_unsupported(raw, UNSUPPORTED, "where texts are scored")
    return Scoring(
        texts=_prompts(request.prompt, needed),
        likeliest=request.logprobs,
        goes_on=request.max_tokens == 1,
        ignored=ignored(raw, {*CompletionRequest.__struct_fields__, *UNSUPPORTED}),
    )


def read_embedding(body: bytes) -> tuple[list[str], str]:
    """Read the body of a request for vectors: the texts, and how to encode the vectors.

    Raises:
        ApiError: 400 with the parameter to blame; 404 if the model is unknown.

    >>> read_embedding(b'{"input": "So it goes"}')
    (['So it goes'], 'float')
    """
    needed = "give a text or a list of texts"
    raw = read_object(body)
    refuse_unsupported(raw, {"dimensions": ()})
    request = convert(raw, EmbeddingRequest, "input", needed)
    check_local(request.model, "makes embeddings")
    given = request.input
    if isinstance(given, list) and given and isinstance(given[0], int | list):
        raise bad("input", "input: tokens by number are not understood here; give the text")
    return _texts("input", [given] if isinstance(given, str) else given, needed), (
        request.encoding_format
    )


def _prompts(given: Any, needed: str) -> list[str] | list[list[int]]:
    if isinstance(given, list) and given:
        if isinstance(given[0], int):
            return [_tokens("prompt", given)]
        if isinstance(given[0], list):
            _check_count("prompt", given)
            return [_tokens(f"prompt[{place}]", each) for place, each in enumerate(given)]
    return _texts("prompt", [given] if isinstance(given, str) else given, needed)


def _texts(name: str, given: Any, needed: str) -> list[str]:
    if not isinstance(given, list):
        raise bad(name, f"{name}: {needed}, not {kind_of(given)}")
    _check_count(name, given)
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise bad(f"{name}[{place}]", f"{name}[{place}]: expected a text, not {kind_of(text)}")
        if not text:
            raise bad(f"{name}[{place}]", f"{name}[{place}] is empty; give some text")
    return given


def _tokens(name: str, given: Any) -> list[int]:
    if not isinstance(given, list) or not given:
        raise bad(name, f"{name}: expected a list of tokens by number, with one at least")
    for place, token in enumerate(given):
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= TOKEN_MAX:
            raise bad(
                f"{name}[{place}]",
                f"{name}[{place}]: expected the number of a token, 0 to {TOKEN_MAX}",
            )
    return given


def _check_count(name: str, given: Sequence[Any]) -> None:
    if not 0 < len(given) <= TEXTS_MAX:
        raise bad(name, f"{name}: 1 to {TEXTS_MAX} texts at once are possible, not {len(given)}")


def _choice(asked: Scoring, index: int, scores: Sequence[TokenScore]) -> dict[str, Any]:
    told = scores if asked.goes_on else scores[:-1]
    return {
        "index": index,
        "text": text_of(told),
        "logprobs": None if asked.likeliest is None else text_logprobs(told),
        "finish_reason": "length",
    }


def _encoded(embedding: Embedding, encoding: str) -> list[float] | str:
    values = embedding.values
    if encoding == "float":
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
