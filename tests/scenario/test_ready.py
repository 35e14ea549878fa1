"""The ready overlays: found, counted, named, and listed in their README."""

import re

import networkx as nx
import pytest

from dmoa.scenario import from_dict, ready, ready_file, ready_overlays, resolve
from dmoa.scenario.overlay_files import read_overlay

COUNTS = {
    "abilene": (11, 14),
    "campus": (20, 32),
    "city": (35, 52),
    "factory": (17, 25),
    "geant": (22, 36),
    "home": (6, 7),
    "karate": (34, 78),
    "mesh": (25, 48),
    "nsfnet": (14, 21),
    "office": (13, 30),
}


def test_the_ready_overlays_are_these():
    assert ready_overlays() == tuple(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_ready_overlay_is_one_connected_simple_graph_of_its_size(name):
    setup = resolve(from_dict({"overlay": {"topology": name}, "plan": {"proposers": 1}}))
    graph = setup.graph()
    assert (graph.number_of_nodes(), graph.number_of_edges()) == COUNTS[name]
    assert nx.is_connected(graph)
    assert setup.notes == ()


@pytest.mark.parametrize("name", COUNTS)
def test_a_ready_overlay_says_what_it_is_where_its_format_can(name):
    file = ready_file(name)
    if file.suffix == ".edgelist":
        assert file.read_text("utf-8").startswith(f"# {name}: ")
    else:
        about = read_overlay(file).graph
        assert about["name"] == name
        assert {"description", "source"} <= set(about)


def test_each_format_has_a_ready_overlay():
    assert {ready_file(name).suffix for name in COUNTS} == {".graphml", ".edgelist", ".json"}


def test_the_real_networks_and_the_drawn_places_have_positions():
    for name in ("abilene", "geant", "nsfnet", "campus", "city", "factory", "office"):
        graph = resolve(from_dict({"overlay": {"topology": name}})).graph()
        assert len(nx.get_node_attributes(graph, "pos")) == COUNTS[name][0]


@pytest.mark.parametrize("page", ["topologies/README.md", "docs/topologies.md"])
def test_the_pages_list_every_ready_overlay_with_its_counts(root, page):
    text = (root / page).read_text("utf-8")
    rows = re.findall(
        r"^\| `([\w-]+)` \|(?: [A-Za-z -]+ \|)? (\d+) \| (\d+) \|", text, re.MULTILINE
    )
    assert {name: (int(nodes), int(edges)) for name, nodes, edges in rows} == COUNTS


def test_an_installed_package_holds_them_itself(tmp_path, monkeypatch):
    inside = tmp_path / "dmoa" / "topologies"
    inside.mkdir(parents=True)
    (inside / "tiny.edgelist").write_text("a b\n")
    monkeypatch.setattr(ready, "__file__", str(tmp_path / "dmoa" / "scenario" / "ready.py"))
    ready._files.cache_clear()
    try:
        assert ready.ready_overlays() == ("tiny",)
    finally:
        ready._files.cache_clear()
