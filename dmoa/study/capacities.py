"""The empirical critical rate: a bracket of verdicts, and the bottleneck's utilization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, Setup, with_values
from dmoa.study.bounds import Bound, bound, prepare
from dmoa.study.engines import FINITE, check_engine
from dmoa.study.observation import measured
from dmoa.study.results import CapacityResult, RateVerdict, SimulationResult
from dmoa.study.simulation import simulate

if TYPE_CHECKING:
    import networkx as nx

BELOW = 0.7
"""The utilization is measured at this share of the critical rate that theory gives."""

DOUBLINGS_MAX = 3
"""An undetermined verdict is tried again with twice the horizon, so many times."""

STEPS_MAX = 40
"""Rates tried at most."""

UNDETERMINED = "undetermined"

OUT_OF_MEMORY = "out of memory"
"""In place of a verdict: how far a run came says what the machine has, not what the rate does."""

TIE = 1e-9
"""Nodes whose offered loads differ by less than this share are bottlenecks together."""

Progress = Callable[[RateVerdict], None]


def capacity(
    scenario: Scenario | Setup,
    *,
    graph: nx.Graph[Any] | None = None,
    width: float = 0.1,
    engine: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> CapacityResult:
    """Find the critical rate by simulation, and set it beside the λ* of theory.

    First the busiest nodes' utilization ρ is measured below the limit: as ρ is proportional to
    the arrival rate, λ / ρ estimates where it reaches 1. (Where tasks share a processor it is not,
    and the λ* of theory takes the place of the estimate.) Then rates around that estimate are
    simulated, each with all replications, and the bracket between the highest stable and the
    lowest unstable rate is narrowed by bisection. An undetermined verdict is tried again with
    twice the horizon; one that stays undetermined ends the search on its side, and so does one
    whose run outgrows memory.

    Args:
        scenario: a scenario whose arrivals go on for ever; its own rates give the proportions.
        graph: a networkx graph in place of the overlay that the scenario names.
        width: of the bracket, as a share of its middle, above 0.005.
        engine: as of `simulate`.
        workers: processes to use; None: all cores where the work is worth it.
        progress: called with each rate's verdict.
        tell: called with what to tell the user before a wait.

    Raises:
        ScenarioError: the scenario does not fit its overlay, its arrivals end, or the engine cannot
            run it.
    """
    if not 0.005 <= width <= 1:
        raise ScenarioError("must lie between 0.005 and 1", path="width", given=width)
    setup = prepare(scenario, graph)
    if setup.scenario.arrivals.process in FINITE:
        raise ScenarioError(
            "a capacity needs arrivals that go on for ever",
            path="arrivals.process",
            given=setup.scenario.arrivals.process,
            remedy="use poisson, deterministic or on-off",
        )
    check_engine(engine, setup.scenario)
    run = partial(simulate, engine=engine, workers=workers, tell=tell, best=False)
    limit = bound(setup, best=False)
    estimate_hz = None
    if limit.utilization is not None:
        below = run(at_rate(setup, BELOW * limit.critical_rate_hz))
        estimate_hz = _estimate(below, limit)
    search = _Search(setup, run, progress)
    search.bracket(estimate_hz or limit.critical_rate_hz, width)
    return CapacityResult(
        critical_rate_hz=limit.critical_rate_hz,
        low=search.low,
        high=search.high,
        estimate=estimate_hz,
        bottleneck=limit.bottleneck,
        verdicts=sorted(search.verdicts, key=lambda tried: tried.arrival_rate_hz),
    )


def at_rate(setup: Setup, arrival_rate_hz: float, horizon_s: float | None = None) -> Setup:
    """Scale all arrival rates of a setup together, so that their mean is ``arrival_rate_hz``.

    >>> from dmoa.scenario import load
    >>> at_rate(prepare(load("ring")), 0.1).arrival_rate_hz[:2]
    (0.1, 0.1)
    """
    factor = arrival_rate_hz / float(np.mean(setup.arrival_rate_hz))
    scenario = setup.scenario
    common = scenario.arrivals.arrival_rate_hz or 0.0
    values = {"arrivals.arrival_rate_hz": factor * common}
    for name, own in scenario.nodes.items():
        if own.arrival_rate_hz is not None:
            values[f"nodes.{name}.arrival_rate_hz"] = factor * own.arrival_rate_hz
    if horizon_s is not None:
        values["run.horizon_s"] = horizon_s
    return replace(
        setup,
        scenario=with_values(scenario, values),
        arrival_rate_hz=tuple(factor * rate for rate in setup.arrival_rate_hz),
        horizon_s=setup.horizon_s if horizon_s is None else horizon_s,
    )


def _estimate(below: SimulationResult, limit: Bound) -> float | None:
    """Estimate the critical rate from the bottlenecks' utilization below it.

    A ratio of what was measured in the same windows: the chance in the number of arrivals
    cancels. Nodes that theory says are equally loaded are taken together, because the busiest of
    several measured ones is busier than their mean by chance.
    """
    slots, load = np.array(below.setup.slots), np.array(limit.saturation)
    busiest = load >= load.max() * (1 - TIE)
    arrived = utilization = 0.0
    for track in below.kept:
        whole = measured(track, 0.0, slots)
        arrived += whole.arrived / track.end_s / len(slots)
        utilization += float(whole.utilization[busiest].mean())
    return arrived / utilization if utilization else None


class _Search:
    """The verdicts tried so far, and the bracket they leave."""

    def __init__(
        self, setup: Setup, run: Callable[[Setup], SimulationResult], progress: Progress | None
    ) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self.verdicts: list[RateVerdict] = []
        self._setup, self._run, self._progress = setup, run, progress

    def bracket(self, estimate_hz: float, width: float) -> None:
        """Try both sides of the estimate, move out where that fails, then narrow."""
        side = 0.45 * width
        low_hz, high_hz = estimate_hz * (1 - side), estimate_hz * (1 + side)
        while self.low is None and len(self.verdicts) < STEPS_MAX:
            self._try(low_hz)
            low_hz *= 1 - 2 * side
        while self.high is None and len(self.verdicts) < STEPS_MAX:
            if self._try(high_hz) == OUT_OF_MEMORY:
                break  # a higher rate would take more
            high_hz *= 1 + 2 * side
        while self.low is not None and self.high is not None and len(self.verdicts) < STEPS_MAX:
            middle_hz = (self.low + self.high) / 2
            if self.high - self.low <= width * middle_hz:
                break
            if self._try(middle_hz) in {UNDETERMINED, OUT_OF_MEMORY}:
                break

    def _try(self, arrival_rate_hz: float) -> str:
        """Simulate one rate, with a longer horizon as long as the verdict is undetermined."""
        status: str = UNDETERMINED
        horizon_s = self._setup.horizon_s / 2
        while status == UNDETERMINED and horizon_s < self._setup.horizon_s * 2**DOUBLINGS_MAX:
            horizon_s *= 2
            found = self._run(at_rate(self._setup, arrival_rate_hz, horizon_s))
            status = OUT_OF_MEMORY if found.out_of_memory else found.verdict.status
        tried = RateVerdict(arrival_rate_hz, status, horizon_s)
        self.verdicts.append(tried)
        if status == "stable":
            self.low = max(self.low or 0.0, arrival_rate_hz)
        elif status == "unstable":
            self.high = min(self.high or arrival_rate_hz, arrival_rate_hz)
        if self._progress is not None:
            self._progress(tried)
        return status
