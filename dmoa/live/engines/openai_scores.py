"""What OpenAI-compatible servers tell of log-probabilities and vectors, in the engines' words."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeVar

import msgspec

from dmoa.errors import EngineError
from dmoa.live.engines.base import Embedding, TokenScore
from dmoa.live.engines.openai_stream import STREAM_BYTES_MAX, excerpt, gather

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
T = TypeVar("T")
_BYTES = "bytes:"
"""Before a token that is no text by itself its bytes are written so, as Python writes them."""


class Whole:
    """An answer that is one JSON object."""

    def __init__(self) -> None:
        self.contents, self.trouble = 0, ""
        self.body: bytes | None = None

    @property
    def complete(self) -> bool:
        """Whether it has come."""
        return self.body is not None

    async def take(self, kind: str, blocks: AsyncIterator[bytes]) -> None:  # noqa: ARG002 - what it is shows when it is read
        """Read it."""
        self.body = await gather(blocks, STREAM_BYTES_MAX)

    def read(self, form: type[T]) -> T:
        """Give it in a form.

        Raises:
            EngineError: It did not come, since it was cancelled, or has another form.
        """
        if self.body is None:
            raise EngineError("the request was cancelled")
        try:
            return msgspec.json.decode(self.body, type=form)
        except (msgspec.DecodeError, RecursionError) as error:
            raise EngineError(
                f"the server sent {excerpt(self.body)!r}, which is no answer to this ({error}); "
                "check that url is that of an OpenAI-compatible server, with its /v1"
            ) from error


class _Likely(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[Byte] | None = None


class _Scored(_Likely, frozen=True):
    top_logprobs: list[_Likely] = []


class _Content(msgspec.Struct, frozen=True):
    content: list[_Scored] | None = None


class _Legacy(msgspec.Struct, frozen=True):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct, frozen=True):
    logprobs: _Legacy | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None


class Completion(msgspec.Struct, frozen=True):
    """The answer to a legacy completion."""

    choices: list[_Choice] = []
    usage: _Usage | None = None

    def scores(self) -> tuple[TokenScore, ...]:
        """Give the log-probabilities of an echoed prompt; empty if the server does not tell them.

        >>> told = {"tokens": ["So", " it"], "token_logprobs": [None, -1.5]}
        >>> answer = msgspec.convert({"choices": [{"logprobs": told}]}, Completion)
        >>> [(score.token, score.logprob) for score in answer.scores()]
        [(b'So', None), (b' it', -1.5)]
        """
        told = self.choices[0].logprobs if self.choices else None
        if told is None or len(told.tokens) != len(told.token_logprobs):
            return ()
        # Servers that do not echo tell of the one token that they generated. The first token of
        # a text has no log-probability, unless the model begins every text with one of its own.
        counted = None if self.usage is None else self.usage.prompt_tokens
        echoed = told.token_logprobs[:1] == [None] or len(told.tokens) - 1 == counted
        if len(told.tokens) < 2 or not echoed:
            return ()
        tops = told.top_logprobs or []
        return tuple(
            TokenScore(token_bytes(token), logprob, _ranked(tops[place : place + 1]))
            for place, (token, logprob) in enumerate(
                zip(told.tokens, told.token_logprobs, strict=True)
            )
        )


class _Vector(msgspec.Struct, frozen=True):
    embedding: list[float]


class Vectors(msgspec.Struct, frozen=True):
    """The answer to a request for the vector of one text."""

    data: Annotated[list[_Vector], msgspec.Meta(min_length=1)]
    usage: _Usage | None = None

    def embedding(self, estimate_tokens: int) -> Embedding:
        """Give the vector in length one.

        Raises:
            EngineError: It has no direction.

        >>> Vectors([_Vector([3.0, 4.0])]).embedding(2)
        Embedding(values=[0.6, 0.8], tokens=2)
        """
        values = self.data[0].embedding
        length = math.hypot(*values)
        if not 0 < length < math.inf:
            raise EngineError(f"the server sent a vector of length {length:g}; ask another model")
        counted = None if self.usage is None else self.usage.prompt_tokens
        tokens = estimate_tokens if counted is None else max(0, counted)
        return Embedding([value / length for value in values], tokens)


def read_scores(told: Any) -> list[TokenScore]:
    """Read the log-probabilities of a chat completion, or of a piece of one.

    Raises:
        EngineError: They have another form.

    >>> read_scores({"content": [{"token": "So", "logprob": -0.5, "top_logprobs": []}]})
    [TokenScore(token=b'So', logprob=-0.5, top=())]
    """
    try:
        content = msgspec.convert(told, _Content).content
    except msgspec.ValidationError as error:
        raise EngineError(
            f"the server tells log-probabilities in another form ({error}); leave them out, or "
            "ask a node whose engine is llama"
        ) from error
    return [
        TokenScore(
            _encoded(each),
            each.logprob,
            tuple((_encoded(likely), likely.logprob) for likely in each.top_logprobs),
        )
        for each in content or ()
    ]


def token_bytes(token: str) -> bytes:
    r"""Give the bytes of a token as servers write it.

    >>> token_bytes(" so"), token_bytes("bytes:\\xe2\\x80")
    (b' so', b'\xe2\x80')
    """
    if token.startswith(_BYTES):
        try:
            return (
                token.removeprefix(_BYTES)
                .encode("ascii")
                .decode("unicode_escape")
                .encode("latin-1")
            )
        except UnicodeError:
            pass  # a token that only looks so
    return token.encode("utf-8", "replace")


def _encoded(told: _Likely) -> bytes:
    return token_bytes(told.token) if told.bytes is None else bytes(told.bytes)


def _ranked(tops: list[dict[str, float] | None]) -> tuple[tuple[bytes, float], ...]:
    """Give the likeliest tokens at a place, the likeliest first."""
    found = (tops[0] if tops else None) or {}
    ranked = sorted(found.items(), key=lambda each: -each[1])
    return tuple((token_bytes(token), logprob) for token, logprob in ranked)
