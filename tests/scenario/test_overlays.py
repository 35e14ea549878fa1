"""Generated overlays, graphs from Python, and what is made of unusual ones."""

import math
import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, resolve
from dmoa.scenario.choices import GENERATED
from dmoa.scenario.generators import grid_shape
from dmoa.scenario.overlays import build_overlay, plain_overlay


def built(**overlay):
    return build_overlay(from_dict({"overlay": overlay}).overlay)


def edges_of(overlay):
    return {(i, j) for i, own in enumerate(overlay.peers) for j in own if i < j}


def same_edges(overlay, graph):
    numbered = nx.convert_node_labels_to_integers(graph)
    return edges_of(overlay) == {(min(edge), max(edge)) for edge in numbered.edges}


@pytest.mark.parametrize(
    ("overlay", "graph"),
    [
        ({"topology": "ring", "nodes": 8}, nx.cycle_graph(8)),
        ({"topology": "path", "nodes": 5}, nx.path_graph(5)),
        ({"topology": "star", "nodes": 8}, nx.star_graph(7)),
        ({"topology": "complete", "nodes": 5}, nx.complete_graph(5)),
        ({"topology": "grid", "nodes": 16}, nx.grid_2d_graph(4, 4)),
        ({"topology": "grid", "rows": 2, "columns": 3}, nx.grid_2d_graph(2, 3)),
        ({"topology": "torus", "nodes": 12}, nx.grid_2d_graph(3, 4, periodic=True)),
        ({"topology": "tree", "nodes": 10, "branching": 3}, nx.full_rary_tree(3, 10)),
        (
            {"topology": "random-regular", "nodes": 10, "degree": 4, "seed": 7},
            nx.empty_graph(10),
        ),
        (
            {"topology": "erdos-renyi", "nodes": 20, "probability": 0.3, "seed": 3},
            nx.gnp_random_graph(20, 0.3, seed=3),
        ),
        (
            {"topology": "watts-strogatz", "nodes": 20, "probability": 0.5, "seed": 3},
            nx.watts_strogatz_graph(20, 4, 0.5, seed=3),
        ),
        (
            {"topology": "barabasi-albert", "nodes": 32, "attachments": 2, "seed": 1},
            nx.barabasi_albert_graph(32, 2, seed=1),
        ),
        (
            {"topology": "geometric", "nodes": 20, "radius": 0.4, "seed": 2},
            nx.random_geometric_graph(20, 0.4, seed=2),
        ),
    ],
)
def test_a_generated_overlay_is_the_graph_of_networkx(overlay, graph):
    if overlay["topology"] == "random-regular":
        graph.add_edges_from(nx.random_regular_graph(4, 10, seed=7).edges)
    made = built(**overlay)
    assert same_edges(made, graph)
    assert made.names == tuple(str(number) for number in range(len(graph)))


SIZES = st.integers(2, 40)


@given(SIZES, st.integers(1, 5), st.integers(0, 2**62))
def test_scale_free_overlays_are_those_of_networkx(nodes, attachments, seed):
    attachments = min(attachments, nodes - 1)
    made = built(topology="barabasi-albert", nodes=nodes, attachments=attachments, seed=seed)
    assert same_edges(made, nx.barabasi_albert_graph(nodes, attachments, seed=seed))


@given(SIZES, st.integers(1, 7), st.integers(0, 99))
def test_random_regular_overlays_are_those_of_networkx(nodes, degree, seed):
    degree = min(degree, nodes - 1)
    degree -= degree * nodes % 2
    if degree:
        made = built(topology="random-regular", nodes=nodes, degree=degree, seed=seed)
        assert same_edges(made, nx.random_regular_graph(degree, nodes, seed=seed))


@given(SIZES, st.integers(2, 8), st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.integers(0, 99))
@example(nodes=5, neighbours=4, probability=1.0, seed=1)  # everybody has all neighbours there are
def test_small_worlds_are_those_of_networkx(nodes, neighbours, probability, seed):
    neighbours = min(neighbours, nodes)
    values = {"neighbours": neighbours, "probability": probability, "seed": seed}
    made = built(topology="watts-strogatz", nodes=nodes, **values)
    assert same_edges(made, nx.watts_strogatz_graph(nodes, neighbours, probability, seed=seed))


@given(SIZES, st.sampled_from([0.0, 0.2, 0.7, 1.0]), st.integers(0, 99))
def test_random_overlays_are_those_of_networkx(nodes, probability, seed):
    made = built(topology="erdos-renyi", nodes=nodes, probability=probability, seed=seed)
    assert same_edges(made, nx.gnp_random_graph(nodes, probability, seed=seed))


@given(SIZES, st.floats(0.05, 1.5), st.integers(0, 99))
def test_geometric_overlays_are_those_of_networkx(nodes, radius, seed):
    made = built(topology="geometric", nodes=nodes, radius=radius, seed=seed)
    graph = nx.random_geometric_graph(nodes, radius, seed=seed)
    assert same_edges(made, graph)
    assert made.positions == tuple(tuple(graph.nodes[node]["pos"]) for node in graph)


