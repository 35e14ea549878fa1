"""Keyed random streams: a draw depends on what it is for, never on when it is made.

A stream is a 64-bit key, derived from the run's seed and from labels (replication, node,
purpose). Its draw at a position is the splitmix64 output at that position (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Two configurations that
share a seed therefore share their prompts and service demands (common random numbers), whatever
order their events come in.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_TO_UNIT = 2.0**-52


def mix64(value: int) -> int:
    """Scramble a 64-bit integer (the finaliser of splitmix64).

    >>> hex(mix64(0x9E3779B97F4A7C15))  # the generator's first output from seed 0
    '0xe220a8397b1dcdaf'
    """
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def derive(key: int, *labels: int | str) -> int:
    """Derive the key of a narrower stream from labels.

    >>> derive(1, "service") == derive(1, "service") != derive(2, "service")
    True
    >>> derive(1, "a", "b") != derive(1, "ab")
    True
    """
    for label in labels:
        # Mixed before a label comes in: near seeds differ in as few bits as short labels do.
        key = mix64(key + _GOLDEN & _MASK)
        if isinstance(label, str):
            for byte in label.encode():
                key = mix64((key ^ byte) + _GOLDEN & _MASK)
            key = mix64(key + 0x100 & _MASK)
        else:
            key = mix64(key + label * _GOLDEN & _MASK)
    return key


def uniform(key: int, position: int) -> float:
    """Draw from the open interval (0, 1) at a position of the stream with this key.

    >>> 0 < uniform(7, 3) < 1 and uniform(7, 3) == uniform(7, 3) != uniform(7, 4)
    True
    """
    value = (key + position * _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return (((value ^ (value >> 31)) >> 12) + 0.5) * _TO_UNIT


class Stream:
    """Successive draws of one key, for distributions that need several.

    >>> stream = Stream(derive(1, "demo"))
    >>> stream.uniform() != stream.uniform()
    True
    """

    __slots__ = ("key", "position")

    def __init__(self, key: int, position: int = 0) -> None:
        self.key, self.position = key, position

    def uniform(self) -> float:
        """Draw the next value from the open interval (0, 1)."""
        self.position += 1
        return uniform(self.key, self.position)
