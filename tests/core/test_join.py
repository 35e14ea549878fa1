"""Joins: all responses, or a quorum after a deadline; what is late, doubled or strange."""

import itertools

import pytest

from dmoa.core import (
    Answer,
    Content,
    Fail,
    Join,
    MessageReceived,
    Node,
    Options,
    Origin,
    Peers,
    Plan,
    PromptArrived,
    Refusal,
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
    Withdrawal,
    layered,
)
from dmoa.core.actions import CancelService
from tests.core.driver import hear, node

ASK = PromptArrived(0, Content(100))
FINAL = TaskId("a", 0, 1, 0)


def own(stage=0, slot=0, prompt=0):
    return TaskId("a", prompt, stage, slot)


def done(tokens=1, task=None):
    """The node's own task ended."""
    return ServiceEnded(task or own(), Content(tokens))


def reply(sender, slot, tokens=1, *, stage=0, prompt=0, **wrong):
    task = TaskId(**{"origin": "a", "prompt": prompt, "stage": stage, "slot": slot, **wrong})
    return MessageReceived(sender, Response(task, Content(tokens)))


def refusal(sender, slot, reason="queue full"):
    return MessageReceived(sender, Refusal(own(0, slot), reason, 3))


def three(**join) -> Node:
    """Node ``a``, whose prompt 0 has gone to ``a``, ``b`` and ``c``: slots 0, 1 and 2."""
    one = node(layered(1, 2, join=Join(**join)), peers="bc")
    hear(one, ASK, now=5.0)
    return one


# --- all ------------------------------------------------------------------------------------


