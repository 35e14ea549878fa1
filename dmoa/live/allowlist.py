"""Who may talk: peers by their public keys, and the handler that ZeroMQ asks about each connection.

CURVE alone proves that a peer has the secret key of *some* public key. Which keys are let in is
decided here, over ZAP (ZeroMQ RFC 27), and the name of a peer is what this node's configuration
calls its key, never what the peer calls itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Mapping

import msgspec
import zmq
from zmq.utils import z85

from dmoa.errors import ScenarioError
from dmoa.live.keys import KEY_BYTES, is_key
from dmoa.live.limits import Allowance, QuietLog, TransportLimits

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
ZAP_DOMAIN = "dmoa"
ZAP_VERSION = b"1.0"
ZAP_FRAMES = 9  # routing id, empty, version, request, domain, address, identity, mechanism, key
RESTART_PAUSE_S = 0.01

_ADDRESS = re.compile(r"tcp://(\[[0-9a-fA-F:.]+(?:%\w+)?\]|[A-Za-z0-9._-]+|\*):([0-9]{1,5})")
_log = logging.getLogger(__name__)


class PeerAddress(msgspec.Struct, frozen=True):
    """Where a peer listens and who it is.

    ``public_key`` is the key it has; ``other_public_keys`` are let in as well, for the time in
    which a peer changes from one key to another.
    """

    address: str
    public_key: str
    other_public_keys: tuple[str, ...] = ()

    def every_key(self) -> tuple[str, ...]:
        """Give every key the peer may come with, the likeliest first."""
        return (self.public_key, *self.other_public_keys)


def check_address(address: str, *, path: str, listening: bool = False) -> None:
    """Refuse what is no ``tcp://HOST:PORT``.

    Where to listen may also be any port (0) of any address (*).

    Raises:
        ScenarioError: It is something else.

    >>> check_address("tcp://127.0.0.1:7401", path="listen")
    """
    match = _ADDRESS.fullmatch(address)
    least = 0 if listening else 1
    if match is None or not least <= int(match[2]) <= 65535 or (match[1] == "*" and not listening):
        raise ScenarioError(
            f"an address is tcp://HOST:PORT with a port of {least} to 65535",
            path=path,
            given=address,
            remedy='for example "tcp://127.0.0.1:7401"',
        )


class AllowList:
    """Which public key is whom.

    Args:
        own_key: This node's own public key, which no peer may have.
        peers: Peers by name.

    Attributes:
        names: The peer's name of each key that is let in.

    Raises:
        ScenarioError: An address or key is malformed, or two have the same key.
    """

    def __init__(self, own_key: str, peers: Mapping[str, PeerAddress]) -> None:
        self.names: dict[str, str] = {}
        for name, peer in peers.items():
            check_address(peer.address, path=f"live.peers.{name}.address")
            for key in peer.every_key():
                self._add(own_key, name, key)

    def _add(self, own_key: str, name: str, key: str) -> None:
        """Let a key in as this peer."""
        path = f"live.peers.{name}.public_key"
        if not is_key(key):
            raise ScenarioError(
                "a public key is 40 characters, as `dmoa keys` prints them", path=path, given=key
            )
        if key == own_key:
            raise ScenarioError(
                "this is this node's own public key",
                path=path,
                given=key,
                remedy="every node needs a key pair of its own: `dmoa keys` makes one",
            )
        if self.names.setdefault(key, name) != name:
            raise ScenarioError(
                f"peer {self.names[key]} has the same public key",
                path=path,
                given=key,
                remedy="every node needs a key pair of its own: `dmoa keys` makes one",
            )


class Authenticator:
    """Answers ZeroMQ's question about each connection, and is started again if it fails.

    A handler that is gone would let nobody in any more, so the task that answers is watched. Its
    socket stays open over a restart: questions wait there.

    Args:
        context: The ZeroMQ context whose connections it decides about.
        allowed: Who may talk.
        limits: How often one key may connect.
        counters: Counts ``refused_key``, ``refused_haste`` and ``authenticator_restarted``.
        log: Where strangers are reported.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        allowed: AllowList,
        *,
        limits: TransportLimits,
        counters: Counter[str],
        log: QuietLog,
    ) -> None:
        self._allowed, self._counters, self._log = allowed, counters, log
        per_s = limits.handshakes_per_s
        self._haste = {
            key: Allowance(per_s=per_s, at_once=max(1.0, 10 * per_s)) for key in allowed.names
        }
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._socket = context.socket(zmq.ROUTER)
        self._socket.bind(ZAP_ENDPOINT)
        self._loop.add_reader(self._socket.FD, self._asked.set)
        self._task = self._start()

    def _start(self) -> asyncio.Task[None]:
        """Begin to answer, also what was asked while nobody did."""
        self._asked.set()
        task = self._loop.create_task(self._answer(), name="dmoa-authenticator")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Start again: whatever ended the task, it was not the closing."""
        if self._socket.closed:
            return
        self._counters["authenticator_restarted"] += 1
        error = None if task.cancelled() else task.exception()
        _log.error("the authenticator ended and is started again", exc_info=error)
        self._loop.call_later(RESTART_PAUSE_S, self._restart)

    def _restart(self) -> None:
        if not self._socket.closed:
            self._task = self._start()

    async def _answer(self) -> None:
        """Answer as long as the node lives."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while True:
                try:
                    frames = self._socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                reply = self._decide(frames)
                if reply is not None:
                    self._socket.send_multipart(reply, zmq.NOBLOCK)
                await asyncio.sleep(0)  # a flood of strangers does not keep others waiting

    def _decide(self, frames: list[bytes]) -> list[bytes] | None:
        """Write the answer to one question; None if it is none."""
        if len(frames) != ZAP_FRAMES:
            return None
        routing, empty, _, request, domain, address, _, mechanism, key_bytes = frames
        status, text, user = b"400", b"no such peer", b""
        if domain == ZAP_DOMAIN.encode() and mechanism == b"CURVE" and len(key_bytes) == KEY_BYTES:
            key = z85.encode(key_bytes).decode()
            name = self._allowed.names.get(key)
            if name is None:
                self._refuse(address.decode(errors="replace"), key)
            elif not self._haste[key].take(self._loop.time()):
                self._counters["refused_haste"] += 1
                status, text = b"300", b"too many connections"
            else:
                status, text, user = b"200", b"OK", key.encode()
        else:
            self._counters["refused_key"] += 1
        return [routing, empty, ZAP_VERSION, request, status, text, user, b""]

    def _refuse(self, address: str, key: str) -> None:
        """Count a stranger and say whom it would have to be."""
        self._counters["refused_key"] += 1
        self._log.warn(
            ("stranger", ""),
            self._loop.time(),
            "a connection from %s was refused: its public key %s is none of this node's peers; "
            "if it is one, put the key into [live.peers.NAME]",
            address,
            key,
        )

    async def close(self) -> None:
        """Stop answering."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._socket.FD)
        self._socket.close(0)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
