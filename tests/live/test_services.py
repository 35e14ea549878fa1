"""Services: in which order an engine hears of tasks that begin, are read ahead, or are dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dmoa.core import (
    Content,
    Options,
    Prefill,
    ServiceEnded,
    StartService,
    TaskId,
)
from dmoa.live.engines.base import Cancellation, Capabilities, Generation
from dmoa.live.engines.scripted import Scripted
from dmoa.live.services import Services
from tests.live.clusters import DEADLINE_S
from tests.live.wires import until

TASK, OTHER = TaskId("a", 0, 1, 0), TaskId("a", 1, 1, 0)


class Fake(Scripted):
    """An engine that writes down what it is told, and whose tasks end when a test says so."""

    def __init__(self, *, prefill: bool = True, slots: int = 2) -> None:
        super().__init__()
        self.capabilities = Capabilities(prefill=prefill, slots=slots)
        self.told: list[tuple[Any, ...]] = []
        self.go = threading.Event()
        self.go.set()

    def prefill(self, task: TaskId, prompt: str, options: Options) -> None:
        assert self.go.wait(DEADLINE_S)
        self.told.append(("prefill", task.prompt, prompt, options.max_tokens))

    def drop(self, task: TaskId) -> None:
        self.told.append(("drop", task.prompt))

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: Cancellation,
    ) -> Generation:
        assert self.go.wait(DEADLINE_S)
        self.told.append(("generate", prompt, options.max_tokens))
        on_text(prompt)
        finish: Any = "cancelled" if cancelled.is_set() else "stop"
        return Generation(text=prompt, tokens=1, prompt_tokens=1, finish=finish)


class Heard:
    """Services of an engine, and all that the loop hears of them."""

    def __init__(self, engine: Fake) -> None:
        self.log: list[tuple[str, Any]] = []
        self.services = Services(
            engine,
            slots=2,
            max_tokens=7,
            ended=lambda event: self.log.append(("ended", event)),
            wrote=lambda task, text: self.log.append(("wrote", (task, text))),
            scored=lambda *told: self.log.append(("scored", told)),
        )


@asynccontextmanager
async def services(engine: Fake) -> AsyncIterator[Heard]:
    heard = Heard(engine)
    try:
        yield heard
    finally:
        engine.go.set()
        await asyncio.to_thread(heard.services.close)


def start(text: str, task: TaskId = TASK) -> StartService:
    return StartService(task, Content(1, text), 0.0)


def ahead(text: str, task: TaskId = TASK) -> Prefill:
    return Prefill(task, Content(1, text), Options(max_tokens=3))


def test_beginnings_are_told_in_their_order_and_dropped_when_the_task_starts() -> None:
    engine = Fake()

    async def scenario() -> None:
        async with services(engine) as heard:
            engine.go.clear()
            for text in ("a", "a b", "a b c"):
                heard.services.prefill(ahead(text))
            heard.services.start(start("a b c d"))
            heard.services.prefill(ahead("x", OTHER))
            heard.services.cancel(OTHER)
            engine.go.set()
            await until(lambda: len(engine.told) == 7 and len(heard.log) == 2)
            assert [one for one in engine.told if one[0] != "generate"] == [
                ("prefill", 0, "a", 3),
                ("prefill", 0, "a b", 3),
                ("prefill", 0, "a b c", 3),
                ("drop", 0),
                ("prefill", 1, "x", 3),
                ("drop", 1),
            ]
            assert ("generate", "a b c d", 7) in engine.told

    asyncio.run(scenario())


def test_an_engine_that_cannot_read_ahead_is_not_asked_to() -> None:
    engine = Fake(prefill=False)

    async def scenario() -> None:
        async with services(engine) as heard:
            heard.services.prefill(ahead("a"))
            heard.services.start(start("a"))
            heard.services.cancel(OTHER)
            await until(lambda: len(heard.log) == 2)
            assert engine.told == [("generate", "a", 7)]

    asyncio.run(scenario())


def test_a_task_in_service_that_is_cancelled_says_nothing_more_and_can_start_again() -> None:
    engine = Fake()

    async def scenario() -> None:
        async with services(engine) as heard:
            engine.go.clear()
            heard.services.start(start("first"))
            heard.services.cancel(TASK)
            heard.services.start(start("second"))
            engine.go.set()
            await until(lambda: len(heard.log) == 2)
            assert [event for kind, event in heard.log if kind == "ended"] == [
                ServiceEnded(TASK, Content(1, "second"), "scripted")
            ]
            assert ("drop", 0) in engine.told

    asyncio.run(scenario())


def test_a_task_that_was_cancelled_before_its_thread_began_is_not_served() -> None:
    engine = Fake()

    async def scenario() -> None:
        async with services(engine) as heard:
            engine.go.clear()
            for number in range(2):
                heard.services.start(start(str(number), TaskId("a", number, 0, 0)))
            heard.services.start(start("late", OTHER))
            heard.services.cancel(OTHER)
            engine.go.set()
            await until(lambda: len(heard.log) == 4)
        assert not any("late" in one for one in engine.told)

    asyncio.run(scenario())


def test_closing_ends_all_and_waits() -> None:
    engine = Fake()

    async def scenario() -> list[tuple[str, Any]]:
        heard = Heard(engine)
        engine.go.clear()
        for number in range(4):
            heard.services.start(start(str(number), TaskId("a", number, 0, 0)))
        heard.services.prefill(ahead("a"))
        threading.Timer(0.01, engine.go.set).start()
        await asyncio.to_thread(heard.services.close)
        await asyncio.sleep(0)
        return heard.log

    assert asyncio.run(scenario()) == []
    assert sum(one[0] == "generate" for one in engine.told) == 2
