"""Units of work: as many items as fill a second, so that handing them out costs nothing.

What a point or a replication takes is not known beforehand and may differ by factors of a
thousand. So a worker gets more than it can do, works for a second, and gives the rest back. That
bounds what is lost when it is killed, and keeps the last workers busy.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar, runtime_checkable

from dmoa.errors import DmoaError

Item = TypeVar("Item")
Result = TypeVar("Result")

UNIT_S = 1.0
"""After this time a worker returns what it has finished, s."""

UNIT_ITEMS_MAX = 1000
"""Items that a worker gets at most; it bounds the size of a message."""

UNITS_PER_WORKER = 2
"""Units in flight for each worker: one that it works on, and one that waits for it."""


class PoolError(DmoaError):
    """Workers were lost; whatever they had returned before has been handed over."""


@runtime_checkable
class Pool(Protocol):
    """Whoever works through items: processes of this machine, or the workers of a cluster.

    ``workers`` is how many items it works on at once.
    """

    @property
    def workers(self) -> int:
        """Count the items that are worked on at once, at least 1."""

    def run(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[list[tuple[Item, Result]]]:
        """Give every item with its result, a unit at a time, in the order in which they finish.

        Args:
            work: a function of a module of dmoa, whose result depends on the item alone.
            items: what to work on.

        Raises:
            PoolError: workers were lost.
        """


class Units(Generic[Item]):
    """The items that nobody works on yet.

    >>> units = Units(range(40), workers=2)
    >>> unit = units.take()
    >>> len(unit)
    10
    >>> units.settle(unit, ["first", "second"])  # the other eight go back
    [(0, 'first'), (1, 'second')]
    >>> units.take()[0]
    2
    """

    def __init__(self, items: Iterable[Item], workers: int) -> None:
        self._items = deque(items)
        self._shares = UNITS_PER_WORKER * workers

    def take(self) -> list[Item]:
        """Take the next unit: a fair share of what is left, so that all end together."""
        size = min(max(1, len(self._items) // self._shares), UNIT_ITEMS_MAX, len(self._items))
        return [self._items.popleft() for _ in range(size)]

    def give_back(self, unit: Sequence[Item]) -> None:
        """Put items back in front."""
        self._items.extendleft(reversed(unit))

    def settle(self, unit: Sequence[Item], results: Sequence[Result]) -> list[tuple[Item, Result]]:
        """Give the items that were finished with their results, and put back the others."""
        self.give_back(unit[len(results) :])
        return list(zip(islice(unit, len(results)), results, strict=True))


def work_through(work: Callable[[Item], Result], unit: Sequence[Item]) -> list[Result]:
    """Work through a unit for a second; give the results of the first items, at least one.

    An item that raises ends the unit. It does so again as the first of another one, and only
    then the error leaves: what was finished before it is handed over.

    >>> work_through(abs, [-2, -1])
    [2, 1]
    >>> work_through(abs, [-2, "one"])
    [2]
    """
    ends_s = time.monotonic() + UNIT_S
    results: list[Result] = []
    for item in unit:
        try:
            results.append(work(item))
        except Exception:
            if not results:
                raise
            break
        if time.monotonic() >= ends_s:
            break
    return results
