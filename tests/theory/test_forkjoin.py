"""The slowest of K parallel tasks: order statistics, Flatto–Hahn and the approximations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from dmoa.theory import (
    expected_maximum_s,
    flatto_hahn_s,
    harmonic,
    independent_maximum_s,
    nelson_tantawi_s,
    varma_makowski_s,
)

LOADS = [0.0, 0.1, 0.5, 0.9, 0.99]
FORMULAS = [independent_maximum_s, nelson_tantawi_s, varma_makowski_s]


def test_harmonic_numbers():
    assert [harmonic(k) for k in (0, 1, 2, 3)] == pytest.approx([0, 1, 3 / 2, 11 / 6])
    assert harmonic(10_001) == pytest.approx(math.log(10_001) + np.euler_gamma + 0.5 / 10_001)


@pytest.mark.parametrize("load", LOADS)
def test_flatto_hahn_is_twelve_less_the_load_over_eight(load: float):
    assert flatto_hahn_s(2.0, load / 2) == pytest.approx((12 - load) / 8 * 2 / (1 - load))


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("formula", [nelson_tantawi_s, varma_makowski_s])
def test_the_approximations_are_flatto_hahn_for_two_tasks(formula, load: float):
    assert formula(2, 1.5, load / 1.5) == pytest.approx(flatto_hahn_s(1.5, load / 1.5))


@pytest.mark.parametrize("tasks", [2, 3, 8, 32])
@pytest.mark.parametrize("formula", FORMULAS)
def test_an_empty_system_takes_the_largest_of_exponential_service_times(formula, tasks: int):
    assert formula(tasks, 2.0, 0.0) == pytest.approx(2.0 * harmonic(tasks))


def test_nelson_tantawi_for_three_tasks_by_hand():
    ratio = (11 / 6) / (3 / 2)
    assert nelson_tantawi_s(3, 1.0, 0.5) == pytest.approx(
        (ratio + (1 - ratio) * 2 / 11) * (1.5 - 0.5 / 8) / 0.5
    )


def test_varma_makowski_for_three_tasks_by_hand():
    heavy = 3 - 3 * (2 / 4 + 1 / 8) + (3 / 9 + 3 / 27 + 2 / 81)
    assert varma_makowski_s(3, 1.0, 0.5) == pytest.approx((11 / 6 + (heavy - 11 / 6) / 2) / 0.5)


def test_varma_makowski_is_m_m_1_for_one_task():
    assert varma_makowski_s(1, 1.0, 0.5) == pytest.approx(2.0)


def test_varma_makowski_keeps_its_digits_for_many_tasks():
    heavy = [varma_makowski_s(tasks, 1.0, 0.9) for tasks in range(1, 101)]
    steps = np.diff(heavy)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("tasks", [2, 4, 16])
def test_shared_forks_are_faster_than_independent_queues(tasks: int, load: float):
    # Common arrivals make the queues associated, so independence bounds the maximum from above.
    bound = independent_maximum_s(tasks, 1.0, load)
    assert nelson_tantawi_s(tasks, 1.0, load) < bound
    assert varma_makowski_s(tasks, 1.0, load) < bound


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_a_saturated_fork_takes_for_ever(formula, rate: float):
    assert formula(2, 1.0, rate) == math.inf
    assert flatto_hahn_s(1.0, rate) == math.inf


@pytest.mark.parametrize("rates", [[0.7], [1.0, 0.5], [0.2, 0.9, 3.0, 0.4], [0.1, 0.1, 5.0]])
def test_inclusion_exclusion_is_the_integral_of_the_survival_function(rates: list[float]):
    def survival(time: float) -> float:
        return float(1 - np.prod(-np.expm1(-np.array(rates) * time)))

    integral = quad(survival, 0, 400, limit=200)[0]
    assert expected_maximum_s(rates) == pytest.approx(integral, rel=1e-7)


@pytest.mark.parametrize("tasks", [1, 2, 7, 20])
def test_inclusion_exclusion_of_equal_rates_is_a_harmonic_number(tasks: int):
    assert expected_maximum_s(np.full(tasks, 0.5)) == pytest.approx(2 * harmonic(tasks), rel=1e-10)


@pytest.mark.parametrize("spare", [0.0, -0.5])
def test_one_saturated_node_holds_up_the_maximum(spare: float):
    assert expected_maximum_s([1.0, spare]) == math.inf
