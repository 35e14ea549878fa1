"""Sojourn times by the independent maximum, and the join buffer by Little's law."""

from __future__ import annotations

import math
from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from dmoa.theory import (
    expected_maximum_s,
    harmonic,
    independent_maximum_s,
    join_buffer_responses,
    join_buffer_time_s,
    mm1,
    sojourn,
    sojourn_time_s,
    sojourn_time_unequal_s,
    sojourn_times_s,
)


def test_without_layers_a_prompt_takes_as_long_as_in_m_m_1():
    assert sojourn_time_s(0, 3, 1.0, 0.6) == pytest.approx(mm1(0.6, 1.0).sojourn_time_s)


def test_product_form_without_proposers_takes_one_sojourn_per_task():
    assert sojourn_time_s(3, 0, 1.0, 0.6) == pytest.approx(4 / 0.4)


@pytest.mark.parametrize(("layers", "proposers"), [(1, 1), (2, 2), (3, 5)])
def test_independent_maximum_takes_a_harmonic_number_per_layer(layers: int, proposers: int):
    expected = (layers * harmonic(proposers + 1) + 1) / (0.5 - 0.3)
    assert sojourn_time_s(layers, proposers, 2.0, 0.3) == pytest.approx(expected)


@pytest.mark.parametrize("layers", [0, 2])
def test_beyond_the_limit_a_prompt_takes_for_ever(layers: int):
    assert sojourn_time_s(layers, 1, 1.0, 1.0) == math.inf


@pytest.mark.parametrize(("layers", "proposers"), [(0, 2), (2, 0), (1, 2), (2, 5)])
def test_unequal_nodes_that_are_equal_take_the_time_of_equal_ones(layers: int, proposers: int):
    unequal = sojourn_time_unequal_s(layers, proposers, 0.4, [0.4] * 6)
    assert unequal == pytest.approx(sojourn_time_s(layers, proposers, 1.0, 0.6))


@pytest.mark.parametrize("proposers", [1, 2, 3, 4, 9])
def test_inclusion_exclusion_averages_over_the_uniform_choice(proposers: int):
    own, peers = 0.7, [0.3, 0.9, 0.5, 2.0]
    choices = list(combinations(peers, min(proposers, 4)))
    slowest = np.mean([expected_maximum_s([own, *choice]) for choice in choices])
    assert sojourn_time_unequal_s(2, proposers, own, peers) == pytest.approx(2 * slowest + 1 / own)


def test_an_isolated_origin_proposes_alone():
    assert sojourn_time_unequal_s(3, 2, 0.5, []) == pytest.approx(8.0)


@pytest.mark.parametrize("spare", [0.0, -1.0])
def test_a_saturated_node_holds_up_only_the_prompts_that_need_it(spare: float):
    assert sojourn_time_unequal_s(1, 1, spare, [1.0]) == math.inf
    assert sojourn_time_unequal_s(0, 1, spare, [1.0]) == math.inf
    assert sojourn_time_unequal_s(1, 1, 1.0, [1.0, spare]) == math.inf
    assert sojourn_time_unequal_s(0, 1, 1.0, [spare]) == pytest.approx(1.0)
    assert sojourn_time_unequal_s(1, 0, 1.0, [spare]) == pytest.approx(2.0)


@pytest.mark.parametrize(("layers", "proposers"), [(0, 1), (2, 0), (1, 1), (2, 3)])
@pytest.mark.parametrize("sums_max", [1, 2**20])
def test_the_times_of_all_origins_are_those_of_each(layers, proposers, sums_max, monkeypatch):
    monkeypatch.setattr(sojourn, "_SUMS_MAX", sums_max)
    graph = nx.gnp_random_graph(25, 0.15, seed=2)
    spare = np.random.default_rng(3).uniform(0.1, 1, 25)
    spare[[4, 7]] = 0.0, -1.0
    times = sojourn_times_s(layers, proposers, spare, nx.to_scipy_sparse_array(graph))
    assert times.tolist() == pytest.approx(
        [
            sojourn_time_unequal_s(layers, proposers, spare[origin], spare[list(graph[origin])])
            for origin in graph
        ]
    )


@pytest.mark.parametrize("proposers", [1, 2, 7])
def test_a_response_waits_for_the_slowest_of_its_siblings(proposers: int):
    slowest = independent_maximum_s(proposers + 1, 1.0, 0.8)
    wait = join_buffer_time_s(proposers, 1.0, 0.8)
    assert wait == pytest.approx(slowest - mm1(0.8, 1.0).sojourn_time_s)


def test_littles_law_turns_the_wait_into_the_size_of_the_join_buffer():
    wait = join_buffer_time_s(2, 1.0, 0.7)
    # Each prompt of λ = 0.1 sends (k + 1) M = 6 responses through the buffer.
    assert join_buffer_responses(0.1, 2, 2, 1.0, 0.7) == pytest.approx(0.1 * 6 * wait)


def test_a_join_buffer_without_siblings_is_empty_even_beyond_the_limit():
    assert join_buffer_time_s(0, 1.0, 2.0) == 0
    assert join_buffer_responses(1.0, 2, 0, 1.0, 2.0) == 0
    assert join_buffer_responses(1.0, 0, 3, 1.0, 2.0) == 0


def test_beyond_the_limit_the_join_buffer_grows_without_bound():
    assert join_buffer_time_s(1, 1.0, 1.0) == math.inf
    assert join_buffer_responses(0.5, 1, 1, 1.0, 1.0) == math.inf
