"""Overlays from files: GraphML, edge list and node-link JSON, with line and column in errors."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from dmoa.errors import ScenarioError
from dmoa.scenario.text_files import read_text

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from numpy.typing import NDArray

_PATH = "overlay.topology"
_BYTES_MAX = 50_000_000
_BLOCK = 1_000_000
_EDGE_LISTS = (".edgelist", ".txt", ".csv")
_SUFFIXES = (".graphml", *_EDGE_LISTS, ".json")


def is_file_name(name: str) -> bool:
    """Tell whether a topology is meant as a file: by its ending, or because it names a folder.

    >>> is_file_name("my.graphml"), is_file_name("./mine"), is_file_name("ring")
    (True, True, False)
    """
    return _kind(name) in _SUFFIXES or "/" in name or "\\" in name


def is_edge_list(file: str | Path) -> bool:
    """Tell whether the ending of a file says that it holds two names a line.

    >>> is_edge_list("my.csv"), is_edge_list("my.json")
    (True, False)
    """
    return _kind(file) in _EDGE_LISTS


def read_overlay(file: str | Path) -> nx.Graph[Any]:
    """Read an overlay as a networkx graph; the ending of the file says how.

    ``.graphml`` is GraphML; ``.edgelist``, ``.txt`` and ``.csv`` are edge lists; ``.json`` is
    node-link JSON. At most 50 MB.

    Raises:
        ScenarioError: The file is missing, empty or malformed; with line and column.

    >>> read_overlay("mine.gexf")
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: overlay.topology: unknown kind of file, but 'mine.gexf' was given;
    give a .graphml, .edgelist, .txt, .csv, .json file
    """
    if is_edge_list(file):
        return _edge_graph(*read_edge_list(file))
    text = _text(file)
    return _graphml(text, file) if _kind(file) == ".graphml" else _node_link(text, file)


def read_edge_list(file: str | Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Read two names a line, separated by blanks or a comma, with comments after ``#``.

    Returns:
        The names as they first come, ``(n,)``, and the ends of each edge, ``(edges, 2)``.

    Raises:
        ScenarioError: The file is missing, empty or malformed; with line and column.
    """
    import numpy as np  # imported here: the command line's help does not need it

    index: dict[str, int] = {}
    ends = array("q")
    for number, line in enumerate(_lines(_text(file)), start=1):
        content = line.partition("#")[0]
        names = [part.strip() for part in content.split(",")] if "," in content else content.split()
        if len(names) != 2 or "" in names:
            if content.strip():
                raise _bad_line(file, content, names, number)
            continue
        for name in names:
            ends.append(index.setdefault(name, len(index)))
    if not ends:
        raise _malformed(file, "it has no edges")
    return tuple(index), np.array(ends, np.int64).reshape(-1, 2)


def _text(file: str | Path) -> str:
    if _kind(file) not in _SUFFIXES:
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
    return text


def _kind(file: str | Path) -> str:
    return Path(file).suffix.lower()


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


def _lines(text: str) -> Iterator[str]:
    """Split into lines, a block at a time: a text for each line takes several times the file."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _BLOCK) + 1 or len(text)
        yield from text[start:end].splitlines()
        start = end


def _bad_line(file: str | Path, content: str, names: list[str], number: int) -> ScenarioError:
    if len(names) == 1:
        problem = "an edge has two nodes, this line has one"
        return _malformed(file, problem, number, len(content.rstrip()) + 1)
    if len(names) > 2:
        third = _column_of(content, 2)
        return _malformed(file, "only two nodes stand on a line", number, third)
    empty = names.index("")
    return _malformed(file, "a node has no name", number, _column_of(content, empty))


def _edge_graph(names: tuple[str, ...], pairs: NDArray[np.int64]) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    graph: nx.Graph[Any] = nx.MultiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((names[one], names[other]) for one, other in pairs.tolist())
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
