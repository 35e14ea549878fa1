"""Who may ask whom: a named overlay, a ready one, a file or a graph, cleaned and made plain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError
from dmoa.scenario.choices import GENERATED, GRAPH
from dmoa.scenario.overlay_files import is_edge_list, read_edge_list, read_overlay
from dmoa.scenario.ready import ready_file, ready_overlays
from dmoa.scenario.schema import NODES_MAX, Overlay

if TYPE_CHECKING:
    from pathlib import Path

    import networkx as nx
    import numpy as np
    from numpy.typing import NDArray

    from dmoa.scenario.rows import Peers

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
    peers: Peers
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
        return _generated(overlay)
    if name in ready_overlays():
        return file_overlay(ready_file(name))
    if name == GRAPH:
        raise ScenarioError(
            "the overlay was given as a graph from Python",
            path="overlay.topology",
            given=name,
            remedy="give it again with graph=",
        )
    return file_overlay(name)


def some(names: list[str]) -> str:
    """List the first few names.

    >>> some(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return ", ".join(names[:_LISTED_MAX]) + more


def file_overlay(file: str | Path) -> Neighbours:
    """Read an overlay from a file; an edge list goes into arrays without a networkx graph.

    Raises:
        ScenarioError: The file is malformed, or has too few nodes or too many.
    """
    if not is_edge_list(file):
        return plain_overlay(read_overlay(file))
    names, pairs = read_edge_list(file)
    _check_size(len(names))
    return _plain(names, pairs, None, directed=False)


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
    _check_size(len(labels))
    names = tuple(str(label) for label in labels)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ScenarioError(
            "two nodes have this name", path="overlay", given=twice, remedy="rename one"
        )
    import numpy as np  # imported here: the command line's help does not need it

    index = {label: number for number, label in enumerate(labels)}
    ends = np.fromiter((index[node] for edge in graph.edges() for node in edge), np.int64)
    found = [_position(graph.nodes[label]) for label in labels]
    positions = tuple(place for place in found if place is not None)
    return _plain(
        names,
        ends.reshape(-1, 2),
        positions if len(positions) == len(labels) else None,
        directed=graph.is_directed(),
    )


def _check_size(nodes: int) -> None:
    if not 2 <= nodes <= NODES_MAX:
        raise ScenarioError(
            f"an overlay has 2 to {NODES_MAX:,} nodes",
            path="overlay",
            given=nodes,
            remedy="a node alone has nobody to ask" if nodes < 2 else "give fewer",
        )


def _generated(overlay: Overlay) -> Neighbours:
    from dmoa.scenario.generators import generate  # imported here: it needs numpy

    made = generate(overlay)
    positions = None
    if made.positions is not None:
        x, y = made.positions.T.tolist()
        positions = tuple(zip(x, y, strict=True))
    return _plain(tuple(map(str, range(made.nodes))), made.pairs, positions, directed=False)


def _position(attributes: dict[str, Any]) -> tuple[float, float] | None:
    place = (attributes.get("longitude"), attributes.get("latitude"))
    pair: Any = attributes.get("pos", place)
    try:
        x, y = map(float, pair)
    except (TypeError, ValueError):
        return None
    return (x, y) if abs(x) + abs(y) < float("inf") else None


def _plain(
    names: tuple[str, ...],
    pairs: NDArray[np.int64],
    positions: tuple[tuple[float, float], ...] | None,
    *,
    directed: bool,
) -> Neighbours:
    """Make neighbours of edges (edges, 2), whatever their order and however often each is there."""
    import numpy as np

    from dmoa.scenario.rows import Peers  # it needs numpy

    nodes = len(names)
    proper = pairs[pairs[:, 0] != pairs[:, 1]]
    keys = proper[:, 0] * nodes + proper[:, 1]
    if not directed:
        keys = np.concatenate([keys, proper[:, 1] * nodes + proper[:, 0]])
    # By hand: numpy's unique hashes, which takes ten times as long on millions of numbers.
    keys.sort()
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    given, keys = len(keys), keys[first]
    offsets = np.searchsorted(keys, np.arange(nodes + 1) * nodes)
    peers = Peers(offsets, keys % nodes)
    loops = len(pairs) - len(proper)
    parallel = (given - len(keys)) // (1 if directed else 2)
    notes = _notes(names, peers, loops, parallel, directed=directed)
    return Neighbours(names, peers, positions, notes)


def _notes(
    names: tuple[str, ...], peers: Peers, loops: int, parallel: int, *, directed: bool
) -> tuple[str, ...]:
    import numpy as np

    notes = []
    if loops:
        are = "self-loop was" if loops == 1 else "self-loops were"
        notes.append(f"{loops} {are} dropped: a node always asks itself anyway")
    if parallel:
        are = "parallel edge was" if parallel == 1 else "parallel edges were"
        notes.append(f"{parallel} {are} dropped: an overlay has one edge between two nodes")
    if directed:
        notes.append("the overlay is directed: an edge u -> v means that u may ask v")
    met = peers.lengths() + np.bincount(peers.targets, minlength=len(names))
    isolated = [names[node] for node in np.flatnonzero(met == 0)]
    if isolated:
        one = len(isolated) == 1
        who = "1 node has" if one else f"{len(isolated)} nodes have"
        alone = "answers alone" if one else "answer alone"
        notes.append(f"{who} no neighbours and {alone}: {some(isolated)}")
    parts = peers.parts()
    if parts > 1:
        notes.append(f"the overlay is disconnected: {parts} parts that never ask each other")
    return tuple(notes)
