"""The verdict: do the queues stay bounded? Stable, unstable or undetermined, with evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log2, nan, sqrt
from typing import Literal

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.trace.meter import ANSWERED, SERVED, Floats, Track
from dmoa.trace.metrics import prompt_rows
from dmoa.trace.statistics import Estimate, estimate, t_quantile
from dmoa.trace.totals import Totals
from dmoa.trace.windows import held_s, per_node

CRITICAL_EXPONENT = 0.5
"""Growth of a queue that is exactly critically loaded: as the square root of time."""

RAMPS_MIN = 100
"""Unloaded prompts' durations that a run must last, so that its filling is no growth."""

TINY_S = 1e-9
"""Stands for the horizon where all prompts arrived at once, or none did."""

HORIZON_FACTOR_MAX = 1000.0
"""Longest extrapolation of the horizon that is worth naming."""

BUSIEST = 0.9
"""Nodes whose share of time with waiting tasks is at least this part of the largest."""

Status = Literal["stable", "unstable", "undetermined"]


@dataclass(frozen=True)
class Verdict:
    """Whether the queues stay bounded, and the evidence.

    Attributes:
        status: stable, unstable or undetermined.
        reason: the evidence in one sentence.
        horizon_s: seconds from the start that were judged.
        horizon_needed_s: about how long a run would decide; None where it is decided or unknown.
        tasks_exponent: β where the busiest nodes' tasks present grow as t^β, 95 % interval.
        prompts_exponent: the same of all unfinished prompts.
        tasks_drift_hz: the busiest nodes' tasks present gained per second, in each half.
        prompts_drift_hz: the same of all unfinished prompts.
        arrived: prompts that arrived, over all replications.
        answered: prompts that were answered.
        busiest: the nodes whose tasks were judged.
    """

    status: Status
    reason: str
    horizon_s: float
    horizon_needed_s: float | None
    tasks_exponent: Estimate
    prompts_exponent: Estimate
    tasks_drift_hz: tuple[Estimate, Estimate]
    prompts_drift_hz: tuple[Estimate, Estimate]
    arrived: int
    answered: int
    busiest: tuple[str, ...]


def judge(tracks: Sequence[Track | Totals], arrivals_end_s: float | None = None) -> Verdict:
    """Judge by doubling the horizon whether replications of one run stay bounded.

    Let A(t) be a mean number present from 0 to t. If the number grows as t^β, then
    A(H)/A(H/2) = 2^β: β = 0 where it is bounded, 1/2 at the critical load, 1 beyond it. The
    interval of β over replications is `growth_exponent`. Two numbers are judged, the tasks
    present at the busiest nodes and all unfinished prompts. Stable: both intervals lie below
    1/2. Unstable: that of the tasks lies above 1/2, and that of the prompts above 0 (prompts at
    nodes that are not overloaded dilute it). Everything else is undetermined.

    Args:
        tracks: the replications, at least two for a decision. They are judged up to the end of
            the shortest.
        arrivals_end_s: when prompts stopped arriving, if they did; nothing later is judged.

    Raises:
        ScenarioError: there is no replication.
    """
    if not tracks:
        raise ScenarioError("a verdict needs at least one replication", path="tracks", given=0)
    ends = [track.end_s for track in tracks]
    if arrivals_end_s is not None:
        ends.append(arrivals_end_s)
    horizon_s = max(min(ends), TINY_S)
    looks = [_look(track, horizon_s) for track in tracks]
    busy = np.mean([look.busy for look in looks], axis=0)
    busiest = busy >= BUSIEST * busy.max()
    tasks = np.array([look.tasks[:, busiest].sum(axis=1) for look in looks])
    prompts = np.array([look.prompts for look in looks])
    grown = growth_exponent(tasks[:, 0], tasks[:, 1]), growth_exponent(prompts[:, 0], prompts[:, 1])
    ramp_s = max(look.ramp_s for look in looks)
    status, reason = _decide(*grown, looks)
    needed_s = None
    if status == "undetermined":
        needed_s = _needed_s(horizon_s, tasks, prompts)
    if horizon_s < RAMPS_MIN * ramp_s:
        stopped = arrivals_end_s is not None and arrivals_end_s == horizon_s
        limit = f"arrivals ended at {horizon_s:g} s" if stopped else f"it lasts {horizon_s:g} s"
        reason = (
            f"the run is too short to tell filling from growth: {limit}, and a prompt alone takes"
            f" about {ramp_s:g} s"
        )
        status, needed_s = "undetermined", max(needed_s or 0.0, RAMPS_MIN * ramp_s)
    half_s = horizon_s / 2
    return Verdict(
        status=status,
        reason=reason,
        horizon_s=horizon_s,
        horizon_needed_s=needed_s,
        tasks_exponent=grown[0],
        prompts_exponent=grown[1],
        tasks_drift_hz=_drifts(tasks[:, 2], tasks[:, 3], half_s),
        prompts_drift_hz=_drifts(prompts[:, 2], prompts[:, 3], half_s),
        arrived=sum(look.arrived for look in looks),
        answered=sum(look.answered for look in looks),
        busiest=tuple(np.array(tracks[0].names)[busiest].tolist()),
    )


