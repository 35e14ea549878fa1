"""Overlays from files: GraphML, edge list and node-link JSON, with line and column in errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from dmoa.errors import ScenarioError
from dmoa.scenario.text_files import read_text

if TYPE_CHECKING:
    import networkx as nx

_PATH = "overlay.topology"
_BYTES_MAX = 50_000_000
_EDGE_LISTS = (".edgelist", ".txt", ".csv")
_SUFFIXES = (".graphml", *_EDGE_LISTS, ".json")


def is_file_name(name: str) -> bool:
    """Tell whether a topology is meant as a file: by its ending, or because it names a folder.

    >>> is_file_name("my.graphml"), is_file_name("./mine"), is_file_name("ring")
    (True, True, False)
    """
    return Path(name).suffix.lower() in _SUFFIXES or "/" in name or "\\" in name


def read_overlay(file: str | Path) -> nx.Graph[Any]:
    """Read an overlay; the ending of the file says how.

    ``.graphml`` is GraphML; ``.edgelist``, ``.txt`` and ``.csv`` hold two names a line, separated
    by blanks or a comma, with comments after ``#``; ``.json`` is node-link JSON. At most 50 MB.

    Raises:
        ScenarioError: The file is missing, empty or malformed; with line and column.

    >>> read_overlay("mine.gexf")
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: overlay.topology: unknown kind of file, but 'mine.gexf' was given;
    give a .graphml, .edgelist, .txt, .csv, .json file
    """
    suffix = Path(file).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ScenarioError(
            "unknown kind of file",
            path=_PATH,
            given=str(file),
            remedy=f"give a {', '.join(_SUFFIXES)} file",
        )
    text = read_text(
        file,
        path=_PATH,
        bytes_max=_BYTES_MAX,
        remedy="see `dmoa topology list` for the overlays that come with dmoa",
    )
    if not text.strip():
        raise _malformed(file, "the file is empty")
    if suffix == ".graphml":
        return _graphml(text, file)
    return _node_link(text, file) if suffix == ".json" else _edge_list(text, file)


def _malformed(
    file: str | Path, problem: str, line: int | None = None, column: int | None = None
) -> ScenarioError:
    where = f" at line {line}, column {column}" if line is not None else ""
    return ScenarioError(
        f"cannot be read as an overlay{where}: {problem}",
        path=_PATH,
        given=str(file),
        remedy="see docs/topologies.md for the formats",
    )


def _graphml(text: str, file: str | Path) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _malformed(file, "a document type is not accepted, because it can define entities")
    try:
        # Entities, the danger of parsing foreign XML, were refused above.
        root = ET.fromstring(text)  # noqa: S314
    except ET.ParseError as error:
        line, column = error.position
        raise _malformed(file, str(error).partition(":")[0], line, column + 1) from None
    problem = _broken_element(root)
    if problem is not None:
        raise _malformed(file, problem)
    try:
        graph: nx.Graph[Any] = nx.parse_graphml(text)
    except (nx.NetworkXException, LookupError, ValueError, TypeError) as error:
        raise _malformed(file, str(error) or type(error).__name__) from None
    return graph


def _broken_element(root: ET.Element) -> str | None:
    """Find what networkx would silently read as a node of the name None, or as a new node."""
    known = set()
    for number, node in enumerate(root.iterfind(".//{*}node"), start=1):
        if "id" not in node.attrib:
            return f"<node> {number} has no id"
        known.add(node.attrib["id"])
    for number, edge in enumerate(root.iterfind(".//{*}edge"), start=1):
        for end in ("source", "target"):
            if end not in edge.attrib:
                return f"<edge> {number} has no {end}"
            if edge.attrib[end] not in known:
                return f"<edge> {number} names {edge.attrib[end]!r}, which is no node"
    return None


def _edge_list(text: str, file: str | Path) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    graph: nx.Graph[Any] = nx.MultiGraph()
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0]
        if not content.strip():
            continue
        names = [part.strip() for part in content.split(",")] if "," in content else content.split()
        if len(names) == 1:
            problem = "an edge has two nodes, this line has one"
            raise _malformed(file, problem, number, len(content.rstrip()) + 1)
        if len(names) > 2:
            third = _column_of(content, 2)
            raise _malformed(file, "only two nodes stand on a line", number, third)
        if "" in names:
            empty = names.index("")
            raise _malformed(file, "a node has no name", number, _column_of(content, empty))
        graph.add_edge(*names)
    if not graph:
        raise _malformed(file, "it has no edges")
    return graph


def _column_of(content: str, field: int) -> int:
    """Column, from 1, at which a field of an edge list's line starts."""
    if "," in content:
        return len(",".join(content.split(",")[:field])) + (2 if field else 1)
    column = 0
    for name in content.split()[:field]:
        column = content.index(name, column) + len(name)
    return content.index(content.split()[field], column) + 1


def _node_link(text: str, file: str | Path) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise _malformed(file, error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise _malformed(file, "it nests too deep") from None
    table = data if isinstance(data, dict) else {}
    # Files written by networkx before 3.4 say "links".
    edges = "edges" if "edges" in table else "links"
    if not (isinstance(table.get("nodes"), list) and isinstance(table.get(edges), list)):
        raise _malformed(file, 'node-link JSON has lists "nodes" and "edges"')
    if not isinstance(table.get("graph", {}), dict):
        raise _malformed(file, '"graph" must be a table of texts about the overlay')
    problem = _broken_entry(table["nodes"], table[edges], edges)
    if problem is not None:
        raise _malformed(file, problem)
    try:
        graph: nx.Graph[Any] = nx.node_link_graph(table, edges=edges)
    except (nx.NetworkXException, LookupError, ValueError, TypeError) as error:
        raise _malformed(file, str(error) or type(error).__name__) from None
    return graph


def _broken_entry(nodes: list[object], edges: list[object], key: str) -> str | None:
    known = set()
    for number, node in enumerate(nodes):
        name = node.get("id") if isinstance(node, dict) else None
        if not isinstance(name, str | int):
            return f'nodes[{number}] must be {{"id": text or number}}'
        known.add(name)
    for number, edge in enumerate(edges):
        ends = [edge.get("source"), edge.get("target")] if isinstance(edge, dict) else [None]
        for end in ends:
            if not isinstance(end, str | int):
                return f'{key}[{number}] must be {{"source": id, "target": id}}'
            if end not in known:
                return f"{key}[{number}] names {end!r}, which is no node"
    return None
