"""Messages between nodes over ZeroMQ: encrypted, authenticated, bounded in everything.

One bound ROUTER hears everybody; one DEALER per peer speaks. Who speaks is what the authenticator
found out about the connection, whatever a message claims. What comes is material from others: it
is read, counted and dropped, or delivered; it never raises, and it never costs more than the
limits say.
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
    AllowList,
    Authenticator,
    PeerAddress,
    check_address,
)
from dmoa.live.keys import KeyPair
from dmoa.live.limits import Allowance, QuietLog, TransportLimits
from dmoa.live.links import Context, Link
from dmoa.live.offsets import ClockOffset
from dmoa.live.presence import Hearing, Presence
from dmoa.live.receiver import Receiver

__all__ = ["PeerAddress", "Transport", "TransportLimits"]

TICKS_PER_HEARTBEAT = 4

CHANGES_AT_ONCE = 10.0
"""How often a peer may start anew or be found at once; then once per heartbeat."""

_log = logging.getLogger(__name__)


class _Peer:
    """All that a transport keeps of one peer."""

    def __init__(self, link: Link, limits: TransportLimits, at_s: float) -> None:
        self.link = link
        self.presence = Presence(timeout_s=limits.heartbeat_timeout_s, at_s=at_s)
        self.offset = ClockOffset(limits.clock_window_s)
        self.hears: int | None = None
        """The connection of the peer's over which its last hello came."""
        self.changes = Allowance(per_s=1.0 / limits.heartbeat_s, at_once=CHANGES_AT_ONCE)


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
        check_address(listen, path="listen", listening=True)
        self._allowed = AllowList(keys.public, peers)
        self._name, self._keys, self._listen = name, keys, listen
        self._addresses, self._incarnation = dict(peers), incarnation
        self._limits = limits if limits is not None else TransportLimits()
        self._now, self._on_message, self._on_peer = now, on_message, on_peer
        self._peers: dict[str, _Peer] = {}
        self._context: Context | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._closing = False
        self._quiet = QuietLog(_log, self._limits.log_interval_s)
        self.counters: Counter[str] = Counter()
        self.misbehaviour: Counter[str] = Counter()
        self.endpoint = ""

    async def start(self) -> None:
        """Bind, let peers in, and connect to all of them.

        Raises:
            ScenarioError: The address cannot be bound, or no way to a peer be opened.
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
        self._receiver = Receiver(
            self._context,
            name=self._name,
            keys=self._keys,
            allowed=self._allowed,
            limits=self._limits,
            counters=self.counters,
            misbehaviour=self.misbehaviour,
            log=self._quiet,
            on_letter=self._take,
        )
        started_s = self._loop.time()
        try:
            self.endpoint = self._receiver.bind(self._listen)
            for name, address in self._addresses.items():
                link = self._link(self._context, name, address)
                self._peers[name] = _Peer(link, self._limits, started_s)
        except ScenarioError:
            await self.close()
            raise
        self._tick_s = self._limits.heartbeat_s / TICKS_PER_HEARTBEAT
        self._ticks, self._ticked_s = 0, started_s
        self._tick_handle = self._loop.call_later(self._tick_s, self._tick)

    def _link(self, context: Context, name: str, address: PeerAddress) -> Link:
        """Begin to connect to a peer."""
        try:
            return Link(
                context,
                name,
                address,
                keys=self._keys,
                limits=self._limits,
                counters=self.counters,
                log=self._quiet,
                on_up=self._say_hello,
            )
        except zmq.ZMQError as error:
            raise ScenarioError(
                f"no way to peer {name} can be opened: {error.strerror.lower()}",
                path=f"live.peers.{name}",
                given=address.address,
                remedy="give an address that can be reached; where there are many peers, let the "
                "process open more files (ulimit -n)",
            ) from None

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
        peer = self._peers[name]
        hears = peer.hears if peer.presence.heard else None
        self._say(name, wire.Hello(self._number(peer), hears))

    def _number(self, peer: _Peer) -> int:
        """Give the number of this node's connection to a peer."""
        return wire.connection_number(self._incarnation, peer.link.ups)

    # --- in ---------------------------------------------------------------------------------

    def _take(self, name: str, letter: wire.Letter) -> None:
        """Act on a letter."""
        peer = self._peers[name]
        at_s, presence = self._loop.time(), peer.presence
        if self._flickers(peer, letter, at_s):
            self.counters["refused_haste"] += 1
            return
        hearing = presence.hear(incarnation=letter.incarnation, at_s=at_s)
        if hearing is Hearing.STALE:
            self.counters["stale"] += 1
            return
        body = letter.body
        if hearing is not Hearing.KNOWN:
            peer.hears = None
            peer.offset.forget()
        if hearing is Hearing.RESTARTED:
            peer.link.discard_all()
            if not (isinstance(body, wire.Hello) and body.hears == self._number(peer)):
                peer.link.reopen()  # the connection may still look open and lead nowhere
            if presence.lose():
                self._report(name, peer)
        peer.offset.observe(letter.sent_s, self._now())
        if isinstance(body, wire.Hello):
            self._greet(name, peer, body)
        elif isinstance(body, wire.Leaving):
            if presence.leave():
                self._report(name, peer)
        else:
            if isinstance(body, Task) and body.deadline_s is not None:
                deadline_s = peer.offset.to_own_clock(body.deadline_s)
                body = msgspec.structs.replace(body, deadline_s=deadline_s)
            self._on_message(name, body)

    def _greet(self, name: str, peer: _Peer, hello: wire.Hello) -> None:
        """Act on a hello, and return the first one that comes over a connection."""
        link = peer.link
        unheard = peer.hears != hello.connection
        peer.hears = hello.connection
        if unheard and not link.up:
            link.hasten()  # it is there now, so why wait for the next attempt
        elif unheard:
            self._say_hello(name)
        if hello.hears == self._number(peer):
            link.confirm()
        hears_us = (
            hello.hears is not None
            and wire.connection_incarnation(hello.hears) == self._incarnation
        )
        if peer.presence.greet(hears_us=hears_us):
            self._report(name, peer)

    def _flickers(self, peer: _Peer, letter: wire.Letter, at_s: float) -> bool:
        """Tell whether a letter would make its peer another process, or here, too soon again."""
        presence, body = peer.presence, letter.body
        restarts = presence.replaced_by(letter.incarnation)
        appears = not presence.here and isinstance(body, wire.Hello) and body.hears is not None
        return (restarts or appears) and not peer.changes.take(at_s)

    # --- time -------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Say hello, look who is silent, and let links do what time brings."""
        at_s = self._loop.time()
        stall_s = at_s - self._ticked_s - self._tick_s
        self._ticked_s = at_s
        self._tick_handle = self._loop.call_later(self._tick_s, self._tick)
        hello = self._ticks % TICKS_PER_HEARTBEAT == 0
        self._ticks += 1
        for name, peer in self._peers.items():
            if stall_s > self._tick_s:
                peer.presence.excuse(stall_s)
            if hello:
                self._say_hello(name)
            if peer.presence.expire(at_s=at_s):
                self._report(name, peer)
                if peer.link.up:
                    peer.link.reopen()  # drops what it holds for who may be gone
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
        if self._context is None or self._closing:
            return
        self._closing = True
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        for name, peer in self._peers.items():
            self._say(name, wire.Leaving())
            peer.link.close()
        self._peers = {}
        self._receiver.close()
        await self._authenticator.close()
        # It waits until what lingers is delivered or its time is over.
        await asyncio.to_thread(self._context.term)
