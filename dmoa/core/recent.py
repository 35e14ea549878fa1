"""A bounded memory of keys, to recognise duplicates."""

from __future__ import annotations

from collections.abc import Hashable


class Recent:
    """Remembers at least the last ``size`` keys and at most twice as many.

    Two generations: when the young one is full it becomes the old one, and the old is forgotten.

    >>> recent = Recent(2)
    >>> [recent.add(key) for key in "aabca"]
    [True, False, True, True, False]
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def add(self, key: Hashable) -> bool:
        """Remember a key; tell whether it is new."""
        # Each look at a set hashes the key, which costs more than all else here.
        if self._old and key in self._old:
            return False
        young = self._young
        before = len(young)
        young.add(key)
        if len(young) == before:
            return False
        if before + 1 >= self._size:
            self._old, self._young = young, set()
        return True