def growth_exponent(half: Floats, whole: Floats, confidence: float = 0.95) -> Estimate:
    """Estimate β of a number that grows as t^β, from its means over H/2 and over H.

    β = log2(mean of A(H) / mean of A(H/2)), with Fieller's interval for the ratio of two means
    over independent replications. The interval lies above 1/2 exactly where Student's t test
    finds A(H) - √2·A(H/2) above 0.

    Args:
        half: the time average from 0 to H/2 of each replication (r,).
        whole: that from 0 to H (r,).
        confidence: the chance that the interval covers β, in (0, 1).

    Returns:
        The exponent, at least -1; nan without an interval: fewer than two replications, or
        too few arrivals to know that A(H/2) is above 0.

    Source: Fieller, "Some problems in interval estimation", JRSS B 16, 1954.

    >>> growth_exponent(np.array([10.0, 11.0, 9.0]), np.array([20.0, 21.0, 19.0])).low > 0.5
    True
    """
    count = len(half)
    below, above = float(half.mean()), float(whole.mean())
    exponent = log2(above / below) if below > 0 else nan
    if count < 2 or isnan(exponent):
        return Estimate(exponent, nan, nan)
    (v11, v12), (_, v22) = np.cov(half, whole) / count
    squared = t_quantile((1 + confidence) / 2, count - 1) ** 2
    # The ratios r that are not rejected: (above - r·below)² <= t²·Var(above - r·below).
    a, b, c = below**2 - squared * v11, below * above - squared * v12, above**2 - squared * v22
    if a <= 0:
        return Estimate(exponent, nan, nan)
    root = sqrt(max(b * b - a * c, 0.0))
    # A(H) is never below A(H/2)/2, whatever happens in the second half.
    low, high = (log2(max(0.5, (b + sign * root) / a)) for sign in (-1, 1))
    return Estimate(exponent, low, high)


@dataclass(frozen=True, eq=False)
class _Look:
    """One replication. Rows: mean to H/2, mean to H, number at H/2, number at H."""

    tasks: Floats
    prompts: Floats
    busy: Floats
    ramp_s: float
    arrived: int
    answered: int


def _look(track: Track | Totals, horizon_s: float) -> _Look:
    if isinstance(track, Totals):
        return _look_at_totals(track)
    steps, prompts, half_s = track.steps, track.prompts, horizon_s / 2
    present = steps.waiting + steps.serving
    weights = [
        held_s(track, 0.0, half_s) / half_s,
        held_s(track, 0.0, horizon_s) / horizon_s,
        _holds_at(track, half_s),
        _holds_at(track, horizon_s),
    ]
    tasks = np.array([per_node(track, steps.node, weight * present) for weight in weights])
    unfinished = np.array([float((weight * steps.unfinished).sum()) for weight in weights])
    return _Look(
        tasks=tasks,
        prompts=unfinished,
        busy=per_node(track, steps.node, weights[1] * (steps.waiting > 0)),
        ramp_s=_ramp_s(track),
        arrived=int((prompts.arrived_s <= horizon_s).sum()),
        answered=int(((prompts.outcome == ANSWERED) & (prompts.ended_s <= horizon_s)).sum()),
    )


