from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from benchmarks.verdict_errors import single_queue, verdicts
from dmoa.core import layered
from dmoa.errors import ScenarioError
from dmoa.trace import Meter, Track, growth_exponent, judge, measure
from tests.trace.world import complete, run, track_of
from tests.trace.world import single_queue as run_single_queue


@pytest.mark.parametrize(
    ("beta", "expected"), [(0.0, "below"), (0.5, "covers"), (1.0, "above"), (2.0, "above")]
)
def test_the_exponent_of_a_power_is_its_power(beta, expected):
    rng = np.random.default_rng(1)
    noise = rng.normal(1.0, 0.03, (2, 10))
    found = growth_exponent(noise[0], 2.0**beta * noise[1])
    assert found.mean == pytest.approx(beta, abs=0.05)
    assert found.low < found.mean < found.high
    places = {"below": found.high < 0.5, "covers": True, "above": found.low > 0.5}
    assert places[expected]


def test_the_exponents_interval_agrees_with_students_test():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(2)
    for _ in range(200):
        half, whole = rng.gamma(9, 1, 6), rng.gamma(9, 1.45, 6)
        found = growth_exponent(half, whole)
        tested = ttest_1samp(whole - np.sqrt(2) * half, 0.0)
        assert (found.low > 0.5) == (tested.statistic > 0 and tested.pvalue < 0.05)
        assert (found.high < 0.5) == (tested.statistic < 0 and tested.pvalue < 0.05)


def test_the_exponent_has_no_interval_where_the_data_give_none():
    assert isnan(growth_exponent(np.array([1.0]), np.array([2.0])).low)
    assert growth_exponent(np.array([1.0]), np.array([2.0])).mean == 1.0
    nothing = growth_exponent(np.zeros(3), np.ones(3))
    assert isnan(nothing.mean)
    assert isnan(nothing.high)
    rare = growth_exponent(np.array([0.0, 0.0, 3.0]), np.array([0.5, 0.5, 2.0]))
    assert rare.mean == pytest.approx(0.0)
    assert isnan(rare.low)


def test_replications_without_chance_are_judged_by_their_ratio():
    assert growth_exponent(np.ones(3), np.ones(3)).high == pytest.approx(0.0, abs=1e-9)
    assert growth_exponent(np.ones(3), np.full(3, 2.0)).low == pytest.approx(1.0)


def test_an_interval_ends_at_the_least_possible_growth():
    rng = np.random.default_rng(3)
    found = growth_exponent(rng.uniform(0.2, 1.8, 4), rng.uniform(0.1, 1.0, 4))
    assert found.low >= -1.0


@pytest.mark.parametrize(
    ("rho", "horizon_s", "right", "wrong"),
    [
        (0.5, 1000.0, "stable", "unstable"),
        (0.8, 5000.0, "stable", "unstable"),
        (0.9, 10_000.0, "stable", "unstable"),
        (1.1, 5000.0, "unstable", "stable"),
        (1.2, 1000.0, "unstable", "stable"),
        (2.0, 500.0, "unstable", "stable"),
    ],
)
def test_the_verdict_on_mm1_is_right_away_from_the_critical_load(rho, horizon_s, right, wrong):
    found = verdicts(rho, horizon_s, 20)
    assert found[right] >= 16
    assert found[wrong] == 0


@pytest.mark.parametrize(("rho", "wrong"), [(0.95, "unstable"), (1.05, "stable")])
def test_the_verdict_on_mm1_is_not_wrong_near_the_critical_load(rho, wrong):
    for horizon_s in (500.0, 5000.0):
        assert verdicts(rho, horizon_s, 20)[wrong] == 0


def test_the_benchmarks_queue_is_mm1():
    """M/M/1: L = ρ/(1 - ρ), Lq = ρ²/(1 - ρ), W = 1/(μ - λ)."""
    rng = np.random.default_rng(4)
    for make in (single_queue, run_single_queue):
        found = [measure(make(rng, 0.5, 3000.0), 300.0) for _ in range(10)]
        for name, exact in (
            ("number_in_system", 1.0),
            ("queue_length", 0.5),
            ("utilization", 0.5),
            ("sojourn_time_s", 2.0),
            ("waiting_time_s", 1.0),
            ("throughput_hz", 0.5),
        ):
            values = np.array([one.summary()[name] for one in found])
            half = 2.262 * values.std(ddof=1) / np.sqrt(10)
            assert abs(values.mean() - exact) < half, name


def network(rho: float, horizon_s: float, seed: int) -> Track:
    """Run (M, k) = (1, 1) on four nodes, of which node 0 alone is loaded by ``rho``."""
    rng = np.random.default_rng(seed)
    arrivals = [
        (float(at_s), int(rng.integers(4)))
        for at_s in rng.exponential(1 / (4 * rho / 3), int(horizon_s * 2 * rho)).cumsum()
    ]
    nodes = complete(4, layered(1, 1), seed=seed)

    def serve(task):
        slow = task.origin == "0" and task.slot == 0
        return float(rng.exponential(1.2 if slow else 0.3))

    entries = run(nodes, [a for a in arrivals if a[0] <= horizon_s], serve, until_s=horizon_s)
    return track_of(entries, [*"0123"], horizon_s)


