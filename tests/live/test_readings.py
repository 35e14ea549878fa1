"""Scores and vectors beside the station: bounded, and dropped with whoever asked for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from dmoa.core import Options
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.door import Refused
from dmoa.live.engines.base import Cancellation, Capabilities, Embedding, TokenScore
from dmoa.live.engines.scripted import Scripted
from dmoa.live.readings import WAITING_MAX, Readings
from tests.live.overlay import live_overlay
from tests.live.test_running import setup_of
from tests.live.wires import until


class Reader(Scripted):
    """An engine that reads as told."""

    def __init__(self, does: Callable[[Any, Cancellation], object] = lambda _t, _c: None) -> None:
        super().__init__()
        self.capabilities = Capabilities(logprobs=True, embeddings=True)
        self.read: list[Any] = []
        self._does = does

    def score(
        self, prompt: str | Sequence[int], *, top: int, cancelled: Cancellation
    ) -> tuple[TokenScore, ...]:
        self.read.append((prompt, top))
        self._does(prompt, cancelled)
        return (TokenScore(b"x", None),)

    def embed(self, text: str, cancelled: Cancellation) -> Embedding:
        self.read.append(text)
        self._does(text, cancelled)
        return Embedding([1.0], len(text))


def raising(error: Exception) -> Callable[[Any, Cancellation], object]:
    def does(text: Any, _: Cancellation) -> None:
        if text == "bad":
            raise error

    return does


def run(engine: Any, scenario: Callable[[Readings], Coroutine[Any, Any, Any]]) -> Any:
    async def whole() -> Any:
        readings = Readings(engine, "edge")
        try:
            return await scenario(readings)
        finally:
            await asyncio.to_thread(readings.close)

    return asyncio.run(whole())


def test_texts_are_read_one_after_the_other() -> None:
    engine = Reader()

    async def scenario(readings: Readings) -> tuple[Any, Any]:
        return await asyncio.gather(
            readings.score(["a", (1, 2)], top=3), readings.embed(["so", "it goes"])
        )

    scores, vectors = run(engine, scenario)
    assert [one[0].token for one in scores] == [b"x", b"x"]
    assert [one.tokens for one in vectors] == [2, 7]
    assert engine.read == [("a", 3), ((1, 2), 3), "so", "it goes"]


def test_what_an_engine_cannot_do_is_refused_with_one_that_can() -> None:
    async def score(readings: Readings) -> None:
        with pytest.raises(ScenarioError) as refused:
            await readings.score(["a"], top=0)
        assert refused.value.path == "logprobs"
        assert "the engine scripted of node edge tells no log-probabilities" in str(refused.value)
        assert "ask a node that has the engine llama" in str(refused.value)
        with pytest.raises(ScenarioError, match="makes no embeddings") as refused:
            await readings.embed(["a"])
        assert refused.value.path == "model"

    run(Scripted(), score)


def test_a_text_that_is_wrong_is_named() -> None:
    too_long = ScenarioError("the text has 9 tokens", remedy="shorten it")

    async def scenario(readings: Readings) -> None:
        with pytest.raises(ScenarioError) as refused:
            await readings.embed(["good", "bad"])
        assert refused.value.path == "input[1]"
        assert str(refused.value) == "input[1]: the text has 9 tokens; shorten it"
        with pytest.raises(ScenarioError, match=r"prompt\[0\]"):
            await readings.score(["bad"], top=0)

    run(Reader(raising(too_long)), scenario)


@pytest.mark.parametrize("error", [EngineError("no memory"), ZeroDivisionError("no memory")])
def test_whatever_an_engine_raises_it_has_failed(error: Exception) -> None:
    async def scenario(readings: Readings) -> None:
        with pytest.raises(EngineError, match="no memory"):
            await readings.embed(["bad"])
        assert await readings.embed(["good"])

    run(Reader(raising(error)), scenario)


def test_only_a_few_wait() -> None:
    go_on = threading.Event()
    engine = Reader(lambda _t, _c: go_on.wait(10))

    async def scenario(readings: Readings) -> list[Embedding]:
        waiting = [asyncio.ensure_future(readings.embed(["a"])) for _ in range(WAITING_MAX + 1)]
        await until(lambda: len(engine.read) == 1)
        with pytest.raises(Refused) as refused:
            await readings.score(["b"], top=0)
        assert refused.value.queue_length == WAITING_MAX + 1
        assert refused.value.retry_after_s > 0
        go_on.set()
        made = [each for (each,) in await asyncio.gather(*waiting)]
        assert await readings.score(["b"], top=0)
        return made

    assert len(run(engine, scenario)) == WAITING_MAX + 1


def test_whoever_leaves_stops_the_reading_and_frees_its_place() -> None:
    seen: list[Cancellation] = []

    def does(_: Any, cancelled: Cancellation) -> None:
        seen.append(cancelled)
        if len(seen) == 1:
            assert cancelled.wait(10)

    async def scenario(readings: Readings) -> None:
        first = asyncio.ensure_future(readings.embed(["a", "never"]))
        queued = asyncio.ensure_future(readings.embed(["never"]))
        await until(lambda: len(seen) == 1)
        for each in (queued, first):
            each.cancel()
        await asyncio.gather(first, queued, return_exceptions=True)
        assert await readings.embed(["b"])

    engine = Reader(does)
    run(engine, scenario)
    assert engine.read == ["a", "b"]


def test_closing_ends_what_is_read() -> None:
    engine = Reader(lambda _t, cancelled: cancelled.wait(10))

    async def scenario(readings: Readings) -> None:
        reading = asyncio.ensure_future(readings.embed(["a", "b"]))
        await until(lambda: len(engine.read) == 1)
        await asyncio.to_thread(readings.close)
        with pytest.raises(EngineError, match="cancelled"):
            await reading

    run(engine, scenario)


# --- through a node ------------------------------------------------------------------------------


def test_a_node_reads_while_it_is_ready_and_says_what_it_can(tmp_path: Any) -> None:
    async def scenario() -> Any:
        async with live_overlay(setup_of(), tmp_path, lambda _: Reader()) as overlay:
            node = overlay.nodes["0"]
            made = await node.embed(["so"]), await node.score([(1,)], top=0)
            able = node.status().capabilities
            await node.drain()
            for reading in (node.embed(["so"]), node.score(["so"], top=0)):
                with pytest.raises(Refused, match="draining"):
                    await reading
            return made, able

    (vectors, scores), able = asyncio.run(scenario())
    assert vectors[0].tokens == 2
    assert scores == [(TokenScore(b"x", None),)]
    assert able == Capabilities(logprobs=True, embeddings=True)


def test_log_probabilities_that_the_engine_does_not_tell_are_refused(tmp_path: Any) -> None:
    async def scenario() -> None:
        async with live_overlay(setup_of(), tmp_path) as overlay:
            with pytest.raises(ScenarioError) as refused:
                await overlay.nodes["0"].submit("Why?", Options(logprobs=0))
            assert refused.value.path == "logprobs"
            assert "engine llama" in refused.value.remedy

    asyncio.run(scenario())
