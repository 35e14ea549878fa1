"""An engine without a model: deterministic, for tests and dry runs, and it says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from dmoa.core import Options, TaskId
from dmoa.core.streams import derive, uniform
from dmoa.errors import EngineError
from dmoa.live.engines.base import (
    Cancellation,
    Capabilities,
    Embedding,
    Finish,
    Generation,
    TokenScore,
    unable,
)
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, DEFAULT_MAX_TOKENS

MARK = "[scripted]"
_TALE = """\
a node keeps its own queue and asks two peers for their views before it answers while the ring
carries every proposal once so that no server stands between question and answer
"""
_WORDS = _TALE.split()
_LEAST, _SPREAD = 8, 24


class Scripted:
    """Serves tasks with a text derived from the prompt; tokens are words.

    Args:
        service_time_s: How long a task takes: seconds, or a function of the prompt and of the
            number of the call, from 0.
        tokens: Length of every response; by default 8 to 31, depending on the prompt.
        max_tokens: Limit of a response whose options give none.
        context_tokens: Room for prompt and response.
        truncate: Whether a prompt beyond the context is cut instead of refused.
        slots: How many tasks it serves at once.
    """

    kind = "scripted"
    model = "scripted"
    notes: tuple[str, ...] = ("its texts come from a script, not from a language model",)

    def __init__(
        self,
        service_time_s: float | Callable[[str, int], float] = 0.0,
        *,
        tokens: int | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
        truncate: bool = False,
        slots: int = 1,
    ) -> None:
        self.capabilities = Capabilities(slots=slots)
        self.context_tokens = context_tokens
        self._service_time_s = service_time_s
        self._tokens = tokens
        self._max_tokens = max_tokens
        self._truncate = truncate
        self._slots, self._counting = threading.Semaphore(slots), threading.Lock()
        self._calls = 0

    def count_tokens(self, prompt: str, options: Options) -> int:
        """Count the words of a prompt and its history."""
        return sum(len(text.split()) for text in (prompt, *(turn.text for turn in options.history)))

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: Cancellation,
    ) -> Generation:
        """Serve a task; its words come evenly over its service time.

        Raises:
            EngineError: The prompt does not fit, or a grammar is asked for.
        """
        if options.grammar is not None:
            raise unable(self.kind, "follows no grammar")
        if options.logprobs is not None:
            raise unable(self.kind, "knows no log-probabilities")
        with self._slots:
            with self._counting:
                call, self._calls = self._calls, self._calls + 1
            read = self._read(prompt, options)
            room = min(options.max_tokens or self._max_tokens, self.context_tokens - read)
            words = self._words(prompt, options)
            pieces = Pieces(options.stop, on_text)
            took = self._service_time_s
            service_time_s = took(prompt, call) if callable(took) else took
            ended = _tell(words[:room], service_time_s, pieces, cancelled)
            text = pieces.finish()
            return Generation(
                text=text,
                tokens=len(text.split()),
                prompt_tokens=read,
                computed_tokens=read,
                finish=ended or ("length" if room < len(words) else "stop"),
            )

    def prefill(self, task: TaskId, prompt: str, options: Options) -> None:
        """Do nothing: there is nothing to compute."""

    def drop(self, task: TaskId) -> None:
        """Do nothing."""

    def score(
        self,
        prompt: str | Sequence[int],  # noqa: ARG002 - refused whatever it is
        *,
        top: int,  # noqa: ARG002
        cancelled: Cancellation,  # noqa: ARG002
    ) -> tuple[TokenScore, ...]:
        """Refuse: a script knows no probabilities.

        Raises:
            EngineError: Always.
        """
        raise unable(self.kind, "knows no log-probabilities")

    def embed(self, text: str, cancelled: Cancellation) -> Embedding:  # noqa: ARG002 - refused
        """Refuse: a script has no hidden states.

        Raises:
            EngineError: Always.
        """
        raise unable(self.kind, "makes no embeddings")

    def close(self) -> None:
        """Wait for generations under way."""
        for _ in range(self.capabilities.slots):
            self._slots.acquire()

    def _read(self, prompt: str, options: Options) -> int:
        read = self.count_tokens(prompt, options)
        if read < self.context_tokens:
            return read
        if self._truncate:
            return self.context_tokens - 1
        raise EngineError(
            f"the prompt has {read} tokens, but the context has {self.context_tokens} for prompt "
            "and response; shorten it, or set truncate = true"
        )

    def _words(self, prompt: str, options: Options) -> list[str]:
        key = derive(options.seed or 0, *(turn.text for turn in options.history), prompt)
        count = self._tokens or _LEAST + int(uniform(key, 0) * _SPREAD)
        chosen = [_WORDS[int(uniform(key, place) * len(_WORDS))] for place in range(1, count)]
        return [MARK, *(f" {word}" for word in chosen)]


def _tell(
    words: list[str], service_time_s: float, pieces: Pieces, cancelled: Cancellation
) -> Finish | None:
    """Say words evenly over a time, or all at once; say what ended them early, if anything."""
    if cancelled.is_set():
        return "cancelled"
    if service_time_s <= 0:
        return "stop" if pieces.feed("".join(words).encode()) else None
    started = time.monotonic()
    for count, word in enumerate(words, 1):
        due = started + service_time_s * count / len(words)
        if cancelled.wait(max(0.0, due - time.monotonic())):
            return "cancelled"
        if pieces.feed(word.encode()):
            return "stop"
    return None
