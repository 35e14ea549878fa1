"""Which peers are asked: uniform choice (the paper's), or given inclusion probabilities."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from dmoa.core.streams import uniform
from dmoa.errors import ScenarioError

_ROUNDING = 1e-9


class Selection(Protocol):
    """A policy that chooses peers; ``key`` and ``position`` name the random draws it may use."""

    def choose(self, count: int, key: int, position: int) -> tuple[str, ...]:
        """Choose ``count`` different peers, or all where there are fewer."""
        ...


class Uniform:
    """Every set of ``count`` peers is equally likely (Floyd's algorithm, ``count`` draws).

    >>> sorted(Uniform(("a", "b")).choose(5, key=1, position=0))
    ['a', 'b']
    >>> len(set(Uniform(("a", "b", "c", "d")).choose(3, key=1, position=0)))
    3
    """

    __slots__ = ("peers",)

    def __init__(self, peers: Sequence[str]) -> None:
        self.peers = tuple(peers)

    def choose(self, count: int, key: int, position: int) -> tuple[str, ...]:
        """Choose ``count`` different peers, or all where there are fewer."""
        peers = self.peers
        degree = len(peers)
        if count >= degree:
            return peers
        if count == 1:
            return (peers[int(uniform(key, position) * degree)],)
        chosen: list[int] = []
        for last in range(degree - count, degree):
            pick = int(uniform(key, position) * (last + 1))
            chosen.append(last if pick in chosen else pick)
            position += 1
        return tuple([peers[index] for index in chosen])


class Weighted:
    """Peer i is chosen with inclusion probability ``probabilities[i]``; one draw.

    Systematic sampling (Madow 1949): the probabilities are laid end to end and every unit step
    from one random start picks the peer it falls on, so peer i is picked with exactly its
    probability and never twice. The probabilities sum to the number of peers chosen.

    >>> policy = Weighted(("a", "b", "c"), (1.0, 0.5, 0.5))
    >>> picks = [policy.choose(2, key=3, position=p) for p in range(1000)]
    >>> all(pick[0] == "a" for pick in picks), sum("b" in pick for pick in picks) in range(450, 551)
    (True, True)
    """

    __slots__ = ("_edges", "peers", "total")

    def __init__(self, peers: Sequence[str], probabilities: Sequence[float]) -> None:
        self.peers = tuple(peers)
        self._edges = list(accumulate(probabilities))
        mass = self._edges[-1] if self._edges else 0.0
        if (
            len(probabilities) != len(self.peers)
            or not all(-_ROUNDING <= p <= 1 + _ROUNDING for p in probabilities)
            or abs(mass - round(mass)) > _ROUNDING * max(1, len(self.peers))
        ):
            raise ScenarioError(
                "a peer's probability lies in [0, 1], and a node's sum to a whole number of peers",
                path="plan.weights",
                given=tuple(probabilities),
            )
        self.total = round(mass)

    def choose(self, count: int, key: int, position: int) -> tuple[str, ...]:
        """Choose ``count`` different peers, or all where there are fewer."""
        peers = self.peers
        if count >= len(peers):
            return peers
        if count != self.total:
            raise ScenarioError(
                f"the weights choose {self.total} peers",
                path="plan.proposers",
                given=count,
            )
        point = uniform(key, position)
        edges = self._edges
        chosen: list[int] = []
        earliest = 0
        for step in range(count):
            # Rounding may put the last edges a hair below a whole number.
            latest = len(peers) - count + step
            pick = min(max(bisect_right(edges, point + step), earliest), latest)
            chosen.append(pick)
            earliest = pick + 1
        return tuple([peers[index] for index in chosen])
