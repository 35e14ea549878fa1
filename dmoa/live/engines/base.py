"""What an engine is: the one interface behind which a language model serves tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, Protocol

import msgspec

from dmoa.core import Options, TaskId
from dmoa.errors import EngineError

Finish = Literal["stop", "length", "cancelled"]
"""Why a generation ended: by itself, at its limit of tokens or of context, or cancelled."""

TOP_MAX = 20
"""How many of the likeliest tokens can be told at each place of a text."""


class Cancellation(threading.Event):
    """Tells whoever serves a task that nobody waits for it any more.

    >>> cancelled = Cancellation()
    >>> with cancelled.notifying(lambda: print("stop")):
    ...     cancelled.set()
    stop
    """

    def __init__(self) -> None:
        super().__init__()
        self._notify: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    @contextmanager
    def notifying(self, function: Callable[[], None]) -> Iterator[None]:
        """Have a function called once this is set; at once if it is, and not afterwards.

        What is served usually knows its cancellation: were the function kept, each would keep the
        other in memory.
        """
        with self._guard:
            late = self.is_set()
            if not late:
                self._notify.append(function)
        if late:
            function()
        try:
            yield
        finally:
            with self._guard, suppress(ValueError):  # it was told
                self._notify.remove(function)

    def set(self) -> None:
        """Set it, and tell everybody."""
        with self._guard:
            super().set()
            told, self._notify = self._notify, []
        for function in told:
            function()


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do beyond generating one text at a time.

    Attributes:
        slots: How many tasks it serves at once.
        grammar: Whether a response can be held to a grammar.
        logprobs: Whether it tells the log-probabilities of tokens.
        embeddings: Whether it turns texts into vectors.
        prefill: Whether it can read the beginning of a prompt before the rest is known.
        beams: Whether it searches with several beams.
    """

    slots: int = 1
    grammar: bool = False
    logprobs: bool = False
    embeddings: bool = False
    prefill: bool = False
    beams: bool = False


class TokenScore(msgspec.Struct, frozen=True):
    """A token with its natural log-probability, and the likeliest at its place.

    The log-probability is the model's own, before temperature, penalties or a grammar. It is None
    for the first token of a text, which nothing predicts.
    """

    token: bytes
    logprob: float | None
    top: tuple[tuple[bytes, float], ...] = ()


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one task, and why it ended; lengths are in the engine's own tokens.

    Attributes:
        text: The response.
        tokens: Its length.
        prompt_tokens: Length of the prompt with its history.
        computed_tokens: How many of those had to be computed: the others were still known from
            an earlier prompt with the same beginning, or had been read ahead.
        finish: Why it ended.
        scores: One for each token of the response, if the options ask for log-probabilities.
    """

    text: str
    tokens: int
    prompt_tokens: int
    computed_tokens: int = 0
    finish: Finish = "stop"
    scores: tuple[TokenScore, ...] = ()


class Embedding(msgspec.Struct, frozen=True):
    """A text as a vector of length one: the mean of its tokens' last hidden states."""

    values: list[float]
    tokens: int


class Engine(Protocol):
    """A language model that serves as many tasks at once as it has slots.

    ``generate``, ``score`` and ``embed`` block, and each call comes from a thread of its own; all
    other methods return at once and may be called from any thread.
    """

    kind: str
    """llama, openai or scripted."""
    model: str
    """Name of the model, for answers and reports."""
    context_tokens: int
    """How many tokens of prompt and response fit."""
    capabilities: Capabilities
    notes: tuple[str, ...]
    """What its users should know, in sentences."""

    def count_tokens(self, prompt: str, options: Options) -> int:
        """Count the tokens that a prompt with its history would take."""
        ...

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: Cancellation,
    ) -> Generation:
        """Serve a task.

        Args:
            prompt: The question, or the augmented prompt.
            options: Turns before it, and the sampling.
            on_text: Called with each piece of the response as it is decoded.
            cancelled: Once it is set, the generation ends soon with finish ``cancelled``.

        Raises:
            EngineError: It cannot be served; the message says why, with numbers.
        """
        ...

    def prefill(self, task: TaskId, prompt: str, options: Options) -> None:
        """Read the beginning of a task's prompt while nothing is served; a hint, nothing more.

        Said again with more of the prompt, it goes on from there. It never fails and never delays
        a task; an engine without the capability ignores it.

        Args:
            task: Which task's, until `drop` or until it was read.
            prompt: The beginning of the prompt that the task will have.
            options: Turns before it.
        """
        ...

    def drop(self, task: TaskId) -> None:
        """Forget what was to be read ahead for a task."""
        ...

    def score(
        self, prompt: str | Sequence[int], *, top: int, cancelled: Cancellation
    ) -> tuple[TokenScore, ...]:
        """Tell the log-probability of every token of a text; the text stands alone, in no form.

        Args:
            prompt: The text, or its tokens by their numbers in the model's vocabulary.
            top: How many of the likeliest tokens to tell at each place, 0 to ``TOP_MAX``.
            cancelled: Once it is set, this ends soon with an error.

        Returns:
            One for each token of the text, then one for the likeliest token after it.

        Raises:
            ScenarioError: It is empty, too long, or not in the model's vocabulary.
            EngineError: It cannot be done here; the message says what can.
        """
        ...

    def embed(self, text: str, cancelled: Cancellation) -> Embedding:
        """Turn a text into a vector.

        Raises:
            ScenarioError: It is empty or too long.
            EngineError: It cannot be done here; the message says what can.
        """
        ...

    def close(self) -> None:
        """Give back memory and connections; generations under way end first."""
        ...


def unable(kind: str, what: str) -> EngineError:
    """Say that an engine cannot do something, and which can.

    >>> str(unable("scripted", "follows no grammar"))
    'the engine scripted follows no grammar; ask a node whose engine is llama'
    """
    return EngineError(f"the engine {kind} {what}; ask a node whose engine is llama")
