"""The way to one peer: a DEALER socket, and the messages that wait for the peer.

Messages wait here, not in ZeroMQ, because here their number, bytes and age are bounded. With
``IMMEDIATE`` the socket takes messages only while the peer's handshake stands, and drops what it
still holds when the connection breaks. What waits here is sent once the peer has said over which
connection it hears this node, so that nothing goes to a process which took the place of the one
that the message was for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import final

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import KeyPair
from dmoa.live.limits import QuietLog, TransportLimits

Frames = tuple[bytes, bytes]
Context = zmq.Context[zmq.Socket[bytes]]

FAILED_EVENTS = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
MONITORED_EVENTS = (
    zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | FAILED_EVENTS
)
NOW = int(zmq.NOBLOCK)  # plain integers: these are used for every message
NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
EVENTS_AT_ONCE = 500
KEEPALIVE_S = 10
"""A connection of which nothing was heard for three of these is over."""

REOPEN_PAUSES = 3.0
"""After so many of the longest pauses without a connection, a link is opened anew."""

_log = logging.getLogger(__name__)


def milliseconds(seconds: float) -> int:
    """Say a time as ZeroMQ's options do; never 0, which would mean "no limit"."""
    return max(1, round(seconds * 1000))


def configure(socket: zmq.Socket[bytes], keys: KeyPair, limits: TransportLimits) -> None:
    """Set what both kinds of sockets share: this node's keys, and a limit on everything."""
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()
    socket.linger = milliseconds(limits.linger_s)
    # Beyond twice the limit the connection is cut; up to that, who sent it can be told.
    socket.maxmsgsize = 2 * limits.frame_bytes_max
    socket.sndhwm = socket.rcvhwm = limits.socket_queue_messages
    socket.handshake_ivl = milliseconds(limits.handshake_s)
    # Never ZeroMQ's own heartbeats: together with a high-water mark that is reached they abort the
    # process (libzmq issues 3937 and 4364). Hellos find out who hangs, and TCP who is unplugged.
    socket.heartbeat_ivl = 0
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = KEEPALIVE_S
    socket.tcp_keepalive_cnt = 3
    socket.tcp_maxrt = 3 * 1000 * KEEPALIVE_S


