"""Patience: deadlines from what those asked are expected to take, and where that is learned."""

import pytest

from dmoa.core import (
    Content,
    Join,
    MessageReceived,
    PromptArrived,
    Refusal,
    Report,
    Response,
    Send,
    ServiceEnded,
    SetTimer,
    Task,
    TaskId,
    TimerFired,
    TimerId,
    layered,
)
from dmoa.core.expectation import GAIN, Expectations
from tests.core.driver import hear, node

SOME = Content(10)


def patient(patience=2.0, peers="bc", **more):
    plan = layered(1, 2, join=Join(patience=patience, **more.pop("join", {})))
    return node(plan, peers=peers, service_time_s=3.0, reporting=True, **more)


def deadline(actions):
    (timer,) = [action for action in actions if isinstance(action, SetTimer)]
    return timer.at_s


def finish(one, number, reports):
    """Let a prompt's first layer come in, with these reports of the peers."""
    for slot, (peer, report) in enumerate(reports.items(), 1):
        response = Response(TaskId("a", number, 0, slot), SOME, report)
        hear(one, MessageReceived(peer, response))


def test_before_anything_was_learned_all_are_expected_to_be_like_this_node():
    # Its own task waits for one place: 3 s, twice as patient, and one task ahead of its own.
    one = patient()
    assert deadline(hear(one, PromptArrived(0, SOME), now=10.0)) == 10.0 + 2.0 * (1 + 1) * 3.0


@pytest.mark.parametrize(
    ("reports", "wait_s"),
    [
        ({"b": (1.0, 0), "c": (1.0, 0)}, 2 * 6.0),
        ({"b": (5.0, 1), "c": (1.0, 0)}, 2 * 10.0),
        ({"b": (1.0, 0), "c": (4.0, 3)}, 2 * 16.0),
        ({"b": (0.0, 9), "c": (0.0, 9)}, 2 * 6.0),
    ],
    ids=["own", "slow", "busy", "quick"],
)
def test_a_deadline_is_that_of_the_slowest_of_those_asked(reports, wait_s):
    one = patient(slots=9)
    hear(one, PromptArrived(0, SOME))
    finish(one, 0, {peer: Report("m", mean, mean, q) for peer, (mean, q) in reports.items()})
    assert deadline(hear(one, PromptArrived(1, SOME), now=10.0)) == 10.0 + wait_s


def test_a_refusal_tells_of_the_queue():
    one = patient(slots=9)
    hear(one, PromptArrived(0, SOME))
    finish(one, 0, {"b": Report("m", 1.0, 2.0, 0)})
    refused = (Refusal(TaskId("a", 0, 0, 2), "queue full", 4), Refusal(TaskId("a", 9, 0, 1), "", 7))
    hear(one, MessageReceived("c", refused[0]))
    # c has not reported, so its tasks are expected to take as long as this node's: 3 s.
    assert deadline(hear(one, PromptArrived(1, SOME))) == 2 * 5 * 3.0
    hear(one, MessageReceived("b", refused[1]))
    assert deadline(hear(one, PromptArrived(2, SOME))) == 2 * 8 * 2.0


def test_a_deadline_after_a_replacement_is_that_of_those_still_awaited():
    one = patient(peers="bcd", slots=9, join={"quorum": 3, "attempts": 2})
    first, *_ = [a for a in hear(one, PromptArrived(0, SOME)) if isinstance(a, Send)]
    for peer in "bcd":  # what they reported with responses that came too late
        report = Report("m", 4.0, 4.0, queue_length=1)
        hear(one, MessageReceived(peer, Response(TaskId("a", 9, 0, 1), SOME, report)))
    hear(one, ServiceEnded(TaskId("a", 0, 0, 0), SOME))
    hear(one, MessageReceived(first.to, Response(first.message.id, SOME)))
    again = hear(one, TimerFired(TimerId(0, 0)), now=20.0)
    # Only the replacement is awaited, (1 + 1) 4 s.
    assert again[-1] == SetTimer(TimerId(0, 0, turn=1), 20.0 + 2.0 * 8.0)


def test_a_node_measures_its_services_and_reports_them():
    one = node(layered(0, 0), slots=2, service_time_s=3.0, reporting=True)
    ids = [TaskId("b", number, 0, 1) for number in range(5)]
    hear(one, *[MessageReceived("b", Task(id_, SOME)) for id_ in ids])
    (send, _) = hear(one, ServiceEnded(ids[0], SOME, "tiny"), now=7.0)
    # Three waited when it left, over two slots. The first time measured replaces the guess.
    assert send == Send("b", Response(ids[0], SOME, Report("tiny", 7.0, 7.0, 2)))
    (send, _) = hear(one, ServiceEnded(ids[1], SOME, "tiny"), now=9.0)
    mean_s = 7.0 + GAIN * (9.0 - 7.0)
    assert send == Send("b", Response(ids[1], SOME, Report("tiny", 9.0, mean_s, 1)))
    assert one.mean_service_time_s == mean_s


def test_a_node_that_does_not_report_says_nothing_and_measures_nothing():
    one = node(layered(0, 0), service_time_s=3.0)
    task = TaskId("b", 0, 0, 1)
    hear(one, MessageReceived("b", Task(task, SOME)))
    assert hear(one, ServiceEnded(task, SOME, "tiny"), now=9.0) == [Send("b", Response(task, SOME))]
    assert one.mean_service_time_s == 3.0


def test_the_mean_follows_the_services():
    seen = Expectations(9.0)
    seen.serve(1.0)
    assert seen.mean_service_time_s == 1.0
    for _ in range(100):
        seen.serve(5.0)
    assert seen.mean_service_time_s == pytest.approx(5.0, rel=1e-5)
    assert seen.sojourn_s([]) == 0.0
    assert seen.sojourn_s(["x"]) == seen.mean_service_time_s
