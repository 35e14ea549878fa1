"""Replacement: a peer that refuses, fails, is lost or late gives way to another, within bounds."""

import pytest

from dmoa.core import (
    Answer,
    Content,
    Fail,
    Join,
    MessageReceived,
    Node,
    Origin,
    PeerFound,
    PeerLost,
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
    Uniform,
    Weighted,
    Withdrawal,
    layered,
)
from tests.core.driver import hear, node

QUESTION = Content(100)
ASK = PromptArrived(0, QUESTION)


def task(slot=1, attempt=0, stage=0):
    return TaskId("a", 0, stage, slot, attempt)


def refusal(sender, slot=1, attempt=0, reason="queue full"):
    return MessageReceived(sender, Refusal(task(slot, attempt), reason, 3))


def reply(sender, slot=1, attempt=0, tokens=1):
    return MessageReceived(sender, Response(task(slot, attempt), Content(tokens)))


def own(stage=0, tokens=1):
    return ServiceEnded(TaskId("a", 0, stage, 0), Content(tokens))


def one_peer(peers="bcd", **join) -> tuple[Node, str]:
    """Node ``a``, whose prompt 0 has gone to itself and to one of its peers: slots 0 and 1."""
    one = node(layered(1, 1, join=Join(**join)), peers=peers)
    (asked,) = [action.to for action in hear(one, ASK) if isinstance(action, Send)]
    return one, asked


def sends(actions):
    return [(action.to, action.message) for action in actions if isinstance(action, Send)]


# --- what is replaced ------------------------------------------------------------------------


def test_a_peer_that_refuses_is_replaced_by_one_that_was_not_tried():
    one, first = one_peer(attempts=3)
    ((second, again),) = sends(hear(one, refusal(first)))
    assert second != first
    assert again == Task(task(attempt=1), QUESTION)
    assert hear(one, own()) == []
    assert one.counts()[2:] == (1, 1)
    (final,) = hear(one, reply(second, attempt=1, tokens=20))
    assert final == StartService(TaskId("a", 0, 1, 0), Content(121), 0.0)


def test_a_peer_that_is_lost_is_replaced_and_is_not_asked_by_later_layers():
    plan = layered(3, 1, join=Join(attempts=2))
    one = node(plan, peers="bc")
    ((first, _),) = sends(hear(one, ASK))
    ((second, again),) = sends(hear(one, PeerLost(first)))
    assert {first, second} == {"b", "c"}
    assert again == Task(task(attempt=1), QUESTION)
    hear(one, own())
    for stage in (1, 2):
        attempt = 1 if stage == 1 else 0
        response = Response(task(1, attempt, stage - 1), Content(1))
        ((asked, _),) = sends(hear(one, MessageReceived(second, response)))
        assert asked == second
        hear(one, own(stage))
    assert hear(one, MessageReceived(first, Response(task(), Content(1)))) == []
    assert one.ignored == {"late": 1}


def test_a_peer_that_was_found_again_is_asked_again():
    one = node(layered(1, 2), peers="bc")
    hear(one, PeerLost("b"))
    assert [to for to, _ in sends(hear(one, ASK))] == ["c"]
    hear(one, PeerLost("c"), PeerFound("b"))
    assert [to for to, _ in sends(hear(one, PromptArrived(1, QUESTION)))] == ["b"]
    hear(one, PeerFound("c"))
    assert [to for to, _ in sends(hear(one, PromptArrived(2, QUESTION)))] == ["b", "c"]


def test_peers_that_are_late_without_a_quorum_are_replaced_and_the_stage_waits_once_more():
    one, first = one_peer(deadline_s=4.0, quorum=2, attempts=3)
    hear(one, own())
    actions = hear(one, TimerFired(TimerId(0, 0)), now=4.0)
    ((second, again), withdrawn) = sends(actions)
    assert second != first
    assert again == Task(task(attempt=1), QUESTION)
    assert withdrawn == (first, Withdrawal(task()))
    assert actions[-1] == SetTimer(TimerId(0, 0, turn=1), at_s=8.0)
    # The first deadline's timer, doubled, means nothing any more.
    assert hear(one, TimerFired(TimerId(0, 0)), now=5.0) == []
    # Once more late: the third peer; then there is nobody left, and the stage just waits.
    third = hear(one, TimerFired(TimerId(0, 0, turn=1)), now=8.0)
    assert [type(message) for _, message in sends(third)] == [Task, Withdrawal]
    assert third[-1] == SetTimer(TimerId(0, 0, turn=2), at_s=12.0)
    assert hear(one, TimerFired(TimerId(0, 0, turn=2)), now=12.0) == []
    assert one.counts()[2:] == (1, 1)


