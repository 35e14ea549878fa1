"""Overlays by name, from their parameters and a seed of their own, as arrays of edges."""

from __future__ import annotations

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.scenario import random_overlays
from dmoa.scenario.random_overlays import Drawn
from dmoa.scenario.schema import Overlay

_GRID_NODES = 16
_EDGES_MAX = 20_000_000
#: Pairs of nodes of an erdos-renyi overlay: each takes a draw, all of them half a minute.
_DRAWS_MAX = 5_000_000_000


def grid_shape(
    nodes: int | None, rows: int | None, columns: int | None, topology: str = "grid"
) -> tuple[int, int]:
    """Find rows and columns of a grid: those given, else as square as the nodes allow.

    Raises:
        ScenarioError: The numbers contradict each other, or the nodes only fit one row.

    >>> grid_shape(12, None, None), grid_shape(None, 2, 5), grid_shape(None, None, None)
    ((3, 4), (2, 5), (4, 4))
    """
    if rows is not None and columns is not None:
        if nodes not in (None, rows * columns):
            raise ScenarioError(
                f"{rows} rows of {columns} make {rows * columns} nodes",
                path="overlay.nodes",
                given=nodes,
                remedy="remove nodes, or rows and columns",
            )
        return rows, columns
    side = rows if rows is not None else columns
    nodes = _GRID_NODES if nodes is None else nodes
    if side is not None:
        if nodes % side:
            raise ScenarioError(
                f"{nodes} nodes do not fill lines of {side}",
                path="overlay.rows" if rows is not None else "overlay.columns",
                given=side,
                remedy="give a divisor of the nodes",
            )
        return (side, nodes // side) if rows is not None else (nodes // side, side)
    best = max(side for side in range(1, int(nodes**0.5) + 1) if nodes % side == 0)
    if best == 1:
        raise ScenarioError(
            f"{nodes} nodes only form a {topology} of one row",
            path="overlay.nodes",
            given=nodes,
            remedy=f"give {nodes + 1} nodes, or choose 'path' or 'ring'",
        )
    return best, nodes // best


def _refuse(problem: str, key: str, given: object, remedy: str) -> None:
    raise ScenarioError(problem, path=f"overlay.{key}", given=given, remedy=remedy)


def _grid(overlay: Overlay, *, torus: bool) -> Drawn:
    rows, columns = grid_shape(overlay.nodes, overlay.rows, overlay.columns, overlay.topology)
    nodes = np.arange(rows * columns)
    places = nodes.reshape(rows, columns)
    joined = [(places[:-1], places[1:]), (places[:, :-1], places[:, 1:])]
    # A row or column of two is closed already.
    if torus and rows > 2:
        joined.append((places[0], places[-1]))
    if torus and columns > 2:
        joined.append((places[:, 0], places[:, -1]))
    pairs = [np.column_stack([one.ravel(), other.ravel()]) for one, other in joined]
    row, column = np.divmod(nodes, columns)
    positions = np.column_stack([column, -row]).astype(np.float64)
    return Drawn(nodes.size, np.concatenate(pairs), positions)


def _regular(topology: str, nodes: int, branching: int) -> Drawn:
    """Generate an overlay whose edges follow from a rule."""
    node = np.arange(1, nodes)
    match topology:
        case "star":
            before = np.zeros_like(node)
        case "tree":
            before = (node - 1) // branching
        case "complete":
            before, node = np.triu_indices(nodes, 1)
        case _:  # a path, and a ring but for its last edge; a ring of two has none
            before = node - 1
    pairs = np.column_stack([before, node])
    if topology == "ring" and nodes > 2:
        pairs = np.concatenate([pairs, [[nodes - 1, 0]]])
    return Drawn(nodes, pairs)


def _check_random(overlay: Overlay) -> None:
    nodes = overlay.nodes or 0
    degree, near, attachments = overlay.degree, overlay.neighbours, overlay.attachments
    if degree is not None and degree >= nodes:
        _refuse(f"{nodes} nodes have {nodes - 1} neighbours at most", "degree", degree, "give less")
    if degree is not None and degree * nodes % 2:
        _refuse(
            "nodes times degree must be even", "degree", degree, "change degree or nodes by one"
        )
    if near is not None and near > nodes:
        _refuse(f"there are only {nodes} nodes", "neighbours", near, f"give at most {nodes}")
    if attachments is not None and attachments >= nodes:
        _refuse(
            f"with {nodes} nodes at most {nodes - 1} fit",
            "attachments",
            attachments,
            "give less",
        )


def _check_size(overlay: Overlay) -> None:
    nodes = overlay.nodes or 0
    if _edges(overlay) > _EDGES_MAX:
        _refuse(
            f"would have more than {_EDGES_MAX:,} edges",
            "nodes",
            overlay.nodes,
            "give fewer nodes or edges",
        )
    if overlay.topology == "erdos-renyi" and nodes * (nodes - 1) // 2 > _DRAWS_MAX:
        _refuse(
            f"has more than {_DRAWS_MAX:,} pairs of nodes to draw for",
            "nodes",
            overlay.nodes,
            "give at most 100,000, or choose 'random-regular' or 'watts-strogatz'",
        )


def _edges(overlay: Overlay) -> float:
    """Expected number of edges, before anything is built."""
    nodes = overlay.nodes or 0
    pairs = nodes * (nodes - 1) / 2
    match overlay.topology:
        case "complete":
            return pairs
        case "erdos-renyi":
            return pairs * (overlay.probability or 0)
        case "geometric":
            return pairs * min(1.0, 3.1416 * (overlay.radius or 0) ** 2)
        case _:
            per_node = overlay.degree or overlay.neighbours or overlay.attachments or 1
            return float(nodes * per_node)


def generate(overlay: Overlay) -> Drawn:
    """Generate a named overlay; the same overlay gives the same edges.

    Args:
        overlay: With every key of its topology filled in, as the parser leaves it.

    Returns:
        Edges between nodes 0 to n-1. A star of n nodes has its hub at 0.

    Raises:
        ScenarioError: The parameters do not fit each other.

    >>> from dmoa.scenario.parse import from_dict
    >>> generate(from_dict({"overlay": {"topology": "star", "nodes": 3}}).overlay).pairs.tolist()
    [[0, 1], [0, 2]]
    """
    _check_random(overlay)
    _check_size(overlay)
    nodes, seed = overlay.nodes or 0, overlay.seed or 0
    chance, attachments = overlay.probability or 0.0, overlay.attachments or 0
    match overlay.topology:
        case "grid" | "torus":
            return _grid(overlay, torus=overlay.topology == "torus")
        case "random-regular":
            return random_overlays.random_regular(nodes, overlay.degree or 0, seed)
        case "erdos-renyi" if 0 < chance < 1:
            return random_overlays.erdos_renyi(nodes, chance, seed)
        case "erdos-renyi":
            return _regular("complete", nodes if chance else 0, 1)._replace(nodes=nodes)
        case "watts-strogatz" if overlay.neighbours == nodes:
            return _regular("complete", nodes, 1)
        case "watts-strogatz":
            return random_overlays.watts_strogatz(nodes, overlay.neighbours or 0, chance, seed)
        case "barabasi-albert":
            return random_overlays.barabasi_albert(nodes, attachments, seed)
        case "geometric":
            return random_overlays.geometric(nodes, overlay.radius or 0.0, seed)
        case "hierarchy":
            return random_overlays.hierarchy(nodes, overlay.branching or 1, attachments, seed)
        case _:
            return _regular(overlay.topology, nodes, overlay.branching or 1)