def test_the_overloaded_node_is_found_among_idle_ones():
    overloaded = judge([network(1.5, 400.0, seed) for seed in range(5)])
    assert overloaded.status == "unstable"
    assert overloaded.busiest == ("0",)
    assert overloaded.tasks_drift_hz[1].low > 0
    assert overloaded.prompts_drift_hz[1].low > 0
    assert overloaded.arrived > overloaded.answered
    assert overloaded.horizon_needed_s is None
    assert "keeps the drift" in overloaded.reason
    calm = judge([network(0.4, 400.0, seed) for seed in range(5)])
    assert calm.status == "stable"
    assert "decay" in calm.reason


def tracks_of(rho, horizon_s, count=10, seed=6):
    rng = np.random.default_rng(seed)
    return [single_queue(rng, rho, horizon_s) for _ in range(count)]


def test_an_open_verdict_says_how_long_a_run_would_decide():
    found = judge(tracks_of(0.98, 1000.0))
    assert found.status == "undetermined"
    assert "does not decide" in found.reason
    assert found.horizon_needed_s is not None
    assert 2000.0 <= found.horizon_needed_s <= 1e6


def test_one_replication_decides_nothing():
    found = judge(tracks_of(0.5, 1000.0, count=1))
    assert found.status == "undetermined"
    assert "one replication" in found.reason
    assert found.horizon_needed_s is None


def test_a_run_too_short_to_fill_is_left_open():
    found = judge(tracks_of(3.0, 50.0))
    assert found.status == "undetermined"
    assert "too short to tell filling from growth: it lasts 50 s" in found.reason
    assert found.horizon_needed_s is not None
    assert found.horizon_needed_s >= 90.0


def test_a_burst_is_judged_only_while_prompts_arrive():
    found = judge(tracks_of(3.0, 500.0), arrivals_end_s=10.0)
    assert found.status == "undetermined"
    assert found.horizon_s == 10.0
    assert "arrivals ended at 10 s" in found.reason
    assert judge(tracks_of(3.0, 500.0), arrivals_end_s=600.0).horizon_s == 500.0


def test_runs_of_different_length_are_judged_to_the_shortest_end():
    found = judge([*tracks_of(2.0, 500.0, 5), *tracks_of(2.0, 700.0, 5)])
    assert found.horizon_s == 500.0
    assert found.status == "unstable"


def test_runs_without_prompts_service_or_length_decide_nothing():
    empty = judge([Meter(["0", "1"]).track(1000.0)] * 3)
    assert (empty.status, empty.reason, empty.arrived) == ("undetermined", "no prompt arrived", 0)
    assert empty.horizon_needed_s is None
    assert empty.busiest == ("0", "1")
    assert isnan(empty.tasks_exponent.mean)
    at_once = judge([Meter(["0"]).track(0.0)] * 2)
    assert at_once.status == "undetermined"
    entries = run(complete(1, layered(0, 0)), [(1.0, 0)], lambda _: 1e6, until_s=10.0)
    stuck = judge([track_of(entries, ["0"], 10.0)] * 2)
    assert (stuck.status, stuck.reason) == ("undetermined", "no task was served")
    assert stuck.arrived == 2


def test_a_first_half_almost_without_prompts_is_no_measure_of_growth():
    def once(at_s):
        entries = run(complete(1, layered(0, 0)), [(at_s, 0)], lambda _: 0.1, until_s=100.0)
        return track_of(entries, ["0"], 100.0)

    found = judge([once(10.0), once(80.0), once(90.0)])
    assert found.status == "undetermined"
    assert found.reason == ("too few prompts arrived in the first half to compare with the whole")
    assert isnan(found.tasks_exponent.low)
    assert found.arrived == found.answered == 3


def test_slow_links_lengthen_the_run_that_is_needed():
    def long_way(seed):
        rng = np.random.default_rng(seed)
        arrivals = [(float(at_s), 0) for at_s in rng.exponential(1, 300).cumsum()]
        entries = run(complete(2, layered(1, 1)), arrivals, lambda _: 0.01, delay_s=20, until_s=200)
        return track_of(entries, ["0", "1"], 200.0)

    found = judge([long_way(seed) for seed in range(3)])
    assert found.status == "undetermined"
    assert found.horizon_needed_s is not None
    assert found.horizon_needed_s >= 100 * 2 * 40


def test_a_verdict_needs_a_replication():
    with pytest.raises(ScenarioError, match="at least one replication"):
        judge([])
