"""What the cache of keys and values holds: sequences at work, and beginnings kept for later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

KEPT_MAX = 8
"""Beginnings kept at most; each costs the room of one row of logits."""


class Cells(Protocol):
    """What holds the keys and values; `dmoa.live.engines.llama_binding.Context` does."""

    def length(self, sequence: int) -> int:
        """Count the tokens of a sequence."""
        ...

    def cut(self, sequence: int, length: int) -> bool:
        """Forget a sequence beyond a length; say whether that is possible."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a sequence begin as another does."""
        ...


class Held(msgspec.Struct, eq=False):
    """A sequence in the cache: its number, and the tokens of it that are computed."""

    number: int
    tokens: list[int]


class Cache:
    """Gives sequences their numbers, and new ones what others have computed already.

    Args:
        cells: Where they are.
        sequences: How many can be at work.
        kept_tokens: How many tokens the kept beginnings may have together; the last one stays
            in any case.
        can_cut: Whether a sequence can be cut anywhere. Without it a beginning is of use only
            where all of it is wanted.
    """

    def __init__(self, cells: Cells, sequences: int, *, kept_tokens: int, can_cut: bool) -> None:
        self._cells, self._kept_tokens, self._can_cut = cells, kept_tokens, can_cut
        self._free = list(range(sequences + KEPT_MAX))
        self._working: list[Held] = []
        #: The least recently used first.
        self._kept: list[Held] = []

    @property
    def kept(self) -> int:
        """How many tokens are kept for later; what beginnings share counts for each of them."""
        return sum(len(held.tokens) for held in self._kept)

    def begin(self, tokens: Sequence[int]) -> Held:
        """Take a sequence into work, with as much of it as some other one has in common.

        The last token is always left to compute: what follows it is drawn from that.
        """
        held = Held(self._free.pop(), [])
        self._working.append(held)
        donor, length = self._nearest(tokens)
        if donor is not None:
            self._cells.copy(donor.number, held.number, length)
            held.tokens = list(tokens[:length])
            if donor in self._kept:
                self._use(donor)
        return held

    def keep(self, held: Held) -> None:
        """Put a sequence away for later prompts that begin like it."""
        self._working.remove(held)
        longer = next((other for other in self._kept if self._replaces(other, held)), None)
        if longer is not None and held.tokens:
            self._use(longer)
        if longer is not None or not held.tokens:
            self._forget(held)
            return
        for other in [other for other in self._kept if self._replaces(held, other)]:
            self._kept.remove(other)
            self._forget(other)
        self._kept.append(held)
        # The last one stays, however long: it is the likeliest to go on.
        while len(self._kept) > 1 and (self.kept > self._kept_tokens or len(self._kept) > KEPT_MAX):
            self.evict()

    def drop(self, held: Held) -> None:
        """Forget a sequence at work."""
        self._working.remove(held)
        self._forget(held)

    def drop_all(self) -> None:
        """Forget all sequences at work."""
        for held in list(self._working):
            self.drop(held)

    def evict(self) -> bool:
        """Forget the beginning that was not used for longest; say whether there was one."""
        if not self._kept:
            return False
        self._forget(self._kept.pop(0))
        return True

    def reconcile(self, held: Held) -> None:
        """Ask how much of a sequence is there, after a computation that did not end."""
        length = min(self._cells.length(held.number), len(held.tokens))
        if not self._can_cut or not self._cells.cut(held.number, length):
            length = 0
            self._cells.cut(held.number, 0)
        del held.tokens[length:]

    def _nearest(self, tokens: Sequence[int]) -> tuple[Held | None, int]:
        """Find the sequence with the longest common beginning, and how long it is."""
        best, most = None, 0
        for held in (*self._kept, *self._working):
            length = common(held.tokens, tokens[:-1])
            if length > most and (self._can_cut or length == len(held.tokens)):
                best, most = held, length
        return best, most

    def _replaces(self, one: Held, other: Held) -> bool:
        """Say whether one sequence is of use wherever another is."""
        if self._can_cut:
            return one.tokens[: len(other.tokens)] == other.tokens
        return one.tokens == other.tokens

    def _use(self, held: Held) -> None:
        self._kept.remove(held)
        self._kept.append(held)

    def _forget(self, held: Held) -> None:
        self._cells.cut(held.number, 0)
        self._free.append(held.number)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens with which both begin.

    >>> common([1, 2, 3], [1, 2, 4, 5])
    2
    """
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
