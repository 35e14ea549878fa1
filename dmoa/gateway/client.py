"""The client of the commands: the same HTTP API that every other client uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from dmoa.errors import DmoaError, ScenarioError
from dmoa.gateway.auth import is_loopback
from dmoa.live.door import Proposal

CONNECT_TIMEOUT_S = 2.0
#: A node that is silent for longer, without even keeping a stream alive, hangs.
SILENCE_MAX_S = 20.0
BODY_BYTES_MAX = 16 << 20
NOTHING_LISTENS, BROKEN = "nothing listens there", "the connection broke"


class Unavailable(Exception):  # noqa: N818 - another node, or the same one later, may answer
    """A node did not take a request: unreachable, full, or not ready."""


class Lost(Exception):  # noqa: N818 - the prompt goes on, so nothing has failed
    """The connection broke after a prompt was accepted."""


class Accepted(msgspec.Struct, frozen=True):
    """The node has accepted the prompt."""

    id: str
    layers: int
    proposers: int


class Waiting(msgspec.Struct, frozen=True):
    """Nothing new, but the node is there."""


class Proposed(msgspec.Struct, frozen=True):
    """A proposal arrived, or will not."""

    proposal: Proposal


class Joined(msgspec.Struct, frozen=True):
    """A layer has its responses."""

    layer: int


class Piece(msgspec.Struct, frozen=True):
    """A piece of the answer."""

    text: str


class Finished(msgspec.Struct, frozen=True):
    """The answer is complete: what the node tells of it, without its text."""

    told: dict[str, Any]
    cut: bool


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Plan(msgspec.Struct):
    layers: int
    proposers: int


class _Chunk(msgspec.Struct):
    """What of a chunk is read here; ``dmoa`` is kept as it came where the answer is complete."""

    choices: list[_Choice] = []
    error: dict[str, Any] | None = None
    dmoa: dict[str, Any] = {}


class _Told(msgspec.Struct):
    id: str = ""
    plan: _Plan | None = None
    proposal: Proposal | None = None
    joined: int | None = None


Event = Accepted | Waiting | Proposed | Joined | Piece | Finished


class Client:
    """Talks to the door of one node."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        host = _host_of(url)
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SILENCE_MAX_S, connect=CONNECT_TIMEOUT_S)
        # A proxy of the environment cannot reach this machine's own ports.
        try:
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout, trust_env=not is_loopback(host)
            )
        except httpx.InvalidURL as error:
            raise _bad_url(url, str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._http.close()

    def check(self, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """See whether the node's process lives; raise `Unavailable` if it does not answer."""
        self.get("/health", timeout_s=timeout_s)

    def get(self, path: str, *, timeout_s: float = SILENCE_MAX_S) -> dict[str, Any]:
        """Get a JSON object.

        Raises:
            Unavailable: The node does not answer in time.
            DmoaError: It answers with an error.
        """
        with _reaching(timeout_s):
            response = self._http.get(path, timeout=timeout_s)
        if not response.is_success:
            raise self._error(response)
        return self._object(response.content)

    def ask(self, body: dict[str, Any], *, idempotency_key: str) -> Iterator[Event]:
        """Ask for a chat completion and follow it.

        Raises:
            Unavailable: The prompt was not accepted; another node may take it.
            Lost: It was accepted, and then the connection broke.
            ScenarioError: What was asked is wrong.
            DmoaError: The prompt failed or expired.
        """
        headers = {"Idempotency-Key": idempotency_key}
        accepted = False
        try:
            with self._http.stream(
                "POST", "/v1/chat/completions", json={**body, "stream": True}, headers=headers
            ) as response:
                if not response.is_success:
                    response.read()
                    raise self._error(response)
                for line in _lines(response):
                    for event in self._events(line):
                        accepted = accepted or isinstance(event, Accepted)
                        if not accepted and not isinstance(event, Waiting):
                            raise self._stranger()
                        yield event
                        if isinstance(event, Finished):
                            return
        except httpx.TimeoutException:
            problem = f"it was silent for {SILENCE_MAX_S:g} s"
        except httpx.ConnectError:
            problem = NOTHING_LISTENS
        except httpx.HTTPError:
            problem = BROKEN
        else:
            problem = "it ended the stream too early"
        raise Lost(problem) if accepted else Unavailable(problem)

    def _events(self, line: bytes) -> Iterator[Event]:
        if line.startswith(b":"):
            yield Waiting()
        if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
            return
        try:
            chunk = msgspec.json.decode(line[5:], type=_Chunk)
            told = msgspec.convert(chunk.dmoa, _Told)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._stranger() from None
        if chunk.error is not None:
            if chunk.error.get("code") == "stopping":
                raise Lost(_message(chunk.error))
            raise DmoaError(_message(chunk.error))
        if told.plan is not None:
            yield Accepted(told.id, told.plan.layers, told.plan.proposers)
        elif told.proposal is not None:
            yield Proposed(told.proposal)
        elif told.joined is not None:
            yield Joined(told.joined)
        for choice in chunk.choices:
            if choice.delta.content:
                yield Piece(choice.delta.content)
            if choice.finish_reason is not None:
                yield Finished(chunk.dmoa, cut=choice.finish_reason == "length")

    def _object(self, content: bytes) -> dict[str, Any]:
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._stranger()
        return found

    def _stranger(self) -> DmoaError:
        return ScenarioError(
            "what answers there is no node of dmoa", path=self.url, remedy="check --url and --dir"
        )

    def _error(self, response: httpx.Response) -> Exception:
        error = self._object(response.content).get("error")
        if not isinstance(error, dict):
            return self._stranger()
        message, status = _message(error), response.status_code
        if status in {408, 429, 503}:
            return Unavailable(message)
        if status in {401, 403}:
            remedy = "give --key-file FILE with a key of this cluster"
            return ScenarioError(message, path=self.url, remedy=remedy)
        if status < 500:
            return ScenarioError(message)
        return DmoaError(message)


@contextmanager
def _reaching(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException:
        raise Unavailable(f"no answer in {timeout_s:g} s") from None
    except httpx.ConnectError:
        raise Unavailable(NOTHING_LISTENS) from None
    except httpx.HTTPError:
        raise Unavailable(BROKEN) from None


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises if it is no port
    except ValueError as error:
        raise _bad_url(url, str(error)) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _bad_url(url, "expected http://HOST:PORT")
    return host


def _bad_url(url: str, problem: str) -> ScenarioError:
    return ScenarioError(
        f"this is no address of a node's door ({problem})",
        path="url",
        given=url,
        remedy="give one such as http://127.0.0.1:8401",
    )


def _message(error: dict[str, Any]) -> str:
    message = error.get("message")
    return message if isinstance(message, str) else "the node answered with an error"


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """Split a stream at its line feeds; other characters that end lines elsewhere are text."""
    rest, received = b"", 0
    for piece in response.iter_bytes():
        received += len(piece)
        if received > BODY_BYTES_MAX:
            raise DmoaError(f"the node sent more than {BODY_BYTES_MAX:,} bytes for one answer")
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
