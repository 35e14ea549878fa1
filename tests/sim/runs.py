"""Scenarios written in one line, and measured values set beside exact ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np

from dmoa.scenario import Scenario, Setup, load
from dmoa.study import SimulationResult, simulate
from dmoa.trace import Measures, estimate, measure

MEASURES = (
    "queue_length",
    "number_in_system",
    "utilization",
    "sojourn_time_s",
    "waiting_time_s",
)


def scenario(base: str | None = None, /, **values: Any) -> Scenario:
    """Make a scenario from values whose keys have two underscores for the dot of their path.

    Without a preset: two nodes, M = 0, exponential service of mean 1 s.
    """
    given = {key.replace("__", "."): value for key, value in values.items()}
    if base is not None:
        return load(base, given)
    plain = {
        "overlay": {"topology": "complete", "nodes": 2},
        "plan": {"layers": 0, "proposers": 0},
        "arrivals": {"arrival_rate_hz": 0.5},
    }
    if given.get("arrivals.process") == "trace":
        del plain["arrivals"]
    return load(plain, given)


def windows(result: SimulationResult) -> list[Measures]:
    """Measure every replication after the warm-up."""
    slots = np.array(result.setup.slots)
    return [measure(track, result.warmup_s, slots=slots) for track in result.tracks]


def run(made: Scenario | Setup, graph: nx.Graph | None = None) -> SimulationResult:
    """Simulate in this process."""
    return simulate(made, graph=graph, workers=1)


def misses(
    measured: Mapping[str, Sequence[float]],
    exact: Mapping[str, float],
    *,
    comparisons: int,
    precision: float,
) -> dict[str, tuple[float, object]]:
    """Give the exact values that simultaneous 95 % intervals miss, or that they do not pin down.

    One plain 95 % interval in twenty misses. So that all of a test's intervals together cover
    with 95 %, each is widened to 1 - 0.05/comparisons (Bonferroni); and so that this proves
    something, each must lie within ``precision`` of the exact value, relatively.
    """
    found: dict[str, tuple[float, object]] = {}
    for name, value in exact.items():
        interval = estimate(measured[name], 1 - 0.05 / comparisons)
        half = interval.mean - interval.low
        if not (interval.low <= value <= interval.high and half <= precision * value):
            found[name] = value, interval
    return found
