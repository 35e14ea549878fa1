"""Replay: feed a recorded trace through the core and check that it does the same again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dmoa.core.actions import Action
from dmoa.core.node import Node
from dmoa.trace.codec import Entry


@dataclass(frozen=True)
class Difference:
    """The first step that went otherwise: which, and both sides as (actions, counts).

    Counts are waiting, serving, joining, unfinished. ``entry`` counts from 0.
    """

    entry: int
    time_s: float
    node: str
    recorded: tuple[list[Action], tuple[int, ...]]
    replayed: tuple[list[Action], tuple[int, ...]]


@dataclass(frozen=True)
class ReplayReport:
    """How many entries agreed, and the first that did not, if any."""

    agreed: int
    difference: Difference | None

    @property
    def agrees(self) -> bool:
        """Whether every entry was the same."""
        return self.difference is None


def replay(entries: Iterable[Entry], nodes: Sequence[Node]) -> ReplayReport:
    """Feed each entry's event to its node; compare the actions and the counts.

    Args:
        entries: the trace, as `read_trace` gives it.
        nodes: fresh nodes of the trace's scenario, in the order of its header's names.

    Returns:
        The report, at the first difference or at the trace's end.
    """
    agreed = 0
    for time_s, node, event, actions, *counts in entries:
        recorded = actions, tuple(counts)
        replayed = nodes[node].step(event, time_s), nodes[node].counts()
        if recorded != replayed:
            name = nodes[node].name
            return ReplayReport(agreed, Difference(agreed, time_s, name, recorded, replayed))
        agreed += 1
    return ReplayReport(agreed, None)
