"""How many sequences to give their next token in one computation: as many as is fastest here.

Usually that is all of them: the weights then pass through the processor once. But where a library's
routine for several columns is slow on a processor, a few one after the other are faster, up to
twice as fast as together. Nobody knows that before it is measured, so it is, as tasks are served.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from statistics import median

TRIALS = 3
"""How often each number is tried before its time is trusted."""
REMEMBERED = 15
"""The last times of each number; their median counts."""
RELEARNED = 2000
"""Computations after which all times are learned again: the machine may have been busy then."""
LESS = 0.95
"""Smaller groups have to take so much less than one: their noise must not decide."""


class Groups:
    """Splits sequences into groups by what groups of their size have taken.

    >>> groups = Groups()
    >>> for size, took_s in ((1, 0.010), (2, 0.040), (3, 0.050), (4, 0.030)):
    ...     for _ in range(TRIALS):
    ...         groups.note(size, took_s)
    >>> groups.split(2), groups.split(3), groups.split(4), groups.split(5)
    ((1, 1), (1, 1, 1), (4,), (5,))

    Nothing is known at first, and singles are tried once:

    >>> Groups().split(3)
    (1, 1, 1)
    """

    def __init__(self) -> None:
        self._noted = 0
        self._times: dict[int, deque[float]] = {}
        self._typical_s: dict[int, float] = {}
        self._fastest = lru_cache(maxsize=None)(self._find_fastest)

    def note(self, size: int, took_s: float) -> None:
        """Learn how long a computation with so many sequences took."""
        self._noted += 1
        if self._noted % RELEARNED == 0:
            self._times.clear()
            self._typical_s.clear()
        times = self._times.setdefault(size, deque(maxlen=REMEMBERED))
        times.append(took_s)
        typical_s = median(times)
        if typical_s != self._typical_s.get(size):
            self._typical_s[size] = typical_s
            self._fastest.cache_clear()

    def split(self, count: int) -> tuple[int, ...]:
        """Say in which groups to compute so many sequences; they add up to ``count``.

        A number that was not tried often enough is tried.
        """
        if not count:
            return ()
        if 1 not in self._times:
            return (1,) * count
        if len(self._times.get(count, ())) < TRIALS:
            return (count,)
        took_s, groups = self._fastest(count)
        return groups if took_s < LESS * self._typical_s[count] else (count,)

    def _find_fastest(self, count: int) -> tuple[float, tuple[int, ...]]:
        """Find the fastest split into sizes that were measured, and how long it takes."""
        best: tuple[float, tuple[int, ...]]
        best = self._typical_s.get(count, float("inf")), (count,)
        for size in range(1, count // 2 + 1):
            if size in self._typical_s:
                rest_s, rest = self._fastest(count - size)
                best = min(best, (self._typical_s[size] + rest_s, (size, *rest)))
        return best
