"""Overlays by name: networkx generators with their parameters and a seed of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dmoa.errors import ScenarioError
from dmoa.scenario.schema import Overlay

if TYPE_CHECKING:
    import networkx as nx

_GRID_NODES = 16
_EDGES_MAX = 20_000_000


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


def _grid(overlay: Overlay, *, torus: bool) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    shape = grid_shape(overlay.nodes, overlay.rows, overlay.columns, overlay.topology)
    graph = nx.grid_2d_graph(*shape, periodic=torus)
    for row, column in graph.nodes:
        graph.nodes[row, column]["pos"] = (float(column), float(-row))
    return nx.convert_node_labels_to_integers(graph)


def _random_regular(overlay: Overlay) -> nx.Graph[Any]:
    import networkx as nx  # imported here: it takes longer than the whole command line

    made = nx.random_regular_graph(overlay.degree, overlay.nodes, seed=overlay.seed)
    # Its nodes come in the order of its edges; ours are numbered in order.
    graph: nx.Graph[Any] = nx.empty_graph(overlay.nodes)
    graph.add_edges_from(sorted(made.edges))
    return graph


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


def generate(overlay: Overlay) -> nx.Graph[Any]:
    """Generate a named overlay; the same overlay gives the same graph.

    Args:
        overlay: With every key of its topology filled in, as the parser leaves it.

    Returns:
        A graph whose nodes are 0 to n-1. A star of n nodes has its hub at 0.

    Raises:
        ScenarioError: The parameters do not fit each other.

    >>> from dmoa.scenario.parse import from_dict
    >>> generate(from_dict({"overlay": {"topology": "star", "nodes": 5}}).overlay).degree(0)
    4
    """
    import networkx as nx  # imported here: it takes longer than the whole command line

    _check_random(overlay)
    if _edges(overlay) > _EDGES_MAX:
        _refuse(
            f"would have more than {_EDGES_MAX:,} edges",
            "nodes",
            overlay.nodes,
            "give fewer nodes or edges",
        )
    nodes, seed = overlay.nodes, overlay.seed
    makers: dict[str, Callable[[], nx.Graph[Any]]] = {
        "ring": lambda: nx.cycle_graph(nodes),
        "path": lambda: nx.path_graph(nodes),
        "star": lambda: nx.star_graph((nodes or 0) - 1),
        "complete": lambda: nx.complete_graph(nodes),
        "grid": lambda: _grid(overlay, torus=False),
        "torus": lambda: _grid(overlay, torus=True),
        "tree": lambda: nx.full_rary_tree(overlay.branching, nodes),
        "random-regular": lambda: _random_regular(overlay),
        "erdos-renyi": lambda: nx.gnp_random_graph(nodes, overlay.probability, seed=seed),
        "watts-strogatz": lambda: nx.watts_strogatz_graph(
            nodes, overlay.neighbours, overlay.probability, seed=seed
        ),
        "barabasi-albert": lambda: nx.barabasi_albert_graph(nodes, overlay.attachments, seed=seed),
        "geometric": lambda: nx.random_geometric_graph(nodes, overlay.radius, seed=seed),
    }
    return makers[overlay.topology]()
