"""A peer is here if it is heard and hears; lost if not; and each change is told once."""

from __future__ import annotations

from dmoa.live.presence import Hearing, Presence


def met(at_s: float = 1.0, incarnation: int = 5) -> Presence:
    presence = Presence(timeout_s=3.0, at_s=0.0)
    assert presence.hear(incarnation=incarnation, at_s=at_s) is Hearing.RENEWED
    assert presence.greet(hears_us=True)
    return presence


def test_a_peer_is_here_once_it_is_heard_and_hears():
    presence = Presence(timeout_s=3.0, at_s=0.0)
    presence.hear(incarnation=5, at_s=1.0)
    assert not presence.greet(hears_us=False)
    assert presence.heard
    assert not presence.here
    assert presence.greet(hears_us=True)
    assert not presence.greet(hears_us=True)
    assert presence.here


def test_silence_loses_a_peer_once():
    presence = met(at_s=1.0)
    assert not presence.expire(at_s=4.0)
    assert presence.expire(at_s=4.1)
    assert not presence.here
    assert not presence.expire(at_s=9.0)


def test_a_peer_that_never_came_is_lost_once():
    presence = Presence(timeout_s=3.0, at_s=10.0)
    assert not presence.expire(at_s=13.0)
    assert presence.expire(at_s=13.1)
    assert not presence.expire(at_s=20.0)


def test_a_peer_that_is_heard_but_never_hears_is_lost_and_can_still_be_found():
    presence = Presence(timeout_s=3.0, at_s=0.0)
    for at_s in range(5):
        presence.hear(incarnation=1, at_s=at_s)
    assert presence.expire(at_s=4.5)
    assert not presence.expire(at_s=5.0)
    assert presence.heard
    assert presence.greet(hears_us=True)


def test_a_peer_that_stops_hearing_is_lost():
    presence = met()
    assert presence.greet(hears_us=False)
    assert not presence.here
    assert not presence.greet(hears_us=False)


def test_a_lost_peer_is_found_by_its_next_hello():
    presence = met(at_s=1.0)
    presence.expire(at_s=5.0)
    assert presence.hear(incarnation=5, at_s=6.0) is Hearing.RENEWED
    assert not presence.here
    assert presence.greet(hears_us=True)


def test_another_incarnation_is_another_process():
    presence = met(incarnation=5)
    assert presence.hear(incarnation=6, at_s=1.5) is Hearing.RESTARTED
    assert presence.lose()
    assert presence.greet(hears_us=True)


def test_a_replaced_process_is_not_heard_while_its_successor_speaks():
    presence = met(at_s=1.0, incarnation=5)
    assert presence.hear(incarnation=4, at_s=1.5) is Hearing.STALE
    assert presence.incarnation == 5
    assert presence.expire(at_s=4.1), "what is stale is no sign of life"


def test_a_peer_that_lost_its_count_is_heard_after_silence():
    presence = met(at_s=1.0, incarnation=5)
    presence.expire(at_s=5.0)
    assert presence.hear(incarnation=1, at_s=6.0) is Hearing.RESTARTED
    assert presence.hear(incarnation=1, at_s=6.1) is Hearing.KNOWN


def test_a_peer_that_leaves_is_lost_at_once_and_once():
    presence = met()
    assert presence.leave()
    assert not presence.leave()
    assert not presence.expire(at_s=100.0)


def test_a_stall_of_this_process_is_not_blamed_on_the_peer():
    presence = met(at_s=1.0)
    presence.excuse(10.0)
    assert not presence.expire(at_s=13.0)
    assert presence.expire(at_s=14.1)
