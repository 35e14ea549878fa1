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

_PATH = "plan.weights"
_ROUNDING = 1e-9
_LISTED_MAX = 20

Rows = tuple[tuple[float, ...], ...]


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
    peers: Sequence[Sequence[int]],
    proposers: int,
) -> Rows:
    """Read a scenario's table {node = {peer = probability}}; an absent peer is never asked.

    Returns:
        Row j over ``peers[j]``, whose sum is min(k, d_j).

    Raises:
        ScenarioError: A name is unknown, no neighbour, or a row has another sum.

    >>> table_inclusion({"a": {"b": 1}, "b": {"a": 1}}, ["a", "b"], [[1], [0]], 1)
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


def check_inclusion(
    given: Sequence[Sequence[float]] | NDArray[np.float64],
    names: Sequence[str],
    peers: Sequence[Sequence[int]],
    proposers: int,
) -> Rows:
    """Check inclusion probabilities: each from 0 to 1, row j sums to min(k, d_j).

    Args:
        given: ``(n, n)`` with origins in rows, or for each node a row over its peers.
        names: Name of each node, ``(n,)``.
        peers: Neighbours of each node, ``(n,)``.
        proposers: k.

    Raises:
        ScenarioError: With the node whose row is wrong, and its sum.

    >>> check_inclusion([[0, 1], [1, 0]], ["a", "b"], [[1], [0]], proposers=1)
    ((1.0,), (1.0,))
    """
    if len(given) != len(names):
        raise ScenarioError(
            f"there must be a row for each of the {len(names)} nodes",
            path=_PATH,
            given=len(given),
        )
    rows = []
    for name, row, own in zip(names, given, peers, strict=True):
        path = f"{_PATH}.{name}"
        chances = [float(chance) for chance in row]
        if len(chances) == len(names):
            # A node is never its own peer, so a row over all nodes is longer than one over peers.
            beyond = sum(abs(chance) for chance in chances) - sum(abs(chances[i]) for i in own)
            if not beyond <= _ROUNDING:
                raise ScenarioError("gives weight to a node that is no neighbour", path=path)
            chances = [chances[peer] for peer in own]
        if len(chances) != len(own):
            raise ScenarioError(
                f"must have {len(own)} chances, one for each neighbour",
                path=path,
                given=len(chances),
            )
        for peer, chance in zip(own, chances, strict=True):
            if not -_ROUNDING <= chance <= 1 + _ROUNDING:
                raise ScenarioError(
                    "must be a chance from 0 to 1", path=f"{path}.{names[peer]}", given=chance
                )
        wanted, total = min(proposers, len(own)), sum(chances)
        if abs(total - wanted) > _ROUNDING:
            raise ScenarioError(
                f"the chances must add up to {wanted}, the peers asked in a layer",
                path=path,
                given=total,
                remedy=f"multiply each by {wanted / total:.6g}" if total else "give its peers",
            )
        rows.append(tuple(min(1.0, max(0.0, chance)) for chance in chances))
    return tuple(rows)
