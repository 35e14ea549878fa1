"""Messages per second between two nodes, and the time of a hop, beside bare pyzmq in one run.

    python benchmarks/transport.py [--json] [--repeats 5] [--messages 10000]

Both send the same task, 500 characters of text, over CURVE on loopback, from one process to
another. Bare pyzmq is a DEALER that sends two frames of bytes, already encoded, to a ROUTER that
reads them in a blocking loop: no event loop, no allow-list, nothing encoded or decoded. Ours does
all of that, so the ratio says what the transport costs on top of ZeroMQ.

Messages per second count from the first to the last as the receiver hears them. A hop is half the
median time of a message that is sent back at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import zmq
from zmq.auth import CURVE_ALLOW_ANY
from zmq.auth.thread import ThreadAuthenticator

from dmoa.core.messages import Content, Message, Task, TaskId
from dmoa.live import wire
from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import KeyPair, make_keys
from dmoa.live.limits import TransportLimits
from dmoa.live.transport import Transport

ECHOES = 500
TASK = Task(TaskId("sender", 1, 0, 0), Content(100, "a word " * 71), deadline_s=1e6)
ECHO = Task(TaskId("sender", 2, 0, 0), Content(100, "a word " * 71), deadline_s=1e6)
LIMITS = TransportLimits(messages_per_s=1e9)


class Timing:
    """What the receiving side measured."""

    def __init__(self, messages: int) -> None:
        self.awaited, self.began_s, self.rate_hz = messages, 0.0, 0.0

    def hear(self) -> bool:
        """Count a message; True if it was the last."""
        self.awaited -= 1
        if not self.began_s:
            self.began_s = time.perf_counter()
        return self.awaited == 0

    def end(self, messages: int) -> float:
        """Give the rate."""
        return (messages - 1) / (time.perf_counter() - self.began_s)


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_transport(
    name: str,
    keys: KeyPair,
    port: int,
    peer: str,
    address: PeerAddress,
    on_message: Callable[[str, Message], None],
) -> Transport:
    """Make one of the two."""
    return Transport(
        name=name,
        keys=keys,
        listen=f"tcp://127.0.0.1:{port}",
        peers={peer: address},
        incarnation=1,
        limits=LIMITS,
        on_message=on_message,
        on_peer=lambda _peer, _here: None,
    )


def our_receiver(
    pipe: Connection, keys: KeyPair, port: int, sender: PeerAddress, messages: int
) -> None:
    """Hear messages, and send back those that ask for it."""

    async def receive() -> None:
        timing, done = Timing(messages), asyncio.Event()

        def hear(peer: str, message: Message) -> None:
            if message.id.prompt == ECHO.id.prompt:
                transport.send(peer, message)
            elif timing.hear():
                pipe.send(timing.end(messages))
                done.set()

        transport = make_transport("receiver", keys, port, "sender", sender, hear)
        await transport.start()
        await done.wait()
        await transport.close()

    asyncio.run(receive())


async def our_sender(messages: int) -> tuple[float, float]:
    """Measure ours: messages per second, and seconds of a hop."""
    own, other = make_keys(), make_keys()
    own_port, other_port = free_port(), free_port()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=our_receiver,
        args=(
            there,
            other,
            other_port,
            PeerAddress(f"tcp://127.0.0.1:{own_port}", own.public),
            messages,
        ),
    )
    process.start()
    back = asyncio.Event()
    transport = make_transport(
        "sender",
        own,
        own_port,
        "receiver",
        PeerAddress(f"tcp://127.0.0.1:{other_port}", other.public),
        lambda _peer, _message: back.set(),
    )
    await transport.start()
    while not transport.connected():
        await asyncio.sleep(0.001)
    hops_s = []
    for _ in range(ECHOES):
        began_s = time.perf_counter()
        transport.send("receiver", ECHO)
        await back.wait()
        back.clear()
        hops_s.append((time.perf_counter() - began_s) / 2.0)
    for _ in range(messages):
        while not transport.send("receiver", TASK):
            await asyncio.sleep(0.001)
    rate_hz = float(await asyncio.to_thread(here.recv))
    await transport.close()
    process.join()
    return rate_hz, statistics.median(hops_s)


def bare_receiver(pipe: Connection, keys: KeyPair, port: int, messages: int) -> None:
    """Hear messages, and send back as many as ask for it."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve(domain="*", location=CURVE_ALLOW_ANY)
        router.curve_secretkey = keys.secret.encode()
        router.curve_publickey = keys.public.encode()
        router.curve_server = True
        router.bind(f"tcp://127.0.0.1:{port}")
        for _ in range(ECHOES):
            router.send_multipart(router.recv_multipart())
        timing = Timing(messages)
        while True:
            router.recv_multipart()
            if timing.hear():
                break
        pipe.send(timing.end(messages))
        authenticator.stop()


def bare_sender(messages: int) -> tuple[float, float]:
    """Measure bare pyzmq: messages per second, and seconds of a hop."""
    own, other, port = make_keys(), make_keys(), free_port()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=bare_receiver, args=(there, other, port, messages)
    )
    process.start()
    frames = wire.encode(TASK, sent_s=1.0, incarnation=1)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.curve_serverkey = other.public.encode()
        dealer.curve_publickey = own.public.encode()
        dealer.curve_secretkey = own.secret.encode()
        dealer.connect(f"tcp://127.0.0.1:{port}")
        hops_s = []
        for _ in range(ECHOES):
            began_s = time.perf_counter()
            dealer.send_multipart(frames)
            dealer.recv_multipart()
            hops_s.append((time.perf_counter() - began_s) / 2.0)
        for _ in range(messages):
            dealer.send_multipart(frames)
        rate_hz = float(here.recv())
    process.join()
    return rate_hz, statistics.median(hops_s)


def main() -> None:
    """Print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--messages", type=int, default=10_000, help="of each run (default 10000)")
    arguments = parser.parse_args()
    messages = max(2, arguments.messages)
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "bare pyzmq": lambda: bare_sender(messages),
        "dmoa": lambda: asyncio.run(our_sender(messages)),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(max(1, arguments.repeats)):  # they take turns, so that noise is shared
        for name, run in contenders.items():
            measured[name].append(run())
    rates = {name: [rate for rate, _ in runs] for name, runs in measured.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    hops = {name: statistics.median(hop for _, hop in runs) for name, runs in measured.items()}
    if arguments.json:
        report = {
            "messages_per_s": medians,
            "hop_s": hops,
            "rate_ratio": medians["dmoa"] / medians["bare pyzmq"],
            "hop_ratio": hops["dmoa"] / hops["bare pyzmq"],
        }
        print(json.dumps(report))
        return
    print(f"{'':12}{'messages/s':>12}{'spread':>20}{'ratio':>8}{'hop, µs':>10}{'ratio':>8}")
    for name, values in rates.items():
        spread = f"{min(values):,.0f}-{max(values):,.0f}"
        print(
            f"{name:12}{medians[name]:12,.0f}{spread:>20}"
            f"{medians[name] / medians['bare pyzmq']:8.2f}"
            f"{hops[name] * 1e6:10.0f}{hops[name] / hops['bare pyzmq']:8.2f}"
        )


if __name__ == "__main__":
    main()
