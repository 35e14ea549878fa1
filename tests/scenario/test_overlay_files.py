"""Overlays from files: what is read, and line and column of what is not."""

import json
import re

import networkx as nx
import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, overlay_files, resolve
from dmoa.scenario.overlay_files import read_overlay
from dmoa.scenario.overlays import file_overlay, plain_overlay

HEAD = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
PAIR = '<node id="a"/><node id="b"/><edge source="a" target="b"/>'


@pytest.fixture
def write(tmp_path):
    def written(text, name):
        file = tmp_path / name
        file.write_text(text, "utf-8")
        return file

    return written


def edges(graph):
    return sorted(tuple(sorted(map(str, edge))) for edge in graph.edges())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.graphml", f'{HEAD}<graph edgedefault="undirected">{PAIR}</graph></graphml>'),
        ("a.edgelist", "a b\n"),
        ("a.txt", "# two nodes\n\na\tb # the edge"),
        ("a.csv", "a, b\n"),
        ("A.CSV", "a,b\n"),
        (
            "a.json",
            '{"nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"source": "a", "target": "b"}]}',
        ),
        (
            "old.json",
            '{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "b"}]}',
        ),
    ],
)
def test_each_format_is_read(write, name, text):
    file = write(text, name)
    assert edges(read_overlay(file)) == [("a", "b")]
    assert resolve(from_dict({"overlay": {"topology": str(file)}})).names == ("a", "b")