def test_a_fork_sends_to_the_peers_and_starts_its_own():
    one = node(layered(1, 2), peers="bc")
    assert hear(one, ASK, now=5.0) == [
        Send("b", Task(own(0, 1), Content(100))),
        Send("c", Task(own(0, 2), Content(100))),
        StartService(own(), Content(100), 5.0),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_layer_is_joined_when_all_have_come_in_whatever_order(order):
    one = three()
    responses = [done(1), reply("b", 1, 20), reply("c", 2, 300)]
    for held, event in enumerate(order[:2], start=1):
        assert hear(one, responses[event]) == []
        assert one.counts()[2:] == (held, 1)
    last = hear(one, responses[order[2]], now=8.0)
    assert last == [StartService(FINAL, Content(100 + 321), 8.0)]
    assert one.counts() == (0, 1, 0, 1)
    assert hear(one, done(50, FINAL)) == [Answer(0, Content(50))]
    assert one.counts() == (0, 0, 0, 0)


def test_prompts_are_joined_apart():
    one = node(layered(1, 1), peers="b", slots=2)
    hear(one, ASK, PromptArrived(1, Content(7)), done(1), reply("b", 1, prompt=1))
    assert one.counts() == (0, 1, 2, 2)
    assert hear(one, reply("b", 1)) == [StartService(FINAL, Content(102), 0.0)]


@pytest.mark.parametrize("first", [refusal("b", 1), refusal("c", 2), ServiceFailed(own(), "out")])
def test_a_response_that_will_not_come_is_not_waited_for(first):
    one = three()
    every = {0: done(1), 1: reply("b", 1, 20), 2: reply("c", 2, 300)}
    slot = first.task.slot if isinstance(first, ServiceFailed) else first.message.id.slot
    left = [event for other, event in every.items() if other != slot]
    assert hear(one, first, left[0]) == []
    tokens = 100 + 321 - (1, 20, 300)[slot]
    assert hear(one, left[1]) == [StartService(FINAL, Content(tokens), 0.0)]


def test_a_refusal_that_comes_last_joins_the_others():
    one = three()
    assert hear(one, done(1), reply("b", 1, 20)) == []
    assert hear(one, refusal("c", 2)) == [StartService(FINAL, Content(121), 0.0)]


def test_a_response_that_did_not_come_leaves_no_gap_in_the_text():
    one = node(layered(1, 2), peers="bc")
    hear(one, PromptArrived(0, Content(1, "why?")), refusal("b", 1))
    hear(one, ServiceEnded(own(), Content(1, "so")))
    (start,) = hear(one, MessageReceived("c", Response(own(0, 2), Content(1, "thus"))))
    assert isinstance(start, StartService)
    assert "[1] so\n\n[2] thus\n" in (start.content.text or "")


def test_a_stage_without_any_response_fails_the_prompt_with_the_last_reason():
    one = three()
    hear(one, refusal("b", 1), ServiceFailed(own(), "out of memory"))
    assert hear(one, refusal("c", 2, "leaving")) == [Fail(0, "leaving")]
    assert one.counts() == (0, 0, 0, 0)


def test_a_failed_final_task_fails_the_prompt():
    one = node(layered(0, 0))
    hear(one, ASK)
    assert hear(one, ServiceFailed(own(), "timeout")) == [Fail(0, "timeout")]
    assert hear(one, done()) == []
    assert one.counts() == (0, 0, 0, 0)


def test_a_prompt_that_fails_takes_back_its_other_tasks_and_responses():
    plan = Plan(
        (
            Stage((Peers(1),)),
            Stage((Origin(), Origin(), Origin())),
            Stage((Origin(), Peers(1))),
            Stage((Origin(),), reads=(0, 1, 2)),
        )
    )
    one = node(plan, peers="b")
    hear(one, ASK, done(1, own(1, 0)), reply("b", 1, stage=2))
    assert one.counts() == (2, 1, 2, 1)
    assert hear(one, refusal("b", 0)) == [CancelService(own(1, 1)), Fail(0, "queue full")]
    assert one.counts() == (0, 0, 0, 0)


# --- deadline and quorum --------------------------------------------------------------------


def test_a_deadline_sets_a_timer_for_each_layer_and_none_for_the_final_task():
    one = node(layered(2, 0, join=Join(4.0)))
    assert hear(one, ASK, now=5.0)[0] == SetTimer(TimerId(0, 0), at_s=9.0)
    assert SetTimer(TimerId(0, 1), at_s=12.0) in hear(one, done(), now=8.0)
    last = hear(one, done(1, own(1)), now=9.0)
    assert [type(action) for action in last] == [StartService]


@pytest.mark.parametrize("quorum", [1, 2])
def test_at_the_deadline_a_quorum_is_joined(quorum):
    one = three(deadline_s=4.0, quorum=quorum)
    assert hear(one, done(1), reply("c", 2, 300)) == []
    fired = hear(one, TimerFired(TimerId(0, 0)), now=9.0)
    assert fired == [
        Send("b", Withdrawal(own(0, 1))),
        StartService(FINAL, Content(100 + 301), 9.0),
    ]
    assert one.counts() == (0, 1, 0, 1)


def test_after_the_deadline_a_quorum_is_joined_as_soon_as_it_is_there():
    one = three(deadline_s=4.0, quorum=2)
    assert hear(one, reply("b", 1, 20), TimerFired(TimerId(0, 0))) == []
    assert hear(one, done(1)) == [
        Send("c", Withdrawal(own(0, 2))),
        StartService(FINAL, Content(121), 0.0),
    ]


def test_after_the_deadline_a_quorum_may_be_all_that_can_still_come():
    one = three(deadline_s=4.0, quorum=3)
    assert hear(one, reply("b", 1, 20), TimerFired(TimerId(0, 0)), done(1)) == []
    assert hear(one, refusal("c", 2)) == [StartService(FINAL, Content(121), 0.0)]


def test_after_the_deadline_a_refusal_does_not_make_a_quorum():
    one = three(deadline_s=4.0, quorum=1)
    assert hear(one, TimerFired(TimerId(0, 0)), refusal("b", 1)) == []
    assert one.counts() == (0, 1, 0, 1)


def test_own_tasks_still_in_service_are_cancelled():
    one = three(deadline_s=4.0)
    hear(one, reply("b", 1, 20))
    assert hear(one, TimerFired(TimerId(0, 0)), now=9.0) == [
        CancelService(own()),
        Send("c", Withdrawal(own(0, 2))),
        StartService(FINAL, Content(120), 9.0),
    ]
    # The language model had finished before it heard that it should stop.
    assert hear(one, done(1)) == []
    assert one.ignored == {"late": 1}


def test_own_tasks_still_waiting_are_taken_out():
    one = node(layered(1, 1, join=Join(4.0)), peers="b")
    busy = TaskId("b", 9, 0, 0)
    hear(one, MessageReceived("b", Task(busy, Content(1))), ASK, reply("b", 1, 20))
    assert one.counts() == (1, 1, 1, 1)
    assert hear(one, TimerFired(TimerId(0, 0))) == []
    assert one.counts() == (1, 1, 0, 1)
    after = hear(one, ServiceEnded(busy, Content(1)), now=9.0)
    assert after[1:] == [StartService(FINAL, Content(120), 0.0)]


def test_a_response_after_the_join_is_late():
    one = three(deadline_s=4.0)
    hear(one, done(1), TimerFired(TimerId(0, 0)))
    assert hear(one, reply("b", 1), refusal("c", 2)) == []
    assert one.ignored == {"late": 2}
    assert hear(one, done(5, FINAL)) == [Answer(0, Content(5))]
    assert hear(one, reply("c", 2)) == []
    assert one.ignored == {"late": 3}


def test_timers_that_mean_nothing_any_more_or_yet_are_ignored():
    one = three(deadline_s=4.0)
    assert hear(one, TimerFired(TimerId(0, 1)), TimerFired(TimerId(8, 0))) == []
    hear(one, done(1), reply("b", 1), reply("c", 2))
    assert hear(one, TimerFired(TimerId(0, 0))) == []
    hear(one, done(5, FINAL))
    assert hear(one, TimerFired(TimerId(0, 0))) == []


def test_a_timer_does_not_fork_again_what_a_joined_stage_has_forked():
    plan = Plan(
        (
            Stage((Origin(),), join=Join(1.0)),
            Stage((Peers(1),)),
            Stage((Origin(),), reads=(0,)),
            Stage((Origin(),), reads=(0, 1, 2)),
        )
    )
    one = node(plan, peers="b")
    assert [type(action) for action in hear(one, ASK, done(1))][-1] is StartService
    assert hear(one, TimerFired(TimerId(0, 0))) == []
    assert one.counts() == (0, 1, 1, 1)


def test_each_stage_has_its_own_deadline():
    plan = Plan(
        (
            Stage((Origin(), Peers(1)), join=Join(1.0)),
            Stage((Origin(), Peers(1)), join=Join(2.0, quorum=2)),
            Stage((Origin(),), reads=(0, 1)),
        )
    )
    one = node(plan, peers="b", slots=2)
    timers = [action for action in hear(one, ASK) if isinstance(action, SetTimer)]
    assert timers == [SetTimer(TimerId(0, 0), 1.0), SetTimer(TimerId(0, 1), 2.0)]
    hear(one, done(1), done(1, own(1, 0)), TimerFired(TimerId(0, 0)), TimerFired(TimerId(0, 1)))
    assert one.counts() == (0, 0, 2, 1)
    assert hear(one, reply("b", 1, stage=1)) == [StartService(own(2), Content(103), 0.0)]


# --- strangers and duplicates ---------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        reply("d", 1),
        reply("c", 1),
        reply("b", 0),
        reply("b", 3),
        reply("b", 1, stage=1),
        reply("b", 1, stage=2),
        reply("b", 1, origin="b"),
        refusal("c", 1),
    ],
    ids=[
        "sender unknown",
        "sender of another slot",
        "slot of the node itself",
        "slot beyond the stage",
        "stage not yet forked",
        "stage beyond the plan",
        "another origin's task",
        "refusal for another",
    ],
)
def test_a_stranger_is_counted_and_changes_nothing(event):
    one = three()
    before = one.counts()
    assert hear(one, event) == []
    assert one.ignored == {"stranger": 1}
    assert one.counts() == before


