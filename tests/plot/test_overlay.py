"""The overlay: colours, labels, rings and places."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from dmoa import plot as figures
from dmoa import study
from dmoa.errors import ScenarioError
from dmoa.plot.layout import place_nodes
from dmoa.scenario import load

# The data of matplotlib's artists are typed as almost anything.
plot: Any = figures


def setup_of(*sets, graph=None):
    return study.prepare(load("ring", list(sets)), graph)


def drawn(setup, loads=None):
    return plot.overlay(setup, study.bound(setup).offered_load if loads is None else loads)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_nodes_are_coloured_by_offered_load_and_named():
    setup = setup_of("overlay.topology=star")
    ax = drawn(setup)
    nodes, ring = ax.collections[1:]
    assert nodes.get_array().tolist() == pytest.approx(study.bound(setup).offered_load)
    assert len(ring.get_offsets()) == 1
    assert ring.get_offsets()[0].tolist() == nodes.get_offsets()[0].tolist()
    assert set(setup.names) <= set(texts(ax))
    assert "bottleneck: node 0, offered load a = 1.8" in texts(ax)


def test_the_colour_bar_marks_the_limit_and_names_the_unit():
    ax = drawn(setup_of("overlay.topology=star"))
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "offered load a (Erlang)"
    assert [tick.get_text() for tick in bar.get_yticklabels()][4:] == ["1", "1.4", "1.8"]
    assert [line.get_ydata() for line in bar.lines if line.get_ydata()[0] == 1]


def test_below_the_limit_the_scale_ends_at_one():
    ax = drawn(setup_of())
    assert ax.collections[1].norm.vmax == 1
    assert "all nodes equal, offered load a = 0.8" in texts(ax)
    assert len(ax.collections) == 2  # edges and nodes, no ring


def test_several_bottlenecks_are_all_ringed():
    ax = drawn(setup_of("overlay.topology=grid", "overlay.nodes=16"))
    assert len(ax.collections[2].get_offsets()) == 4
    assert any(text.startswith("4 equal bottlenecks") for text in texts(ax))


def test_slots_divide_the_load():
    setup = setup_of("station.slots=4")
    ax = drawn(setup, [2.0] * 8)
    assert ax.collections[1].get_array().tolist() == [0.5] * 8
    assert ax.figure.axes[1].get_ylabel() == "offered load by slots a / slots (Erlang)"


def test_the_speed_at_full_batch_divides_the_load():
    setup = setup_of("station.slots=2", "station.speedup=[1, 1.6]")
    ax = drawn(setup, [0.8] * 8)
    assert ax.collections[1].get_array().tolist() == pytest.approx([0.5] * 8)
    assert ax.figure.axes[1].get_ylabel() == "offered load by capacity"


def test_long_names_stand_beside_their_nodes_without_hiding_each_other():
    setup = setup_of("overlay.topology=nsfnet")
    ax = drawn(setup)
    ax.figure.canvas.draw()
    names = setup.names
    boxes = {
        text.get_text(): text.get_window_extent() for text in ax.texts if text.get_text() in names
    }
    assert len(boxes) == 14
    overlapping = [
        (one, other)
        for one in boxes
        for other in boxes
        if one < other and boxes[one].overlaps(boxes[other])
    ]
    assert not overlapping


def test_of_many_nodes_only_the_most_loaded_are_named():
    setup = setup_of("overlay.topology=barabasi-albert", "overlay.nodes=200")
    loads = study.bound(setup).offered_load
    most = {setup.names[i] for i in np.argsort(loads)[-5:]}
    assert {text for text in texts(drawn(setup, loads)) if text in setup.names} == most


def test_one_way_edges_are_arrows():
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")])
    ax = drawn(setup_of("plan.proposers=1", graph=graph))
    assert len(ax.collections[0].get_segments()) == 1
    assert sum(text.arrow_patch is not None for text in ax.texts) == 2


@pytest.mark.parametrize("nodes", [2, 12, 13, 40])
def test_a_path_is_a_line_of_rows(nodes):
    places = place_nodes(setup_of("overlay.topology=path", f"overlay.nodes={nodes}"))
    steps = np.abs(np.diff(places, axis=0)).sum(axis=1)
    assert steps == pytest.approx([steps[0]] * (nodes - 1), abs=2e-4)


@pytest.mark.parametrize(
    "sets",
    [
        ("overlay.topology=ring", "overlay.nodes=30"),
        ("overlay.topology=star",),
        ("overlay.topology=barabasi-albert", "overlay.nodes=32"),
        ("overlay.topology=barabasi-albert", "overlay.nodes=150"),
        ("overlay.topology=erdos-renyi", "overlay.nodes=40", "overlay.probability=0.03"),
        ("overlay.topology=geant",),
        ("overlay.topology=nsfnet",),
    ],
)
def test_nodes_have_places_of_their_own_the_same_each_time(sets):
    setup = setup_of(*sets)
    places = place_nodes(setup)
    assert np.array_equal(places, place_nodes(setup))
    assert len(np.unique(places, axis=0)) == len(setup.names)
    assert places.min() == 0
    assert places.max() == 1


@pytest.mark.parametrize(
    "sets",
    [
        ("overlay.topology=karate",),
        ("overlay.topology=nsfnet",),
        ("overlay.topology=path", "overlay.nodes=2"),
        ("overlay.topology=ring", "overlay.nodes=300"),
        ("overlay.topology=geometric", "overlay.nodes=300", "overlay.radius=0.15"),
        ("overlay.topology=barabasi-albert", "overlay.nodes=150"),
    ],
)
def test_nodes_do_not_touch(sets):
    ax = drawn(setup_of(*sets))
    ax.figure.canvas.draw()
    nodes = ax.collections[1]
    centres_pt = ax.transData.transform(nodes.get_offsets()) * 72 / ax.figure.dpi
    (area,) = nodes.get_sizes()
    apart_pt = np.hypot(*(centres_pt[:, None] - centres_pt[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart_pt, np.inf)
    assert apart_pt.min() > area**0.5 + nodes.get_linewidths()[0]


def test_nodes_in_one_place_part():
    graph = nx.path_graph(4)
    nx.set_node_attributes(graph, {0: (0, 0), 1: (0, 0), 2: (0, 0), 3: (9, 1)}, "pos")
    places = place_nodes(setup_of(graph=graph))
    assert np.hypot(*np.diff(places, axis=0).T).min() > 0.05


def test_places_that_the_overlay_gives_are_kept():
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: (0, 0), 1: (2, 1), 2: (4, 0)}, "pos")
    assert place_nodes(setup_of(graph=graph)).tolist() == [[0, 0], [0.5, 0.25], [1, 0]]


def test_crowded_places_are_pulled_apart_in_their_order():
    setup = setup_of("overlay.topology=geant")
    west_to_east = np.argsort([x for x, _ in setup.positions], kind="stable")
    placed = place_nodes(setup)[west_to_east, 0]
    assert (np.diff(placed) >= 0).all()
    assert np.median(np.diff(placed)) > 0.02


def test_loads_and_nodes_must_agree_and_have_an_end():
    with pytest.raises(ScenarioError, match="one offered load for each of the 8 nodes"):
        plot.overlay(setup_of(), [1.0])
    with pytest.raises(ScenarioError, match="at most 2000 nodes"):
        plot.overlay(setup_of("overlay.nodes=2001"), [1.0] * 2001)


def test_axes_of_the_caller_are_drawn_into():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    setup = setup_of()
    assert plot.overlay(setup, study.bound(setup).offered_load, ax) is ax
