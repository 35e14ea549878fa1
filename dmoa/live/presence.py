"""Whether a peer is there: it is heard, and it says that it hears us.

Connections alone do not tell: that of a stopped process stays open, and one of a process whose
loop hangs even answers ZeroMQ's own heartbeats. So nodes say hello to each other, and a hello
tells whom its sender hears, which finds a broken way in either direction.
"""

from __future__ import annotations

import enum


class Hearing(enum.Enum):
    """What a letter's incarnation says of it."""

    KNOWN = enum.auto()
    """Of the process that was heard last."""

    RENEWED = enum.auto()
    """First letter after silence."""

    RESTARTED = enum.auto()
    """First letter of another process: what the one before knew of us is gone."""

    STALE = enum.auto()
    """Of a process that another one has replaced."""


class Presence:
    """What is known of one peer's presence; every time is in seconds of one monotonic clock.

    Args:
        timeout_s: Silence after which it is lost.
        at_s: When it was first expected.

    >>> peer = Presence(timeout_s=3.0, at_s=0.0)
    >>> peer.hear(incarnation=1, at_s=0.5), peer.greet(hears_us=True), peer.here
    (<Hearing.RENEWED: 2>, True, True)
    >>> peer.expire(at_s=3.0), peer.expire(at_s=3.6), peer.here
    (False, True, False)
    """

    def __init__(self, *, timeout_s: float, at_s: float) -> None:
        self._timeout_s = timeout_s
        self._heard_s = at_s
        self._expected_s = at_s
        self._lost = False
        self.incarnation: int | None = None
        self.heard = False
        """Whether it was heard within the timeout."""
        self.here = False
        """Whether it is heard and hears us."""

    def replaced_by(self, incarnation: int) -> bool:
        """Tell whether another process than before speaks with this incarnation.

        A lower one than that which is heard now is no successor. After silence it is: the peer
        may have lost its count with its disk.
        """
        if self.incarnation is None:
            return False
        return incarnation > self.incarnation or (incarnation < self.incarnation and not self.heard)

    def hear(self, *, incarnation: int, at_s: float) -> Hearing:
        """Take note of a letter."""
        silent, restarted = not self.heard, self.replaced_by(incarnation)
        if self.incarnation not in {None, incarnation} and not restarted:
            return Hearing.STALE
        self.incarnation, self.heard, self._heard_s = incarnation, True, at_s
        if restarted:
            return Hearing.RESTARTED
        return Hearing.RENEWED if silent else Hearing.KNOWN

    def greet(self, *, hears_us: bool) -> bool:
        """Take note of what its hello says; True if it is here now and was not, or the reverse."""
        if not hears_us:
            return self.here and self.lose()
        changed = not self.here
        self.here, self._lost = True, False
        return changed

    def lose(self) -> bool:
        """Take the peer for lost, though it may be heard; False if it was lost already."""
        changed = not self._lost
        self.here, self._lost = False, True
        return changed

    def leave(self) -> bool:
        """Take the peer for gone; False if it was lost already."""
        self.heard = False
        return self.lose()

    def expire(self, *, at_s: float) -> bool:
        """Tell whether the peer has been silent for too long and has just been lost for it.

        A peer that is heard but has not heard us is lost in the end too: nothing reaches it.
        """
        if at_s - self._heard_s > self._timeout_s:
            return self.leave()
        never_here = not self.here and at_s - self._expected_s > self._timeout_s
        return never_here and self.lose()

    def excuse(self, stall_s: float) -> None:
        """Do not blame the peer for a time in which this process itself stood still."""
        self._heard_s += stall_s
        self._expected_s += stall_s
