"""The engine openai: a model behind any URL that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from dmoa.core import Options
from dmoa.core.streams import Stream, derive
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines.api_keys import ApiKey
from dmoa.live.engines.base import Capabilities, Finish, Generation
from dmoa.live.engines.openai_stream import (
    Received,
    StreamCutError,
    gather,
    read_all,
    read_stream,
    reason_in,
)
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, DEFAULT_MAX_TOKENS
from dmoa.live.engines.templates import turns_of

ATTEMPTS_MAX = 6
#: The first pause between attempts, s; each next one is twice as long, give or take its half.
PAUSE_S, PAUSE_MAX_S = 0.5, 30.0
#: A server that asks for more patience than this is told no, s.
RETRY_AFTER_MAX_S = 60.0
CONNECT_S, SILENCE_S = 10.0, 120.0
#: How often a wait looks whether it was cancelled, s.
NOTICE_S = 0.02
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
REFUSED = (401, 403)
_BODY_BYTES_MAX = 1 << 16


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, problem: str, after_s: float | None = None) -> None:
        self.after_s = after_s
        super().__init__(problem)


class OpenAI:
    """Serves tasks with a model of a server: llama-server, Ollama, vLLM, SGLang or the like.

    Each generation has its own event loop in the caller's thread: so that cancelling, and the
    limit of time, reach it wherever it waits, also in a name that does not resolve.

    Args:
        url: Where the server is, with its ``/v1``.
        model: Name of the model there.
        api_key: The key, if it needs one.
        context_tokens: Room for prompt and response; the server itself refuses what is too long.
        max_tokens: Limit of a response whose options give none.
        timeout_s: Limit of one response with all its attempts.
        silence_s: How long the server may say nothing.
        pause_s: The first pause between attempts.
        key: Key of this node's random stream.

    Raises:
        ScenarioError: The URL is none.
    """

    kind = "openai"
    capabilities = Capabilities()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key: ApiKey | None = None,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        timeout_s: float = 300.0,
        silence_s: float = SILENCE_S,
        pause_s: float = PAUSE_S,
        key: int = 0,
    ) -> None:
        self.model, self.context_tokens = model, context_tokens
        self._url = f"{_checked(url)}/chat/completions"
        self._api_key, self._max_tokens = api_key, max_tokens
        self._timeout_s, self._pause_s, self._key = timeout_s, pause_s, key
        self._limits = httpx.Timeout(min(silence_s, timeout_s), connect=min(CONNECT_S, timeout_s))
        self._tls = httpx.create_ssl_context()
        self._jitter = Stream(derive(key, "retry"))
        self._serving = threading.Lock()
        self._closed = False

    def count_tokens(self, prompt: str, options: Options) -> int:
        """Estimate the tokens of a prompt with its history: one for four bytes."""
        size = sum(len(turn.text.encode("utf-8", "replace")) for turn in turns_of(prompt, options))
        return -(-size // 4)

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: threading.Event,
    ) -> Generation:
        """Serve a task, after any that is being served.

        Raises:
            EngineError: The server cannot be reached, refuses, fails, or sends something else.
        """
        if options.grammar is not None:
            raise EngineError("the engine openai follows no grammar; leave it out")
        with self._serving:
            if self._closed:
                raise EngineError("the engine is closed; start the node again")
            received = Received(Pieces(options.stop, on_text))
            if not cancelled.is_set():
                asyncio.run(self._serve(self._body(prompt, options), received, cancelled))
            ended: Finish = received.ended or "cancelled"
            return Generation(
                text=received.pieces.finish(),
                tokens=received.tokens,
                prompt_tokens=received.prompt_tokens(self.count_tokens(prompt, options)),
                finish=ended,
            )

    def close(self) -> None:
        """Wait for a generation under way."""
        with self._serving:
            self._closed = True

    def _body(self, prompt: str, options: Options) -> dict[str, Any]:
        turns = turns_of(prompt, options)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
            "max_tokens": options.max_tokens or self._max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": options.top_k,
            "min_p": options.min_p,
            # llama-server and Ollama call it so, vLLM and SGLang by the name after it.
            "repeat_penalty": options.repeat_penalty,
            "repetition_penalty": options.repeat_penalty,
            "stop": list(options.stop) or None,
        }
        if options.seed is not None:
            body["seed"] = derive(self._key, "sampling", options.seed) % 2**31
        # What nobody asked for is left out: servers refuse words that they do not know.
        return {name: value for name, value in body.items() if value is not None}

    async def _serve(
        self, body: dict[str, Any], received: Received, cancelled: threading.Event
    ) -> None:
        """Let the attempts run until they have ended, are cancelled, or time is up."""
        attempts = asyncio.create_task(self._attempts(body, received))
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._timeout_s
        while not attempts.done():
            late = loop.time() >= deadline_s
            if cancelled.is_set() or late:
                attempts.cancel()
                await asyncio.gather(attempts, return_exceptions=True)
                if late and received.ended is None:
                    raise EngineError(
                        f"{self._url} did not finish within {self._timeout_s:g} s"
                        f"{received.trouble}; raise the limit of time, or give it less to do"
                    )
                return
            await asyncio.wait([attempts], timeout=NOTICE_S)
        attempts.result()

    async def _attempts(self, body: dict[str, Any], received: Received) -> None:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._attempt(body, received)
            except _TryAgainError as error:
                if received.contents:
                    raise EngineError(
                        f"{self._url} broke off after {received.contents} pieces of the response "
                        f"({error})"
                    ) from error
                pause_s = error.after_s
                if pause_s is None:
                    pause_s = min(PAUSE_MAX_S, self._pause_s * 2 ** (attempt - 1))
                    pause_s *= 0.5 + self._jitter.uniform()
                if attempt == ATTEMPTS_MAX or pause_s > RETRY_AFTER_MAX_S:
                    raise EngineError(
                        f"{self._url} cannot serve: {error}, {_times(attempt)}; "
                        "see whether the server runs and is not overloaded"
                    ) from error
                received.trouble = f" (at last {error})"
                await asyncio.sleep(pause_s)
            else:
                return

    async def _attempt(self, body: dict[str, Any], received: Received) -> None:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.value}"
        try:
            async with (
                httpx.AsyncClient(timeout=self._limits, verify=self._tls) as client,
                client.stream("POST", self._url, json=body, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    said = reason_in(await gather(response.aiter_bytes(), _BODY_BYTES_MAX))
                    raise self._failure(response, self._without_key(said))
                kind = response.headers.get("content-type", "")
                read = read_all if kind.startswith("application/json") else read_stream
                await read(received, response.aiter_bytes())
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise EngineError(
                f"{self._url} said nothing for {self._limits.read:g} s; "
                "see whether the server hangs or is overloaded"
            ) from error
        except StreamCutError as error:
            raise _TryAgainError("the stream ended in the middle") from error
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
            raise _TryAgainError(self._without_key(problem)) from error

    def _failure(self, response: httpx.Response, said: str) -> Exception:
        status = response.status_code
        if status in REFUSED:
            if self._api_key is None:
                remedy = "name the environment variable that holds its key with api_key_env"
            else:
                remedy = f"put a valid key into {self._api_key.source}"
            return EngineError(f"{self._url} refuses us with status {status} ({said}); {remedy}")
        if status in AGAIN:
            return _TryAgainError(
                f"status {status} ({said})", _retry_after_s(response.headers.get("retry-after"))
            )
        return EngineError(
            f"{self._url} answers with status {status} ({said}); check url, model and options"
        )

    def _without_key(self, text: str) -> str:
        """Keep the key out of messages, also where the server repeats it."""
        return text if self._api_key is None else text.replace(self._api_key.value, "***")


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
