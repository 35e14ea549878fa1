"""Random overlays as arrays of edges, the same as those of networkx from the same seed.

networkx holds a graph as a dictionary of dictionaries, about a kilobyte per node. Here its
algorithms fill arrays, and draw what they draw there, in the same order, so that the graphs are
equal (``tests/scenario/test_overlays.py`` compares them).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pairs = NDArray[np.int64]


class Drawn(NamedTuple):
    """The edges of an overlay (edges, 2), each once, and places in the plane (nodes, 2) if any."""

    nodes: int
    pairs: Pairs
    positions: NDArray[np.float64] | None = None


def random_regular(nodes: int, degree: int, seed: int) -> Drawn:
    """Pair ends of edges at random until no node has any left (Steger and Wormald 1999).

    >>> np.bincount(random_regular(10, 3, seed=1).pairs.ravel()).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """
    stream = _stream(seed)
    keys = None
    while keys is None:
        keys = _paired(nodes, degree, stream)
    return Drawn(nodes, _pairs(keys, nodes))


def _paired(nodes: int, degree: int, stream: Any) -> NDArray[np.int64] | None:
    """Try to pair all ends; give the edges as numbers one * nodes + other, one < other."""
    keys = np.empty(0, np.int64)
    left = list(range(nodes)) * degree
    while left:
        stream.shuffle(left)
        ends = np.sort(np.array(left).reshape(-1, 2), axis=1)
        made = ends[:, 0] * nodes + ends[:, 1]
        fits = np.zeros(len(made), np.bool_)
        fits[np.unique(made, return_index=True)[1]] = True
        fits &= (ends[:, 0] != ends[:, 1]) & ~np.isin(made, keys)
        keys = np.concatenate([keys, made[fits]])
        missing = Counter(ends[~fits].ravel().tolist())
        if missing and not _can_go_on(list(missing), keys, nodes):
            return None
        left = list(missing.elements())
    return keys


def _can_go_on(missing: list[int], keys: NDArray[np.int64], nodes: int) -> bool:
    """Tell whether two nodes that miss edges are not neighbours yet, as networkx looks for them."""
    for node in missing:
        one = node
        for other in missing:
            if one == other:
                break
            low, high = min(one, other), max(one, other)
            if not (keys == low * nodes + high).any():
                return True
            one = low  # so in networkx, where the two change places
    return False


def erdos_renyi(nodes: int, probability: float, seed: int) -> Drawn:
    """Draw for every two nodes whether they are neighbours.

    >>> erdos_renyi(4, 0.5, seed=1).pairs.tolist()
    [[0, 1], [1, 2], [1, 3], [2, 3]]
    """
    numbers = _numbers(seed)
    found = [
        np.flatnonzero(numbers.random(nodes - 1 - node) < probability) + node + 1
        for node in range(nodes)
    ]
    ones = np.repeat(np.arange(nodes), [len(others) for others in found])
    return Drawn(nodes, np.column_stack([ones, np.concatenate(found)]))


def watts_strogatz(nodes: int, neighbours: int, probability: float, seed: int) -> Drawn:
    """Join each node of a ring with its neighbours, then move edges' far ends at random.

    Source: D. J. Watts, S. H. Strogatz, "Collective dynamics of 'small-world' networks", Nature
    393, 1998.

    >>> len(watts_strogatz(20, 4, 0.5, seed=1).pairs)
    40
    """
    stream, side = _stream(seed), neighbours // 2
    everyone = range(nodes)
    edges = {_key(node, (node + step) % nodes, nodes) for step in range(1, side + 1)
             for node in everyone}  # fmt: skip
    degree = [2 * side] * nodes
    for step in range(1, side + 1):
        for node in everyone:
            if stream.random() >= probability:
                continue
            old, new = (node + step) % nodes, stream.choice(everyone)
            while new == node or _key(node, new, nodes) in edges:
                new = stream.choice(everyone)
                if degree[node] >= nodes - 1:
                    break
            else:
                edges.remove(_key(node, old, nodes))
                edges.add(_key(node, new, nodes))
                degree[old] -= 1
                degree[new] += 1
    return Drawn(nodes, _pairs(np.fromiter(edges, np.int64, len(edges)), nodes))


def barabasi_albert(nodes: int, attachments: int, seed: int) -> Drawn:
    """Let each new node choose neighbours in proportion to the edges that they have.

    Source: A.-L. Barabási, R. Albert, "Emergence of scaling in random networks", Science 286,
    1999.

    >>> barabasi_albert(5, 1, seed=1).pairs.tolist()
    [[0, 1], [0, 2], [0, 3], [0, 4]]
    """
    stream = _stream(seed)
    # Both ends of every edge, in blocks: neighbours chosen, then the node that chose them.
    ends = [0] * attachments + list(range(1, attachments + 1))
    for node in range(attachments + 1, nodes):
        chosen: set[int] = set()
        while len(chosen) < attachments:
            chosen.add(stream.choice(ends))
        ends.extend(chosen)
        ends.extend([node] * attachments)
    blocks = np.array(ends).reshape(-1, 2, attachments)
    return Drawn(nodes, np.column_stack([blocks[:, 0].ravel(), blocks[:, 1].ravel()]))


def geometric(nodes: int, radius: float, seed: int) -> Drawn:
    """Place nodes in the unit square, and join those that are near each other.

    >>> len(geometric(20, 1.5, seed=1).pairs)
    190
    """
    from scipy.spatial import cKDTree  # imported here: scipy takes a second to import

    positions = _numbers(seed).random((nodes, 2))
    pairs = cKDTree(positions).query_pairs(radius, output_type="ndarray")
    return Drawn(nodes, pairs.astype(np.int64, copy=False), positions)


def hierarchy(nodes: int, branching: int, attachments: int, seed: int) -> Drawn:
    """Hang nodes below each other, level by level, and link those that hang below the same one.

    Node i hangs below node (i - 1) // branching, and has links to ``attachments - 1`` of its
    siblings before it, all different (Floyd's sampling), or to all of them if they are fewer.

    >>> hierarchy(7, 3, 2, seed=1).pairs.tolist()
    [[1, 0], [2, 0], [3, 0], [4, 1], [5, 1], [6, 1], [2, 1], [3, 2], [5, 4], [6, 4]]
    """
    node = np.arange(1, nodes)
    before = (node - 1) % branching
    pairs = [np.column_stack([node, (node - 1) // branching])]
    chosen: list[NDArray[np.int64]] = []
    numbers = _numbers(seed)
    for link in range(min(attachments, branching) - 1):
        last = before - np.minimum(attachments - 1, before) + link
        picked = (numbers.random(nodes - 1) * (last + 1)).astype(np.int64)
        for other in chosen:
            picked = np.where(picked == other, last, picked)
        chosen.append(picked)
        has = before > link
        pairs.append(np.column_stack([node, node - before + picked])[has])
    return Drawn(nodes, np.concatenate(pairs))


def _stream(seed: int) -> Any:
    """Give the stream from which networkx draws, a ``random.Random``."""
    from networkx.utils import create_py_random_state  # it takes longer than the command line

    return create_py_random_state(seed)


def _numbers(seed: int) -> np.random.Generator:
    """Give the same stream for drawing many numbers from 0 to 1 at once."""
    *key, position = _stream(seed).getstate()[1]
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(key, np.uint32), "pos": position},
    }
    return np.random.Generator(twister)


def _key(one: int, other: int, nodes: int) -> int:
    return one * nodes + other if one < other else other * nodes + one


def _pairs(keys: NDArray[np.int64], nodes: int) -> Pairs:
    return np.column_stack(np.divmod(keys, nodes))
