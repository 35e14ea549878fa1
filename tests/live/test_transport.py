"""Messages arrive, peers come and go, queues have ends, and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket

import pytest
import zmq

from dmoa.core.messages import Content, Message, Refusal, Response, TaskId, Withdrawal
from dmoa.errors import ScenarioError
from dmoa.live import wire
from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import make_keys
from tests.live.wires import (
    End,
    PeerProcess,
    deadline_s,
    free_port,
    limits,
    raw_dealer,
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


def test_nothing_old_is_delivered_to_a_process_that_was_stopped():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address}, limits=limits(send_queue_age_s=0.2))
        await ann.transport.start()
        peer = PeerProcess(bob, ann)
        try:
            await until(ann.transport.connected)
            os.kill(peer.process.pid, signal.SIGSTOP)
            for number in range(1000):  # the operating system's buffers are not ours to bound
                ann.transport.send("bob", task(number, "x" * 100_000))
            await until(lambda: not ann.transport.connected())
            os.kill(peer.process.pid, signal.SIGCONT)
            await until(ann.transport.connected)
            ann.transport.send("bob", task(4711))
            await until(lambda: ("bob", task(4711)) in ann.heard)
            assert len(ann.heard) < 300
            counters = ann.transport.counters
            assert counters["dropped_full"] + counters["dropped_lost"] + counters["dropped_old"]
        finally:
            peer.end()
            await ann.transport.close()

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


def test_a_peer_that_leaves_is_lost_at_once():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, limits=limits(heartbeat_timeout_s=60.0)):
            await bob.transport.close()
            await until(lambda: ("bob", False) in ann.seen)
            assert ann.seen == [("bob", True), ("bob", False)]
            assert ann.transport.connected() == frozenset()

    run(scene())


def test_a_peer_that_never_comes_is_lost_after_the_timeout():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        ann.transport.send("bob", task(1))
        ann.transport.send("bob", Withdrawal(TaskId("ann", 1, 0, 0)))
        await until(lambda: ann.seen)
        assert ann.seen == [("bob", False)]
        assert ann.transport.counters["dropped_lost"] == 1, "the task; the core gives it to others"
        await ann.transport.close()

    run(scene())


def test_a_stopped_process_is_lost_and_found_again():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        peer = PeerProcess(bob, ann)
        try:
            await until(ann.transport.connected)
            os.kill(peer.process.pid, signal.SIGSTOP)
            elapsed_s = stopwatch()
            await until(lambda: not ann.transport.connected())
            assert elapsed_s() < 0.6 + 0.5  # the timeout, and a busy machine
            os.kill(peer.process.pid, signal.SIGCONT)
            await until(ann.transport.connected)
            ann.transport.send("bob", task(7))
            await until(lambda: ("bob", task(7)) in ann.heard)
            assert ann.seen[-3:] == [("bob", True), ("bob", False), ("bob", True)]
        finally:
            peer.end()
            await ann.transport.close()

    run(scene())


def test_a_killed_process_that_starts_again_is_lost_and_found():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address}, limits=limits(heartbeat_timeout_s=30.0))
        await ann.transport.start()
        first = PeerProcess(bob, ann)
        await until(ann.transport.connected)
        first.end()
        await until(lambda: ann.transport.counters["disconnected"])
        ann.transport.send("bob", task(1))  # for the process that died
        second = PeerProcess(bob, ann, incarnation=2)
        try:
            await until(lambda: len(ann.seen) == 3)
            assert ann.seen == [("bob", True), ("bob", False), ("bob", True)]
            ann.transport.send("bob", task(2))
            await until(lambda: ann.heard)
            assert ann.heard == [("bob", task(2))], "it does not get what its predecessor was sent"
            assert ann.transport.counters["dropped_lost"] == 1
        finally:
            second.end()
            await ann.transport.close()

    run(scene())


def test_what_a_replaced_process_has_still_on_its_way_is_dropped():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, incarnation=5):
            with raw_dealer(ann.address, bob.keys) as dealer:
                dealer.send_multipart(wire.encode(task(1), sent_s=0.0, incarnation=4))
                await until(lambda: ann.transport.counters["stale"] == 1)
            assert ann.heard == []
            assert ann.transport.connected() == {"bob"}

    run(scene())


def test_a_peer_that_is_reached_but_does_not_hear_is_not_connected():
    """Its address is wrong here: hellos come from it, but none gets there."""

    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        nowhere = PeerAddress(f"tcp://127.0.0.1:{free_port()}", bob.keys.public)
        ann.make({"bob": nowhere})
        bob.make({"ann": ann.address})
        await ann.transport.start()
        await bob.transport.start()
        await until(lambda: ann.seen and bob.seen)
        assert ann.seen == [("bob", False)]
        assert bob.seen == [("ann", False)]
        assert ann.transport.counters["received"] > 0
        await ann.transport.close()
        await bob.transport.close()

    run(scene())


def test_a_stall_of_this_process_loses_nobody():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        peer = PeerProcess(bob, ann)
        try:
            await until(ann.transport.connected)
            seen = list(ann.seen)
            os.kill(peer.process.pid, signal.SIGSTOP)  # so that nothing waits to be heard
            elapsed_s = stopwatch()
            while elapsed_s() < 2.0:  # the whole loop stands still
                pass
            os.kill(peer.process.pid, signal.SIGCONT)
            ann.transport.send("bob", task(1))
            await until(lambda: ann.heard)
            assert ann.seen == seen
        finally:
            peer.end()
            await ann.transport.close()

    run(scene())


def test_a_peer_of_another_protocol_version_is_told_once_with_both(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        with raw_dealer(ann.address, bob.keys) as dealer:
            for version in (7, 8, 9):
                dealer.send_multipart([wire._encode([version, "hello", 0.0, 1]), b"\x90"])
            await until(lambda: ann.transport.counters["wrong_version"] == 3)
        assert ann.transport.misbehaviour["bob"] == 0
        assert ann.transport.connected() == frozenset()
        await ann.transport.close()

    run(scene())
    told = [record.getMessage() for record in caplog.records if "version" in record.getMessage()]
    assert len(told) == 1
    assert "bob speaks protocol version 7" in told[0]
    assert f"speaks version {wire.PROTOCOL_VERSION}" in told[0]


def test_a_peer_changes_its_key_while_both_are_allowed():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        new = make_keys()
        both = PeerAddress(bob.address.address, new.public, (bob.keys.public,))
        ann.make({"bob": both})
        bob.make({"ann": ann.address})
        await ann.transport.start()
        await bob.transport.start()
        await until(ann.transport.connected)  # with the old key
        await bob.transport.close()
        await until(lambda: not ann.transport.connected())
        bob.keys = new
        bob.make({"ann": ann.address}, incarnation=2)
        await bob.transport.start()
        await until(ann.transport.connected)
        await ann.transport.close()
        await bob.transport.close()

    run(scene())


def test_a_peer_that_was_refused_connects_once_it_is_let_in(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({})  # it does not know bob yet
        bob.make({"ann": ann.address})
        await ann.transport.start()
        await bob.transport.start()
        await until(lambda: bob.transport.counters["handshake_failed"])
        await ann.transport.close()
        ann.make({"bob": bob.address}, incarnation=2)
        await ann.transport.start()
        await until(bob.transport.connected)
        await ann.transport.close()
        await bob.transport.close()

    run(scene())
    assert "does not let this node in" in caplog.text


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


def test_a_link_that_cannot_be_opened_anew_is_tried_again(monkeypatch, caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob):
            link = ann.transport._peers["bob"].link

            def no_more_files(_: int) -> None:
                raise zmq.ZMQError(errno.EMFILE)

            with monkeypatch.context() as patch:
                patch.setattr(link._context, "socket", no_more_files)
                link.reopen()
                await until(lambda: ann.transport.counters["reopened"] >= 2)
                assert not link.up
            await until(lambda: link.up)
            ann.transport.send("bob", task(1))
            await until(lambda: ("ann", task(1)) in bob.heard)

    run(scene())
    assert "Too many open files" in caplog.text


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
