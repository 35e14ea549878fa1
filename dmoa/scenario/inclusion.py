"""Weighted selection: the chance of each peer to be asked in a layer, checked row by row."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dmoa.errors import ScenarioError
from dmoa.scenario.parse import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import coo_array, csr_array

    from dmoa.scenario.rows import Chances, Peers

    Given = Sequence[Sequence[float]] | NDArray[np.float64] | csr_array

_PATH = "plan.weights"
_ROUNDING = 1e-9
_LISTED_MAX = 20


def unknown_node(name: str, path: str, names: Sequence[str]) -> ScenarioError:
    """Make the error for a node that is not in the overlay; the nearest name is suggested.

    >>> print(unknown_node("paris", "nodes.paris", ["Paris", "Rome"]))
    nodes.paris: there is no such node, but 'paris' was given; did you mean 'Paris'?
    """
    close = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:_LISTED_MAX]) + (", ..." if len(names) > _LISTED_MAX else "")
    remedy = f"did you mean {close[0]!r}?" if close else f"known are: {shown}"
    return ScenarioError("there is no such node", path=path, given=name, remedy=remedy)


def table_inclusion(
    weights: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    peers: Peers,
    proposers: int,
) -> Chances:
    """Read a scenario's table {node = {peer = probability}}; an absent peer is never asked.

    Returns:
        Row j over ``peers[j]``, whose sum is min(k, d_j).

    Raises:
        ScenarioError: A name is unknown, no neighbour, or a row has another sum.

    >>> from dmoa.scenario.rows import Peers
    >>> peers = Peers([0, 1, 2], [1, 0])
    >>> table_inclusion({"a": {"b": 1}, "b": {"a": 1}}, ["a", "b"], peers, 1)
    ((1.0,), (1.0,))
    """
    known = dict(zip(names, peers, strict=True))
    for name, row in weights.items():
        if name not in known:
            raise unknown_node(name, f"{_PATH}.{name}", names)
        neighbours = [names[peer] for peer in known[name]]
        for peer in row:
            if peer not in neighbours:
                raise ScenarioError(
                    f"is no neighbour of {name}",
                    path=f"{_PATH}.{name}.{peer}",
                    given=row[peer],
                    remedy=nearest(peer, neighbours),
                )
    rows = [[weights.get(name, {}).get(names[peer], 0.0) for peer in known[name]] for name in names]
    return check_inclusion(rows, names, peers, proposers)


def check_inclusion(given: Given, names: Sequence[str], peers: Peers, proposers: int) -> Chances:
    """Check inclusion probabilities: each from 0 to 1, row j sums to min(k, d_j).

    Args:
        given: ``(n, n)`` with origins in rows, dense or from scipy.sparse, or for each node a row
            over its peers.
        names: Name of each node, ``(n,)``.
        peers: Neighbours of each node, ``(n,)``.
        proposers: k.

    Raises:
        ScenarioError: With the node whose row is wrong, and its sum.

    >>> from dmoa.scenario.rows import Peers
    >>> check_inclusion([[0, 1], [1, 0]], ["a", "b"], Peers([0, 1, 2], [1, 0]), proposers=1)
    ((1.0,), (1.0,))
    """
    import numpy as np  # imported here: the command line's help does not need it

    from dmoa.scenario.rows import Chances

    if isinstance(given, Sequence | np.ndarray):
        _check_rows(len(given), names)
        chances = _from_rows(given, names, peers)
    else:
        _check_rows(given.shape[0], names)
        chances = _from_matrix(given.tocoo(), names, peers)
    origins = peers.origins()
    odd = np.flatnonzero(~((chances >= -_ROUNDING) & (chances <= 1 + _ROUNDING)))
    if odd.size:
        raise ScenarioError(
            "must be a chance from 0 to 1",
            path=f"{_PATH}.{names[origins[odd[0]]]}.{names[peers.targets[odd[0]]]}",
            given=float(chances[odd[0]]),
        )
    wanted = np.minimum(proposers, peers.lengths())
    totals = np.bincount(origins, chances, minlength=len(names))
    off = np.flatnonzero(np.abs(totals - wanted) > _ROUNDING)
    if off.size:
        total, asked = float(totals[off[0]]), int(wanted[off[0]])
        raise ScenarioError(
            f"the chances must add up to {asked}, the peers asked in a layer",
            path=f"{_PATH}.{names[off[0]]}",
            given=total,
            remedy=f"multiply each by {asked / total:.6g}" if total else "give its peers",
        )
    return Chances(peers.offsets, np.clip(chances, 0.0, 1.0))


def _check_rows(rows: int, names: Sequence[str]) -> None:
    if rows != len(names):
        raise ScenarioError(
            f"there must be a row for each of the {len(names)} nodes", path=_PATH, given=rows
        )


def _from_rows(
    given: Sequence[Sequence[float]] | NDArray[np.float64], names: Sequence[str], peers: Peers
) -> NDArray[np.float64]:
    """Take rows over the peers of each node, or over all nodes; flat, in the order of the peers."""
    import numpy as np

    flat: list[float] = []
    for name, row, own in zip(names, given, peers, strict=True):
        chances = [float(chance) for chance in row]
        if len(chances) == len(names):
            # A node is never its own peer, so a row over all nodes is longer than one over peers.
            beyond = sum(abs(chance) for chance in chances) - sum(abs(chances[i]) for i in own)
            if not beyond <= _ROUNDING:
                raise _no_neighbour(name)
            chances = [chances[peer] for peer in own]
        if len(chances) != len(own):
            raise ScenarioError(
                f"must have {len(own)} chances, one for each neighbour",
                path=f"{_PATH}.{name}",
                given=len(chances),
            )
        flat.extend(chances)
    return np.array(flat, np.float64)


def _from_matrix(given: coo_array, names: Sequence[str], peers: Peers) -> NDArray[np.float64]:
    """Take the entries of a sparse matrix ``(n, n)``; flat, in the order of the peers."""
    import numpy as np

    nodes = len(names)
    origins, servers = (axis.astype(np.int64) for axis in given.coords)
    edges, keys = peers.origins() * nodes + peers.targets, origins * nodes + servers
    places = np.minimum(np.searchsorted(edges, keys), len(edges) - 1)
    known = edges[places] == keys if len(edges) else np.zeros(len(keys), np.bool_)
    beyond = np.flatnonzero(~known & ~(np.abs(given.data) <= _ROUNDING))
    if beyond.size:
        raise _no_neighbour(names[origins[beyond].min()])
    chances = np.zeros(len(edges))
    np.add.at(chances, places[known], given.data[known])
    return chances


def _no_neighbour(name: str) -> ScenarioError:
    return ScenarioError("gives weight to a node that is no neighbour", path=f"{_PATH}.{name}")
