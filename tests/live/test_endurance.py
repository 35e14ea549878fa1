"""The endurance benchmark for seconds: nothing fails, and what it looks for would be found."""

from __future__ import annotations

import time

import pytest

from benchmarks import endurance
from benchmarks.endurance import Client, endure, lost
from dmoa.core import Turn
from tests.live.llamas import ANSWERS, real, running

pytestmark = real


def test_some_seconds_of_everything_at_once() -> None:
    found = endure(5 / 60, seed=1, threads=1)
    assert found["faults"] == []
    assert found["tokens_written"] > 0
    assert sum(found["calls"].values()) > 5


def test_an_answer_to_another_prompt_would_be_found() -> None:
    with running(slots=2) as engine:
        client = Client(engine, 0, 1, time.monotonic())
        model, (one, other, *_) = engine._weights, ANSWERS
        for question, found in ((one, False), (other, True)):
            tokens = engine._prompts.tokens([Turn("user", question)])
            lead = client.lead(tokens, model.tokenize(ANSWERS[one]))
            assert (lead > endurance.NEAR_TIE) == found


def test_a_lost_number_would_be_found() -> None:
    with running(slots=endurance.SLOTS) as engine:
        assert lost(engine) == []
        number = engine._batching._cache._free.pop()
        assert "has only the numbers" in lost(engine)[0]
        engine._batching._cache._free.append(number)


def test_what_fails_is_a_fault_of_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as engine:
        client = Client(engine, 3, 1, time.monotonic() + 60)

        def fail(*_: object, **__: object) -> None:
            client.until_s = 0
            raise KeyError("x")

        for owner, name in ((client, "generate"), (engine, "score"), (engine, "embed")):
            monkeypatch.setattr(owner, name, fail)
        client.run()
        assert len(client.faults) == 1
        assert client.faults[0].startswith("client 3, ")