@pytest.mark.parametrize("wrong", [{"prompt": 4}, {"attempt": 1}], ids=["prompt", "attempt"])
def test_a_response_to_an_unknown_prompt_or_attempt_is_late(wrong):
    one = three()
    assert hear(one, reply("b", 1, **wrong)) == []
    assert one.ignored == {"late": 1}


@pytest.mark.parametrize("again", [reply("b", 1, 999), refusal("b", 1)], ids=["reply", "refusal"])
@pytest.mark.parametrize("first", [reply("b", 1, 20), refusal("b", 1)], ids=["reply", "refusal"])
def test_the_first_word_of_a_peer_counts(first, again):
    one = three()
    hear(one, first, again, done(1))
    assert one.ignored == {"duplicate": 1}
    tokens = 100 + 301 + (20 if isinstance(first.message, Response) else 0)
    assert hear(one, reply("c", 2, 300)) == [StartService(FINAL, Content(tokens), 0.0)]


def served_with(actions):
    """Give the options of all tasks among some actions."""
    tasks = [a.message for a in actions if isinstance(a, Send)]
    return [
        *(task.options for task in tasks if isinstance(task, Task)),
        *(action.options for action in actions if isinstance(action, StartService)),
    ]


@pytest.mark.parametrize("only", [{"grammar": "root ::= [a-z]+"}, {"logprobs": 3}], ids=str)
def test_a_grammar_and_log_probabilities_are_for_the_answer_and_not_for_proposals(only):
    options = Options(max_tokens=5, **only)
    free = Options(max_tokens=5)
    one = node(layered(1, 1, join=Join(attempts=2)), peers=("b", "c"))
    asked = hear(one, PromptArrived(0, Content(100), options))
    assert served_with(asked) == [free, free]
    to = next(action.to for action in asked if isinstance(action, Send))
    task = TaskId("a", 0, 0, 1)
    again = hear(one, MessageReceived(to, Refusal(task, "full", 3)))
    assert served_with(again) == [free]
    other = "c" if to == "b" else "b"
    hear(one, ServiceEnded(own(), Content(9)))
    second = TaskId("a", 0, 0, 1, attempt=1)
    last = hear(one, MessageReceived(other, Response(second, Content(9))))
    assert served_with(last) == [options]