class Watch:
    """Listens to the events of a socket's connections.

    Args:
        socket: Whose.
        hear: Called with the event's number and its value.
    """

    def __init__(self, socket: zmq.Socket[bytes], hear: Callable[[int, int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched, self._hear = socket, hear
        self._events = socket.get_monitor_socket(MONITORED_EVENTS)
        self._loop.add_reader(self._events.FD, self._drain)
        self._loop.call_soon(self._drain)  # ZeroMQ tells of news only to who has found nothing

    def _drain(self) -> None:
        """Read the events that wait; ZeroMQ stands still when thousands do."""
        if self._events.closed:
            return
        try:
            for _ in range(EVENTS_AT_ONCE):
                event = parse_monitor_message(self._events.recv_multipart(zmq.NOBLOCK))
                self._hear(int(event["event"]), int(event["value"]))
        except zmq.Again:
            return
        self._loop.call_soon(self._drain)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._events.FD)
        self._watched.disable_monitor()
        self._events.close(0)


@final
class _Waiting(msgspec.Struct, frozen=True, gc=False):
    """A message that waits for its peer."""

    frames: Frames
    until_s: float
    task: bool


class Link:
    """The way to one peer.

    Args:
        context: The node's ZeroMQ context.
        peer: The peer's name.
        address: Where it listens, and its keys.
        keys: This node's own.
        limits: Bounds of the queue and the socket.
        counters: Counts what becomes of messages.
        log: Where failed handshakes are reported.
        on_up: Called when a connection stands, to say hello over it.
    """

    def __init__(
        self,
        context: Context,
        peer: str,
        address: PeerAddress,
        *,
        keys: KeyPair,
        limits: TransportLimits,
        counters: Counter[str],
        log: QuietLog,
        on_up: Callable[[str], None],
    ) -> None:
        self._context, self._peer, self._address = context, peer, address
        self._keys, self._limits, self._counters = keys, limits, counters
        self._log, self._on_up = log, on_up
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._queue_bytes = 0
        self._key_turn = 0
        self.up = False
        """Whether a connection stands."""
        self.ups = 0
        """Number of the connection that stands, or stood last."""
        self._confirmed = False
        self._watch: Watch | None = None
        self._open()

    def _open(self) -> None:
        """Begin to connect."""
        self._opened_s = self._down_since_s = self._loop.time()
        keys = self._address.every_key()
        socket = self._socket = self._context.socket(zmq.DEALER)
        configure(socket, self._keys, self._limits)
        socket.curve_serverkey = keys[self._key_turn % len(keys)].encode()
        socket.immediate = 1
        socket.rcvhwm = 1  # nothing is ever said on the way back
        socket.ipv6 = "[" in self._address.address
        socket.connect_timeout = milliseconds(self._limits.handshake_s)
        socket.reconnect_ivl = milliseconds(self._limits.reconnect_s)
        socket.reconnect_ivl_max = milliseconds(self._limits.reconnect_max_s)
        try:
            self._watch = Watch(socket, self._hear)
            self._loop.add_reader(socket.FD, self._ready)
            socket.connect(self._address.address)
        except zmq.ZMQError:
            self._close(0)
            raise

    def _close(self, linger_ms: int) -> None:
        self.up = self._confirmed = False
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.FD)
            self._socket.close(linger_ms)

    def _hear(self, event: int, value: int) -> None:
        """Hear what became of the connection."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._counters["connected"] += 1
            self.up, self._confirmed = True, False
            self.ups += 1
            self._on_up(self._peer)
        elif event == zmq.EVENT_DISCONNECTED:
            if self.up:
                self._counters["disconnected"] += 1
                self._down_since_s = self._loop.time()
            self.up = self._confirmed = False
        else:
            self._counters["handshake_failed"] += 1
            refused = event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and value == 400
            self._log.warn(
                ("handshake", self._peer),
                self._loop.time(),
                "%s at %s %s",
                self._peer,
                self._address.address,
                "does not let this node in: its peers there have other public keys than this one's"
                if refused
                else "did not prove its key: either its public_key in [live.peers] is not the one "
                "it has, or something else listens there",
            )

    def _ready(self) -> None:
        """There may be room in the socket; asking for its events also takes note of them."""
        events = int(self._socket.getsockopt(zmq.EVENTS))
        if events & zmq.POLLOUT and self._queue:
            self._flush()

    def confirm(self) -> None:
        """Send what waits: the peer for whom it is hears the connection that stands."""
        if self.up and not self._confirmed:
            self._confirmed = True
            self._flush()

    def send_now(self, frames: Frames) -> bool:
        """Send at once, before whatever waits; False if that is not possible."""
        header, body = frames
        try:
            self._socket.send(header, NOW_AND_MORE)
            self._socket.send(body, NOW)
        except zmq.Again:
            return False
        counters = self._counters
        counters["sent"] += 1
        counters["bytes_sent"] += len(header) + len(body)
        return True

    def send(self, frames: Frames, *, until_s: float, task: bool) -> bool:
        """Send, or let the message wait until ``until_s`` by the loop's clock, seconds.

        Returns:
            False, and nothing is sent, if there is no room to wait.
        """
        if self._confirmed and not self._queue and self.send_now(frames):
            return True
        limits, size = self._limits, len(frames[0]) + len(frames[1])
        if (
            len(self._queue) >= limits.send_queue_messages
            or self._queue_bytes + size > limits.send_queue_bytes
        ):
            self._counters["dropped_full"] += 1
            return False
        self._queue.append(_Waiting(frames, until_s, task))
        self._queue_bytes += size
        return True

    def _flush(self) -> None:
        """Send what waits, as much as there is room for."""
        now_s = self._loop.time()
        while self._confirmed and self._queue:
            waiting = self._queue[0]
            if waiting.until_s < now_s:
                self._counters["dropped_old"] += 1
            elif not self.send_now(waiting.frames):
                return
            self._forget_first()

    def _forget_first(self) -> None:
        frames = self._queue.popleft().frames
        self._queue_bytes -= len(frames[0]) + len(frames[1])

    def _discard_old(self) -> None:
        """Make room where messages have waited for too long."""
        now_s = self._loop.time()
        self._keep("dropped_old", lambda waiting: waiting.until_s >= now_s)

    def discard_tasks(self) -> None:
        """Let go of tasks: their peer is lost, and the core gives them to others."""
        self._keep("dropped_lost", lambda waiting: not waiting.task)

    def discard_all(self) -> None:
        """Let go of everything: it was meant for a process that is no more."""
        self._keep("dropped_lost", lambda _: False)

    def _keep(self, counter: str, wanted: Callable[[_Waiting], bool]) -> None:
        """Keep the wanted messages, and count the others."""
        kept = deque(waiting for waiting in self._queue if wanted(waiting))
        if len(kept) == len(self._queue):
            return
        self._counters[counter] += len(self._queue) - len(kept)
        self._queue = kept
        self._queue_bytes = sum(len(each.frames[0]) + len(each.frames[1]) for each in kept)

    def tend(self) -> None:
        """Do what time brings: let go of old messages, and open anew what does not connect.

        ZeroMQ gives up a connection for good when the other side refuses it, so that a mended
        configuration there would not help; and a peer may have changed to another of its keys.
        """
        if self._queue:
            self._discard_old()
            self._flush()
        pause_s = REOPEN_PAUSES * self._limits.reconnect_max_s
        if not self.up and self._loop.time() - self._down_since_s > pause_s:
            self._key_turn += 1
            self.reopen()

    def hasten(self) -> None:
        """Connect now, not after the next pause, unless that has just been begun."""
        if not self.up and self._loop.time() - self._opened_s > self._limits.reconnect_s:
            self.reopen()

    def reopen(self) -> None:
        """Give up the connection, and what the socket holds, for a new one."""
        self._counters["reopened"] += 1
        self._close(0)
        try:
            self._open()
        except zmq.ZMQError as error:  # too many open files; `tend` tries again
            self._log.warn(
                ("open", self._peer),
                self._loop.time(),
                "no way to %s can be opened now: %s",
                self._peer,
                error,
            )

    def close(self) -> None:
        """Deliver what the socket holds, within the time its linger allows, and be gone."""
        self._flush()
        self._close(milliseconds(self._limits.linger_s))
