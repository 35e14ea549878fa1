"""The overlays, and the critical rates for α = 1, that the theory is checked against."""

from __future__ import annotations

from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray


class Row(NamedTuple):
    """Critical rates of one overlay and plan, to four places."""

    overlay: str
    layers: int
    proposers: int
    theorem1_hz: float
    uniform_hz: float
    best_hz: float


TABLE = [
    Row("cycle_graph(8)", 2, 2, 0.1429, 0.1429, 0.1429),
    Row("cycle_graph(8)", 2, 3, 0.1111, 0.1429, 0.1429),
    Row("star_graph(7)", 1, 1, 0.3333, 0.1111, 0.1111),
    Row("star_graph(7)", 2, 2, 0.1429, 0.0588, 0.0588),
    Row("grid 4x4", 2, 2, 0.1429, 0.1304, 0.1429),
    Row("barabasi_albert_graph(32, 2, seed=1)", 1, 1, 0.3333, 0.1636, 0.3000),
    Row("barabasi_albert_graph(32, 2, seed=1)", 2, 2, 0.1429, 0.0514, 0.0857),
    Row("karate_club_graph", 1, 2, 0.2500, 0.0739, 0.1111),
]

OVERLAYS = {
    "cycle_graph(8)": nx.cycle_graph(8),
    "star_graph(7)": nx.star_graph(7),
    "grid 4x4": nx.grid_2d_graph(4, 4),
    "barabasi_albert_graph(32, 2, seed=1)": nx.barabasi_albert_graph(32, 2, seed=1),
    "karate_club_graph": nx.karate_club_graph(),
}


def adjacency(graph: nx.Graph) -> NDArray[np.float64]:
    """Give the 0/1 matrix of an overlay, without the weights that some networkx graphs carry."""
    matrix: NDArray[np.float64] = nx.to_numpy_array(graph, weight=None)
    return matrix
