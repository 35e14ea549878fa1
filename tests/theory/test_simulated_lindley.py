"""Lindley's recursion: exact on every sample path, whatever the arrivals are."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from dmoa.trace import Track
from tests.sim.runs import run, scenario


def starts_s(queued_s: list[float], service_s: list[float], slots: int) -> list[float]:
    """Give when each task starts: at once, or when the first of the slots is free again.

    With one slot this is W(n + 1) = max(0, W(n) + S(n) - A(n)). Source: Lindley 1952; Kiefer and
    Wolfowitz 1955 for several servers.
    """
    free = [0.0] * slots
    started = []
    for queued, service in zip(queued_s, service_s, strict=True):
        start = max(queued, heapq.heappop(free))
        started.append(start)
        heapq.heappush(free, start + service)
    return started


def check_node(track: Track, node: int, slots: int) -> int:
    tasks = track.tasks
    own = tasks.server == node
    queued, started = tasks.queued_s[own], tasks.started_s[own]
    # What is still served at the run's end keeps its slot.
    ended = np.nan_to_num(tasks.ended_s[own], nan=np.inf)
    assert (np.diff(queued) >= 0).all(), "first come, first served"
    expected = starts_s(queued.tolist(), (ended - started).tolist(), slots)
    np.testing.assert_allclose(started, expected, rtol=0, atol=1e-9 * track.end_s)
    return len(queued)


@pytest.mark.parametrize(
    ("preset", "values"),
    [
        ("ring", {}),
        ("complete", {"service": {"distribution": "deterministic"}}),
        ("star", {"service": {"distribution": "lognormal", "cv": 2.0}}),
        ("scale-free", {"plan.selection": "weighted", "plan.weights": "best"}),
        ("tokens", {"run.horizon_s": 20_000}),
        ("paper-table-1", {"run.horizon_s": 10_000}),
        ("ring", {"links": {"delay_s": 0.7, "distribution": "exponential"}}),
        ("ring", {"nodes": {"3": {"speed": 2.0}, "5": {"service_time_s": 3.0}}}),
        ("ring", {"arrivals": {"process": "on-off", "on_s": 5.0, "off_s": 20.0}}),
        ("ring", {"arrivals.arrival_rate_hz": 0.6}),
    ],
)
@pytest.mark.parametrize("slots", [1, 3])
def test_lindleys_recursion_holds_at_every_node(preset: str, values: dict, slots: int):
    changed = {
        "run.horizon_s": 500,
        "station.slots": slots,
        **values,
        "run.replications": 2,
    }
    result = run(scenario(preset, **changed))
    for track in result.tracks:
        served = [check_node(track, node, slots) for node in range(len(track.names))]
        assert sum(served) > 10
