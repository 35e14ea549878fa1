"""The bound ROUTER of a node: reads what peers send, and refuses what is none of their letters.

One cost is ZeroMQ's own: it collects a message's frames until the last has come. A peer with an
allowed key that sends frames without an end is therefore bounded only by its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

import zmq

from dmoa.errors import PeerError, ScenarioError
from dmoa.live import wire
from dmoa.live.allowlist import ZAP_DOMAIN, AllowList
from dmoa.live.keys import KeyPair
from dmoa.live.limits import Allowance, QuietLog, TransportLimits
from dmoa.live.links import NOW, Context, Watch, configure

FRAMES_READ_MAX = wire.FRAMES + 1
"""One frame more than a letter has tells that there are too many; the others are not kept."""

FRAMES_AT_ONCE = 64
"""Frames of one message that are read before other work has its turn."""

_log = logging.getLogger(__name__)


class _Conduct:
    """How much a peer sent lately, and how much of it was bad."""

    def __init__(self, limits: TransportLimits) -> None:
        self.pace = Allowance(per_s=limits.messages_per_s, at_once=max(1.0, limits.messages_per_s))
        most = float(limits.misbehaviours_max)
        self.patience = Allowance(per_s=most / 60.0, at_once=most)
        self.muted_until_s = float("-inf")
        self.versions_told = False


class Receiver:
    """Hears everybody whom the authenticator has let in.

    Args:
        context: The node's ZeroMQ context; its authenticator must be there already.
        name: This node's name, for the log.
        keys: This node's key pair.
        allowed: Names of the keys that are let in.
        limits: Bounds of what is read.
        counters: Counts what was received and refused.
        misbehaviour: Counts bad messages by peer.
        log: Where bad messages are reported.
        on_letter: Called with the sender's name and its letter.
    """

    def __init__(
        self,
        context: Context,
        *,
        name: str,
        keys: KeyPair,
        allowed: AllowList,
        limits: TransportLimits,
        counters: Counter[str],
        misbehaviour: Counter[str],
        log: QuietLog,
        on_letter: Callable[[str, wire.Letter], None],
    ) -> None:
        self._name, self._allowed, self._limits = name, allowed, limits
        self._counters, self._misbehaviour, self._log = counters, misbehaviour, log
        self._on_letter = on_letter
        self._conduct = {peer: _Conduct(limits) for peer in allowed.names.values()}
        self._loop = asyncio.get_running_loop()
        self._router = context.socket(zmq.ROUTER)
        configure(self._router, keys, limits)
        self._router.curve_server = True
        self._router.zap_domain = ZAP_DOMAIN.encode()
        self._router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._router.router_handover = False  # nobody takes over another connection's place
        self._watch = Watch(self._router, self._hear_connection)
        self._inside = False
        self._endpoint = ""

    def bind(self, listen: str) -> str:
        """Begin to listen; give the address really bound.

        Raises:
            ScenarioError: The address cannot be bound.
        """
        self._router.ipv6 = "[" in listen
        try:
            self._router.bind(listen)
        except zmq.ZMQError as error:
            raise _cannot_bind(listen, error) from None
        self._loop.add_reader(self._router.FD, self._drain)
        self._loop.call_soon(self._drain)
        self._endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        return self._endpoint

    def _drain(self) -> None:
        """Read the messages that wait, but not so many that other work has to."""
        more, left = True, self._limits.drain_messages
        try:
            while more and left:
                more = self._receive()
                left -= 1
        finally:  # ZeroMQ tells of waiting messages once only, whatever happened to this one
            if more:
                self._loop.call_soon(self._drain)

    def _receive(self) -> bool:
        """Read one message, or the next part of one that is too long; False if there is none."""
        if self._router.closed:
            return False
        receive = self._router.recv
        try:
            frame = receive(NOW, copy=False)  # a routing id: self-chosen, worth nothing
        except zmq.Again:
            return False
        frames: list[bytes] = []
        size = longest = 0
        for _ in range(FRAMES_AT_ONCE):
            if not frame.more:
                break
            frame = receive(NOW, copy=False)
            length = len(frame)
            size += length
            longest = max(longest, length)
            if len(frames) < FRAMES_READ_MAX:
                frames.append(frame.bytes)
        rest, self._inside = self._inside, frame.more
        self._counters["bytes_received"] += size
        if not rest:
            self._counters["received"] += 1
            self._judge(self._allowed.names[str(frame["User-Id"])], frames, longest)
        return True

    def _judge(self, name: str, frames: list[bytes], longest: int) -> None:
        """Decide whether a message is fit to be read."""
        conduct = self._conduct[name]
        if not self._listens(name, conduct, self._loop.time()):
            return
        if len(frames) > wire.FRAMES:
            self._misbehaved(name, conduct, "too_many_frames", "it has too many frames")
        elif longest > self._limits.frame_bytes_max:
            self._misbehaved(name, conduct, "oversize", f"a frame of it has {longest} bytes")
        else:
            self._read(name, conduct, frames)

    def _listens(self, name: str, conduct: _Conduct, at_s: float) -> bool:
        """Decide whether to read what a peer sends now."""
        if at_s < conduct.muted_until_s:
            self._counters["muted"] += 1
            return False
        if conduct.pace.take(at_s):
            return True
        self._counters["rate_limited"] += 1
        self._log.warn(
            ("pace", name),
            at_s,
            "%s sends more than %g messages per second; what is beyond is dropped",
            name,
            self._limits.messages_per_s,
        )
        return False

    def _read(self, name: str, conduct: _Conduct, frames: list[bytes]) -> None:
        """Read a letter and pass it on."""
        try:
            letter = wire.decode(frames)
        except PeerError as error:
            version = wire.other_version(frames)
            if version is None:
                self._misbehaved(name, conduct, "malformed", str(error))
            else:
                self._counters["wrong_version"] += 1
                self._tell_versions(name, conduct, version)
        else:
            self._on_letter(name, letter)

    def _tell_versions(self, name: str, conduct: _Conduct, version: int) -> None:
        """Say once that a peer speaks another protocol version."""
        if conduct.versions_told:
            return
        conduct.versions_told = True
        _log.warning(
            "%s speaks protocol version %d, but this node, %s, speaks version %d: "
            "install the same version of dmoa on both",
            name,
            version,
            self._name,
            wire.PROTOCOL_VERSION,
        )

    def _misbehaved(self, name: str, conduct: _Conduct, counter: str, what: str) -> None:
        """Count a bad message, and stop listening to who sends too many of them."""
        at_s = self._loop.time()
        self._counters[counter] += 1
        self._misbehaviour[name] += 1
        self._log.warn((counter, name), at_s, "a message of %s was dropped: %s", name, what)
        if not conduct.patience.take(at_s):
            conduct.muted_until_s = at_s + self._limits.mute_s
            self._log.warn(
                ("mute", name),
                at_s,
                "%s sent too many bad messages; nothing of it is read for %g s",
                name,
                self._limits.mute_s,
            )

    def _hear_connection(self, event: int, _: int) -> None:
        """Count what becomes of connections that others open to this node.

        ZeroMQ names the reason only of some that fail; those that were opened and not accepted
        are all of them.
        """
        if event == zmq.EVENT_ACCEPTED:
            self._counters["opened"] += 1
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._counters["accepted"] += 1
        elif event == zmq.EVENT_DISCONNECTED:
            self._counters["ended"] += 1
        elif event != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # that one the authenticator counts
            self._counters["refused_handshake"] += 1
            if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._log.warn(
                    ("handshake", ""),
                    self._loop.time(),
                    "something without encryption or with another protocol connected to %s "
                    "and was refused",
                    self._endpoint,
                )

    def close(self) -> None:
        """Hear nobody any more."""
        self._watch.close()
        self._loop.remove_reader(self._router.FD)
        self._router.close(0)


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