def test_a_stage_with_a_quorum_at_its_deadline_is_joined_not_repaired():
    one, first = one_peer(deadline_s=4.0, quorum=1, attempts=3)
    hear(one, own())
    assert sends(hear(one, TimerFired(TimerId(0, 0)), now=4.0)) == [(first, Withdrawal(task()))]


def test_after_its_deadline_a_stage_is_joined_by_the_replacement():
    one, _ = one_peer(deadline_s=4.0, quorum=2, attempts=3)
    (second, _), _ = sends(hear(one, own(), TimerFired(TimerId(0, 0)), now=4.0))
    assert [type(a) for a in hear(one, reply(second, attempt=1), now=5.0)] == [StartService]


def test_the_own_task_is_not_replaced():
    one, asked = one_peer(attempts=3)
    assert hear(one, ServiceFailed(task(slot=0), "out of memory")) == []
    assert [type(a) for a in hear(one, reply(asked))] == [StartService]


def test_a_lost_peer_that_owed_the_last_response_may_end_the_prompt():
    plan = Plan((Stage((Peers(1),)), Stage((Peers(2),)), Stage((Origin(),), reads=(0, 1))))
    one = node(plan, peers="bc")
    asked = [to for to, _ in sends(hear(one, ASK))]
    # One response of the second stage is owed by the lost peer too; the prompt has ended by then.
    actions = hear(one, PeerLost(asked[0]))
    other = "c" if asked[0] == "b" else "b"
    stayed = TaskId("a", 0, 1, "bc".index(other))
    assert actions == [
        Send(other, Withdrawal(stayed)),
        Fail(0, f"{asked[0]} cannot be reached"),
    ]
    assert one.counts() == (0, 0, 0, 0)
    assert one.ignored == {}


def test_a_lost_peer_that_owed_nothing_changes_nothing():
    one, asked = one_peer()
    hear(one, reply(asked))
    assert hear(one, PeerLost(asked), PeerLost(asked), PeerFound(asked), PeerFound(asked)) == []
    assert one.counts() == (0, 1, 1, 1)


def test_a_lost_peer_may_leave_a_stage_with_all_that_can_come():
    plan = Plan(
        (
            Stage((Origin(), Peers(2)), join=Join(1.0, quorum=2)),
            Stage((Origin(),), reads=(0,)),
        )
    )
    one = node(plan, peers="b")
    hear(one, ASK, own())
    assert [type(a) for a in hear(one, PeerLost("b"))] == [StartService]


def test_a_stage_that_asks_only_peers_fails_the_prompt_while_none_can_be_reached():
    plan = Plan(
        (Stage((Origin(),)), Stage((Peers(1),), reads=(0,)), Stage((Origin(),), reads=(1,)))
    )
    one = node(plan, peers="b")
    hear(one, ASK, PeerLost("b"))
    assert hear(one, own()) == [Fail(0, "no peer can be reached")]
    assert one.counts() == (0, 0, 0, 0)


def test_the_first_stages_that_were_forked_are_taken_back_where_another_cannot_be():
    plan = Plan(
        (
            Stage((Origin(),)),
            Stage((Peers(1),)),
            Stage((Origin(),)),
            Stage((Origin(),), reads=(0, 1, 2)),
        )
    )
    one = node(plan, peers="b")
    hear(one, PeerLost("b"))
    assert hear(one, ASK) == [Fail(0, "no peer can be reached")]
    assert one.counts() == (0, 0, 0, 0)


def test_a_stage_is_not_forked_beside_one_that_ended_the_prompt():
    origin = (Origin(),)
    plan = Plan(
        (
            Stage(origin),
            Stage((Peers(1),), reads=(0,)),
            Stage(origin, reads=(0,)),
            Stage(origin, reads=(1, 2)),
        )
    )
    one = node(plan, peers="b")
    hear(one, ASK, PeerLost("b"))
    assert hear(one, own()) == [Fail(0, "no peer can be reached")]
    assert one.counts() == (0, 0, 0, 0)


