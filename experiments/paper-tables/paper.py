"""The tables of arXiv 2412.21200, and our runs of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import dmoa
from dmoa.trace import Estimate, estimate, queue_ref


class Row(NamedTuple):
    """One published row: layers M, proposers k, mean latency in seconds and queue length."""

    layers: int
    proposers: int
    latency_s: float
    queue: float


TABLE_1 = (
    Row(0, 0, 94.01, 0.60),
    Row(1, 1, 329.92, 2.04),
    Row(1, 2, 484.81, 3.28),
    Row(2, 1, 603.43, 2.32),
    Row(2, 2, 790.01, 4.80),
    Row(1, 3, 578.88, 3.74),
    Row(2, 3, 1074.28, 5.78),
)
TABLE_2 = (
    Row(0, 0, 409.58, 1.71),
    Row(1, 1, 806.88, 2.36),
    Row(1, 2, 1112.33, 2.72),
    Row(2, 1, 1357.74, 1.83),
    Row(2, 2, 1971.50, 3.07),
    Row(1, 3, 1292.73, 2.92),
    Row(2, 3, 2274.59, 4.21),
)


class Ours(NamedTuple):
    """One simulated row, over all seeds: intervals of the means, and the spread of one run."""

    latency_s: Estimate
    latency_sd_s: float
    queue_ref: Estimate
    queue_ref_sd: float
    queue_length: Estimate


def simulate(scenario: dmoa.Scenario, row: Row) -> Ours:
    """Simulate one row of a table: every replication is one burst of ten prompts."""
    result = dmoa.simulate(
        dmoa.load(scenario, {"plan.layers": row.layers, "plan.proposers": row.proposers}), workers=1
    )
    prompts = [track.prompts for track in result.tracks]
    latencies_s = [float((one.ended_s - one.arrived_s).mean()) for one in prompts]
    queues = [queue_ref(track) for track in result.tracks]
    return Ours(
        result.summary["sojourn_time_s"],
        float(np.std(latencies_s, ddof=1)),
        estimate(queues),
        float(np.std(queues, ddof=1)),
        result.summary["queue_length"],
    )