@pytest.mark.parametrize(
    ("language", "name", "found"),
    [
        ("xml", "a.graphml", [("Paris", "Rome")]),
        (
            "text",
            "a.edgelist",
            [("desk-1", "desk-2"), ("desk-2", "desk-3"), ("desk-3", "the printer")],
        ),
        ("json", "a.json", [("camera", "hub")]),
    ],
)
def test_the_examples_of_the_documentation_are_read(root, write, language, name, found):
    page = (root / "docs" / "topologies.md").read_text("utf-8")
    (example,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert edges(read_overlay(write(example, name))) == found


def test_names_in_a_csv_may_hold_blanks(write):
    assert edges(read_overlay(write("New York,Paris\n", "a.csv"))) == [("New York", "Paris")]


def test_what_networkx_writes_is_read(tmp_path):
    graph = nx.barabasi_albert_graph(12, 2, seed=1)
    nx.write_graphml(graph, tmp_path / "g.graphml")
    (tmp_path / "g.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    nx.write_edgelist(graph, tmp_path / "g.edgelist", data=False)
    for name in ("g.graphml", "g.json", "g.edgelist"):
        assert edges(read_overlay(tmp_path / name)) == edges(graph)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.graphml", "", "the file is empty"),
        ("a.json", " \n", "the file is empty"),
        ("a.graphml", "<graphml>\n<graph>\n</grap>", "at line 3, column 3: mismatched tag"),
        ("a.graphml", "hello", "at line 1, column 1: syntax error"),
        (
            "a.graphml",
            '<!DOCTYPE x [<!ENTITY y "z">]><graphml/>',
            "a document type is not accepted",
        ),
        ("a.graphml", f"{HEAD}</graphml>", "cannot be read as an overlay: file not success"),
        ("a.graphml", f"{HEAD}<graph><node/></graph></graphml>", "<node> 1 has no id"),
        (
            "a.graphml",
            f'{HEAD}<graph>{PAIR}<edge source="a"/></graph></graphml>',
            "<edge> 2 has no target",
        ),
        (
            "a.graphml",
            f'{HEAD}<graph>{PAIR}<edge target="a" source="c"/></graph></graphml>',
            "<edge> 2 names 'c', which is no node",
        ),
        ("a.edgelist", "a b\nc\n", "at line 2, column 2: an edge has two nodes, this line has one"),
        ("a.edgelist", "a b 3\n", "at line 1, column 5: only two nodes stand on a line"),
        ("a.csv", "a,b\na,b,c\n", "at line 2, column 5: only two nodes stand on a line"),
        ("a.csv", "a,\n", "at line 1, column 3: a node has no name"),
        ("a.csv", ",b\n", "at line 1, column 1: a node has no name"),
        ("a.txt", "# only a comment\n", "it has no edges"),
        ("a.json", '{"nodes": [}', "at line 1, column 12: Expecting value"),
        ("a.json", '{"nodes": [],\n "edges" 3}', "at line 2, column 10: Expecting ':' delimiter"),
        ("a.json", "[" * 200_000, "it nests too deep"),
        ("a.json", "[1]", 'node-link JSON has lists "nodes" and "edges"'),
        ("a.json", '{"nodes": 3, "edges": []}', 'node-link JSON has lists "nodes" and "edges"'),
        ("a.json", '{"nodes": []}', 'node-link JSON has lists "nodes" and "edges"'),
        ("a.json", '{"nodes": [1], "edges": []}', "nodes[0] must be"),
        ("a.json", '{"nodes": [{"id": []}], "edges": []}', "nodes[0] must be"),
        ("a.json", '{"nodes": [{"id": 1}], "edges": [3]}', "edges[0] must be"),
        ("a.json", '{"nodes": [{"id": 1}], "links": [{"source": 1}]}', "links[0] must be"),
        (
            "a.json",
            '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}',
            "edges[0] names 2, which is no node",
        ),
        (
            "a.json",
            '{"nodes": [{"id": 1}], "edges": [], "graph": 3}',
            '"graph" must be a table',
        ),
        (
            "a.json",
            (
                '{"multigraph": true, "nodes": [{"id": 1}, {"id": 2}], '
                '"edges": [{"source": 1, "target": 2, "key": []}]}'
            ),
            "cannot be read as an overlay",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_line_and_column(write, name, text, problem):
    file = write(text, name)
    with pytest.raises(ScenarioError) as caught:
        read_overlay(file)
    assert problem in caught.value.problem
    assert (caught.value.path, caught.value.given) == ("overlay.topology", str(file))
    assert caught.value.remedy == "see docs/topologies.md for the formats"


def test_a_missing_file_is_refused_with_a_way_out():
    with pytest.raises(ScenarioError) as caught:
        resolve(from_dict({"overlay": {"topology": "no/such.json"}}))
    assert caught.value.problem == "there is no such file"
    assert "dmoa topology list" in caught.value.remedy


def test_an_unknown_ending_is_refused():
    with pytest.raises(ScenarioError, match=r"give a \.graphml, \.edgelist"):
        resolve(from_dict({"overlay": {"topology": "./mine.gexf"}}))


LISTED = "a b # first\n\n# a comment\r\nNew York, Paris\nb a\x0cc c\n\n  c\ta\nlast a"


@pytest.mark.parametrize("block", [1, 7, 1_000_000])
def test_an_edge_list_is_read_alike_with_networkx_and_without(write, monkeypatch, block):
    monkeypatch.setattr(overlay_files, "_BLOCK", block)
    file = write(LISTED, "a.edgelist")
    found, expected = file_overlay(file), plain_overlay(read_overlay(file))
    assert found == expected
    assert found.names == ("a", "b", "New York", "Paris", "c", "last")
    assert found.peers == ((1, 4, 5), (0,), (3,), (2,), (0,), (0,))
    assert [note.split(" dropped")[0] for note in found.notes[:2]] == [
        "1 self-loop was",
        "1 parallel edge was",
    ]


def test_the_line_of_an_error_counts_from_the_beginning_of_the_file(write, monkeypatch):
    monkeypatch.setattr(overlay_files, "_BLOCK", 4)
    with pytest.raises(ScenarioError, match="at line 5, column 2: an edge has two nodes"):
        file_overlay(write("a b\nb c\n\nc d\ne\nf g\n", "a.edgelist"))


def test_an_edge_list_of_one_node_is_refused(write):
    with pytest.raises(ScenarioError, match="2 to 1,000,000 nodes") as caught:
        file_overlay(write("a a\n", "a.edgelist"))
    assert caught.value.given == 1
