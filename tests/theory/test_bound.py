"""Theorem 1 (arXiv 2412.21200), and the three cases of what is known about sufficiency."""

from __future__ import annotations

import json
from dataclasses import asdict

import networkx as nx
import numpy as np
import pytest

from dmoa.theory import (
    critical_rate_hz,
    offered_load,
    sufficient,
    theorem1_critical_rate_hz,
    uniform_inclusion,
)
from tests.theory.table import TABLE, Row, adjacency


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_theorem_1_gives_its_critical_rate(row: Row):
    limit = theorem1_critical_rate_hz(row.layers, row.proposers, 1.0)
    assert round(limit, 4) == row.theorem1_hz


@pytest.mark.parametrize(("layers", "proposers"), [(0, 0), (1, 1), (1, 2), (2, 2), (3, 7)])
def test_theorem_1_is_the_general_bound_on_a_complete_overlay(layers: int, proposers: int):
    chances = uniform_inclusion(adjacency(nx.complete_graph(8)), proposers)
    limit = critical_rate_hz(0.1, offered_load(0.1, chances, 2.0, layers))
    assert limit == pytest.approx(theorem1_critical_rate_hz(layers, proposers, 2.0), rel=1e-12)


def test_theorem_1_takes_the_largest_service_time_by_remark_1():
    assert theorem1_critical_rate_hz(1, 2, [1.0, 5.0, 2.0]) == pytest.approx(0.05)


def test_theorem_1_with_remark_1_is_safe_on_a_complete_overlay():
    service = np.array([1.0, 3.0, 2.0, 1.0])
    chances = uniform_inclusion(adjacency(nx.complete_graph(4)), 2)
    limit = critical_rate_hz(0.1, offered_load(0.1, chances, service, 2))
    assert limit == pytest.approx(theorem1_critical_rate_hz(2, 2, service))


@pytest.mark.parametrize(("layers", "proposers"), [(0, 0), (0, 3), (4, 0)])
def test_without_forks_sufficiency_is_proven_for_any_service(layers: int, proposers: int):
    by_stage = np.arange(1.0, layers + 2)[:, np.newaxis] * np.ones(3)
    assert sufficient(layers, proposers, by_stage).case == "proven"


def test_forks_with_service_by_server_alone_are_conjectured_to_be_stable():
    by_server = np.array([1.0, 2.0, 3.0])
    assert sufficient(1, 2, by_server).case == "conjectured"
    assert sufficient(1, 2, np.tile(by_server, (2, 1))).case == "conjectured"
    assert sufficient(1, 2, np.tile(by_server, (2, 3, 1))).case == "conjectured"


def test_an_aggregation_elsewhere_is_no_class():
    service = np.ones((2, 3, 3))
    service[1] += 9 * (1 - np.eye(3))
    assert sufficient(1, 2, service).case == "conjectured"


@pytest.mark.parametrize("place", [(0, 1, 2), (1, 2, 2)])
def test_service_by_stage_or_origin_may_be_unstable_below_the_bound(place: tuple[int, ...]):
    service = np.ones((2, 3, 3))
    service[place] = 2.0
    assert sufficient(1, 2, service).case == "class-dependent"


def test_each_case_explains_itself_and_fits_into_json():
    cases = [sufficient(0, 0), sufficient(1, 1), sufficient(1, 1, [[1.0], [2.0]])]
    texts = [json.loads(json.dumps(asdict(case)))["text"] for case in cases]
    assert ["proof" in text or "Bramson" in text for text in texts] == [True] * 3
    assert len(set(texts)) == 3
