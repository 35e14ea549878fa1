"""Who may ask whom: a named overlay, a ready one, a file or a graph, cleaned and made plain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError
from dmoa.scenario.choices import GENERATED, GRAPH
from dmoa.scenario.generators import generate
from dmoa.scenario.overlay_files import read_overlay
from dmoa.scenario.ready import ready_file, ready_overlays
from dmoa.scenario.schema import NODES_MAX, Overlay

if TYPE_CHECKING:
    import networkx as nx

_LISTED_MAX = 5


@dataclass(frozen=True)
class Neighbours:
    """An overlay as the simulator and the theory read it.

    Attributes:
        names: Name of each node, ``(n,)``.
        peers: Indices of the nodes that each node may ask, ascending, ``(n,)``.
        positions: Where to draw each node (x, y), or ``None`` where the overlay does not say.
        notes: What was changed or is unusual, in sentences.
    """

    names: tuple[str, ...]
    peers: tuple[tuple[int, ...], ...]
    positions: tuple[tuple[float, float], ...] | None
    notes: tuple[str, ...]


def build_overlay(overlay: Overlay, graph: nx.Graph[Any] | None = None) -> Neighbours:
    """Find, generate or read an overlay.

    Args:
        overlay: The section of a checked scenario, so that its topology is known.
        graph: A networkx graph to use instead.

    Raises:
        ScenarioError: Its parameters do not fit, its file is malformed, or it has too few nodes.

    >>> build_overlay(Overlay(topology="path", nodes=3)).peers
    ((1,), (0, 2), (1,))
    """
    if graph is not None:
        return plain_overlay(graph)
    name = overlay.topology
    if name in GENERATED:
        return plain_overlay(generate(overlay))
    if name in ready_overlays():
        return plain_overlay(read_overlay(ready_file(name)))
    if name == GRAPH:
        raise ScenarioError(
            "the overlay was given as a graph from Python",
            path="overlay.topology",
            given=name,
            remedy="give it again with graph=",
        )
    return plain_overlay(read_overlay(name))


def some(names: list[str]) -> str:
    """List the first few names.

    >>> some(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return ", ".join(names[:_LISTED_MAX]) + more


def _position(attributes: dict[str, Any]) -> tuple[float, float] | None:
    place = (attributes.get("longitude"), attributes.get("latitude"))
    pair: Any = attributes.get("pos", place)
    try:
        x, y = map(float, pair)
    except (TypeError, ValueError):
        return None
    return (x, y) if abs(x) + abs(y) < float("inf") else None


def _components(peers: list[set[int]]) -> int:
    """Count the parts of the overlay that no edge joins, whatever its direction."""
    both: list[set[int]] = [set(own) for own in peers]
    for node, own in enumerate(peers):
        for peer in own:
            both[peer].add(node)
    seen = [False] * len(peers)
    parts = 0
    for start in range(len(peers)):
        if seen[start]:
            continue
        parts += 1
        seen[start], stack = True, [start]
        while stack:
            for peer in both[stack.pop()]:
                if not seen[peer]:
                    seen[peer] = True
                    stack.append(peer)
    return parts


def plain_overlay(graph: nx.Graph[Any]) -> Neighbours:
    """Turn any networkx graph into names and neighbours, in the order of its nodes.

    Self-loops and parallel edges are dropped and said. A directed edge u -> v means that u may
    ask v. Isolated nodes and separate parts are allowed and said.

    Raises:
        ScenarioError: It is no graph, has fewer than 2 or too many nodes, or two nodes share a
            name.

    >>> import networkx as nx
    >>> plain_overlay(nx.MultiGraph([("a", "b"), ("a", "b")])).notes
    ('1 parallel edge was dropped: an overlay has one edge between two nodes',)
    """
    if not callable(getattr(graph, "is_multigraph", None)):
        raise ScenarioError("must be a networkx graph", path="graph", given=type(graph).__name__)
    labels = list(graph.nodes)
    if not 2 <= len(labels) <= NODES_MAX:
        raise ScenarioError(
            f"an overlay has 2 to {NODES_MAX:,} nodes",
            path="overlay",
            given=len(labels),
            remedy="a node alone has nobody to ask" if len(labels) < 2 else "give fewer",
        )
    index = {label: number for number, label in enumerate(labels)}
    names = tuple(str(label) for label in labels)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ScenarioError(
            "two nodes have this name", path="overlay", given=twice, remedy="rename one"
        )
    peers: list[set[int]] = [set() for _ in labels]
    loops = parallel = 0
    for one, other in graph.edges():
        here, there = index[one], index[other]
        if here == there:
            loops += 1
            continue
        parallel += there in peers[here]
        peers[here].add(there)
        if not graph.is_directed():
            peers[there].add(here)
    notes = _notes(names, peers, loops, parallel, directed=graph.is_directed())
    found = [_position(graph.nodes[label]) for label in labels]
    positions = tuple(place for place in found if place is not None)
    return Neighbours(
        names,
        tuple(tuple(sorted(own)) for own in peers),
        positions if len(positions) == len(labels) else None,
        notes,
    )


def _notes(
    names: tuple[str, ...], peers: list[set[int]], loops: int, parallel: int, *, directed: bool
) -> tuple[str, ...]:
    notes = []
    if loops:
        are = "self-loop was" if loops == 1 else "self-loops were"
        notes.append(f"{loops} {are} dropped: a node always asks itself anyway")
    if parallel:
        are = "parallel edge was" if parallel == 1 else "parallel edges were"
        notes.append(f"{parallel} {are} dropped: an overlay has one edge between two nodes")
    if directed:
        notes.append("the overlay is directed: an edge u -> v means that u may ask v")
    asked = set().union(*peers)
    isolated = [name for i, name in enumerate(names) if not peers[i] and i not in asked]
    if isolated:
        one = len(isolated) == 1
        who = "1 node has" if one else f"{len(isolated)} nodes have"
        alone = "answers alone" if one else "answer alone"
        notes.append(f"{who} no neighbours and {alone}: {some(isolated)}")
    parts = _components(peers)
    if parts > 1:
        notes.append(f"the overlay is disconnected: {parts} parts that never ask each other")
    return tuple(notes)
