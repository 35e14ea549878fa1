"""`capacity`: a bracket of verdicts around the critical rate of theory."""

from __future__ import annotations

import json
from math import inf
from types import SimpleNamespace

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup
from dmoa.study import RateVerdict, at_rate, bound, capacities, capacity, prepare
from tests.sim.runs import scenario

CRITICAL_HZ = 0.25


@pytest.mark.slow
def test_the_bracket_of_a_ring_holds_its_critical_rate():
    """The general bound: λ* = 1 / ((k + 1) M + 1) on a ring, α = 1."""
    seen: list[RateVerdict] = []
    found = capacity(
        scenario("ring", **{"run.horizon_s": 1000}), width=0.4, workers=1, progress=seen.append
    )
    assert found.critical_rate_hz == pytest.approx(CRITICAL_HZ)
    assert found.low is not None
    assert found.high is not None
    assert found.low < CRITICAL_HZ < found.high
    assert found.high - found.low <= 0.4 * (found.high + found.low) / 2
    assert found.estimate == pytest.approx(CRITICAL_HZ, rel=0.01)
    assert sorted(seen, key=lambda tried: tried.arrival_rate_hz) == found.verdicts
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["empirical"] == {
        "low": found.low, "high": found.high, "estimate": found.estimate
    }  # fmt: skip
    assert set(said["verdicts"][0]) == {"arrival_rate_hz", "verdict", "horizon_s"}


def test_scaling_keeps_the_proportions_of_unequal_rates():
    setup = prepare(scenario("star", nodes={"0": {"arrival_rate_hz": 0.5}}))
    scaled = at_rate(setup, 1.0, horizon_s=77.0)
    assert sum(scaled.arrival_rate_hz) / 8 == pytest.approx(1.0)
    ratios = [new / old for new, old in zip(
        scaled.arrival_rate_hz, setup.arrival_rate_hz, strict=True
    )]  # fmt: skip
    assert ratios == pytest.approx([ratios[0]] * 8)
    assert scaled.horizon_s == 77.0
    again = prepare(scaled.scenario)
    assert again.arrival_rate_hz == pytest.approx(scaled.arrival_rate_hz)
    assert again.horizon_s == 77.0
    assert bound(scaled).critical_rate_hz == pytest.approx(bound(setup).critical_rate_hz)


@pytest.mark.parametrize("width", [0.0, 0.004, 1.1, float("nan")])
def test_a_width_out_of_range_is_refused(width: float):
    with pytest.raises(ScenarioError, match=r"between 0\.005 and 1"):
        capacity(scenario("ring"), width=width)


def test_arrivals_that_end_have_no_capacity():
    with pytest.raises(ScenarioError, match="go on for ever"):
        capacity(scenario("paper-table-1"))


# --- the search, with verdicts that are given -----------------------------------------------


class Oracle:
    """Gives verdicts in place of simulations, and notes what was asked."""

    def __init__(
        self,
        stable_to: float,
        unstable_from: float,
        decides_after_s: float = 0,
        memory_to_hz: float = inf,
    ) -> None:
        self.stable_to, self.unstable_from = stable_to, unstable_from
        self.decides_after_s, self.memory_to_hz = decides_after_s, memory_to_hz
        self.asked: list[tuple[float, float]] = []
        self.options: list[dict[str, object]] = []

    def __call__(self, setup: Setup, **options: object) -> SimpleNamespace:
        rate_hz = setup.arrival_rate_hz[0]
        self.asked.append((rate_hz, setup.horizon_s))
        self.options.append(options)
        status = "undetermined"
        if setup.horizon_s >= self.decides_after_s:
            if rate_hz <= self.stable_to:
                status = "stable"
            elif rate_hz >= self.unstable_from:
                status = "unstable"
        return SimpleNamespace(
            verdict=SimpleNamespace(status=status),
            horizon_s=setup.horizon_s,
            out_of_memory=rate_hz > self.memory_to_hz,
            kept=(),
            setup=setup,
        )


def search(monkeypatch: pytest.MonkeyPatch, oracle: Oracle, width: float = 0.1):
    monkeypatch.setattr(capacities, "simulate", oracle)
    return capacity(scenario("ring", **{"run.horizon_s": 100}), width=width)


