"""Only configured keys get in, and the one who decides cannot be talked to death."""

from __future__ import annotations

import asyncio
import functools

import pytest
from zmq.utils import z85

from dmoa.errors import ScenarioError
from dmoa.live import wire
from dmoa.live.allowlist import AllowList, PeerAddress, check_address
from dmoa.live.keys import make_keys
from tests.live.wires import End, limits, raw_dealer, run, started, task, until

OWN, BOB, EVE = (make_keys().public for _ in range(3))
AT = "tcp://127.0.0.1:7401"


def test_keys_lead_to_names():
    allowed = AllowList(OWN, {"bob": PeerAddress(AT, BOB), "eve": PeerAddress(AT, EVE)})
    assert allowed.names == {BOB: "bob", EVE: "eve"}


def test_a_peer_may_have_an_old_and_a_new_key():
    allowed = AllowList(OWN, {"bob": PeerAddress(AT, BOB, other_public_keys=(EVE,))})
    assert allowed.names == {BOB: "bob", EVE: "bob"}


@pytest.mark.parametrize(
    ("peers", "problem"),
    [
        ({"bob": PeerAddress(AT, "short")}, "live.peers.bob.public_key.*40 characters"),
        ({"bob": PeerAddress(AT, OWN)}, "own public key"),
        ({"bob": PeerAddress(AT, BOB), "eve": PeerAddress(AT, BOB)}, "bob has the same public key"),
        ({"bob": PeerAddress("127.0.0.1:7401", BOB)}, "live.peers.bob.address"),
    ],
)
def test_a_wrong_peer_is_told_with_its_place(peers, problem):
    with pytest.raises(ScenarioError, match=problem):
        AllowList(OWN, peers)


@pytest.mark.parametrize("address", [AT, "tcp://0.0.0.0:0", "tcp://*:7401"])
def test_one_may_listen_anywhere(address):
    check_address(address, path="listen", listening=True)


@pytest.mark.parametrize("address", [AT, "tcp://edge-1.example:1", "tcp://[::1]:65535"])
def test_addresses_of_tcp_are_fine(address):
    check_address(address, path="listen")


@pytest.mark.parametrize(
    "address",
    [
        *("", "tcp://", "tcp://host", "tcp://host:0", "tcp://host:65536", "tcp://host:x"),
        *("tcp://:1", "ipc:///tmp/socket", "inproc://a", "tcp://ho st:1", "tcp://h:1\n"),
        *("tcp://::1:7401", "tcp://*:7401", "tcp://a;b:1"),
    ],
)
def test_other_addresses_are_told(address):
    with pytest.raises(ScenarioError, match="tcp://HOST:PORT"):
        check_address(address, path="listen")


def test_the_authenticator_is_started_again_when_it_is_killed(caplog):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        async with started(ann, bob):
            authenticator, counters = ann.transport._authenticator, ann.transport.counters
            for times in (1, 2):
                killed = authenticator._task
                killed.cancel()
                await until(functools.partial(lambda old: authenticator._task is not old, killed))
                assert counters["authenticator_restarted"] == times
            with raw_dealer(ann.address, bob.keys) as dealer:
                dealer.send_multipart(wire.encode(task(), sent_s=0.0, incarnation=1))
                await until(lambda: ann.heard)

    run(scene())
    assert caplog.text.count("authenticator ended") == 2


def test_the_authenticator_survives_a_bug_in_its_decision(caplog, monkeypatch):
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        bob.make({"ann": ann.address}, limits=limits(handshake_s=0.2))
        await ann.transport.start()
        authenticator = ann.transport._authenticator
        decide = authenticator._decide

        def stumble(_: list[bytes]) -> list[bytes] | None:
            monkeypatch.setattr(authenticator, "_decide", decide)
            raise RuntimeError("a bug")

        monkeypatch.setattr(authenticator, "_decide", stumble)
        await bob.transport.start()
        await until(ann.transport.connected)
        assert ann.transport.counters["authenticator_restarted"] == 1
        await asyncio.gather(ann.transport.close(), bob.transport.close())

    run(scene())
    assert "a bug" in caplog.text


def test_a_key_that_connects_again_and_again_has_to_wait():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address}, limits=limits(handshakes_per_s=0.2))  # two at once
        await ann.transport.start()
        counters = ann.transport.counters
        for count in range(1, 5):
            with raw_dealer(ann.address, bob.keys):
                await until(
                    functools.partial(
                        lambda least: counters["accepted"] + counters["refused_haste"] >= least,
                        count,
                    )
                )
        assert counters["accepted"] == 2
        assert counters["refused_haste"] >= 2
        await ann.transport.close()

    run(scene())


def test_a_question_that_is_none_of_ours_lets_nobody_in():
    async def scene() -> None:
        ann, bob = End("ann"), End("bob")
        ann.make({"bob": bob.address})
        await ann.transport.start()
        decide = ann.transport._authenticator._decide
        key = z85.decode(bob.keys.public.encode())
        good = [b"id", b"", b"1.0", b"7", b"dmoa", b"127.0.0.1", b"", b"CURVE", key]
        answer = decide(good)
        assert answer is not None
        assert answer[4:7] == [b"200", b"OK", bob.keys.public.encode()]
        for place, other in ((4, b"elsewhere"), (7, b"PLAIN"), (8, b"short"), (8, bytes(32))):
            bad = decide([*good[:place], other, *good[place + 1 :]])
            assert bad is not None
            assert bad[3:7] == [b"7", b"400", b"no such peer", b""]
        assert decide(good[:-1]) is None
        assert decide([b"junk"]) is None
        await ann.transport.close()

    run(scene())
