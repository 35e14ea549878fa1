"""The clock of a run: seconds since it began, whatever happens to the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable


class RunClock:
    """Seconds since a run began at Unix time ``began_s``, by a clock that never jumps.

    The time of day is read once. When somebody sets it later, no deadline moves.

    >>> clock = RunClock(1000.0, unix_s=lambda: 1002.5, steady_s=iter([7.0, 9.0]).__next__)
    >>> clock.now()
    4.5
    >>> clock.unix_s(4.5)
    1004.5
    """

    def __init__(
        self,
        began_s: float,
        *,
        unix_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began_s = began_s
        self._steady_s = steady_s
        # A time of day that was set back between the two readings must not give negative times.
        self._offset_s = max(0.0, unix_s() - began_s) - steady_s()

    def now(self) -> float:
        """Tell the seconds since the run began."""
        return self._steady_s() + self._offset_s

    def unix_s(self, at_s: float) -> float:
        """Tell the Unix time of a time of this run."""
        return self._began_s + at_s
