"""Peers leave, die, hang, start again, change keys; the node is told, each time and once."""

from __future__ import annotations

import errno
import os
import signal

import zmq

from dmoa.core.messages import TaskId, Withdrawal
from dmoa.live import wire
from dmoa.live.allowlist import PeerAddress
from dmoa.live.keys import make_keys
from tests.live.wires import (
    End,
    PeerProcess,
    free_port,
    limits,
    raw_dealer,
    run,
    started,
    stopwatch,
    task,
    until,
)


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


def test_a_link_that_cannot_be_opened_anew_is_tried_again(monkeypatch, caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob, limits=limits(heartbeat_timeout_s=30.0)):
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
