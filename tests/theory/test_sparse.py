"""Sparse overlays: the same numbers as of dense ones, and as of the formulas written out."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

from dmoa import theory
from tests.theory.table import adjacency


@st.composite
def networks(draw):
    """Draw an overlay, possibly directed, with chances, rates and service times by class."""
    nodes, layers = draw(st.integers(2, 9)), draw(st.integers(0, 3))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    overlay = (random.random((nodes, nodes)) < draw(st.floats(0, 1))).astype(float)
    np.fill_diagonal(overlay, 0)
    chances = overlay * random.random((nodes, nodes))
    rates = random.uniform(0.1, 1, nodes) * (random.random(nodes) < 0.8)
    rates[0] = 0.5
    service = random.uniform(0.5, 3, (layers + 1, nodes, nodes))
    return overlay, chances, rates, service


def known(service, overlay):
    """Give what sparse service times hold: those of each edge and of every node itself."""
    return [csr_array(stage * (overlay + np.eye(len(overlay)))) for stage in service]


@given(networks())
def test_loads_are_those_of_the_formula(network):
    _, chances, rates, service = network
    layers, nodes = len(service) - 1, len(rates)
    by_hand = np.zeros(nodes)
    for server in range(nodes):
        for stage in range(layers):
            by_hand[server] += rates[server] * service[stage, server, server]
            by_hand[server] += np.sum(rates * chances[:, server] * service[stage, :, server])
        by_hand[server] += rates[server] * service[layers, server, server]
    found = theory.offered_load(rates, csr_array(chances), known(service, chances > 0), layers)
    np.testing.assert_allclose(found, by_hand)


@given(networks(), st.integers(0, 4))
def test_sparse_and_dense_matrices_give_the_same_numbers(network, proposers):
    overlay, chances, rates, service = network
    layers, sparse = len(service) - 1, csr_array(chances)
    uniform = theory.uniform_inclusion(csr_array(overlay), proposers)
    np.testing.assert_array_equal(uniform.toarray(), theory.uniform_inclusion(overlay, proposers))
    np.testing.assert_array_equal(
        theory.task_rate_hz(rates, sparse, layers), theory.task_rate_hz(rates, chances, layers)
    )
    for times in (1.0, service[:, 0], known(service, overlay)):
        dense = service if isinstance(times, list) else times
        np.testing.assert_array_equal(
            theory.offered_load(rates, sparse, times, layers),
            theory.offered_load(rates, chances, dense, layers),
        )
        one, other = (
            theory.node_means(rates / 10, matrix, by_class, layers, cv=0.5)
            for matrix, by_class in ((sparse, times), (chances, dense))
        )
        np.testing.assert_array_equal(one.waiting_time_s, other.waiting_time_s)
        best, of_dense = (
            theory.best_inclusion(matrix, rates, proposers, by_class, layers)
            for matrix, by_class in ((csr_array(overlay), times), (overlay, dense))
        )
        np.testing.assert_array_equal(best.toarray(), of_dense)


@given(networks(), st.integers(0, 3))
def test_whether_the_bound_is_enough_follows_from_the_classes_there_are(network, proposers):
    overlay, _, _, service = network
    layers = len(service) - 1
    equal = np.broadcast_to(service[0, 0], service.shape)
    for times in (service, equal):
        # Where nobody asks, a dense array holds a time that the server has anyhow.
        there = overlay + np.eye(len(overlay)) > 0
        filled = np.where(there, times, np.diagonal(times[0]))
        sparse = theory.sufficient(layers, proposers, known(times, overlay))
        assert sparse == theory.sufficient(layers, proposers, filled)


def test_the_order_and_form_of_a_sparse_matrix_do_not_matter():
    overlay = nx.karate_club_graph()
    origin, server = np.nonzero(adjacency(overlay))
    shuffled = np.random.default_rng(1).permutation(len(origin))
    halves = np.full(len(origin), 0.5)
    # Each edge twice, by halves, in any order, with a zero that is stored.
    places = np.tile(origin[shuffled], 2), np.tile(server[shuffled], 2)
    matrix = coo_array((np.tile(halves, 2), places), shape=(34, 34))
    zero = csr_array(([0.0], ([3], [4])), shape=(34, 34))
    ordered = np.argsort(places[0], kind="stable")
    offsets = np.searchsorted(places[0][ordered], np.arange(35))
    twice = csr_array((np.tile(halves, 2), places[1][ordered], offsets), shape=(34, 34))
    assert not twice.has_canonical_format
    for form in (matrix, matrix.tocsc(), matrix.tocsr() + zero, twice):
        found = theory.uniform_inclusion(form, 2)
        assert isinstance(found, csr_array)
        np.testing.assert_array_equal(
            found.toarray(), theory.uniform_inclusion(adjacency(overlay), 2)
        )


def test_a_sparse_overlay_without_edges_is_an_overlay():
    alone = csr_array((3, 3))
    assert theory.offered_load(0.1, alone, 1.0, 2).tolist() == pytest.approx([0.3] * 3)
    times = [csr_array(np.eye(3))] * 3
    assert theory.offered_load(0.1, alone, times, 2).tolist() == pytest.approx([0.3] * 3)


def test_an_overlay_of_many_nodes_needs_no_square_of_them():
    nodes = 200_000
    ring = np.arange(nodes)
    ends = np.concatenate([ring, ring]), np.concatenate([(ring + 1) % nodes, (ring - 1) % nodes])
    overlay = csr_array((np.ones(2 * nodes), ends), shape=(nodes, nodes))
    load = theory.offered_load(0.1, theory.uniform_inclusion(overlay, 1), 1.0, layers=1)
    assert load.min() == load.max() == pytest.approx(0.3)
    assert theory.sojourn_times_s(1, 1, 1 - load, overlay) == pytest.approx(2.5 / 0.7)
