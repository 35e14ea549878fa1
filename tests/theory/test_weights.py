"""Best weights: the linear program that maximises the critical rate."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from dmoa.errors import ScenarioError
from dmoa.theory import best_inclusion, critical_rate_hz, offered_load, uniform_inclusion, weights
from tests.theory.table import OVERLAYS, TABLE, Row, adjacency


def assert_realisable(chances, overlay, proposers):
    assert chances.min() >= 0
    assert chances.max() <= 1
    assert not chances[overlay == 0].any()
    asked = np.minimum(overlay.sum(axis=1), proposers)
    np.testing.assert_allclose(chances.sum(axis=1), asked, atol=1e-12)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_linear_program_gives_the_critical_rate_of_the_best_weights(row: Row):
    overlay = adjacency(OVERLAYS[row.overlay])
    chances = best_inclusion(overlay, 0.01, row.proposers, 1.0, row.layers)
    assert_realisable(chances, overlay, row.proposers)
    limit = critical_rate_hz(0.01, offered_load(0.01, chances, 1.0, row.layers))
    assert round(limit, 4) == row.best_hz


def test_on_a_path_of_four_the_inner_nodes_ask_the_outer_ones():
    chances = best_inclusion(adjacency(nx.path_graph(4)), 0.1, 1, 1.0, 1)
    np.testing.assert_array_equal(chances[[1, 2], [0, 3]], [1, 1])
    assert critical_rate_hz(0.1, offered_load(0.1, chances, 1.0, 1)) == pytest.approx(1 / 3)


def test_a_slow_server_is_spared():
    service = np.array([3.0, 1.0, 1.0])
    chances = best_inclusion(adjacency(nx.complete_graph(3)), 0.1, 1, service, 1)
    assert not chances[:, 0].any()
    assert critical_rate_hz(0.1, offered_load(0.1, chances, service, 1)) == pytest.approx(1 / 6)


def test_slots_attract_tasks():
    overlay, slots = adjacency(nx.complete_graph(4)), np.array([3, 1, 1, 1])
    chances = best_inclusion(overlay, 0.1, 1, 1.0, 1, slots=slots)
    # The others all ask the first node, which has to spread its own tasks over them.
    np.testing.assert_allclose(chances[1:, 0], 1, atol=1e-8)
    load = offered_load(0.1, chances, 1.0, 1) / slots
    np.testing.assert_allclose(load, [0.5 / 3, 0.7 / 3, 0.7 / 3, 0.7 / 3], rtol=1e-8)


def test_an_origin_without_prompts_keeps_the_uniform_choice():
    overlay = adjacency(nx.path_graph(4))
    rates, service = np.array([0.1, 0.1, 0.0, 0.1]), np.array([1.0, 1.0, 3.0, 1.0])
    chances = best_inclusion(overlay, rates, 1, service, 1)
    np.testing.assert_array_equal(chances[2], uniform_inclusion(overlay, 1)[2])
    np.testing.assert_array_equal(chances[1], [1, 0, 0, 0])


def test_service_by_origin_enters_the_program():
    overlay = adjacency(nx.complete_graph(3))
    service = np.ones((2, 3, 3))
    service[0, 0, 1] = 5.0  # what the first node asks of the second is expensive
    chances = best_inclusion(overlay, 0.1, 1, service, 1)
    assert chances[0, 1] < 0.1
    assert_realisable(chances, overlay, 1)


@pytest.mark.parametrize(("layers", "proposers"), [(0, 2), (2, 0), (2, 3)])
def test_where_there_is_no_choice_the_uniform_one_is_returned(layers: int, proposers: int):
    overlay = adjacency(nx.disjoint_union(nx.cycle_graph(4), nx.empty_graph(1)))
    np.testing.assert_array_equal(
        best_inclusion(overlay, 0.1, proposers, 1.0, layers), uniform_inclusion(overlay, proposers)
    )


@pytest.mark.parametrize("name", ["cycle_graph(8)", "star_graph(7)"])
def test_where_the_uniform_choice_is_optimal_it_is_kept(name: str):
    overlay = adjacency(OVERLAYS[name])
    np.testing.assert_array_equal(
        best_inclusion(overlay, 0.1, 1, 1.0, 2), uniform_inclusion(overlay, 1)
    )


def test_equal_nodes_with_many_peers_do_not_stall_the_solver():
    overlay = adjacency(nx.random_regular_graph(20, 100, seed=1))
    np.testing.assert_array_equal(
        best_inclusion(overlay, 0.1, 3, 1.0, 2), uniform_inclusion(overlay, 3)
    )


def test_the_choice_is_the_same_on_every_call():
    overlay = adjacency(OVERLAYS["karate_club_graph"])
    first, second = (best_inclusion(overlay, 0.1, 2, 1.0, 1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def textbook_optimum(overlay, rates, proposers, service, layers):
    """Solve the program as the theory states it, dense, for the chances themselves."""
    n = len(overlay)
    edges = list(zip(*np.nonzero(overlay), strict=True))
    limit, rows = np.zeros((n, len(edges) + 1)), np.zeros((n, len(edges) + 1))
    for column, (origin, server) in enumerate(edges):
        limit[server, column] = layers * service[server] * rates[origin]
        rows[origin, column] = 1
    limit[:, -1] = -1
    result = scipy.optimize.linprog(
        [0.0] * len(edges) + [1.0],
        A_ub=limit,
        b_ub=-service * rates * (layers + 1),
        A_eq=rows,
        b_eq=np.minimum(overlay.sum(axis=1), proposers),
        bounds=[(0, 1)] * len(edges) + [(0, None)],
    )
    return result.fun


@given(
    st.integers(2, 8), st.floats(0.2, 1), st.integers(0, 99), st.integers(1, 3), st.integers(1, 3)
)
def test_no_choice_is_better_on_any_overlay(nodes, density, seed, layers, proposers):
    overlay = adjacency(nx.gnp_random_graph(nodes, density, seed=seed))
    random = np.random.default_rng(seed)
    rates, service = random.uniform(0.1, 1, nodes), random.uniform(0.5, 3, nodes)
    chances = best_inclusion(overlay, rates, proposers, service, layers)
    assert_realisable(chances, overlay, proposers)
    largest = offered_load(rates, chances, service, layers).max()
    optimum = textbook_optimum(overlay, rates, proposers, service, layers)
    assert largest == pytest.approx(optimum, rel=1e-6)


def test_a_solver_that_gives_up_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "SOLVER_TIME_MAX_S", 1e-9)
    with pytest.raises(ScenarioError, match=r"was not solved: Time limit .*; bring rates"):
        best_inclusion(adjacency(nx.barabasi_albert_graph(400, 3, seed=1)), 0.1, 1, 1.0, 1)
