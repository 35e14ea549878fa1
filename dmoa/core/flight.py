"""A prompt under way: what its plan needs, what was asked of whom, what has come."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from dmoa.core.messages import Content, Options
from dmoa.core.plan import Origin, Peers, Plan, Stage

MISSED: Final = Content(0, "")
"""Stands where a response will never come. Compared by identity, never read."""


class Outline(msgspec.Struct, frozen=True):
    """What a coordinator looks up in a plan: readers of each stage, first stages, tasks in all.

    ``next`` tells for each stage which one its origin can begin to read before it is joined.
    """

    stages: tuple[Stage, ...]
    readers: tuple[tuple[int, ...], ...]
    next: tuple[int | None, ...]
    roots: tuple[int, ...]
    tasks: int
    deadline_s: float | None


@lru_cache(maxsize=256)
def outline(plan: Plan, degree: int) -> Outline:
    """Outline a plan for a node with ``degree`` peers.

    >>> from dmoa.core.plan import layered
    >>> outline(layered(2, 3), degree=8).tasks
    9
    """
    readers = plan.readers()
    return Outline(
        plan.stages,
        readers,
        tuple(_next(plan, stage, later) for stage, later in enumerate(readers)),
        tuple(i for i, stage in enumerate(plan.stages) if not stage.reads),
        plan.tasks(degree),
        plan.deadline_s,
    )


def _next(plan: Plan, stage: int, readers: tuple[int, ...]) -> int | None:
    """Find the stage that can be begun while this one is under way.

    It reads this one alone, and its first task is the origin's. A stage without peers has none:
    its node serves it itself until the moment it is joined, and is never free to read ahead.
    """
    if len(readers) != 1 or not any(type(one) is Peers for one in plan.stages[stage].placements):
        return None
    reader = plan.stages[readers[0]]
    begins = reader.reads == (stage,) and type(reader.placements[0]) is Origin
    return readers[0] if begins else None


class Gathering(msgspec.Struct):
    """The responses to one forked stage, by slot, until the stages that read it have them.

    ``content`` is what its tasks read, ``assigned`` whom each was given to. ``expected`` responses
    can still come or are here, ``held`` are here, ``unread`` stages have not read them yet. After
    its deadline it is ``overdue``; once enough are here it is ``joined``. ``attempts`` tells the
    attempt of each slot, once one was given to another peer; those that had one before are
    ``replaced``. ``turn`` counts its deadlines. ``arrived`` are the responses in the order in which
    they came, kept with overlap: they will be read in that order.
    """

    content: Content
    assigned: list[str]
    responses: list[Content | None]
    expected: int
    unread: int
    held: int = 0
    joined: bool = False
    overdue: bool = False
    attempts: list[int] | None = None
    replaced: tuple[str, ...] = ()
    turn: int = 0
    arrived: list[Content] | None = None

    def awaited(self) -> list[str]:
        """Give the nodes whose responses have not come."""
        asked = zip(self.assigned, self.responses, strict=True)
        return [to for to, response in asked if response is None]


class Flight(msgspec.Struct):
    """One prompt of this node between its arrival and its end."""

    prompt: int
    content: Content
    outline: Outline
    gatherings: list[Gathering | None]
    options: Options | None = None
    deadline_s: float | None = None
    attempt: int = 0

    def attempt_of(self, gathering: Gathering, slot: int) -> int:
        """Give the attempt whose response is awaited in a slot."""
        return self.attempt if gathering.attempts is None else gathering.attempts[slot]

    def options_of(self, stage: int) -> Options | None:
        """Give the options of a stage's tasks: some are for the answer, not for proposals."""
        options = self.options
        if options is None or stage == len(self.gatherings) - 1:
            return options
        if options.grammar is None and options.logprobs is None:
            return options
        return msgspec.structs.replace(options, grammar=None, logprobs=None)
