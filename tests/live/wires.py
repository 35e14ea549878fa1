"""Transports on loopback for tests, and sockets that do not keep to the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from dmoa.core.messages import Content, Message, Task, TaskId
from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import KeyPair, make_keys
from dmoa.live.limits import TransportLimits
from dmoa.live.transport import Transport

ROOT = Path(__file__).resolve().parent.parent.parent
QUICK = TransportLimits(
    heartbeat_s=0.1, heartbeat_timeout_s=0.6, reconnect_s=0.02, reconnect_max_s=0.1, linger_s=0.3
)


def limits(**changed: Any) -> TransportLimits:
    """Give quick limits with some of them changed."""
    return msgspec.structs.replace(QUICK, **changed)


def task(number: int = 0, text: str = "what is a queue?", **fields: Any) -> Task:
    """Make a task."""
    return Task(TaskId("ann", number, 0, 0), Content(5, text), **fields)


def deadline_s(message: Message) -> float:
    """Give the deadline of a task, seconds."""
    assert isinstance(message, Task)
    assert message.deadline_s is not None
    return message.deadline_s


def free_port() -> int:
    """Find a port that nobody uses now, below those that systems give to outgoing connections."""
    while True:
        port = random.randrange(12_000, 32_000)  # noqa: S311 - chance, not secrets
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, and see that it leaves no task behind."""

    async def whole() -> None:
        await test
        left = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        assert left == []

    asyncio.run(whole())


async def until(holds: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until something holds; fail if it never does."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.002)


class End:
    """One node's transport, and what it heard."""

    def __init__(self, name: str) -> None:
        self.name, self.keys, self.port = name, make_keys(), free_port()
        self.heard: list[tuple[str, Message]] = []
        self.seen: list[tuple[str, bool]] = []
        self.transport: Transport

    @property
    def address(self) -> PeerAddress:
        """Give what others have to know of it."""
        return PeerAddress(f"tcp://127.0.0.1:{self.port}", self.keys.public)

    def make(
        self, peers: dict[str, PeerAddress], *, incarnation: int = 1, **fields: Any
    ) -> Transport:
        """Make its transport, not yet started."""
        fields.setdefault("limits", QUICK)
        fields.setdefault(
            "on_message", lambda sender, message: self.heard.append((sender, message))
        )
        self.transport = Transport(
            name=self.name,
            keys=self.keys,
            listen=self.address.address,
            peers=peers,
            incarnation=incarnation,
            on_peer=lambda peer, here: self.seen.append((peer, here)),
            **fields,
        )
        return self.transport


@contextlib.asynccontextmanager
async def started(*ends: End, **fields: Any) -> AsyncIterator[None]:
    """Start ends that know each other, wait until they are connected, and close them in the end."""
    addresses = {end.name: end.address for end in ends}
    async with contextlib.AsyncExitStack() as closing:
        for end in ends:
            others = {name: address for name, address in addresses.items() if name != end.name}
            await end.make(others, **fields).start()
            closing.push_async_callback(end.transport.close)
        await until(lambda: all(len(e.transport.connected()) == len(ends) - 1 for e in ends))
        yield


@contextlib.contextmanager
def plain_dealer(to: str) -> Iterator[zmq.Socket[bytes]]:
    """Open a socket without encryption."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(to)
        yield dealer


@contextlib.contextmanager
def raw_dealer(
    to: PeerAddress, keys: KeyPair, routing_id: bytes = b""
) -> Iterator[zmq.Socket[bytes]]:
    """Open a socket that proves its key, and can then send anything."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.curve_serverkey = to.public_key.encode()
        dealer.curve_publickey = keys.public.encode()
        dealer.curve_secretkey = keys.secret.encode()
        if routing_id:
            dealer.routing_id = routing_id
        dealer.connect(to.address)
        yield dealer


class PeerProcess:
    """A transport in a process of its own, which sends back what it hears; it can be stopped."""

    def __init__(self, end: End, peer: End, *, incarnation: int = 1) -> None:
        setting = {
            "name": end.name,
            "public": end.keys.public,
            "secret": end.keys.secret,
            "listen": end.address.address,
            "peer": peer.name,
            "peer_address": peer.address.address,
            "peer_key": peer.keys.public,
            "incarnation": incarnation,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.echo"],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(setting) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill the process, if it still lives."""
        self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


def resident_bytes() -> int:
    """Give the memory this process has in use now, bytes."""
    output = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())],  # noqa: S607 - POSIX
        capture_output=True,
        check=True,
        text=True,
    )
    return int(output.stdout) * 1024


def stopwatch() -> Callable[[], float]:
    """Start to measure a time; give what tells it, in seconds."""
    began_s = time.monotonic()
    return lambda: time.monotonic() - began_s
