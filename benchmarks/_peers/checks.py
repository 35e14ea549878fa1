"""Whether an engine simulates the network that it says: without that its speed counts nothing.

Runs start empty and have no warm-up: what is expected holds for the whole run, its beginning
included. For M/M/1 theory knows it at any horizon; it tends to ρ² / (1 - ρ) waiting tasks. The
layered network is compared with dmoa's own runs to the same horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from _peers.network import Network, Run
from scipy import stats

from dmoa.trace import Estimate, estimate

CONFIDENCE = 0.999
"""A sound engine fails each of its two comparisons about once in a thousand."""
LENGTHS = 400
"""Numbers of tasks at a node that are considered: at ρ = 0.7 more have a chance of 1e-62."""


class Expected(NamedTuple):
    """What runs to one horizon have on average, with intervals: none where theory says it."""

    waiting: Estimate
    events: Estimate


def exactly(value: float) -> Estimate:
    """Give what is known without error."""
    return Estimate(value, value, value)


def seen(runs: Sequence[Run]) -> Expected:
    """Estimate from independent runs."""
    return Expected(
        estimate([run.waiting for run in runs], CONFIDENCE),
        estimate([float(run.events) for run in runs], CONFIDENCE),
    )


def mm1_from_empty(network: Network, horizon_s: float) -> Expected:
    """Expect of M/M/1 nodes that start empty, by uniformization.

    The chances of n tasks after a step of the uniformized chain, weighted with the expected time
    between its steps k and k + 1 until the horizon, give the time average; weighted with the
    chance of k steps until then, they give the tasks left, and so the completions.

    Source: Grassmann, "Transient solutions in Markovian queueing systems", Computers & Operations
    Research 4, 1977.
    """
    rate_hz = network.arrival_rate_hz
    steps_hz = rate_hz + 1.0
    mean = steps_hz * horizon_s
    steps = np.arange(int(mean + 10 * math.sqrt(mean) + 50))
    spent_s = stats.poisson.sf(steps, mean) / steps_hz
    last = stats.poisson.pmf(steps, mean)
    up, down = rate_hz / steps_hz, 1.0 / steps_hz
    chance, over_time, at_end = np.zeros((3, LENGTHS))
    chance[0] = 1.0
    for weight_s, weight in zip(spent_s, last, strict=True):
        over_time += weight_s * chance
        at_end += weight * chance
        moved = np.zeros(LENGTHS)
        moved[1:] = up * chance[:-1]
        moved[:-1] += down * chance[1:]
        moved[0] += down * chance[0]
        chance = moved
    number = np.arange(LENGTHS)
    waiting = float(over_time @ np.maximum(number - 1, 0)) / horizon_s
    arrivals = rate_hz * horizon_s
    completions = arrivals - float(at_end @ number)
    return Expected(exactly(waiting), exactly(network.nodes * (arrivals + completions)))


def disagreement(found: Expected, expected: Expected) -> str:
    """Say what differs from what is expected by more than chance; nothing if all agrees."""
    for name, one, other in zip(Expected._fields, found, expected, strict=True):
        tolerance = math.hypot(one.high - one.mean, other.high - other.mean)
        if not abs(one.mean - other.mean) <= tolerance:
            return (
                f"wrong: {name} {one.mean:,.4g}, expected {other.mean:,.4g}, "
                f"tolerance {tolerance:.2g}"
            )
    return ""
