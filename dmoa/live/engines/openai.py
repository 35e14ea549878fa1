"""The engine openai: a model behind any URL that speaks OpenAI's protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dmoa.core import Options, TaskId
from dmoa.core.streams import derive
from dmoa.errors import EngineError
from dmoa.live.engines.api_keys import ApiKey
from dmoa.live.engines.base import (
    Cancellation,
    Capabilities,
    Embedding,
    Finish,
    Generation,
    TokenScore,
    unable,
)
from dmoa.live.engines.openai_http import Server
from dmoa.live.engines.openai_scores import Completion, Vectors, Whole, read_scores
from dmoa.live.engines.openai_stream import Received
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, DEFAULT_MAX_TOKENS
from dmoa.live.engines.templates import turns_of

#: The first pause between attempts, s.
PAUSE_S = 0.5
SILENCE_S = 120.0
_CHECK = "check url, model and options"
_ASK_LLAMA = "ask a node whose engine is llama"


class OpenAI:
    """Serves tasks with a model of a server: llama-server, Ollama, vLLM, SGLang or the like.

    What a server can do shows when it is asked: log-probabilities and vectors are asked for, and
    whoever wants them is told if they do not come.

    Args:
        url: Where the server is, with its ``/v1``.
        model: Name of the model there.
        api_key: The key, if it needs one.
        context_tokens: Room for prompt and response; the server itself refuses what is too long.
        max_tokens: Limit of a response whose options give none.
        slots: How many requests it is sent at once; more wait here.
        timeout_s: Limit of one response with all its attempts.
        silence_s: How long the server may say nothing.
        pause_s: The first pause between attempts.
        key: Key of this node's random stream.

    Raises:
        ScenarioError: The URL is none.
    """

    kind = "openai"
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key: ApiKey | None = None,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        slots: int = 1,
        timeout_s: float = 300.0,
        silence_s: float = SILENCE_S,
        pause_s: float = PAUSE_S,
        key: int = 0,
    ) -> None:
        self.model, self.context_tokens = model, context_tokens
        self.capabilities = Capabilities(slots=slots, logprobs=True, embeddings=True)
        self._server = Server(
            url,
            api_key=api_key,
            timeout_s=timeout_s,
            silence_s=silence_s,
            pause_s=pause_s,
            key=key,
        )
        self._max_tokens, self._key = max_tokens, key
        self._slots = threading.Semaphore(slots)
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
        cancelled: Cancellation,
    ) -> Generation:
        """Serve a task, once a slot is free.

        Raises:
            EngineError: The server cannot be reached, refuses, fails, or sends something else.
        """
        if options.grammar is not None:
            raise unable(self.kind, "follows no grammar")
        with self._slot():
            received = Received(Pieces(options.stop, on_text))
            body = self._body(prompt, options)
            self._server.post("/chat/completions", body, received, cancelled, _CHECK)
        ended: Finish = received.ended or "cancelled"
        scores: tuple[TokenScore, ...] = ()
        if options.logprobs is not None:
            scores = tuple(score for told in received.logprobs for score in read_scores(told))
            if received.contents and not scores and ended != "cancelled":
                raise EngineError(
                    f"the server of {self.model} told no log-probabilities; leave them out, or "
                    f"{_ASK_LLAMA}"
                )
        return Generation(
            text=received.pieces.finish(),
            tokens=received.tokens,
            prompt_tokens=received.prompt_tokens(self.count_tokens(prompt, options)),
            finish=ended,
            scores=scores,
        )

    def prefill(self, task: TaskId, prompt: str, options: Options) -> None:
        """Ignore it: the protocol has no word for it."""

    def drop(self, task: TaskId) -> None:
        """Ignore it, as `prefill` does."""

    def score(
        self, prompt: str | Sequence[int], *, top: int, cancelled: Cancellation
    ) -> tuple[TokenScore, ...]:
        """Tell the log-probabilities of a text, once a slot is free.

        Raises:
            EngineError: The server fails, or does not do it, as most do not.
        """
        body = {
            "model": self.model,
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": top,
        }
        scores = self._ask("/completions", body, cancelled).read(Completion).scores()
        if not scores:
            raise EngineError(
                f"the server of {self.model} does not tell the log-probabilities of a text "
                f"(llama-server and Ollama do not, vLLM does); {_ASK_LLAMA}"
            )
        return scores

    def embed(self, text: str, cancelled: Cancellation) -> Embedding:
        """Turn a text into a vector of length one, once a slot is free.

        Raises:
            EngineError: The server fails, or does not do it.
        """
        body = {"model": self.model, "input": text, "encoding_format": "float"}
        vectors = self._ask("/embeddings", body, cancelled).read(Vectors)
        return vectors.embedding(self.count_tokens(text, Options()))

    def close(self) -> None:
        """Let nothing begin any more, and wait for what is under way."""
        self._closed = True
        for _ in range(self.capabilities.slots):
            self._slots.acquire()
        self._slots.release(self.capabilities.slots)

    def _ask(self, path: str, body: dict[str, Any], cancelled: Cancellation) -> Whole:
        with self._slot():
            whole = Whole()
            remedy = f"if it cannot do this, {_ASK_LLAMA}"
            self._server.post(path, body, whole, cancelled, remedy)
            return whole

    @contextmanager
    def _slot(self) -> Iterator[None]:
        with self._slots:
            if self._closed:
                raise EngineError("the engine is closed; start the node again")
            yield

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
        if options.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": options.logprobs or None}
        if options.seed is not None:
            body["seed"] = derive(self._key, "sampling", options.seed) % 2**31
        # What nobody asked for is left out: servers refuse words that they do not know.
        return {name: value for name, value in body.items() if value is not None}
