"""Messages arrive, queues have ends, and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from dmoa.core.messages import Content, Message, Refusal, Response, TaskId, Withdrawal
from dmoa.errors import ScenarioError
from dmoa.live.allowlist import PeerAddress
from tests.live.wires import (
    End,
    PeerProcess,
    deadline_s,
    limits,
    run,
    started,
    stopwatch,
    task,
    until,
)


def test_every_kind_of_message_arrives_from_its_true_sender():
    sent: list[Message] = [
        task(1),
        Response(TaskId("bob", 1, 0, 0), Content(3, "ä→語")),
        Refusal(TaskId("bob", 2, 0, 0), "full", 7),
        Withdrawal(TaskId("ann", 3, 0, 0)),
    ]

    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob):
            assert all(ann.transport.send("bob", message) for message in sent)
            await until(lambda: len(bob.heard) == len(sent))
            assert bob.heard == [("ann", message) for message in sent]
            assert ann.transport.connected() == {"bob"}
            counters = bob.transport.counters
            assert counters["received"] >= len(sent)
            assert counters["bytes_received"] > 100
            assert ann.transport.counters["bytes_sent"] >= 100

    run(scene())


def test_thousands_of_messages_arrive_in_order_over_short_queues():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        roomy = limits(send_queue_messages=5_000, socket_queue_messages=2, drain_messages=3)
        async with started(ann, bob, limits=roomy):
            assert all(ann.transport.send("bob", task(number)) for number in range(5_000))
            await until(lambda: len(bob.heard) == 5_000)
            assert [message.id.prompt for _, message in bob.heard] == list(range(5_000))

    run(scene())


def test_a_deadline_arrives_in_the_receivers_clock():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        loop = asyncio.get_running_loop()
        ann.make({"bob": bob.address}, now=lambda: loop.time() + 1000.0)
        bob.make({"ann": ann.address}, now=lambda: loop.time() - 1000.0)
        await ann.transport.start()
        await bob.transport.start()
        await until(lambda: ann.transport.connected() and bob.transport.connected())
        ann.transport.send("bob", task(deadline_s=loop.time() + 1000.0 + 5.0))
        due_s = loop.time() - 1000.0 + 5.0
        await until(lambda: bob.heard)
        assert due_s - 0.001 <= deadline_s(bob.heard[0][1]) <= due_s + 0.5
        await ann.transport.close()
        await bob.transport.close()

    run(scene())


def test_messages_wait_for_a_peer_that_comes_later():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        assert ann.transport.send("bob", task(1))
        bob.make({"ann": ann.address})
        await bob.transport.start()
        await until(lambda: bob.heard)
        assert bob.heard == [("ann", task(1))]
        await ann.transport.close()
        await bob.transport.close()

    run(scene())


def test_a_message_does_not_wait_longer_than_its_age_nor_a_task_beyond_its_deadline():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        patient = limits(send_queue_age_s=0.3, heartbeat_timeout_s=30.0)
        ann.make({"bob": bob.address}, limits=patient, now=lambda: 100.0)
        await ann.transport.start()
        ann.transport.send("bob", task(1, deadline_s=100.05))
        ann.transport.send("bob", task(2))
        ann.transport.send("bob", Withdrawal(TaskId("ann", 3, 0, 0)))
        elapsed_s = stopwatch()
        await until(lambda: ann.transport.counters["dropped_old"] == 1)
        assert elapsed_s() < 0.3
        await until(lambda: ann.transport.counters["dropped_old"] == 3)
        await ann.transport.close()

    run(scene())


@pytest.mark.parametrize(
    ("tight", "fits"),
    [({"send_queue_messages": 3}, 3), ({"send_queue_bytes": 2_500}, 2)],
)
def test_the_queue_for_an_absent_peer_has_an_end(tight, fits):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address}, limits=limits(**tight))
        await ann.transport.start()
        sent = [ann.transport.send("bob", task(number, "x" * 1000)) for number in range(5)]
        assert sent == [True] * fits + [False] * (5 - fits)
        assert ann.transport.counters["dropped_full"] == 5 - fits
        await ann.transport.close()

    run(scene())


def test_what_no_peer_could_read_is_not_sent(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, limits=limits(frame_bytes_max=1000)):
            assert not ann.transport.send("bob", task(1, "x" * 1000))
            assert not ann.transport.send("bob", task(1, "\ud800"))
            assert not ann.transport.send("carl", task(1))
            assert ann.transport.counters["dropped_unsendable"] == 2
            assert ann.transport.counters["dropped_unknown"] == 1

    run(scene())
    assert "the limit is 1000" in caplog.text


def test_a_port_in_use_is_told_and_nothing_is_left_behind():
    async def scene() -> None:
        ann = End("ann")
        with socket.socket() as other:
            other.bind(("127.0.0.1", ann.port))
            other.listen()
            ann.make({})
            with pytest.raises(ScenarioError, match=r"port is in use.*another port"):
                await ann.transport.start()
        assert ann.transport._context is not None
        assert ann.transport._context.closed
        ann.make({})
        await ann.transport.start()
        await ann.transport.close()

    run(scene())


def test_an_address_of_another_machine_is_told():
    async def scene() -> None:
        ann = End("ann")
        transport = ann.make({})
        transport._listen = "tcp://192.0.2.1:7401"
        with pytest.raises(ScenarioError, match="cannot listen there"):
            await transport.start()

    run(scene())


def test_a_peer_that_cannot_be_connected_to_is_told_and_nothing_is_left_behind():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        nowhere = PeerAddress("tcp://bob:7401", bob.keys.public)
        transport = ann.make({"bob": nowhere})
        transport._addresses["bob"] = PeerAddress("tcp://*:7401", bob.keys.public)
        with pytest.raises(ScenarioError, match=r"live\.peers\.bob: no way to peer bob"):
            await transport.start()
        assert transport._context is not None
        assert transport._context.closed

    run(scene())


def test_port_0_lets_the_system_choose():
    async def scene() -> None:
        ann = End("ann")
        ann.port = 0
        await ann.make({}).start()
        assert ann.transport.endpoint.startswith("tcp://127.0.0.1:")
        assert not ann.transport.endpoint.endswith(":0")
        await ann.transport.close()

    run(scene())


def test_closing_is_bounded_and_sends_what_is_on_its_way():
    async def scene() -> None:
        ann, bob, carl = End("ann"), End("bob"), End("carl")
        async with started(ann, bob):
            for number in range(20):
                ann.transport.send("bob", task(number, "x" * 10_000))
            await ann.transport.close()
            await until(lambda: len(bob.heard) == 20)
        ann.make({"carl": carl.address})
        await ann.transport.start()
        peer = PeerProcess(carl, ann)
        try:
            await until(ann.transport.connected)
            os.kill(peer.process.pid, signal.SIGSTOP)
            while ann.transport.send("carl", task(0, "x" * 100_000)):
                await asyncio.sleep(0)
            elapsed_s = stopwatch()
            await ann.transport.close()
            assert elapsed_s() < 0.3 + 0.7  # linger_s, and a busy machine
            assert not ann.transport.send("carl", task(1))
            await ann.transport.close()  # once more is no harm
        finally:
            peer.end()

    run(scene())


def test_closing_what_never_started_is_no_harm():
    run(End("ann").make({}).close())


def test_a_bug_of_the_listener_is_loud_and_the_next_message_is_heard(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")

        def stumble(sender: str, message: Message) -> None:
            bob.heard.append((sender, message))
            if len(bob.heard) == 1:
                raise RuntimeError("a bug")

        ann.make({"bob": bob.address})
        bob.make({"ann": ann.address}, on_message=stumble)
        await ann.transport.start()
        await bob.transport.start()
        for number in range(3):
            ann.transport.send("bob", task(number))
        await until(lambda: len(bob.heard) == 3)
        await ann.transport.close()
        await bob.transport.close()

    run(scene())
    assert "a bug" in caplog.text
