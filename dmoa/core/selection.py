"""Which peers are asked: uniform choice (the paper's), or given inclusion probabilities."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Protocol

from dmoa.core.plan import Peers, Plan
from dmoa.core.streams import uniform
from dmoa.errors import ScenarioError

_ROUNDING = 1e-9


class Selection(Protocol):
    """A policy that chooses peers; ``key`` and ``position`` name the random draws it may use."""

    peers: tuple[str, ...]

    def choose(self, count: int, key: int, position: int) -> tuple[str, ...]:
        """Choose ``count`` different peers, or all where there are fewer."""
        ...

    def replace(self, tried: Collection[str], key: int, position: int) -> str | None:
        """Choose one more peer that was not tried; None if there is none."""
        ...

    def without(self, absent: Collection[str]) -> Selection:
        """Make the policy for the peers that are left while some are absent."""
        ...


def check_placements(name: str, plan: Plan, selection: Selection, key: int) -> None:
    """Refuse a plan that a node's selection cannot serve: in a step it would be a crash.

    Raises:
        ScenarioError: A stage asks only peers and there are none, or the selection chooses
            another number of them.
    """
    for index, stage in enumerate(plan.stages):
        asked = [
            selection.choose(placement.count, key, 0)
            for placement in stage.placements
            if isinstance(placement, Peers)
        ]
        if len(asked) == len(stage.placements) and not any(asked):
            raise ScenarioError(
                f"node {name} has no peers, and this stage asks only peers",
                path=f"plan.stages[{index}].placements",
                given=stage.placements,
                remedy="place one of its tasks at the origin, or give the node a peer",
            )


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

    def replace(self, tried: Collection[str], key: int, position: int) -> str | None:
        """Choose one more peer that was not tried; None if there is none."""
        left = [peer for peer in self.peers if peer not in tried]
        return left[int(uniform(key, position) * len(left))] if left else None

    def without(self, absent: Collection[str]) -> Uniform:
        """Make the policy for the peers that are left while some are absent.

        >>> Uniform(("a", "b", "c")).without({"b"}).peers
        ('a', 'c')
        """
        return Uniform([peer for peer in self.peers if peer not in absent])


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

    __slots__ = ("_edges", "_probabilities", "peers", "total")

    def __init__(self, peers: Sequence[str], probabilities: Sequence[float]) -> None:
        self.peers = tuple(peers)
        self._probabilities = tuple(probabilities)
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

    def replace(self, tried: Collection[str], key: int, position: int) -> str | None:
        """Choose one more peer that was not tried, in proportion to the probabilities."""
        left = [
            (peer, p)
            for peer, p in zip(self.peers, self._probabilities, strict=True)
            if peer not in tried and p > 0
        ]
        if not left:
            return None
        edges = list(accumulate(p for _, p in left))
        pick = bisect_right(edges, uniform(key, position) * edges[-1])
        return left[min(pick, len(left) - 1)][0]

    def without(self, absent: Collection[str]) -> Weighted:
        """Make the policy for the peers that are left: their probabilities rise in proportion.

        None rises above 1, and as many peers are chosen as before, or all that are left.

        >>> left = Weighted(("a", "b", "c"), (1.0, 0.5, 0.5)).without({"b"})
        >>> left.peers, left.choose(2, key=1, position=0)
        (('a', 'c'), ('a', 'c'))
        """
        kept = [i for i, peer in enumerate(self.peers) if peer not in absent]
        rising = {i: max(self._probabilities[i], 0.0) for i in kept}
        total = float(min(self.total, len(kept)))
        probabilities = dict.fromkeys(kept, 1.0)
        while rising and total > 0:
            mass = sum(rising.values())
            # Where only peers of probability 0 are left, they are equally likely.
            scaled = {
                i: p * total / mass if mass > 0 else total / len(rising) for i, p in rising.items()
            }
            full = [i for i, p in scaled.items() if p >= 1]
            if not full:
                probabilities.update(scaled)
                break
            for i in full:
                del rising[i]
            total -= len(full)
        else:
            probabilities.update(dict.fromkeys(rising, 0.0))
        return Weighted([self.peers[i] for i in kept], [probabilities[i] for i in kept])
