"""What an OpenAI-compatible server streams, read without trusting it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dmoa.errors import EngineError
from dmoa.live.engines.base import Finish
from dmoa.live.engines.pieces import Pieces

LINE_BYTES_MAX, STREAM_BYTES_MAX = 1 << 20, 1 << 26
_SSE_FIELDS = (b"event:", b"id:", b"retry:", b":")


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


class StreamCutError(Exception):
    """The stream ended before the response did."""


class Received:
    """What has come of one response so far."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.logprobs: list[Any] = []
        self.contents = 0
        self.ended: Finish | None = None
        self.trouble = ""
        self._usage = _Usage()

    @property
    def complete(self) -> bool:
        """Whether the response has ended."""
        return self.ended is not None

    async def take(self, kind: str, blocks: AsyncIterator[bytes]) -> None:
        """Read the response, a stream or one object (see `read_stream`, `read_all`)."""
        await (read_all if kind.startswith("application/json") else read_stream)(self, blocks)

    @property
    def tokens(self) -> int:
        """Length of the response as the server counts it, else the number of its pieces."""
        counted = self._usage.completion_tokens
        return self.contents if counted is None else max(0, counted)

    def prompt_tokens(self, estimate: int) -> int:
        """Length of the prompt as the server counts it, else the estimate."""
        counted = self._usage.prompt_tokens
        return estimate if counted is None else max(0, counted)

    def hear(self, data: bytes) -> bool:
        """Take one JSON object; say whether a stop string has ended the text.

        Raises:
            EngineError: It is no such object, or says that the server failed.
        """
        try:
            chunk = _chunk_decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise EngineError(
                f"the server sent {excerpt(data)!r}, which is no chat completion ({error}); "
                "check that url is that of an OpenAI-compatible server, with its /v1"
            ) from error
        if chunk.error is not None:
            raise EngineError(f"the server failed while it answered: {_reason(chunk.error)}")
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            message = choice.delta or choice.message or _Message()
            if choice.logprobs is not None:
                self.logprobs.append(choice.logprobs)
            if message.content:
                self.contents += 1
                if self.pieces.feed(message.content.encode("utf-8", "replace")):
                    self.ended = "stop"
                    return True
            if choice.finish_reason is not None:
                self.ended = "length" if choice.finish_reason == "length" else "stop"
        return False


async def read_stream(received: Received, blocks: AsyncIterator[bytes]) -> None:
    """Read server-sent events up to ``[DONE]`` or a stop string.

    Raises:
        EngineError: Something else came, or too much.
        StreamCutError: The stream ended in the middle.
    """
    async for line in _lines(blocks):
        if not line.startswith(b"data:"):
            if line and not line.startswith(_SSE_FIELDS):
                raise EngineError(
                    f"the server sent {excerpt(line)!r} instead of server-sent events; "
                    "check that url is that of an OpenAI-compatible server, with its /v1"
                )
            continue
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            received.ended = received.ended or "stop"
            return
        if received.hear(data):
            return
    if received.ended is None:
        raise StreamCutError


async def read_all(received: Received, blocks: AsyncIterator[bytes]) -> None:
    """Read one JSON object, of a server that does not stream.

    Raises:
        EngineError: Something else came, or too much.
    """
    received.hear(await gather(blocks, STREAM_BYTES_MAX))
    received.ended = received.ended or "stop"


async def gather(blocks: AsyncIterator[bytes], most: int) -> bytes:
    """Read a body of limited size.

    Raises:
        EngineError: It is larger.
    """
    body = bytearray()
    async for block in blocks:
        body += block
        if len(body) > most:
            raise EngineError(f"the server sent more than {most:,} bytes")
    return bytes(body)


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give whole lines; at the end a last one without its newline too."""
    rest, total = b"", 0
    async for block in blocks:
        total += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
        if len(rest) > LINE_BYTES_MAX or total > STREAM_BYTES_MAX:
            raise EngineError(
                f"the server sent a line of more than {LINE_BYTES_MAX:,} bytes, or more than "
                f"{STREAM_BYTES_MAX:,} in all"
            )
    if rest:
        yield rest


def reason_in(body: bytes) -> str:
    """Give what a server says of its refusal, in one line."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return excerpt(body)
    return _reason(found.get("error", found) if isinstance(found, dict) else found)


def _reason(error: Any) -> str:
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return excerpt(error["message"].encode())
    return excerpt(str(error).encode())


def excerpt(data: bytes) -> str:
    """Give the beginning of what was sent, in one line."""
    text = " ".join(data[:1000].decode("utf-8", "replace").split())
    return text if len(text) <= 200 else f"{text[:200]} …"
