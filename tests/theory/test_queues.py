"""One queue: M/M/1, M/D/1, M/G/1 by Pollaczek and Khinchine, and Little's law between them."""

from __future__ import annotations

import math
from dataclasses import astuple

import networkx as nx
import numpy as np
import pytest

from dmoa.theory import (
    md1,
    mg1,
    mg1_waiting_time_s,
    mm1,
    node_means,
    offered_load,
    task_rate_hz,
    uniform_inclusion,
)
from tests.theory.table import adjacency

RING = uniform_inclusion(adjacency(nx.cycle_graph(6)), 1)


@pytest.mark.parametrize("utilization", [0.1, 0.5, 0.8, 0.95])
def test_m_m_1_has_the_geometric_means(utilization: float):
    means = mm1(utilization / 2.0, 2.0)
    assert means.utilization == pytest.approx(utilization)
    assert means.number_in_system == pytest.approx(utilization / (1 - utilization))
    assert means.queue_length == pytest.approx(utilization**2 / (1 - utilization))
    assert means.sojourn_time_s == pytest.approx(1 / (0.5 - utilization / 2))
    assert means.waiting_time_s == pytest.approx(means.sojourn_time_s - 2)


def test_m_d_1_waits_half_as_long_as_m_m_1():
    assert md1(0.8, 1.0).waiting_time_s == pytest.approx(mm1(0.8, 1.0).waiting_time_s / 2)


def test_pollaczek_khinchine_agrees_with_the_means_of_m_g_1():
    # Uniform service on [0, 2]: E[S²] = 4/3, so cv² = 1/3.
    waiting = mg1_waiting_time_s(0.6, 1.0, 4 / 3)
    assert waiting == pytest.approx(1.0)
    assert mg1(0.6, 1.0, math.sqrt(1 / 3)).waiting_time_s == pytest.approx(waiting)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.0])
def test_littles_law_holds_between_the_means_of_m_g_1(cv: float):
    means = mg1(0.7, 1.2, cv)
    assert means.queue_length == pytest.approx(0.7 * means.waiting_time_s)
    assert means.number_in_system == pytest.approx(0.7 * means.sojourn_time_s)
    assert means.number_in_system - means.queue_length == pytest.approx(means.utilization)


@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_at_and_beyond_the_limit_a_queue_has_no_finite_mean(rate: float):
    assert mg1_waiting_time_s(rate, 1.0, 2.0) == math.inf
    assert astuple(mg1(rate, 1.0, 0.0)) == (1.0, math.inf, math.inf, math.inf, math.inf)


def test_extreme_but_allowed_numbers_do_not_overflow():
    assert mg1(1e-50, 1e50, 1e50).waiting_time_s == math.inf
    assert mg1(1e-50, 1e49, 1e50).waiting_time_s == pytest.approx(0.1 * 1e49 * 1e100 / (2 * 0.9))


def test_nodes_without_layers_are_m_g_1_queues():
    rates = np.linspace(0.1, 0.6, 6)
    means = node_means(rates, RING, 1.5, 0, cv=0.5)
    for node, rate in enumerate(rates):
        alone = mg1(rate, 1.5, 0.5)
        assert means.utilization[node] == pytest.approx(alone.utilization)
        assert means.queue_length[node] == pytest.approx(alone.queue_length)
        assert means.number_in_system[node] == pytest.approx(alone.number_in_system)
        assert means.waiting_time_s[node] == pytest.approx(alone.waiting_time_s)
        assert means.sojourn_time_s[node] == pytest.approx(alone.sojourn_time_s)


def test_product_form_gives_nodes_without_proposers_the_number_of_m_m_1():
    means = node_means(0.2, np.zeros((3, 3)), 1.0, 3)
    np.testing.assert_allclose(means.number_in_system, 0.8 / 0.2)
    assert mm1(0.8, 1.0).number_in_system == pytest.approx(0.8 / 0.2)


def test_pollaczek_khinchine_mixes_the_classes_of_tasks():
    # One node, exponential service of mean 1 for its layer and 3 for its aggregation.
    means = node_means(0.1, [[0.0]], [[1.0], [3.0]], 1)
    second_moment_rate = 0.1 * 2 * 1.0**2 + 0.1 * 2 * 3.0**2
    assert means.waiting_time_s[0] == pytest.approx(second_moment_rate / (2 * (1 - 0.4)))
    assert means.sojourn_time_s[0] == pytest.approx(means.waiting_time_s[0] + 2.0)


@pytest.mark.parametrize("service_axes", [1, 2, 3])
@pytest.mark.parametrize("cv_axes", [0, 1, 2, 3])
def test_service_and_variation_may_come_in_different_shapes(service_axes: int, cv_axes: int):
    shapes = [(), (6,), (3, 6), (3, 6, 6)]
    service, cv = np.full(shapes[service_axes], 0.9), np.full(shapes[cv_axes], 0.4)
    means, plain = node_means(0.15, RING, service, 2, cv), node_means(0.15, RING, 0.9, 2, 0.4)
    np.testing.assert_allclose(means.waiting_time_s, plain.waiting_time_s)


def test_variation_by_class_enters_with_its_own_service_time():
    means = node_means(0.1, [[0.0]], [[1.0], [3.0]], 1, cv=[[2.0], [0.0]])
    assert means.waiting_time_s[0] == pytest.approx((0.1 * 1 * 5 + 0.1 * 9) / (2 * 0.6))


def test_node_means_carry_task_rate_and_load_and_obey_littles_law():
    means = node_means(0.15, RING, 0.9, 2, cv=0.7)
    np.testing.assert_allclose(means.task_rate_hz, task_rate_hz(0.15, RING, 2))
    np.testing.assert_allclose(means.utilization, offered_load(0.15, RING, 0.9, 2))
    np.testing.assert_allclose(means.queue_length, means.task_rate_hz * means.waiting_time_s)
    np.testing.assert_allclose(means.number_in_system - means.queue_length, means.utilization)


def test_only_the_overloaded_nodes_have_no_finite_means():
    means = node_means([0.2, 1.0, 1.3], np.zeros((3, 3)), 1.0, 0)
    np.testing.assert_array_equal(np.isinf(means.waiting_time_s), [False, True, True])
    np.testing.assert_array_equal(np.isinf(means.number_in_system), [False, True, True])
    np.testing.assert_allclose(means.utilization, [0.2, 1.0, 1.0])


def test_a_node_without_tasks_has_zeros():
    means = node_means([0.2, 0.0], np.zeros((2, 2)), 1.0, 1)
    assert [array[1] for array in astuple(means)] == [0.0] * 6