def test_the_search_tries_both_sides_of_the_estimate(monkeypatch: pytest.MonkeyPatch):
    found = search(monkeypatch, Oracle(CRITICAL_HZ, CRITICAL_HZ))
    assert found.low == pytest.approx(CRITICAL_HZ * 0.955)
    assert found.high == pytest.approx(CRITICAL_HZ * 1.045)
    assert len(found.verdicts) == 2
    assert found.estimate is None, "nothing was busy"


def test_where_tasks_share_a_processor_the_search_begins_at_the_limit_of_theory(
    monkeypatch: pytest.MonkeyPatch,
):
    # The busy slots are not in proportion to the arrival rate there, so nothing is measured first.
    oracle = Oracle(1.4 * CRITICAL_HZ, 1.4 * CRITICAL_HZ)
    monkeypatch.setattr(capacities, "simulate", oracle)
    station = {"slots": 2, "speedup": [1.0, 1.4]}
    found = capacity(scenario("ring", station=station, run__horizon_s=100))
    assert found.critical_rate_hz == pytest.approx(1.4 * CRITICAL_HZ)
    assert found.low == pytest.approx(1.4 * CRITICAL_HZ * 0.955)
    assert found.high == pytest.approx(1.4 * CRITICAL_HZ * 1.045)
    assert found.estimate is None
    assert len(oracle.asked) == 2


@pytest.mark.parametrize("truth_hz", [0.1, 0.2, 0.4])
def test_the_search_moves_out_to_a_limit_that_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, truth_hz: float
):
    found = search(monkeypatch, Oracle(truth_hz, truth_hz))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= truth_hz <= found.high
    assert found.high - found.low <= 0.1 * (found.high + found.low) / 2


def test_an_undetermined_rate_is_tried_again_with_longer_horizons(
    monkeypatch: pytest.MonkeyPatch,
):
    oracle = Oracle(CRITICAL_HZ, CRITICAL_HZ, decides_after_s=400)
    found = search(monkeypatch, oracle)
    assert [horizon_s for _, horizon_s in oracle.asked[1:]] == [100, 200, 400] * 2
    assert {tried.horizon_s for tried in found.verdicts} == {400}
    assert found.low is not None


def test_a_rate_that_stays_undetermined_ends_the_narrowing(monkeypatch: pytest.MonkeyPatch):
    # Everything within 30 % of the limit stays undetermined.
    found = search(monkeypatch, Oracle(0.7 * CRITICAL_HZ, 1.3 * CRITICAL_HZ))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.7 * CRITICAL_HZ
    assert found.high >= 1.3 * CRITICAL_HZ
    assert any(tried.verdict == "undetermined" for tried in found.verdicts)


def test_a_run_that_outgrows_memory_decides_nothing(monkeypatch: pytest.MonkeyPatch):
    oracle = Oracle(CRITICAL_HZ, CRITICAL_HZ, memory_to_hz=CRITICAL_HZ)
    found = search(monkeypatch, oracle)
    assert found.low == pytest.approx(CRITICAL_HZ * 0.955)
    assert found.high is None
    assert [tried.verdict for tried in found.verdicts] == ["stable", "out of memory"]
    assert len(oracle.asked) == 3, "a longer run or a higher rate would take more"


def test_every_run_is_by_the_engine_that_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    oracle = Oracle(CRITICAL_HZ, CRITICAL_HZ)
    monkeypatch.setattr(capacities, "simulate", oracle)
    capacity(scenario("ring", **{"run.horizon_s": 100}), engine="simpy", tell=print)
    given = {"engine": "simpy", "workers": None, "tell": print, "best": False}
    assert oracle.options == [given] * 3


def test_what_the_engine_does_not_cover_is_refused_before_any_run(monkeypatch: pytest.MonkeyPatch):
    oracle = Oracle(CRITICAL_HZ, CRITICAL_HZ)
    monkeypatch.setattr(capacities, "simulate", oracle)
    with pytest.raises(ScenarioError, match="does not cover this") as caught:
        capacity(scenario("ring", **{"plan.patience": 2.0}), engine="compiled")
    assert (caught.value.path, oracle.asked) == ("plan.patience", [])


def test_a_search_that_finds_nothing_ends(monkeypatch: pytest.MonkeyPatch):
    found = search(monkeypatch, Oracle(0.0, float("inf")))
    assert (found.low, found.high) == (None, None)
    assert found.to_dict()["empirical"] == {"low": None, "high": None, "estimate": None}
    assert len(found.verdicts) <= capacities.STEPS_MAX