def _look_at_totals(totals: Totals) -> _Look:
    middle, end = totals.middle, totals.end
    moments = (middle, end)
    means = [(one.waiting_s + one.serving_s) / one.time_s for one in moments]
    unfinished = [float(one.unfinished_s.sum()) / one.time_s for one in moments]
    return _Look(
        tasks=np.array([*means, middle.present, end.present], float),
        prompts=np.array([*unfinished, middle.unfinished, end.unfinished], float),
        busy=end.busy_s / end.time_s,
        ramp_s=totals.ramp_s,
        arrived=end.arrived,
        answered=end.answered,
    )


def _holds_at(track: Track, time_s: float) -> Floats:
    """Mark with 1 the states that held just before a time (s,)."""
    since, until = track.steps.time_s, track.until_s
    return ((since < time_s) & (until >= time_s)).astype(np.float64)


def _ramp_s(track: Track) -> float:
    """Tell about how long a prompt would take alone: its stages' service and first links.

    The sojourn times of an overloaded run say nothing about that; its service times do, and so
    does the way of a prompt's first tasks, which are sent when it arrives. 0 if none was served.
    """
    tasks, prompts = track.tasks, track.prompts
    served = tasks.outcome == SERVED
    if not served.any():
        return 0.0
    service_s = float((tasks.ended_s - tasks.started_s)[served].mean())
    first = tasks.stage == 0
    sent_s = prompts.arrived_s[prompt_rows(track, first)]
    link_s = float((tasks.queued_s[first] - sent_s).max(initial=0.0))
    return (service_s + 2 * link_s) * (int(tasks.stage.max()) + 1)


def _decide(tasks: Estimate, prompts: Estimate, looks: list[_Look]) -> tuple[Status, str]:
    if not any(look.arrived for look in looks):
        return "undetermined", "no prompt arrived"
    if not any(look.ramp_s for look in looks):
        return "undetermined", "no task was served"
    if len(looks) < 2:
        return "undetermined", "one replication cannot tell drift from chance"
    if isnan(tasks.low) or isnan(prompts.low):
        return "undetermined", "too few prompts arrived in the first half to compare with the whole"
    grows = (
        f"tasks at the busiest nodes grow as t^β with β in {tasks.low:.2f} to {tasks.high:.2f},"
        f" unfinished prompts with β in {prompts.low:.2f} to {prompts.high:.2f}"
        " (0: bounded, 1/2: critical, 1: overloaded)"
    )
    if tasks.low > CRITICAL_EXPONENT and prompts.low > 0:
        return "unstable", f"doubling the horizon keeps the drift: {grows}"
    if max(tasks.high, prompts.high) < CRITICAL_EXPONENT:
        return "stable", f"doubling the horizon lets the drift decay: {grows}"
    return "undetermined", f"the horizon does not decide: {grows}"


def _needed_s(horizon_s: float, *numbers: Floats) -> float | None:
    """Extrapolate the horizon at which the growth would differ from the critical one.

    The distance from critical growth rises in proportion to the horizon beyond the critical
    load and its error to the root of the horizon; below it the distance stays and the error
    falls with the root. Either way their ratio rises with the root of the horizon.
    """
    factors = []
    for number in numbers:
        distance = estimate(number[:, 1] - sqrt(2) * number[:, 0])
        half = distance.high - distance.mean
        if np.isnan(half) or distance.mean == 0:
            return None
        factors.append((half / distance.mean) ** 2)
    return horizon_s * float(np.clip(max(factors), 2.0, HORIZON_FACTOR_MAX))


def _drifts(half: Floats, whole: Floats, half_s: float) -> tuple[Estimate, Estimate]:
    return estimate(half / half_s), estimate((whole - half) / half_s)
