"""Engines in processes of their own, for a calibration."""

from __future__ import annotations

import io
import json

import msgspec
import pytest

from dmoa.errors import EngineError
from dmoa.live.calibration_host import Host, work
from dmoa.live.calibration_runs import Request, Timeline
from dmoa.live.engines.scripted import Scripted
from dmoa.live.engines.spec import EngineSpec

SPEC = EngineSpec(kind="scripted")
REQUEST = Request(prompt="one two three", tokens=5)


def test_requests_go_to_one_or_to_all():
    with Host(SPEC, 2) as host:
        (alone,) = host.serve(REQUEST, False)
        assert (alone.read_tokens, alone.tokens) == (3, 5)
        assert alone.started_s <= alone.pieces_s[0] <= alone.ended_s
        both = host.serve(REQUEST, True)
    assert [timeline.tokens for timeline in both] == [5, 5]
    # They are told by one clock: the machine's.
    assert all(timeline.started_s > alone.ended_s for timeline in both)


def test_an_engine_that_cannot_be_made_says_why():
    with pytest.raises(EngineError, match="in a process of its own: url: the engine openai needs"):
        Host(EngineSpec(kind="openai", model="m"), 1)


def test_a_request_that_cannot_be_served_says_why():
    spec = msgspec.structs.replace(SPEC, context_tokens=2)
    with (
        Host(spec, 1) as host,
        pytest.raises(EngineError, match="the prompt has 3 tokens, but the context has 2"),
    ):
        host.serve(REQUEST, False)


def test_a_process_that_dies_is_noticed():
    with Host(SPEC, 1) as host:
        for process in host._processes:
            process.kill()
            process.wait()
        with pytest.raises(EngineError, match="has died"):
            host.serve(REQUEST, True)


def lines(*given: object) -> io.BytesIO:
    return io.BytesIO(b"".join(msgspec.json.encode(each) + b"\n" for each in given))


def test_a_process_answers_line_by_line_and_closes_its_engine():
    closed = []

    class Closing(Scripted):
        def close(self) -> None:
            closed.append(True)

    answers = io.BytesIO()
    work(lines(SPEC, REQUEST), answers, lambda _: Closing())
    ready, served = map(json.loads, answers.getvalue().splitlines())
    assert ready == {"type": "ready"}
    assert msgspec.convert(served["timeline"], Timeline).tokens == 5
    assert closed == [True]


def test_a_process_that_hears_nothing_does_nothing():
    answers = io.BytesIO()
    work(lines(), answers)
    assert answers.getvalue() == b""
