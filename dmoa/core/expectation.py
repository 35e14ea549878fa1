"""How long a task is expected to take, here and at peers: what deadlines are derived from."""

from __future__ import annotations

from collections.abc import Iterable

from dmoa.core.messages import Report

GAIN = 1 / 8
"""Weight of the newest service time in a node's mean (the gain of RFC 6298 for round trips)."""


class Expectations:
    """Mean service times and queues, as measured here and as reported by peers.

    A peer that has not reported is expected to be like this node with an empty queue.

    >>> seen = Expectations(2.0)
    >>> seen.hear("b", Report("", 1.0, 3.0, queue_length=2))
    >>> seen.sojourn_s(["b", "c"])
    9.0
    """

    __slots__ = ("_peers", "_served", "mean_service_time_s")

    def __init__(self, service_time_s: float) -> None:
        self.mean_service_time_s = service_time_s
        self._served = False
        self._peers: dict[str, tuple[float, int]] = {}

    def serve(self, service_time_s: float) -> None:
        """Learn from a task that this node served; the first says more than any guess."""
        gain = GAIN if self._served else 1.0
        self._served = True
        self.mean_service_time_s += gain * (service_time_s - self.mean_service_time_s)

    def hear(self, peer: str, report: Report) -> None:
        """Learn from a peer's report."""
        self._peers[peer] = (report.mean_service_time_s, report.queue_length)

    def hear_queue(self, peer: str, queue_length: int) -> None:
        """Learn from a peer's refusal."""
        mean, _ = self._peers.get(peer, (self.mean_service_time_s, 0))
        self._peers[peer] = (mean, queue_length)

    def sojourn_s(self, peers: Iterable[str]) -> float:
        """Expect when the last of these peers would respond, in seconds from now."""
        unknown = self.mean_service_time_s, 0
        longest = 0.0
        for peer in peers:
            mean, queue_length = self._peers.get(peer, unknown)
            longest = max(longest, (queue_length + 1) * mean)
        return longest
