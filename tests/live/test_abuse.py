"""Strangers, impostors and garbage: refused, counted, and the node goes on as if nothing were."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable

import msgspec
import pytest
import zmq

from dmoa.core.messages import Content, Task, TaskId
from dmoa.live import wire
from dmoa.live.keys import make_keys
from tests.live.wires import (
    End,
    deadline_s,
    limits,
    plain_dealer,
    raw_dealer,
    resident_bytes,
    run,
    started,
    task,
    until,
)

FLOOD = 100_000
MIB = 1 << 20
GARBAGE = [b"\xc1", b"\xff"]
UNLIMITED = {"messages_per_s": 1e9, "misbehaviours_max": 10**9}


async def still_works(ann: End, bob: End) -> None:
    """See that a good message still goes through, from bob to ann."""
    message = task(4711)
    bob.transport.send("ann", message)
    await until(lambda: ("bob", message) in ann.heard)
    assert "bob" in ann.transport.connected()


def valid(number: int = 0, sender: str = "ann") -> tuple[bytes, bytes]:
    """Write a letter that is fine in itself."""
    message = Task(TaskId(sender, number, 0, 0), Content(1, "hello"))
    return wire.encode(message, sent_s=0.0, incarnation=1)


def test_a_stranger_is_refused(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob):
            with raw_dealer(ann.address, make_keys()) as stranger:
                for number in range(100):
                    stranger.send_multipart(valid(number))
                await until(lambda: ann.transport.counters["refused_key"])
                await still_works(ann, bob)
            assert ann.heard == [("bob", task(4711))]

    run(scene())
    assert caplog.text.count("none of this node's peers") == 1


def test_a_server_that_has_not_the_peers_key_hears_nothing(caplog):
    """Whoever listens at bob's address without bob's secret key gets no message of ann."""

    async def scene() -> None:
        ann, bob, impostor = End("ann"), End("bob"), End("bob")
        impostor.port = bob.port
        ann.make({"bob": bob.address})
        impostor.make({"ann": ann.address})
        await impostor.transport.start()
        await ann.transport.start()
        ann.transport.send("bob", task(1))
        await until(lambda: ann.transport.counters["handshake_failed"])
        await until(lambda: ann.seen == [("bob", False)])
        assert impostor.heard == []
        assert ann.transport.counters["refused_key"] > 0
        await ann.transport.close()
        await impostor.transport.close()

    run(scene())
    assert "did not prove its key" in caplog.text


def test_a_peer_that_claims_another_name_is_heard_under_its_own():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve):
            with raw_dealer(ann.address, eve.keys, routing_id=b"bob") as dealer:
                dealer.send_multipart(valid(1, sender="bob"))
                await until(lambda: ann.heard)
            assert [sender for sender, _ in ann.heard] == ["eve"]

    run(scene())


def test_a_peer_cannot_take_over_the_place_of_another():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve):
            with raw_dealer(ann.address, bob.keys, routing_id=b"bob") as honest:
                honest.send_multipart(valid(1))
                await until(lambda: len(ann.heard) == 1)
                accepted = ann.transport.counters["accepted"]
                with raw_dealer(ann.address, eve.keys, routing_id=b"bob") as thief:
                    thief.send_multipart(valid(2))
                    await until(lambda: ann.transport.counters["accepted"] == accepted + 1)
                    honest.send_multipart(valid(3))
                    await until(lambda: len(ann.heard) == 2)
            assert {(sender, message.id.prompt) for sender, message in ann.heard} == {
                ("bob", 1),
                ("bob", 3),
            }

    run(scene())


def test_a_client_without_encryption_is_refused(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob):
            counters = ann.transport.counters
            before, ended = counters["opened"] - counters["accepted"], counters["ended"]
            with plain_dealer(ann.address.address) as plain:
                plain.send_multipart(valid())
                await until(lambda: counters["opened"] - counters["accepted"] > before)
                await until(lambda: counters["ended"] > ended)
                await still_works(ann, bob)
            assert ann.heard == [("bob", task(4711))]

    run(scene())
    assert caplog.text.count("without encryption") <= 1


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\xff" * 5_000,
        b"\x00" * 5_000,
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00CURVE" + b"\x00" * 47 + b"\xff" * 5_000,
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00CURVE"
        + b"\x00" * 47
        + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=["HTTP", "ones", "zeros", "a greeting and noise", "a greeting and an endless command"],
)
def test_raw_bytes_are_refused(bytes_sent):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, limits=limits(handshake_s=0.2)):
            counters = ann.transport.counters
            before = counters["opened"] - counters["accepted"]
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", ann.port)
                writer.write(bytes_sent)
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), timeout=5.0)  # until it is cut off
                writer.close()
            await until(lambda: counters["opened"] - counters["accepted"] == before + 3)
            await until(lambda: counters["ended"] >= 3)
            await still_works(ann, bob)

    run(scene())


def test_a_client_that_says_nothing_is_cut_off():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, limits=limits(handshake_s=0.2)):
            with socket.create_connection(("127.0.0.1", ann.port)):
                await until(lambda: ann.transport.counters["ended"])
            await still_works(ann, bob)

    run(scene())


@pytest.mark.parametrize(
    ("frames", "counter"),
    [
        ([b"x" * 1001, b"x"], "oversize"),
        ([b"x", b"x" * 1900], "oversize"),
        ([b"x"] * 3, "too_many_frames"),
        ([b"x"] * 10_000, "too_many_frames"),
        ([b"x" * 900] * 1000, "too_many_frames"),
        ([b"", b""], "malformed"),
        ([b"x"], "malformed"),
        ([b""], "malformed"),
        (GARBAGE, "malformed"),
        ([valid()[0], b"\x91" * 1000], "malformed"),
    ],
)
def test_what_is_no_letter_is_dropped_and_counted(frames, counter, caplog):
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve, limits=limits(frame_bytes_max=1000)):
            before = ann.transport.counters["received"]
            with raw_dealer(ann.address, eve.keys) as dealer:
                for _ in range(3):
                    dealer.send_multipart(frames)
                await until(lambda: ann.transport.counters[counter] == 3)
                dealer.send_multipart(valid(5))
                await until(lambda: ("eve", 5) in [(s, m.id.prompt) for s, m in ann.heard])
            assert ann.transport.misbehaviour == {"eve": 3}
            assert ann.transport.counters["received"] - before < 100, "parts are no messages"
            await still_works(ann, bob)

    run(scene())
    assert caplog.text.count("a message of eve was dropped") == 1


def test_a_frame_far_beyond_the_limit_is_cut_off_before_it_is_read():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve, limits=limits(frame_bytes_max=1000)):
            ended = ann.transport.counters["ended"]
            with raw_dealer(ann.address, eve.keys) as dealer:
                dealer.send_multipart([b"x", b"x" * 10 * MIB])
                await until(lambda: ann.transport.counters["ended"] > ended)
            assert ann.transport.counters["bytes_received"] < 100_000
            await still_works(ann, bob)

    run(scene())


def garbage(chance: random.Random) -> list[bytes]:
    """Make up a message: any number of frames of anything, some of them nearly right."""
    if chance.random() < 0.2:
        return [valid()[0], chance.randbytes(chance.randrange(100))]
    if chance.random() < 0.2:
        body = bytearray(valid()[1])
        body[chance.randrange(8)] = 0xC1  # a byte that MessagePack never uses
        return [valid()[0], bytes(body)]
    return [chance.randbytes(chance.randrange(300)) for _ in range(chance.randrange(1, 5))]


def flood(dealer: zmq.Socket[bytes], count: int, make: Callable[[], list[bytes]]) -> None:
    """Send as fast as it goes."""
    for _ in range(count):
        dealer.send_multipart(make())


def test_100_000_random_messages_cost_no_memory_and_silence_nobody(caplog):
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        chance = random.Random(1)  # noqa: S311 - chance, not secrets
        async with started(ann, bob, eve, limits=limits(**UNLIMITED)):
            counters = ann.transport.counters
            bad = lambda: counters["malformed"] + counters["too_many_frames"]  # noqa: E731
            with raw_dealer(ann.address, eve.keys) as dealer:
                flood(dealer, 1000, lambda: garbage(chance))  # caches and pools are filled now
                await until(lambda: bad() == 1000)
                before = resident_bytes()
                sender = threading.Thread(
                    target=flood, args=(dealer, FLOOD, lambda: garbage(chance))
                )
                sender.start()
                await until(lambda: bad() > 20_000, within_s=60.0)
                await still_works(ann, bob)  # in the midst of it
                assert sender.is_alive()
                await until(lambda: bad() == 1000 + FLOOD, within_s=60.0)
                sender.join()
            assert resident_bytes() - before < 16 * MIB
            assert ann.transport.misbehaviour == {"eve": 1000 + FLOOD}
            await until(lambda: ann.transport.connected() == {"bob", "eve"})
            eve.transport.send("ann", task(99))
            await until(lambda: ("eve", task(99)) in ann.heard)

    run(scene())
    assert len(caplog.records) < 10


def test_a_peer_that_sends_too_much_garbage_is_not_read_for_a_while():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve, limits=limits(misbehaviours_max=50, mute_s=1.0)):
            counters = ann.transport.counters
            with raw_dealer(ann.address, eve.keys) as dealer:
                flood(dealer, 500, lambda: GARBAGE)
                await until(lambda: counters["muted"] >= 400)
                assert 50 <= counters["malformed"] < 100
                await until(lambda: ("eve", False) in ann.seen)
                await still_works(ann, bob)
                await until(lambda: ann.seen[-1] == ("eve", True))
            eve.transport.send("ann", task(99))
            await until(lambda: ("eve", task(99)) in ann.heard)

    run(scene())


def test_a_peer_that_sends_too_fast_is_not_read_beyond_its_rate(caplog):
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve, limits=limits(messages_per_s=100.0)):
            counters = ann.transport.counters
            with raw_dealer(ann.address, eve.keys) as dealer:
                flood(dealer, 1000, lambda: list(valid(1)))
                await until(lambda: counters["rate_limited"] + len(ann.heard) >= 1000)
            assert 80 < len(ann.heard) < 500
            assert ann.transport.misbehaviour == {}
            await still_works(ann, bob)
            await until(lambda: "eve" in ann.transport.connected())

    run(scene())
    assert caplog.text.count("more than 100 messages per second") == 1


def test_a_peer_that_flickers_does_not_keep_this_node_busy():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        async with started(ann, bob, eve, limits=limits(heartbeat_s=60.0, heartbeat_timeout_s=90)):
            counters = ann.transport.counters
            before = counters["reopened"]
            mine = wire.connection_number(1, 1)
            with raw_dealer(ann.address, eve.keys) as dealer:
                for number in range(500):
                    hears = wire.Hello(number, mine if number % 2 else None)
                    dealer.send_multipart(wire.encode(hears, sent_s=0.0, incarnation=1))
                    hello = wire.encode(
                        wire.Hello(number, mine), sent_s=0.0, incarnation=2 + number
                    )
                    dealer.send_multipart(hello)
                await until(lambda: counters["refused_haste"] + counters["stale"] >= 950)
            assert counters["reopened"] - before <= 12
            assert len([name for name, _ in ann.seen if name == "eve"]) <= 25
            await still_works(ann, bob)

    run(scene())


def test_a_clock_full_of_lies_moves_no_deadline_of_others():
    async def scene() -> None:
        ann, bob, eve = End("ann"), End("bob"), End("eve")
        loop = asyncio.get_running_loop()
        async with started(ann, bob, eve, now=loop.time):
            with raw_dealer(ann.address, eve.keys) as dealer:
                for lie_s in (-wire.CLOCK_MAX_S, wire.CLOCK_MAX_S):
                    header = wire.encode(task(), sent_s=lie_s, incarnation=1)[0]
                    late = msgspec.structs.replace(task(), deadline_s=-lie_s)
                    body = wire.encode(late, sent_s=0.0, incarnation=1)[1]
                    dealer.send_multipart([header, body])
                await until(lambda: len(ann.heard) == 2)
            due_s = loop.time() + 5.0
            bob.transport.send("ann", task(1, deadline_s=due_s))
            await until(lambda: len(ann.heard) == 3)
            assert due_s - 0.001 <= deadline_s(ann.heard[-1][1]) <= due_s + 0.5

    run(scene())
