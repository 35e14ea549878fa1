"""Messages between nodes over ZeroMQ: encrypted, authenticated, bounded in everything.

One bound ROUTER hears everybody; one DEALER per peer speaks. Who speaks is what the authenticator
found out about the connection, whatever a message claims. What comes is material from others: it
is read, counted and dropped, or delivered; it never raises, and it never costs more than the
limits say.

One cost is ZeroMQ's own: it collects a message's frames until the last has come. A peer with an
allowed key that sends frames without an end is therefore bounded only by its connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import zmq

from dmoa.core.messages import Message, Task
from dmoa.errors import PeerError, ScenarioError
from dmoa.live import wire
from dmoa.live.allowlist import (
    ZAP_DOMAIN,
    AllowList,
    Authenticator,
    PeerAddress,
    check_address,
)
from dmoa.live.keys import KeyPair
from dmoa.live.limits import Allowance, QuietLog, TransportLimits
from dmoa.live.links import Context, Link, Watch, configure
from dmoa.live.offsets import ClockOffset
from dmoa.live.presence import Hearing, Presence

TICKS_PER_HEARTBEAT = 4
FRAMES_READ_MAX = wire.FRAMES + 1
"""One frame more than a letter has tells that there are too many; the others are not kept."""

_log = logging.getLogger(__name__)


class _Peer:
    """All that a transport keeps of one peer."""

    def __init__(self, link: Link, limits: TransportLimits, at_s: float) -> None:
        self.link = link
        self.presence = Presence(timeout_s=limits.heartbeat_timeout_s, at_s=at_s)
        self.offset = ClockOffset(limits.clock_window_s)
        self.pace = Allowance(per_s=limits.messages_per_s, at_once=max(1.0, limits.messages_per_s))
        most = float(limits.misbehaviours_max)
        self.patience = Allowance(per_s=most / 60.0, at_once=most)
        self.muted_until_s = float("-inf")
        self.version = wire.PROTOCOL_VERSION


class Transport:
    """A node's way to its peers. Everything happens in the event loop that started it.

    Args:
        name: This node's name, for the log.
        keys: This node's key pair.
        listen: ``tcp://HOST:PORT``; port 0 lets the system choose.
        peers: Who may talk with this node, by name.
        incarnation: Number of this start of the node, higher than that of the one before.
        limits: Bounds of everything.
        now: The clock of the node, seconds; deadlines of tasks are in it.
        on_message: Called with a peer's name and its message; a task's deadline has been
            translated to this node's clock.
        on_peer: Called with a peer's name when it is here (True: each hears the other) or lost
            (False: silent for ``heartbeat_timeout_s``, never heard for that long, left, or
            another process of it speaks, whose predecessor's memory is gone).

    Attributes:
        counters: What was sent, received, refused and dropped, and why.
        misbehaviour: Bad frames by peer.
        endpoint: The address really bound, once started.

    Raises:
        ScenarioError: An address or a key is malformed.
    """

    def __init__(
        self,
        *,
        name: str,
        keys: KeyPair,
        listen: str,
        peers: Mapping[str, PeerAddress],
        incarnation: int,
        limits: TransportLimits | None = None,
        now: Callable[[], float] = time.monotonic,
        on_message: Callable[[str, Message], None],
        on_peer: Callable[[str, bool], None],
    ) -> None:
        check_address(listen, path="listen", port_min=0)
        self._allowed = AllowList(keys.public, peers)
        self._name, self._keys, self._listen = name, keys, listen
        self._addresses, self._incarnation = dict(peers), incarnation
        self._limits = limits if limits is not None else TransportLimits()
        self._now, self._on_message, self._on_peer = now, on_message, on_peer
        self._peers: dict[str, _Peer] = {}
        self._context: Context | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._quiet = QuietLog(_log, self._limits.log_interval_s)
        self.counters: Counter[str] = Counter()
        self.misbehaviour: Counter[str] = Counter()
        self.endpoint = ""

    async def start(self) -> None:
        """Bind, let peers in, and connect to all of them.

        Raises:
            ScenarioError: The address cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._authenticator = Authenticator(
            self._context,
            self._allowed,
            limits=self._limits,
            counters=self.counters,
            log=self._quiet,
        )
        router = self._router = self._context.socket(zmq.ROUTER)
        configure(router, self._keys, self._limits)
        router.curve_server = True
        router.zap_domain = ZAP_DOMAIN.encode()
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.router_handover = False  # a second connection cannot take over a first one's place
        router.ipv6 = "[" in self._listen
        self._watch = Watch(router, self._hear_connection)
        self._loop.add_reader(router.FD, self._drain)
        try:
            router.bind(self._listen)
        except zmq.ZMQError as error:
            await self.close()
            raise _cannot_bind(self._listen, error) from None
        self.endpoint = router.last_endpoint.decode()
        started_s = self._loop.time()
        for name, address in self._addresses.items():
            link = Link(
                self._context,
                name,
                address,
                keys=self._keys,
                limits=self._limits,
                counters=self.counters,
                log=self._quiet,
                on_up=self._say_hello,
            )
            self._peers[name] = _Peer(link, self._limits, started_s)
        self._tick_s = self._limits.heartbeat_s / TICKS_PER_HEARTBEAT
        self._ticks, self._ticked_s = 0, started_s
        self._tick_handle = self._loop.call_later(self._tick_s, self._tick)

    # --- out --------------------------------------------------------------------------------

    def send(self, to: str, message: Message) -> bool:
        """Send a message, or let it wait for its peer; never blocks.

        Returns:
            False if it was dropped, for which ``counters`` say why.
        """
        peer = self._peers.get(to)
        if peer is None:
            self.counters["dropped_unknown"] += 1
            return False
        sent_s = self._now()
        try:
            frames = wire.encode(message, sent_s=sent_s, incarnation=self._incarnation)
        except PeerError as error:
            return self._unsendable(to, str(error))
        if len(frames[1]) > self._limits.frame_bytes_max:
            return self._unsendable(
                to,
                f"it has {len(frames[1])} bytes, and the limit is {self._limits.frame_bytes_max}",
            )
        wait_s, task = self._limits.send_queue_age_s, isinstance(message, Task)
        if isinstance(message, Task) and message.deadline_s is not None:
            wait_s = min(wait_s, message.deadline_s - sent_s)
        return peer.link.send(frames, until_s=self._loop.time() + wait_s, task=task)

    def _unsendable(self, to: str, why: str) -> bool:
        """Drop a message that no peer could read."""
        self.counters["dropped_unsendable"] += 1
        self._quiet.warn(
            ("unsendable", to), self._loop.time(), "a message to %s was not sent: %s", to, why
        )
        return False

    def _say(self, name: str, word: wire.Hello | wire.Leaving) -> None:
        """Say something to a peer now or never: tomorrow it would be untrue."""
        link = self._peers[name].link
        if link.up:
            link.send_now(wire.encode(word, sent_s=self._now(), incarnation=self._incarnation))

    def _say_hello(self, name: str) -> None:
        """Tell a peer that this node is here, and whether it hears the peer."""
        presence = self._peers[name].presence
        self._say(name, wire.Hello(presence.incarnation if presence.heard else None))

    # --- in ---------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Read the messages that wait, but not so many that other work has to."""
        if self._router.closed:
            return
        more = True
        try:
            for _ in range(self._limits.drain_messages):
                self._receive()
                if self._router.closed:
                    return
        except zmq.Again:
            more = False
        finally:  # ZeroMQ tells of waiting messages once only, whatever happened to this one
            if more:
                self._loop.call_soon(self._drain)

    def _receive(self) -> None:
        """Read one message."""
        receive = self._router.recv
        frame = receive(zmq.NOBLOCK, copy=False)  # the routing id: self-chosen, so worth nothing
        frames: list[bytes] = []
        size = longest = 0
        while frame.more:
            frame = receive(zmq.NOBLOCK, copy=False)
            length = len(frame)
            size += length
            longest = max(longest, length)
            if len(frames) < FRAMES_READ_MAX:
                frames.append(frame.bytes)
        name = self._allowed.name_of(frame.get("User-Id"))
        if name is None:  # cannot be: the authenticator let it in
            self.counters["refused_key"] += 1
            return
        self.counters["received"] += 1
        self.counters["bytes_received"] += size
        peer, at_s = self._peers[name], self._loop.time()
        if self._listens(name, peer, at_s):
            if len(frames) > wire.FRAMES:
                self._misbehaved(name, peer, "too_many_frames", "a message has too many frames")
            elif longest > self._limits.frame_bytes_max:
                self._misbehaved(name, peer, "oversize", f"a frame has {longest} bytes")
            else:
                self._read(name, peer, frames, at_s)

    def _listens(self, name: str, peer: _Peer, at_s: float) -> bool:
        """Decide whether to read what a peer sends now."""
        if at_s < peer.muted_until_s:
            self.counters["muted"] += 1
            return False
        if peer.pace.take(at_s):
            return True
        self.counters["rate_limited"] += 1
        self._quiet.warn(
            ("pace", name),
            at_s,
            "%s sends more than %g messages per second; what is beyond is dropped",
            name,
            self._limits.messages_per_s,
        )
        return False

    def _read(self, name: str, peer: _Peer, frames: list[bytes], at_s: float) -> None:
        """Read a letter and act on it."""
        try:
            letter = wire.decode(frames)
        except PeerError as error:
            version = wire.other_version(frames)
            if version is None:
                self._misbehaved(name, peer, "malformed", str(error))
                return
            self.counters["wrong_version"] += 1
            if version != peer.version:
                peer.version = version
                _log.warning(
                    "%s speaks protocol version %d, this node %s speaks %d: "
                    "install the same version of dmoa on both",
                    name,
                    version,
                    self._name,
                    wire.PROTOCOL_VERSION,
                )
            return
        hearing = peer.presence.hear(incarnation=letter.incarnation, at_s=at_s)
        if hearing is Hearing.STALE:
            self.counters["stale"] += 1
            return
        if hearing is not Hearing.KNOWN:
            self._meet(name, peer, hearing)
        received_s = self._now()
        peer.offset.observe(letter.sent_s, received_s)
        body = letter.body
        if isinstance(body, wire.Hello):
            if peer.presence.greet(hears_us=body.hears == self._incarnation):
                self._report(name, peer)
        elif isinstance(body, wire.Leaving):
            if peer.presence.leave():
                self._report(name, peer)
        else:
            if isinstance(body, Task) and body.deadline_s is not None:
                deadline_s = peer.offset.to_own_clock(body.deadline_s)
                body = msgspec.structs.replace(body, deadline_s=deadline_s)
            self._on_message(name, body)

    def _meet(self, name: str, peer: _Peer, hearing: Hearing) -> None:
        """Hear a peer for the first time since it started, or since it fell silent."""
        peer.offset.forget()
        if hearing is Hearing.RESTARTED:
            peer.link.discard_all()
            peer.link.reopen()  # an old connection may still look open
            if peer.presence.lose():
                self._report(name, peer)
        elif peer.link.up:
            self._say_hello(name)
        else:
            peer.link.reopen()  # it is there now, so why wait for the next attempt

    def _misbehaved(self, name: str, peer: _Peer, counter: str, what: str) -> None:
        """Count a bad message, and stop listening to who sends too many of them."""
        at_s = self._loop.time()
        self.counters[counter] += 1
        self.misbehaviour[name] += 1
        self._quiet.warn((counter, name), at_s, "a message of %s was dropped: %s", name, what)
        if not peer.patience.take(at_s):
            peer.muted_until_s = at_s + self._limits.mute_s
            self._quiet.warn(
                ("mute", name),
                at_s,
                "%s sent too many bad messages; nothing of it is read for %g s",
                name,
                self._limits.mute_s,
            )

    def _hear_connection(self, event: int, _: int) -> None:
        """Count what becomes of connections that others open to this node."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.counters["accepted"] += 1
        elif event == zmq.EVENT_DISCONNECTED:
            self.counters["ended"] += 1
        elif event != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # that one the authenticator counts
            self.counters["refused_handshake"] += 1
            self._quiet.warn(
                ("handshake", ""),
                self._loop.time(),
                "something without encryption or with another protocol connected to %s "
                "and was refused",
                self.endpoint,
            )

    # --- time -------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Say hello, look who is silent, and let links do what time brings."""
        at_s = self._loop.time()
        stall_s = at_s - self._ticked_s - self._tick_s
        self._ticked_s = at_s
        self._tick_handle = self._loop.call_later(self._tick_s, self._tick)
        self._drain()
        hello = self._ticks % TICKS_PER_HEARTBEAT == 0
        self._ticks += 1
        for name, peer in self._peers.items():
            if stall_s > self._tick_s:
                peer.presence.excuse(stall_s)
            if hello:
                self._say_hello(name)
            if peer.presence.expire(at_s=at_s):
                self._report(name, peer)
            peer.link.tend()

    def _report(self, name: str, peer: _Peer) -> None:
        """Tell the node that a peer is here or lost."""
        here = peer.presence.here
        self.counters["found" if here else "lost"] += 1
        if not here:
            peer.link.discard_tasks()
        self._on_peer(name, here)

    def connected(self) -> frozenset[str]:
        """Give the peers that are here: each hears the other."""
        return frozenset(name for name, peer in self._peers.items() if peer.presence.here)

    async def close(self) -> None:
        """Tell all peers that this node leaves, and be gone within ``linger_s``."""
        if self._context is None or self._context.closed or self._router.closed:
            return
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        for name, peer in self._peers.items():
            self._say(name, wire.Leaving())
            peer.link.close()
        self._watch.close()
        self._loop.remove_reader(self._router.FD)
        self._router.close(0)
        await self._authenticator.close()
        # It waits until what lingers is delivered or its time is over.
        await asyncio.to_thread(self._context.term)


def _cannot_bind(listen: str, error: zmq.ZMQError) -> ScenarioError:
    """Say why an address cannot be bound, and what helps."""
    if error.errno == zmq.EADDRINUSE:
        return ScenarioError(
            "the port is in use",
            path="listen",
            given=listen,
            remedy="stop the process that has it, or choose another port here and in cluster.toml",
        )
    return ScenarioError(
        f"this machine cannot listen there: {error.strerror.lower()}",
        path="listen",
        given=listen,
        remedy="give an address of this machine, for example tcp://127.0.0.1:7401",
    )
