"""Where the nodes of an overlay are drawn: the same places each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import networkx as nx

    from dmoa.scenario import Setup
    from dmoa.trace.meter import Floats

SPRINGS_FROM = 120
"""Above this many nodes of one part, the exact distances of Kamada and Kawai take too long."""

_CIRCLES = ("ring", "complete", "watts-strogatz")
_LINE_MAX = 12

# Nodes of which half have a neighbour nearer than this, in units of an even spacing, are crowded.
_CROWDED = 0.35
_BY_RANK = 0.75

# Nodes stand at least this far apart: in units of the spacing of n nodes that fill a square, but
# no farther than what the largest nodes need. Given places mean something and move less.
_APART = 0.45
_APART_GIVEN = 0.15
_APART_MAX = 0.1
_PUSHES_MAX = 500


def place_nodes(setup: Setup) -> Floats:
    """Place the nodes of an overlay in a plane (n, 2), within 0 to 1 in the longer direction.

    Where the overlay says where its nodes are (geographic ones, grids), there, crowds pulled
    apart; rings and complete overlays on a circle; paths on a line, long ones in rows; stars
    around their hub; all else so that distances in the plane follow those in the overlay, each
    part of it beside the others. Nodes that would touch are pushed apart, except on circles and
    rows, whose spacing is even.

    >>> from dmoa.scenario import from_dict, resolve
    >>> place_nodes(resolve(from_dict({"overlay": {"topology": "path", "nodes": 3}})))
    array([[0. , 0. ],
           [0.5, 0. ],
           [1. , 0. ]])
    """
    n, topology = len(setup.names), setup.scenario.overlay.topology
    if setup.positions is not None:
        places = _push_apart(_pull_apart(np.array(setup.positions, float)), _APART_GIVEN)
    elif topology in _CIRCLES:
        places = _circle(n)
    elif topology == "path":
        places = _rows(n)
    elif topology == "star":
        places = np.vstack([[0.0, 0.0], _circle(n - 1)])
    else:
        places = _push_apart(_spread(setup), _APART)
    # Rounded, so that the last bits of an optimiser's result do not reach the file.
    placed: Floats = np.round(_fitted(places), 4)
    return placed


def _fitted(places: Floats) -> Floats:
    """Move and scale places to 0 to 1 in the longer direction."""
    moved = places - places.min(axis=0)
    fitted: Floats = moved / (moved.max() or 1.0)
    return fitted


def _circle(n: int) -> Floats:
    """Give n places on a circle, clockwise from the top."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.sin(angle), np.cos(angle)])


def _rows(n: int) -> Floats:
    """Give n places on a line; more than a dozen in rows, to and fro, downwards."""
    width = n if n <= _LINE_MAX else int(np.ceil((1.6 * n) ** 0.5))
    row, column = np.divmod(np.arange(n), width)
    return np.column_stack([np.where(row % 2, width - 1 - column, column), -row]).astype(float)


def _pull_apart(places: Floats) -> Floats:
    """Move crowded nodes towards even spacing, keeping who is west and who is north of whom."""
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    extent = np.ptp(places, axis=0)
    even = (extent.prod() / len(places)) ** 0.5
    if np.median(apart.min(axis=1)) >= _CROWDED * even:
        return places
    ranks = np.column_stack(
        [np.unique(column, return_inverse=True)[1] for column in places.T]
    ).astype(float)
    ranks *= extent.max() / ranks.max() * np.array([1.0, 0.62])
    apart_again: Floats = _BY_RANK * ranks + (1 - _BY_RANK) * (places - places.min(axis=0))
    return apart_again


def _push_apart(places: Floats, share: float) -> Floats:
    """Push nodes that stand too close away from each other, until none do."""
    from scipy.spatial import KDTree  # imported here: it takes longer than the whole command line

    apart = min(share / len(places) ** 0.5, _APART_MAX)
    places = np.round(_fitted(places), 6)  # what an optimiser's last bits differ by would grow
    for _ in range(_PUSHES_MAX):
        places = _fitted(places)
        one, other = KDTree(places).query_pairs(apart, output_type="ndarray").T
        if not len(one):
            break
        between = places[other] - places[one]
        distance = np.hypot(*between.T)
        # Nodes in one place leave it in directions that do not depend on chance.
        between[distance == 0] = _circle(len(places))[other[distance == 0]]
        # A little too far, so that the rest comes to its end.
        push = (0.55 * apart - 0.5 * distance) / np.where(distance, distance, 1.0)
        moves = np.zeros_like(places)
        np.add.at(moves, one, -between * push[:, None])
        np.add.at(moves, other, between * push[:, None])
        places = places + moves
    return places


def _spread(setup: Setup) -> Floats:
    """Lay out each connected part on its own, and set them side by side, the largest first."""
    import networkx as nx  # imported here: it takes longer than the whole command line

    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(range(len(setup.names)))
    graph.add_edges_from((i, j) for i, own in enumerate(setup.peers) for j in own)
    parts = [sorted(part) for part in nx.connected_components(graph)]
    parts.sort(key=lambda part: (-len(part), part[0]))
    places = np.zeros((len(graph), 2))
    left = bottom = height = 0.0
    width = 1.5 * len(graph) ** 0.5
    for part in parts:
        own = _one_part(graph.subgraph(part), part)
        size = own.max(axis=0)
        if left and left + size[0] > width:
            left, bottom, height = 0.0, bottom - height - 1, 0.0
        places[part] = own + np.array([left, bottom - size[1]])
        left += size[0] + 1
        height = max(height, size[1])
    return places


def _one_part(graph: nx.Graph[Any], nodes: list[int]) -> Floats:
    """Lay out a connected part, from 0 to about the square root of its nodes."""
    import networkx as nx

    if len(nodes) == 1:
        return np.zeros((1, 2))
    start = dict(zip(nodes, _circle(len(nodes)), strict=True))
    if len(nodes) <= SPRINGS_FROM:
        found = nx.kamada_kawai_layout(graph, pos=start)
    else:
        found = nx.spring_layout(graph, pos=start, seed=1, iterations=100)
    places = np.array([found[node] for node in nodes])
    # The longer side lies flat: figures are wider than high.
    axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2]
    places = (places - places.mean(axis=0)) @ axes.T
    places -= places.min(axis=0)
    spread: Floats = places * (len(nodes) ** 0.5 / places.max())
    return spread
