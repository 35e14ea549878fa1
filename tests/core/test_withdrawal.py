"""Withdrawals and deadlines: nothing is served that nobody waits for."""

import pytest

from dmoa.core import (
    CancelService,
    Content,
    Expire,
    Join,
    MessageReceived,
    Origin,
    Peers,
    Plan,
    PromptArrived,
    Refusal,
    Send,
    ServiceEnded,
    SetTimer,
    Stage,
    StartService,
    Task,
    TaskId,
    TimerFired,
    TimerId,
    Withdrawal,
    layered,
)
from dmoa.core.events import WHOLE_PROMPT
from tests.core.driver import hear, node

SOME = Content(10)
ALONE = layered(0, 0)


def theirs(number=0, attempt=0):
    return TaskId("b", number, 0, 1, attempt)


def asked(number=0, deadline_s=None):
    return MessageReceived("b", Task(theirs(number), SOME, deadline_s))


def withdrawn(number=0, sender="b", attempt=0):
    return MessageReceived(sender, Withdrawal(theirs(number, attempt)))


# --- at the peer ------------------------------------------------------------------------------


def test_a_waiting_task_is_taken_out():
    one = node(ALONE, queue_max=2)
    hear(one, asked(0), asked(1), asked(2))
    assert hear(one, withdrawn(1)) == []
    assert one.counts() == (1, 1, 0, 0)
    done = hear(one, ServiceEnded(theirs(0), SOME))
    assert [a.task for a in done if isinstance(a, StartService)] == [theirs(2)]
    # Its place is free again.
    assert hear(one, asked(3), asked(4)) == []
    assert one.counts() == (2, 1, 0, 0)


def test_a_task_in_service_is_cancelled_and_the_next_one_starts():
    one = node(ALONE)
    hear(one, asked(0), asked(1))
    assert hear(one, withdrawn(0), now=3.0) == [
        CancelService(theirs(0)),
        StartService(theirs(1), SOME, 0.0),
    ]
    # The language model had finished before it heard that it should stop.
    assert hear(one, ServiceEnded(theirs(0), SOME)) == []
    assert one.ignored == {"late": 1}


def test_a_withdrawal_that_overtakes_its_task_keeps_it_from_being_served():
    one = node(ALONE)
    assert hear(one, withdrawn(0), asked(0)) == []
    assert one.counts() == (0, 0, 0, 0)
    assert one.ignored == {"duplicate": 1}
    # Another attempt at it is another task.
    again = theirs(0, attempt=1)
    assert hear(one, MessageReceived("b", Task(again, SOME))) == [StartService(again, SOME, 0.0)]


def test_a_withdrawal_that_comes_after_the_end_is_late():
    one = node(ALONE)
    hear(one, asked(0), ServiceEnded(theirs(0), SOME))
    assert hear(one, withdrawn(0), withdrawn(0)) == []
    assert one.ignored == {"late": 2}


def test_nobody_withdraws_the_task_of_another():
    one = node(ALONE)
    hear(one, asked(0))
    assert hear(one, withdrawn(0, sender="c")) == []
    assert one.ignored == {"stranger": 1}
    assert one.counts() == (0, 1, 0, 0)


def test_a_task_past_its_deadline_is_refused_in_place_of_being_started():
    one = node(ALONE, slots=2)
    hear(one, asked(0), asked(5), asked(1, 4.0), asked(2, 3.9), asked(3, 9.0), asked(4))
    assert hear(one, ServiceEnded(theirs(0), SOME), now=4.0)[1:] == [
        StartService(theirs(1), SOME, 0.0),
    ]
    # Of those that wait, in the order they came: one too late, then one in time.
    assert hear(one, ServiceEnded(theirs(1), SOME), now=5.0)[1:] == [
        Send("b", Refusal(theirs(2), "deadline passed", 1)),
        StartService(theirs(3), SOME, 0.0),
    ]
    assert one.counts() == (1, 2, 0, 0)


def test_a_task_whose_deadline_has_passed_on_the_way_is_not_served():
    one = node(ALONE)
    assert hear(one, asked(0, deadline_s=1.0), now=1.5) == [
        Send("b", Refusal(theirs(0), "deadline passed", 0))
    ]
    assert one.counts() == (0, 0, 0, 0)


