"""Offered load and critical rate: exact by linearity of expectation."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.theory import (
    bottleneck,
    critical_rate_hz,
    offered_load,
    task_rate_hz,
    tasks_per_prompt,
    uniform_inclusion,
)
from tests.theory.table import OVERLAYS, TABLE, Row, adjacency


@st.composite
def overlays(draw):
    nodes = draw(st.integers(2, 9))
    graph = nx.gnp_random_graph(nodes, draw(st.floats(0, 1)), seed=draw(st.integers(0, 99)))
    return adjacency(graph)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_general_bound_gives_the_critical_rate_of_uniform_choice(row: Row):
    chances = uniform_inclusion(adjacency(OVERLAYS[row.overlay]), row.proposers)
    load = offered_load(0.01, chances, 1.0, row.layers)
    assert round(critical_rate_hz(0.01, load), 4) == row.uniform_hz


@pytest.mark.parametrize("proposers", [0, 1, 2, 3])
def test_uniform_inclusion_is_the_share_of_choices_that_hold_a_peer(proposers: int):
    overlay = adjacency(nx.lollipop_graph(4, 3))
    chances = uniform_inclusion(overlay, proposers)
    for origin, row in enumerate(overlay):
        peers = np.flatnonzero(row)
        choices = list(combinations(peers, min(proposers, len(peers))))
        for peer in range(len(overlay)):
            share = sum(peer in choice for choice in choices) / len(choices)
            assert chances[origin, peer] == pytest.approx(share, abs=1e-15)


def test_an_isolated_node_asks_nobody():
    assert not uniform_inclusion([[0, 0, 0], [0, 0, 1], [0, 1, 0]], 2)[0].any()


@given(overlays(), st.integers(0, 4), st.integers(0, 4))
def test_all_nodes_together_are_given_every_task_of_every_prompt(overlay, layers, proposers):
    rates = 0.1 + np.arange(len(overlay))
    asked = np.minimum(overlay.sum(axis=1), proposers)
    rate = task_rate_hz(rates, uniform_inclusion(overlay, proposers), layers)
    assert rate.sum() == pytest.approx(rates @ ((asked + 1) * layers + 1))


@given(overlays(), st.integers(0, 4), st.integers(0, 4))
def test_offered_load_is_task_rate_times_a_service_time_without_classes(overlay, layers, proposers):
    chances = uniform_inclusion(overlay, proposers)
    service = 0.5 + np.arange(len(overlay))
    load = offered_load(0.2, chances, service, layers)
    np.testing.assert_allclose(load, task_rate_hz(0.2, chances, layers) * service)


def test_a_task_count_per_prompt_is_that_of_the_paper():
    assert [tasks_per_prompt(m, k) for m, k in [(0, 0), (1, 1), (1, 2), (2, 3)]] == [1, 3, 4, 9]


def test_service_times_by_stage_count_each_layer_and_the_aggregation_once():
    chances = np.array([[0.0, 1.0], [1.0, 0.0]])
    service = [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]
    # Each node serves its own and its peer's two layers, and its own aggregation.
    np.testing.assert_allclose(offered_load(0.1, chances, service, 2), [1.0, 10.0])


def test_service_times_by_stage_origin_and_server_count_for_their_own_origin():
    chances = np.array([[0.0, 1.0], [0.5, 0.0]])
    layer = [[1.0, 2.0], [3.0, 4.0]]
    aggregation = [[5.0, 99.0], [99.0, 7.0]]
    load = offered_load([0.1, 0.2], chances, [layer, aggregation], 1)
    by_hand = [0.1 * 1 + 0.2 * 0.5 * 3 + 0.1 * 5, 0.2 * 4 + 0.1 * 1 * 2 + 0.2 * 7]
    np.testing.assert_allclose(load, by_hand)


@given(overlays(), st.integers(0, 3), st.integers(0, 3))
def test_all_shapes_of_one_service_time_give_one_load(overlay, layers, proposers):
    n, chances = len(overlay), uniform_inclusion(overlay, proposers)
    load = offered_load(0.3, chances, 2.0, layers)
    for shape in (n,), (layers + 1, n), (layers + 1, n, n):
        np.testing.assert_allclose(
            offered_load(0.3, chances, np.full(shape, 2.0), layers), load, rtol=1e-12
        )


def test_the_critical_rate_puts_the_bottleneck_at_its_limit():
    chances = uniform_inclusion(adjacency(nx.path_graph(5)), 1)
    rates, service = np.array([0.1, 0.0, 0.3, 0.2, 0.1]), np.array([1.0, 2.0, 0.5, 1.5, 1.0])
    load = offered_load(rates, chances, service, 2)
    factor = critical_rate_hz(rates, load) / rates.mean()
    critical = offered_load(factor * rates, chances, service, 2)
    assert critical.max() == pytest.approx(1)
    assert critical[bottleneck(load)] == pytest.approx(1)


def test_slots_raise_the_limit_of_their_node():
    load = [0.6, 0.5]
    assert bottleneck(load) == 0
    assert critical_rate_hz(0.3, load) == pytest.approx(0.5)
    assert bottleneck(load, slots=[2, 1]) == 1
    assert critical_rate_hz(0.3, load, slots=[2, 1]) == pytest.approx(0.6)


def test_rounding_does_not_choose_the_bottleneck():
    assert bottleneck([0.1, 0.3, 0.1 + 0.2]) == 1
    assert bottleneck([0.1, 0.1 + 0.2, 0.3]) == 1


def test_on_a_directed_overlay_only_the_nodes_that_are_asked_carry_the_origin_s_tasks():
    one_way = [[0, 1, 1], [0, 0, 1], [1, 0, 0]]
    load = offered_load(0.2, uniform_inclusion(one_way, 1), 1.0, layers=1)
    assert load == pytest.approx([0.6, 0.5, 0.7])
