"""What a transport lends to others at most: memory, time, patience and lines of the log."""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class TransportLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound of a transport. The defaults suit nodes that serve language models.

    Attributes:
        frame_bytes_max: Longest header or body, bytes, written or read.
        send_queue_messages: Messages that may wait for one peer.
        send_queue_bytes: Their bytes.
        send_queue_age_s: How long one may wait; a task waits no longer than to its deadline.
        socket_queue_messages: Messages that one socket holds beyond those, for each connection.
        messages_per_s: What one peer may send, messages per second; a second's worth at once.
        misbehaviours_max: Bad frames at once, before a peer is muted; forgiven at
            ``misbehaviours_max`` a minute.
        mute_s: How long nothing of a muted peer is read.
        handshakes_per_s: How often one key may connect; ten seconds' worth at once.
        heartbeat_s: How often a node says hello to each peer.
        heartbeat_timeout_s: Silence after which a peer is lost.
        reconnect_s: First and least pause between attempts to connect.
        reconnect_max_s: Longest pause; it doubles from one attempt to the next.
        handshake_s: Time for a connection to prove its key.
        linger_s: Time that closing may take to deliver what is on its way.
        clock_window_s: How long a letter counts for the offset of a peer's clock.
        drain_messages: Messages read before other work of the process has its turn.
        log_interval_s: The same warning about the same peer is written once per interval.
    """

    frame_bytes_max: Positive = 1 << 20
    send_queue_messages: Positive = 1_000
    send_queue_bytes: Positive = 8 << 20
    send_queue_age_s: Seconds = 10.0
    socket_queue_messages: Positive = 32
    messages_per_s: Seconds = 10_000.0
    misbehaviours_max: Positive = 100
    mute_s: Seconds = 10.0
    handshakes_per_s: Seconds = 5.0
    heartbeat_s: Seconds = 1.0
    heartbeat_timeout_s: Seconds = 3.0
    reconnect_s: Seconds = 0.1
    reconnect_max_s: Seconds = 2.0
    handshake_s: Seconds = 3.0
    linger_s: Seconds = 0.5
    clock_window_s: Seconds = 60.0
    drain_messages: Positive = 256
    log_interval_s: Seconds = 60.0


class Allowance:
    """So many a second on average, so many at once (a token bucket).

    >>> allowance = Allowance(per_s=2.0, at_once=3.0)
    >>> [allowance.take(at_s) for at_s in (0.0, 0.0, 0.0, 0.0, 0.5, 0.5)]
    [True, True, True, False, True, False]
    """

    __slots__ = ("_at_once", "_at_s", "_left", "_per_s")

    def __init__(self, *, per_s: float, at_once: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left, self._at_s = at_once, float("-inf")

    def take(self, at_s: float) -> bool:
        """Take one at ``at_s``, seconds; False if there is none left."""
        if at_s > self._at_s:
            self._left = min(self._at_once, self._left + (at_s - self._at_s) * self._per_s)
            self._at_s = at_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class QuietLog:
    """Warnings that nobody outside can use to fill the log: one per subject and interval.

    Args:
        logger: Where they go.
        interval_s: How long a subject stays quiet, seconds.

    Subjects are chosen by the caller from a bounded set: names of peers, never what a stranger
    says of itself.
    """

    def __init__(self, logger: logging.Logger, interval_s: float) -> None:
        self._logger, self._interval_s = logger, interval_s
        self._until_s: dict[tuple[str, str], float] = {}
        self._withheld: dict[tuple[str, str], int] = {}

    def warn(self, subject: tuple[str, str], at_s: float, text: str, *values: object) -> None:
        """Write a warning, or count it if its subject had one within the interval."""
        if at_s < self._until_s.get(subject, float("-inf")):
            self._withheld[subject] = self._withheld.get(subject, 0) + 1
            return
        self._until_s[subject] = at_s + self._interval_s
        withheld = self._withheld.pop(subject, 0)
        if withheld:
            text, values = text + " (and %d times more since the last warning)", (*values, withheld)
        self._logger.warning(text, *values)
