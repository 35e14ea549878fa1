"""Rows of unequal length in two flat arrays: who may ask whom, and how often each is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T", int, float)

_BLOCK = 65_536
"""Rows that become Python's numbers at a time: all at once would take ten times their memory."""
_SHOWN_MAX = 20


class Rows(Sequence[tuple[T, ...]]):
    """Rows of numbers, ``(n,)``; it reads like the tuple of tuples that it is equal to.

    A node and an edge take 8 and 4 or 8 bytes here, some 50 each as tuples. Arrays are read-only.

    Attributes:
        offsets: Row i holds the values from ``offsets[i]`` to before ``offsets[i + 1]``,
            ``(n + 1,)``.
        values: The rows one after the other, ``(edges,)``.
    """

    __slots__ = ("offsets", "values")

    _dtype: type[np.generic]

    def __init__(self, offsets: ArrayLike, values: ArrayLike) -> None:
        self.offsets: NDArray[np.int64] = _fixed(offsets, np.int64)
        self.values: NDArray[Any] = _fixed(values, self._dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.offsets, self.values)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> tuple[T, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[T, ...], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[Any, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        start = range(len(self))[index]
        return tuple(self.values[self.offsets[start] : self.offsets[start + 1]].tolist())

    def __iter__(self) -> Iterator[tuple[T, ...]]:
        for first in range(0, len(self), _BLOCK):
            offsets = self.offsets[first : first + _BLOCK + 1]
            numbers = self.values[offsets[0] : offsets[-1]].tolist()
            for start, end in pairwise((offsets - offsets[0]).tolist()):
                yield tuple(numbers[start:end])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return np.array_equal(self.offsets, other.offsets) and np.array_equal(
                self.values, other.values
            )
        if isinstance(other, tuple):
            return tuple(self) == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        if len(self) <= _SHOWN_MAX:
            return repr(tuple(self))
        return f"<{type(self).__name__}: {len(self)} rows of {len(self.values)} values>"

    def lengths(self) -> NDArray[np.int64]:
        """Give the number of values in each row, ``(n,)``.

        >>> Peers([0, 1, 3], [1, 0, 2]).lengths()
        array([1, 2])
        """
        return np.diff(self.offsets)

    def origins(self) -> NDArray[np.int64]:
        """Give the row of each value, ``(edges,)``.

        >>> Peers([0, 1, 3], [1, 0, 2]).origins()
        array([0, 1, 1])
        """
        return np.repeat(np.arange(len(self)), self.lengths())


class Peers(Rows[int]):
    """Indices of the nodes that each node may ask, ascending, ``(n,)``.

    >>> peers = Peers([0, 1, 3, 4], [1, 0, 2, 1])
    >>> peers[1], len(peers), peers == ((1,), (0, 2), (1,))
    ((0, 2), 3, True)
    """

    __slots__ = ()
    _dtype = np.int32

    @property
    def targets(self) -> NDArray[np.int32]:
        """The peers of node 0, then those of node 1, and so on, ``(edges,)``."""
        return self.values

    @property
    def two_way(self) -> bool:
        """Whether whoever may be asked by a node may ask it too.

        >>> Peers([0, 1, 2], [1, 0]).two_way, Peers([0, 1, 1], [1]).two_way
        (True, False)
        """
        nodes, origins, targets = len(self), self.origins(), self.targets.astype(np.int64)
        return np.array_equal(np.sort(targets * nodes + origins), origins * nodes + targets)

    def parts(self) -> int:
        """Count the parts of the overlay that no edge joins, whatever its direction.

        Every node points to a smaller one of its part, or to itself. In each round, the ends of the
        edges that still join two parts are replaced by what their parts point to in the end.

        >>> Peers([0, 1, 2, 2], [1, 0]).parts()
        2
        """
        nodes = np.arange(len(self))
        down, one, other = nodes, self.origins(), self.targets.astype(np.int64)
        while one.size:
            down = down.copy()
            np.minimum.at(down, np.maximum(one, other), np.minimum(one, other))
            while (down != down[down]).any():
                down = down[down]
            one, other = down[one], down[other]
            apart = one != other
            one, other = one[apart], other[apart]
        return int(np.count_nonzero(down == nodes))


class Chances(Rows[float]):
    """For each node the chance of each of its peers to be asked in a layer, ``(n,)``.

    >>> Chances([0, 1, 3, 4], [1.0, 0.25, 0.75, 1.0])[1]
    (0.25, 0.75)
    """

    __slots__ = ()
    _dtype = np.float64

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The chances in the order of ``Peers.targets``, ``(edges,)``."""
        return self.values


def _fixed(values: ArrayLike, dtype: type[np.generic]) -> NDArray[Any]:
    array = np.asarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array