@pytest.mark.parametrize("nodes", range(2, 14))
def test_overlays_without_chance_are_those_of_networkx(nodes):
    for topology, graph in (
        ("ring", nx.cycle_graph(nodes)),
        ("path", nx.path_graph(nodes)),
        ("star", nx.star_graph(nodes - 1)),
        ("complete", nx.complete_graph(nodes)),
        ("tree", nx.full_rary_tree(2, nodes)),
    ):
        made = built(topology=topology, nodes=nodes)
        assert same_edges(made, graph)
        assert made.notes == ()
    for rows in range(1, 4):
        shape = {"rows": rows, "columns": nodes}
        assert same_edges(built(topology="grid", **shape), nx.grid_2d_graph(rows, nodes))
        torus = nx.grid_2d_graph(rows, nodes, periodic=True)
        assert same_edges(built(topology="torus", **shape), torus)


@given(SIZES, st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_in_a_hierarchy_siblings_have_links_of_their_own(nodes, branching, attachments, seed):
    attachments = min(attachments, nodes - 1)
    keys = {"branching": branching, "attachments": attachments, "seed": seed}
    made = built(topology="hierarchy", nodes=nodes, **keys)
    tree = nx.full_rary_tree(branching, nodes)
    links = edges_of(made) - {(min(edge), max(edge)) for edge in tree.edges}
    assert len(links) == len(edges_of(made)) - tree.number_of_edges()
    brought = [0] * nodes
    for one, other in links:
        assert (one - 1) // branching == (other - 1) // branching
        brought[other] += 1
    older = [(node - 1) % branching if node else 0 for node in range(nodes)]
    assert brought == [min(attachments - 1, count) for count in older]


def test_links_between_siblings_are_drawn_evenly():
    made = built(topology="hierarchy", nodes=40_001, branching=4, attachments=3, seed=5)
    met = np.zeros((4, 4))
    for one, other in edges_of(made):
        if one and (one - 1) // 4 == (other - 1) // 4:
            met[(other - 1) % 4, (one - 1) % 4] += 1
    # The last of four siblings links to two of the three before it.
    np.testing.assert_allclose(met[3, :3] / met[3].sum(), 1 / 3, atol=0.01)
    assert met[2].tolist() == [met[2].sum() / 2, met[2].sum() / 2, 0, 0]


def test_the_karate_club_is_that_of_networkx():
    made = built(topology="karate")
    club = nx.karate_club_graph()
    pairs = {(made.names[i], made.names[j]) for i, j in edges_of(made)}
    assert {frozenset(pair) for pair in pairs} == {frozenset(map(str, edge)) for edge in club.edges}


@pytest.mark.parametrize("topology", sorted(GENERATED))
def test_every_generator_works_with_its_defaults(topology):
    made = built(topology=topology)
    assert len(made.names) == (16 if topology in ("grid", "torus") else 8)
    assert made == built(topology=topology)


def test_the_documentation_lists_every_generator_with_its_keys(root):
    page = (root / "docs" / "topologies.md").read_text("utf-8")
    tables = page.partition("## Generated")[2].partition("## Ready")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", tables, re.MULTILINE)
    listed = {name: dict(re.findall(r"`(\w+)`(?: \(([\d.]+)\))?", keys)) for name, keys in rows}
    shown = {
        name: {key: "" if value is None else str(value) for key, value in keys.items()}
        for name, keys in GENERATED.items()
    }
    for name in ("grid", "torus"):
        shown[name]["nodes"] = "16"
    assert listed == shown


def test_the_seed_of_a_random_overlay_matters():
    assert built(topology="barabasi-albert", nodes=20) != built(
        topology="barabasi-albert", nodes=20, seed=2
    )


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ((16, None, None), (4, 4)),
        ((8, None, None), (2, 4)),
        ((12, 2, None), (2, 6)),
        ((12, None, 2), (6, 2)),
        ((None, 2, 3), (2, 3)),
        ((None, None, 4), (4, 4)),
        ((6, 2, 3), (2, 3)),
    ],
)
def test_a_grid_is_as_square_as_its_nodes_allow(given, shape):
    assert grid_shape(*given) == shape