def test_a_node_serves_its_own_task_whatever_the_time():
    # Its own deadline has a timer; until that is heard, the prompt is alive.
    one = node(ALONE)
    hear(one, asked(0), PromptArrived(0, SOME, deadline_s=2.0))
    started = hear(one, ServiceEnded(theirs(0), SOME), now=2.5)
    assert started[-1] == StartService(TaskId("a", 0, 0, 0), SOME, 0.0)


# --- at the origin ----------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, False], ids=["the prompt's", "the plan's"])
def test_the_deadline_of_a_prompt_is_a_timer_and_travels_with_every_task(given):
    plan = layered(2, 1, deadline_s=None if given else 7.0)
    one = node(plan, peers="b")
    ask = PromptArrived(0, SOME, deadline_s=12.0 if given else None)
    timer, send, start = hear(one, ask, now=5.0)
    assert timer == SetTimer(TimerId(0, WHOLE_PROMPT), at_s=12.0)
    assert isinstance(send, Send)
    assert send.message == Task(TaskId("a", 0, 0, 1), SOME, deadline_s=12.0)
    assert isinstance(start, StartService)


def test_the_deadline_of_a_prompt_comes_before_the_plans():
    one = node(layered(0, 0, deadline_s=7.0))
    ask = PromptArrived(0, SOME, deadline_s=6.0, plan=layered(0, 0, deadline_s=2.0))
    assert hear(one, ask, now=5.0)[0] == SetTimer(TimerId(0, WHOLE_PROMPT), at_s=6.0)


def test_a_stages_deadline_does_not_travel():
    one = node(layered(1, 1, join=Join(3.0)), peers="b")
    (send,) = [a for a in hear(one, PromptArrived(0, SOME)) if isinstance(a, Send)]
    assert send.message == Task(TaskId("a", 0, 0, 1), SOME, deadline_s=None)


def test_an_expired_prompt_is_withdrawn_everywhere():
    plan = Plan(
        (
            Stage((Origin(), Origin(), Peers(2))),
            Stage((Peers(1),)),
            Stage((Origin(),), reads=(0, 1)),
        )
    )
    one = node(plan, peers="bc")
    sent = hear(one, PromptArrived(0, SOME, deadline_s=9.0), PromptArrived(1, SOME))
    (to,) = [
        action.to
        for action in sent
        if isinstance(action, Send) and action.message.id == TaskId("a", 0, 1, 0)
    ]
    hear(one, ServiceEnded(TaskId("a", 0, 0, 0), SOME))
    assert one.counts() == (2, 1, 1, 2)
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        CancelService(TaskId("a", 0, 0, 1)),
        Send("b", Withdrawal(TaskId("a", 0, 0, 2))),
        Send("c", Withdrawal(TaskId("a", 0, 0, 3))),
        Send(to, Withdrawal(TaskId("a", 0, 1, 0))),
        Expire(0),
        StartService(TaskId("a", 1, 0, 0), SOME, 0.0),
    ]
    assert one.counts() == (1, 1, 0, 1)
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == []


def test_a_replacement_is_withdrawn_by_its_own_attempt():
    one = node(layered(1, 1, join=Join(attempts=2)), peers="bc")
    send, *_ = hear(one, PromptArrived(0, SOME, deadline_s=9.0))[1:]
    assert isinstance(send, Send)
    refused = Refusal(send.message.id, "queue full", 1)
    (again,) = hear(one, MessageReceived(send.to, refused))
    assert isinstance(again, Send)
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        CancelService(TaskId("a", 0, 0, 0)),
        Send(again.to, Withdrawal(TaskId("a", 0, 0, 1, attempt=1))),
        Expire(0),
    ]


def test_a_stage_that_was_joined_is_not_withdrawn_again():
    one = node(layered(1, 2, join=Join(2.0)), peers="bc")
    hear(one, PromptArrived(0, SOME, deadline_s=9.0), ServiceEnded(TaskId("a", 0, 0, 0), SOME))
    joined = hear(one, TimerFired(TimerId(0, 0)), now=2.0)
    assert sum(isinstance(a, Send) for a in joined) == 2
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        CancelService(TaskId("a", 0, 1, 0)),
        Expire(0),
    ]


def test_a_prompt_that_comes_after_its_deadline_expires_at_once():
    one = node(layered(1, 1), peers="b", queue_max=2)
    for number in range(5):
        late = PromptArrived(number, SOME, deadline_s=3.0)
        assert hear(one, late, now=3.0) == [Expire(number)]
    assert one.counts() == (0, 0, 0, 0)
    # It left no place taken.
    assert len(hear(one, PromptArrived(9, SOME), now=3.0)) == 2
