"""From a peer's clock to one's own, without setting either.

A letter says when it was sent, by its sender's clock; the receiver knows when it came, by its own.
The difference is the offset between the clocks plus the delay of that letter, so its least value
over a window is the offset plus the least delay: the filter that LEDBAT (RFC 6817) uses for its
base delay. A deadline that is shifted by it is kept to within that least delay, and a letter that
stood in a queue for a minute brings a deadline that is recognisably past.
"""

from __future__ import annotations

from collections import deque

BUCKETS = 8


class ClockOffset:
    """The least (received - sent) of one peer over a sliding window.

    Args:
        window_s: How long a difference counts, seconds. Short enough that drifting clocks and a
            suspended machine are forgiven soon, long enough that one quiet moment is in it.

    >>> offset = ClockOffset(window_s=60.0)
    >>> for sent_s, received_s in [(0.0, 100.3), (1.0, 101.1), (2.0, 107.0)]:
    ...     offset.observe(sent_s, received_s)
    >>> round(offset.to_own_clock(12.0), 6)
    112.1
    """

    def __init__(self, window_s: float = 60.0) -> None:
        self._bucket_s = window_s / BUCKETS
        self._least: deque[tuple[float, float]] = deque()  # (bucket's end, least difference)

    def observe(self, sent_s: float, received_s: float) -> None:
        """Take note of a letter: sent by the peer's clock, received by one's own, seconds."""
        difference_s = received_s - sent_s
        least = self._least
        if least and received_s < least[-1][0]:
            if difference_s < least[-1][1]:
                least[-1] = (least[-1][0], difference_s)
        else:
            least.append((received_s + self._bucket_s, difference_s))
            oldest_s = received_s - self._bucket_s * (BUCKETS - 1)
            while least[0][0] < oldest_s:
                least.popleft()

    def to_own_clock(self, peer_s: float) -> float:
        """Translate a time by the peer's clock; it comes later by the least delay at most.

        Raises:
            LookupError: No letter of the peer was observed.
        """
        if not self._least:
            raise LookupError("no letter of this peer was observed")
        return peer_s + min(difference_s for _, difference_s in self._least)

    def forget(self) -> None:
        """Start anew: the peer did, or its clock may have stood still."""
        self._least.clear()
