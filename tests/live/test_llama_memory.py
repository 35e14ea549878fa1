"""What the engine leaves in memory, with a real model: nothing that only the collector frees.

Cycles among Python's objects are collected when their number has grown by a quarter, which in a
process that runs for weeks looks like a leak, and here each may hold megabytes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from dmoa.core import Options, TaskId
from dmoa.errors import EngineError
from dmoa.live.engines.base import Cancellation
from dmoa.live.engines.llama import Llama
from tests.live.llamas import GREEDY, real, running

pytestmark = real

TIMES = 5


@pytest.fixture(scope="module")
def engine() -> Iterator[Llama]:
    with running(slots=2, max_tokens=4) as engine:
        yield engine


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def write(engine: Llama, place: int) -> None:
    prompt = "One more word. " * (place + 1)
    engine.generate(prompt, Options(**GREEDY, logprobs=2), lambda _: None, Cancellation())


def spell(engine: Llama, _: int) -> None:
    options = Options(**GREEDY, grammar='root ::= "yes"')
    engine.generate("Is it?", options, lambda _: None, Cancellation())


def score(engine: Llama, place: int) -> None:
    engine.score("salt and bread " * (place + 1), top=1, cancelled=Cancellation())


def embed(engine: Llama, place: int) -> None:
    engine.embed("a river " * (place + 1), Cancellation())


def cancel(engine: Llama, _: int) -> None:
    cancelled = Cancellation()
    engine.generate("Go on.", Options(**GREEDY), lambda _: cancelled.set(), cancelled)


def read_ahead(engine: Llama, place: int) -> None:
    task = TaskId("a", place, 1, 0)
    engine.prefill(task, "This is how it begins", Options())
    engine.drop(task)


def err(engine: Llama, _: int) -> None:
    with pytest.raises(EngineError):
        engine.generate("Go on.", Options(grammar="root ::= ("), lambda _: None, Cancellation())


@pytest.mark.parametrize("work", [write, spell, score, embed, cancel, read_ahead, err])
@pytest.mark.usefixtures("uncollected")
def test_no_cycles_are_left(engine: Llama, work: object) -> None:
    assert callable(work)
    work(engine, 0)  # whatever is made once
    gc.collect()
    for place in range(TIMES):
        work(engine, place)
    assert gc.collect() < TIMES
