"""What is written down before it is told; prompts taken up again; a node that leaves."""

import pytest

from dmoa.core import (
    Answer,
    Content,
    DrainStarted,
    Expire,
    Fail,
    MessageReceived,
    Options,
    Peers,
    Persist,
    Plan,
    PromptArrived,
    Refusal,
    Refuse,
    Response,
    Send,
    ServiceEnded,
    ServiceFailed,
    SetTimer,
    Stage,
    StartService,
    Task,
    TaskId,
    TimerFired,
    TimerId,
    Weighted,
    layered,
)
from dmoa.core.events import WHOLE_PROMPT
from dmoa.core.plan import ATTEMPTS_MAX, Origin
from tests.core.driver import hear, hear_all, node

SOME = Content(10, "why?")
ALONE = layered(0, 0)
OWN = TaskId("a", 0, 0, 0)


def test_an_acceptance_is_written_before_anything_else_is_done():
    one = node(layered(1, 1), peers="b")
    ask = PromptArrived(0, SOME, Options(max_tokens=5))
    first, *rest = hear_all(one, ask)
    assert first == Persist(ask)
    assert [type(action) for action in rest] == [Send, StartService]


def test_a_refusal_is_not_written():
    one = node(ALONE, queue_max=0)
    hear(one, PromptArrived(0, SOME))
    assert hear_all(one, PromptArrived(1, SOME)) == [Refuse(1, 0)]


def test_the_deadline_of_the_plan_is_written_with_the_prompt():
    one = node(layered(0, 0, deadline_s=7.0))
    first, timer, _ = hear_all(one, PromptArrived(0, SOME), now=5.0)
    assert first == Persist(PromptArrived(0, SOME, deadline_s=12.0))
    assert timer == SetTimer(TimerId(0, WHOLE_PROMPT), 12.0)


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (ServiceEnded(OWN, Content(5, "so")), Answer(0, Content(5, "so"))),
        (ServiceEnded(OWN, Content(5, "s", cut=True)), Answer(0, Content(5, "s", cut=True))),
        (ServiceFailed(OWN, "out of memory"), Fail(0, "out of memory")),
        (TimerFired(TimerId(0, WHOLE_PROMPT)), Expire(0)),
    ],
    ids=["answer", "cut answer", "fail", "expire"],
)
def test_an_end_is_written_just_before_it_is_told_and_told_once(event, end):
    one = node(ALONE)
    hear(one, PromptArrived(0, SOME))
    assert hear_all(one, event)[-2:] == [Persist(end), end]
    assert hear_all(one, event) == []


def test_a_prompt_that_is_past_its_deadline_is_accepted_and_expires():
    ask = PromptArrived(0, SOME, deadline_s=1.0)
    assert hear_all(node(ALONE), ask, now=2.0) == [Persist(ask), Persist(Expire(0)), Expire(0)]


# --- taken up again ---------------------------------------------------------------------------


def test_a_prompt_taken_up_again_is_not_written_again_and_its_tasks_are_new():
    one = node(layered(1, 1), peers="b")
    actions = hear_all(one, PromptArrived(7, SOME, attempt=2))
    fork = 2 * ATTEMPTS_MAX
    assert actions == [
        Send("b", Task(TaskId("a", 7, 0, 1, fork), SOME)),
        StartService(TaskId("a", 7, 0, 0, fork), SOME, 0.0),
    ]
    # What is left of the run before, and of its replacements, is not mistaken for its own.
    for attempt in (0, 1, ATTEMPTS_MAX, fork - 1, fork + 1):
        old = Response(TaskId("a", 7, 0, 1, attempt), SOME)
        assert hear(one, MessageReceived("b", old)) == []
    assert one.ignored == {"late": 5}
    hear(one, ServiceEnded(TaskId("a", 7, 0, 0, fork), SOME))
    new = MessageReceived("b", Response(TaskId("a", 7, 0, 1, fork), SOME))
    (final,) = hear(one, new)
    assert isinstance(final, StartService)
    assert final.task == TaskId("a", 7, 1, 0, fork)
    assert hear(one, ServiceEnded(final.task, SOME)) == [Answer(7, SOME)]


def test_the_tasks_of_a_prompt_taken_up_again_are_served_by_who_knew_those_before():
    peer = node(ALONE, slots=2)
    before = MessageReceived("b", Task(TaskId("b", 7, 0, 1), SOME))
    after = MessageReceived("b", Task(TaskId("b", 7, 0, 1, ATTEMPTS_MAX), SOME))
    assert hear(peer, before, after, before, after) == [
        StartService(TaskId("b", 7, 0, 1), SOME, 0.0),
        StartService(TaskId("b", 7, 0, 1, ATTEMPTS_MAX), SOME, 0.0),
    ]
    assert peer.ignored == {"duplicate": 2}


