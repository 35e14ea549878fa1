from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest

from dmoa.errors import ScenarioError
from dmoa.trace import Estimate, batch_means, estimate, mser5, warm_up
from dmoa.trace.statistics import t_quantile
from tests.trace.world import known_track, single_queue


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (9, 2.262), (30, 2.042), (10**6, 1.960)]
)
def test_quantiles_are_those_of_the_tables(degrees, quantile):
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=5e-4)


def test_an_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(1).normal(3.0, 2.0, (2000, 5))
    covered = [found.low <= 3.0 <= found.high for found in map(estimate, samples)]
    # The count of covering intervals is binomial: 1900 ± 1.96·√95.
    assert abs(sum(covered) - 1900) < 1.96 * np.sqrt(2000 * 0.95 * 0.05)


def test_replications_without_a_value_are_left_out():
    assert estimate([1.0, np.nan, 2.0, 3.0]) == estimate([1.0, 2.0, 3.0])


def test_too_few_replications_have_no_interval():
    one, none = estimate([4.0]), estimate([np.nan])
    assert one.mean == 4.0
    assert isnan(one.low)
    assert isnan(one.high)
    assert isnan(none.mean)
    assert one.relative_half_width == inf


@pytest.mark.parametrize(
    ("found", "width"),
    [
        (Estimate(-10.0, -12.0, -8.0), 0.2),
        (Estimate(0.0, -1.0, 1.0), inf),
        (Estimate(0.0, 0.0, 0.0), 0.0),
    ],
)
def test_the_relative_half_width_decides_when_to_stop(found, width):
    assert found.relative_half_width == width


def test_mser5_cuts_a_transient_and_keeps_the_rest():
    rng = np.random.default_rng(2)
    time = np.arange(1000)
    rows = 5.0 - 5.0 * np.exp(-time / 50) + rng.normal(0, 0.3, (10, 1000))
    cut = mser5(rows)
    assert cut.stationary
    assert 100 <= cut.truncated <= 400
    assert cut.truncated % 5 == 0


def test_mser5_says_that_a_growing_series_is_not_stationary():
    rng = np.random.default_rng(3)
    assert not mser5(np.arange(500) + rng.normal(0, 1, 500)).stationary


@pytest.mark.parametrize("level", [0.0, 0.1, 7.3])
def test_mser5_cuts_nothing_from_a_constant(level):
    cut = mser5(np.full(60, level))
    assert cut.truncated == 0
    assert cut.stationary


def test_mser5_needs_fifty_values():
    with pytest.raises(ScenarioError, match="at least 50 values, but 49 was given"):
        mser5(np.zeros(49))


def test_a_stable_queue_has_a_warm_up_and_an_overloaded_one_has_none():
    rng = np.random.default_rng(4)
    calm_s, calm = warm_up([single_queue(rng, 0.5, 2000.0) for _ in range(5)])
    assert calm
    assert 0 <= calm_s <= 1000
    assert warm_up([single_queue(rng, 2.0, 500.0) for _ in range(3)]) == (0.0, False)
    assert warm_up([known_track()])[0] <= 5.0


def test_batch_means_of_independent_values_keep_all_batches():
    found = batch_means(np.random.default_rng(5).normal(2.0, 1.0, 3200))
    assert found.independent
    assert found.batches == 32
    assert found.estimate.low <= 2.0 <= found.estimate.high


def autoregressive(rng, memory, count):
    values = np.empty(count)
    value = 0.0
    for i, noise in enumerate(rng.normal(0, 1, count)):
        value = memory * value + noise
        values[i] = value
    return values


def test_batch_means_of_correlated_values_use_fewer_batches():
    values = autoregressive(np.random.default_rng(7), 0.995, 6400)
    found = batch_means(values)
    assert found.independent
    assert found.batches < 32
    assert found.estimate.low <= 0.0 <= found.estimate.high


def test_batch_means_of_a_drift_are_not_independent():
    found = batch_means(np.arange(320.0))
    assert not found.independent
    assert found.batches == 8
    assert found.lag1 > 0.5


def test_batch_means_of_a_constant_and_of_too_little():
    assert batch_means(np.ones(33)).estimate == Estimate(1.0, 1.0, 1.0)
    with pytest.raises(ScenarioError, match="at least 32 values"):
        batch_means(np.ones(31))
