"""Best weights of large overlays: near the optimum, and proven to be."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa import theory
from dmoa.theory import checks, weights
from dmoa.theory.balance import balance
from dmoa.theory.load import uniform_edges
from dmoa.theory.program import Program
from tests.theory.table import OVERLAYS, TABLE, Row, adjacency
from tests.theory.test_weights import assert_realisable, textbook_optimum


@pytest.fixture
def by_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve every program by rounds, however small it is."""
    monkeypatch.setattr(weights, "EDGES_MAX", 0)


@pytest.mark.usefixtures("by_rounds")
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_known_critical_rates_are_reached_within_the_gap(row: Row):
    overlay = adjacency(OVERLAYS[row.overlay])
    best = theory.best_weights(overlay, 0.01, row.proposers, 1.0, row.layers)
    assert isinstance(best.inclusion, np.ndarray)
    assert_realisable(best.inclusion, overlay, row.proposers)
    limit = theory.critical_rate_hz(
        0.01, theory.offered_load(0.01, best.inclusion, 1.0, row.layers)
    )
    assert best.gap <= weights.GAP
    assert row.best_hz * (1 - best.gap) - 5e-5 <= limit <= row.best_hz + 5e-5


def program(overlay, rates, proposers, service, layers):
    """Write the program down, or None where there is no choice."""
    uniform = uniform_edges(checks.overlay(overlay), proposers)
    free = (uniform.value > 0) & (uniform.value < 1)
    per_task = checks.by_class(service, uniform, layers, "service_time_s")
    if not free.any():
        return None
    return Program.of(free, rates, uniform, per_task, np.ones(len(overlay)))


@given(
    st.integers(3, 9), st.floats(0.3, 1), st.integers(0, 99), st.integers(1, 3), st.integers(1, 3),
    st.sampled_from([0.1, 0.01, 0.001]),
)  # fmt: skip
def test_the_bound_is_one_and_the_choice_is_near(nodes, density, seed, layers, proposers, gap):
    overlay = adjacency(nx.gnp_random_graph(nodes, density, seed=seed))
    random = np.random.default_rng(seed)
    rates, service = random.uniform(0.1, 1, nodes), random.uniform(0.5, 3, nodes)
    made = program(overlay, rates, proposers, service, layers)
    if made is None:
        return
    found = balance(made, gap)
    uniform = theory.uniform_inclusion(overlay, proposers)
    unit = theory.offered_load(rates, uniform, service, layers).max()
    optimum = textbook_optimum(overlay, rates, proposers, service, layers) / unit
    assert found.bound <= optimum * (1 + 1e-9)
    assert found.filled_max >= optimum * (1 - 1e-9)
    assert found.gap <= gap
    assert made.filled(found.chances).max() == pytest.approx(found.filled_max)


def test_work_that_depends_on_origin_and_server_is_balanced_too():
    overlay = adjacency(nx.barabasi_albert_graph(60, 3, seed=2))
    random = np.random.default_rng(5)
    service = random.uniform(0.2, 3, (2, 60, 60))
    made = program(overlay, np.full(60, 0.1), 2, service, 1)
    assert made is not None
    exact = weights.best_weights(overlay, 0.1, 2, service, 1)
    load = theory.offered_load(0.1, exact.inclusion, service, 1).max()
    uniform = theory.uniform_inclusion(overlay, 2)
    optimum = load / theory.offered_load(0.1, uniform, service, 1).max()
    found = balance(made, 0.005)
    assert found.bound <= optimum * (1 + 1e-9) <= found.filled_max * (1 + 2e-9)
    assert found.gap <= 0.005


def test_where_uniform_choice_is_optimal_it_is_kept():
    made = program(adjacency(nx.cycle_graph(8)), np.full(8, 0.1), 1, 1.0, 1)
    assert made is not None
    found = balance(made, 0.01)
    assert found.rounds == 0
    np.testing.assert_array_equal(found.chances, made.uniform)


def test_too_few_rounds_give_a_choice_and_the_gap_that_is_proven_for_it():
    overlay = adjacency(nx.barabasi_albert_graph(200, 2, seed=1))
    made = program(overlay, np.full(200, 0.1), 1, 1.0, 2)
    assert made is not None
    few, more = balance(made, 1e-4, rounds_max=3), balance(made, 1e-4)
    assert few.rounds == 3
    assert few.gap > more.gap
    assert more.gap <= 1e-4
    assert few.bound <= more.filled_max
    # Even then every row adds up.
    sums = np.bincount(made.origin, few.chances - made.uniform)
    np.testing.assert_allclose(sums, 0, atol=1e-9)


def test_rows_that_do_not_add_up_yet_leave_a_valid_bound(monkeypatch: pytest.MonkeyPatch):
    overlay = adjacency(nx.barabasi_albert_graph(100, 3, seed=1))
    made = program(overlay, np.full(100, 0.1), 2, 1.0, 2)
    assert made is not None
    exact = balance(made, 1e-6)
    monkeypatch.setattr("dmoa.theory.balance._NEWTON_MAX", 2)
    assert balance(made, 1e-6, rounds_max=50).bound <= exact.filled_max


def test_a_large_scale_free_overlay_is_balanced():
    overlay = nx.to_scipy_sparse_array(nx.barabasi_albert_graph(20_000, 4, seed=3))
    best = theory.best_weights(overlay, 0.1, 2, 1.0, layers=2)
    assert 0 < best.gap <= weights.GAP
    uniform, chosen = (
        theory.critical_rate_hz(0.1, theory.offered_load(0.1, inclusion, 1.0, layers=2))
        for inclusion in (theory.uniform_inclusion(overlay, 2), best.inclusion)
    )
    assert chosen > 2 * uniform
