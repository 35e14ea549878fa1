"""Rows in flat arrays: they read, compare and travel like the tuples of tuples they stand for."""

import pickle

import networkx as nx
import numpy as np
import pytest

from dmoa.scenario import from_dict, resolve, rows
from dmoa.scenario.rows import Chances, Peers

TUPLES = ((1, 2), (), (0,), (2, 1, 0))


@pytest.fixture
def peers():
    return Peers([0, 2, 2, 3, 6], [1, 2, 0, 2, 1, 0])


def test_rows_read_like_tuples(peers):
    assert tuple(peers) == TUPLES
    assert [peers[index] for index in range(-4, 4)] == [*TUPLES, *TUPLES]
    assert peers[1:3] == TUPLES[1:3]
    assert peers[::-1] == tuple(reversed(peers)) == TUPLES[::-1]
    assert (len(peers), (0,) in peers, peers.index((0,))) == (4, True, 2)
    assert all(type(peer) is int for row in peers for peer in row)
    with pytest.raises(IndexError):
        peers[4]


def test_rows_are_read_in_blocks(peers, monkeypatch):
    monkeypatch.setattr(rows, "_BLOCK", 3)
    assert tuple(peers) == TUPLES


def test_rows_are_equal_to_their_tuples_and_hash_like_them(peers):
    again = Peers(peers.offsets, peers.targets)
    assert peers == again == TUPLES
    assert hash(peers) == hash(again) == hash(TUPLES)
    assert peers != Peers([0, 2, 3, 3, 6], peers.targets)
    assert peers != TUPLES[:3]
    assert peers != list(TUPLES)


def test_rows_are_shown_as_tuples_while_they_are_few(peers):
    assert repr(peers) == repr(TUPLES)
    many = Peers(np.arange(22), np.zeros(21))
    assert repr(many) == "<Peers: 21 rows of 21 values>"


def test_rows_travel_to_other_processes_as_arrays(peers):
    again = pickle.loads(pickle.dumps(peers))  # noqa: S301 - its own
    assert (type(again), again) == (Peers, peers)
    assert again.targets.dtype == np.int32
    assert again.offsets.dtype == np.int64


def test_rows_cannot_be_changed_and_leave_the_given_array_alone():
    given = np.array([1.0, 0.5])
    chances = Chances([0, 1, 2], given)
    with pytest.raises(ValueError, match="read-only"):
        chances.probabilities[0] = 2.0
    given[0] = 0.25
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(chances)).probabilities[0] = 2.0  # noqa: S301 - its own


def test_a_setup_holds_peers_and_chances_in_the_same_order():
    plan = {"selection": "weighted", "proposers": 1}
    plan["weights"] = {"0": {"1": 1}, "1": {"0": 0.25, "2": 0.75}, "2": {"1": 1}}
    setup = resolve(from_dict({"overlay": {"topology": "path", "nodes": 3}, "plan": plan}))
    assert setup.peers.targets.tolist() == [1, 0, 2, 1]
    assert setup.peers.offsets.tolist() == [0, 1, 3, 4]
    assert setup.inclusion is not None
    assert setup.inclusion.probabilities.tolist() == [1.0, 0.25, 0.75, 1.0]
    assert pickle.loads(pickle.dumps(setup)) == setup  # noqa: S301 - its own
    matrix = setup.matrix(setup.inclusion.probabilities)
    assert matrix.toarray().tolist() == [[0, 1, 0], [0.25, 0, 0.75], [0, 1, 0]]


@pytest.mark.parametrize(
    ("rows_of", "two_way", "parts"),
    [
        (((1,), (0,)), True, 1),
        (((1,), ()), False, 1),
        (((), ()), True, 2),
        (((1,), (0,), (3,), (2,), ()), True, 3),
        (((1,), (2,), (0,), (4,), ()), False, 2),
        (((4,), (3,), (3,), (1, 2, 4), (0, 3)), True, 1),
    ],
)
def test_what_an_overlay_is_like_is_known_from_its_rows(rows_of, two_way, parts):
    lengths = [len(row) for row in rows_of]
    peers = Peers(np.cumsum([0, *lengths]), [peer for row in rows_of for peer in row])
    assert (peers.two_way, peers.parts()) == (two_way, parts)
    graph = nx.DiGraph((i, j) for i, row in enumerate(rows_of) for j in row)
    graph.add_nodes_from(range(len(rows_of)))
    assert parts == nx.number_weakly_connected_components(graph)
    assert two_way == (nx.overall_reciprocity(graph) == 1 if graph.edges else True)