@pytest.mark.parametrize(
    ("overlay", "path", "text"),
    [
        ({"topology": "random-regular", "nodes": 4, "degree": 4}, "overlay.degree", "3 neighbours"),
        ({"topology": "random-regular", "nodes": 5, "degree": 3}, "overlay.degree", "be even"),
        ({"topology": "watts-strogatz", "nodes": 3}, "overlay.neighbours", "give at most 3"),
        ({"topology": "barabasi-albert", "nodes": 2}, "overlay.attachments", "at most 1 fit"),
        ({"topology": "complete", "nodes": 100_000}, "overlay.nodes", "more than 20,000,000 edges"),
        ({"topology": "erdos-renyi", "nodes": 100_000}, "overlay.nodes", "give fewer nodes"),
        ({"topology": "geometric", "nodes": 100_000}, "overlay.nodes", "give fewer nodes"),
        (
            {"topology": "erdos-renyi", "nodes": 1_000_000, "probability": 1e-6},
            "overlay.nodes",
            "more than 5,000,000,000 pairs",
        ),
        ({"topology": "graph"}, "overlay.topology", "give it again with graph="),
    ],
)
def test_what_cannot_be_built_is_refused(overlay, path, text):
    with pytest.raises(ScenarioError) as caught:
        built(**overlay)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_a_graph_from_python_replaces_the_topology():
    graph = nx.Graph([("b", "a"), ("b", "c")])
    setup = resolve(from_dict({}), graph=graph)
    assert setup.names == ("b", "a", "c")
    assert setup.peers == ((1, 2), (0,), (0,))
    assert setup.scenario.overlay.topology == "graph"
    assert setup.scenario.overlay.nodes is None


def test_self_loops_and_parallel_edges_are_dropped_and_said():
    one = plain_overlay(nx.MultiGraph([(0, 0), (0, 1), (1, 0)]))
    assert one.peers == ((1,), (0,))
    assert one.notes == (
        "1 self-loop was dropped: a node always asks itself anyway",
        "1 parallel edge was dropped: an overlay has one edge between two nodes",
    )
    more = plain_overlay(nx.MultiGraph([(0, 0), (1, 1), (0, 1), (1, 0), (0, 1)]))
    assert more.notes[0].startswith("2 self-loops were dropped")
    assert more.notes[1].startswith("2 parallel edges were dropped")


def test_a_directed_edge_means_who_may_ask_whom():
    overlay = plain_overlay(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "b")]))
    assert overlay.peers == ((1,), (2,), (1,))
    assert overlay.notes == ("the overlay is directed: an edge u -> v means that u may ask v",)


def test_a_node_that_is_only_asked_is_not_isolated():
    overlay = plain_overlay(nx.DiGraph([("a", "b")]))
    assert overlay.peers == ((1,), ())
    assert len(overlay.notes) == 1


def test_isolated_nodes_and_separate_parts_are_allowed_and_said():
    graph = nx.Graph([(0, 1), (2, 3)])
    assert plain_overlay(graph).notes == (
        "the overlay is disconnected: 2 parts that never ask each other",
    )
    graph.add_node("alone")
    assert plain_overlay(graph).notes == (
        "1 node has no neighbours and answers alone: alone",
        "the overlay is disconnected: 3 parts that never ask each other",
    )
    graph.add_nodes_from(range(10, 16))
    assert plain_overlay(graph).notes[0] == (
        "7 nodes have no neighbours and answer alone: alone, 10, 11, 12, 13 and 2 more"
    )


@pytest.mark.parametrize(
    ("graph", "path", "text"),
    [
        (nx.empty_graph(1), "overlay", "a node alone has nobody to ask"),
        (nx.empty_graph(0), "overlay", "2 to 1,000,000 nodes, but 0 was given"),
        (nx.Graph([(1, "1")]), "overlay", "two nodes have this name, but '1' was given"),
        ("ring", "graph", "must be a networkx graph, but 'str' was given"),
    ],
)
def test_a_graph_that_is_no_overlay_is_refused(graph, path, text):
    with pytest.raises(ScenarioError) as caught:
        plain_overlay(graph)
    assert caught.value.path == path
    assert text in str(caught.value)


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr("dmoa.scenario.overlays.NODES_MAX", 3)
    with pytest.raises(ScenarioError, match="give fewer"):
        plain_overlay(nx.path_graph(4))


@pytest.mark.parametrize(
    ("attributes", "positions"),
    [
        ({"pos": (1, 2)}, ((1.0, 2.0), (1.0, 2.0))),
        ({"longitude": 1.5, "latitude": -2.0}, ((1.5, -2.0), (1.5, -2.0))),
        ({"longitude": 1.5}, None),
        ({"pos": "here"}, None),
        ({"pos": (1, 2, 3)}, None),
        ({"pos": (math.nan, 2)}, None),
        ({"pos": 3}, None),
        ({}, None),
    ],
)
def test_positions_are_taken_where_every_node_has_one(attributes, positions):
    graph = nx.Graph()
    graph.add_node("a", **attributes)
    graph.add_node("b", **attributes)
    assert plain_overlay(graph).positions == positions


def test_positions_are_left_out_where_a_node_has_none():
    graph = nx.Graph([(0, 1)])
    graph.nodes[0]["pos"] = (0, 0)
    assert plain_overlay(graph).positions is None


def test_a_grid_is_drawn_as_a_grid():
    assert built(topology="grid", nodes=4).positions == ((0, 0), (1, 0), (0, -1), (1, -1))