@pytest.mark.parametrize("again", [0, 1], ids=["the same", "another attempt"])
def test_a_prompt_that_is_there_or_has_ended_is_not_taken_up_again(again):
    one = node(ALONE)
    hear(one, PromptArrived(0, SOME))
    assert hear_all(one, PromptArrived(0, SOME, attempt=again)) == []
    hear(one, ServiceEnded(OWN, SOME))
    assert hear_all(one, PromptArrived(0, SOME, attempt=again)) == []
    assert one.ignored == {"duplicate": 2}


def test_a_prompt_taken_up_again_after_its_deadline_expires():
    ask = PromptArrived(0, SOME, deadline_s=1.0, attempt=1)
    assert hear_all(node(ALONE), ask, now=2.0) == [Persist(Expire(0)), Expire(0)]


def test_a_prompt_that_cannot_be_taken_up_again_fails_because_it_had_been_accepted():
    one = node(layered(2, 2), queue_max=5)
    end = Fail(0, "the plan takes 7 places, and this node has only 6")
    assert hear_all(one, PromptArrived(0, SOME, attempt=1)) == [Persist(end), end]
    assert one.counts() == (0, 0, 0, 0)


# --- plans of single prompts ------------------------------------------------------------------


def test_a_prompt_may_bring_its_plan():
    one = node(layered(2, 2), peers="bc")
    assert hear(one, PromptArrived(0, SOME, plan=ALONE)) == [StartService(OWN, SOME, 0.0)]
    assert hear(one, ServiceEnded(OWN, SOME)) == [Answer(0, SOME)]
    sent = hear(one, PromptArrived(1, SOME, plan=layered(1, 1)))
    assert [type(action) for action in sent] == [Send, StartService]


def test_options_go_with_every_task():
    options = Options(max_tokens=64, temperature=0.5)
    one = node(layered(1, 1), peers="b", slots=2)
    send, start = hear(one, PromptArrived(0, SOME, options))
    assert send == Send("b", Task(TaskId("a", 0, 0, 1), SOME, None, options))
    assert start == StartService(OWN, SOME, 0.0, options)
    theirs = Task(TaskId("b", 0, 0, 1), SOME, None, options)
    (served,) = hear(one, MessageReceived("b", theirs))
    assert served == StartService(theirs.id, SOME, 0.0, options)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (layered(1, 1), "the weights choose 2 peers, but 1 was given"),
        (
            Plan((Stage((Peers(9),)), Stage((Origin(),), reads=(0,)))),
            None,
        ),
    ],
    ids=["weights for another number", "all peers"],
)
def test_a_plan_that_the_selection_cannot_serve_is_refused_with_the_reason(plan, reason):
    one = node(layered(1, 2), selection=Weighted("bcd", (1.0, 0.5, 0.5)))
    actions = hear(one, PromptArrived(0, SOME, plan=plan))
    if reason is None:
        assert [type(action) for action in actions] == [Send] * 3
    else:
        (refused,) = actions
        assert isinstance(refused, Refuse)
        assert reason in refused.reason


# --- leaving ----------------------------------------------------------------------------------


def test_a_node_that_drains_accepts_nothing_new_and_ends_what_it_has():
    one = node(layered(1, 1), peers="b")
    theirs = TaskId("b", 3, 0, 1)
    hear(one, PromptArrived(0, SOME), MessageReceived("b", Task(theirs, SOME)))
    assert hear(one, DrainStarted(), DrainStarted()) == []
    assert hear(one, PromptArrived(1, SOME)) == [Refuse(1, 1, "leaving")]
    new = MessageReceived("b", Task(TaskId("b", 4, 0, 1), SOME))
    assert hear(one, new) == [Send("b", Refusal(TaskId("b", 4, 0, 1), "leaving", 1))]
    assert hear(one, ServiceEnded(OWN, SOME)) == [StartService(theirs, SOME, 0.0)]
    # The second layer is forked all the same.
    hear(one, MessageReceived("b", Response(TaskId("a", 0, 0, 1), SOME)))
    served = hear(one, ServiceEnded(theirs, SOME))
    assert served[0] == Send("b", Response(theirs, SOME))
    assert hear(one, ServiceEnded(TaskId("a", 0, 1, 0), SOME)) == [Answer(0, SOME)]
    assert one.counts() == (0, 0, 0, 0)


def test_a_draining_node_fails_what_it_would_take_up_again():
    one = node(ALONE)
    hear(one, DrainStarted())
    assert hear(one, PromptArrived(0, SOME, attempt=1)) == [Fail(0, "leaving")]