def test_a_peer_that_cannot_be_reached_is_not_asked_in_place_of_another():
    one, first = one_peer(attempts=9)
    left = sorted({*"bcd"} - {first})
    hear(one, PeerLost(left[0]))
    assert [to for to, _ in sends(hear(one, refusal(first)))] == [left[1]]
    assert hear(one, refusal(left[1], attempt=1)) == []


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selection", [Uniform("bcdef"), Weighted("bcdef", (0.6, 0.1, 0.1, 0.1, 0.1))]
)
@pytest.mark.parametrize("attempts", [1, 2, 3, 5, 9])
def test_no_peer_is_tried_twice_and_no_more_than_allowed(selection, attempts):
    one = node(layered(1, 1, join=Join(attempts=attempts)), selection=selection)
    tried = [to for to, _ in sends(hear(one, ASK))]
    while True:
        asked = sends(hear(one, refusal(tried[-1], attempt=len(tried) - 1)))
        if not asked:
            break
        ((to, message),) = asked
        assert message == Task(task(attempt=len(tried)), QUESTION)
        tried.append(to)
    assert len(set(tried)) == len(tried) == min(attempts, 5)
    # What could not be had is not waited for.
    assert [type(a) for a in hear(one, own())] == [StartService]


def test_no_peer_is_asked_in_place_of_one_that_is_asked_already():
    one = node(layered(1, 2, join=Join(attempts=5)), peers="bcd")
    asked = {message.id.slot: to for to, message in sends(hear(one, ASK))}
    ((spare, _),) = sends(hear(one, refusal(asked[1], 1)))
    assert {*asked.values(), spare} == set("bcd")
    assert hear(one, refusal(asked[2], 2)) == []
    assert one.counts()[2:] == (0, 1)


def test_all_that_were_tried_for_all_responses_in_vain_fail_the_prompt():
    plan = Plan((Stage((Peers(1),), join=Join(attempts=2)), Stage((Origin(),), reads=(0,))))
    one = node(plan, peers="bc")
    ((first, _),) = sends(hear(one, ASK))
    ((second, _),) = sends(hear(one, refusal(first, slot=0)))
    assert hear(one, refusal(second, slot=0, attempt=1, reason="leaving")) == [Fail(0, "leaving")]


# --- what comes from those that were replaced ------------------------------------------------


@pytest.mark.parametrize("late", [reply, refusal])
def test_what_comes_of_an_attempt_that_was_given_up_does_not_count(late):
    one, first = one_peer(attempts=2)
    ((second, _),) = sends(hear(one, refusal(first)))
    assert hear(one, late(first), late(second)) == []
    assert one.ignored == {"late": 2}
    assert hear(one, own()) == []
    (final,) = hear(one, reply(second, attempt=1, tokens=20))
    assert final == StartService(TaskId("a", 0, 1, 0), Content(121), 0.0)


def test_only_the_replacement_may_answer_in_its_attempt():
    one, first = one_peer(attempts=2)
    hear(one, refusal(first))
    assert hear(one, reply(first, attempt=1)) == []
    assert one.ignored == {"stranger": 1}


def test_a_replacement_depends_on_the_key_the_task_and_the_attempt_alone():
    def replacements(numbers):
        one = node(layered(1, 1, join=Join(attempts=2)), peers="bcdefgh")
        found = {}
        for number in numbers:
            ((first, _),) = sends(hear(one, PromptArrived(number, QUESTION)))
            refused = MessageReceived(first, Refusal(TaskId("a", number, 0, 1), "no", 0))
            ((second, _),) = sends(hear(one, refused))
            found[number] = (first, second)
        return found

    forward = replacements(range(40))
    assert forward == replacements(reversed(range(40)))
    assert len(set(forward.values())) > 10


def test_a_prompt_is_answered_though_every_peer_but_one_refuses():
    one = node(layered(2, 1, join=Join(attempts=9)), peers="bcde")
    answers = []
    pending = hear(one, ASK)
    while pending:
        action = pending.pop(0)
        if isinstance(action, StartService):
            pending += hear(one, ServiceEnded(action.task, Content(1)))
        elif isinstance(action, Answer):
            answers.append(action)
        elif isinstance(action, Send):
            id_ = action.message.id
            message = Response(id_, Content(1)) if action.to == "d" else Refusal(id_, "no", 1)
            pending += hear(one, MessageReceived(action.to, message))
    assert answers == [Answer(0, Content(1))]
    assert one.ignored == {}
