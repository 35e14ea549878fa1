"""Overlap: a node says how its next task begins while its peers still write the rest."""

import pytest

from dmoa.core import (
    Content,
    Expire,
    Fail,
    Join,
    MessageReceived,
    Node,
    Options,
    Origin,
    PeerLost,
    Peers,
    Plan,
    Prefill,
    PromptArrived,
    Refusal,
    Response,
    Send,
    ServiceEnded,
    ServiceFailed,
    Stage,
    StartService,
    Task,
    TaskId,
    Template,
    TimerFired,
    TimerId,
    Turn,
    Withdrawal,
    layered,
)
from dmoa.core.actions import CancelService
from dmoa.core.events import WHOLE_PROMPT
from dmoa.core.plan import ATTEMPTS_MAX
from tests.core.driver import hear, node

ASK = PromptArrived(0, Content(10, "why?"))
SHORT = Template("{prompt} Merge: {responses} Now!", tokens=13)
FINAL = TaskId("a", 0, 1, 0)


def own(stage=0, slot=0, attempt=0):
    return TaskId("a", 0, stage, slot, attempt)


def done(task=None, text="own"):
    return ServiceEnded(task or own(), Content(1, text))


def reply(sender, slot, text, *, stage=0, attempt=0):
    return MessageReceived(sender, Response(own(stage, slot, attempt), Content(1, text)))


def overlapping(plan=None, peers="bc", **more) -> Node:
    return node(plan or layered(1, 2), peers, overlap=True, template=SHORT, **more)


def asked(plan=None, peers="bc", **more) -> Node:
    """Node ``a``, whose prompt 0 has gone to ``a``, ``b`` and ``c``: slots 0, 1 and 2."""
    one = overlapping(plan, peers, **more)
    hear(one, ASK)
    return one


def ahead(actions):
    return [action for action in actions if isinstance(action, Prefill | CancelService)]


def started(actions):
    """Give the text of the one task that was started."""
    (start,) = [action for action in actions if isinstance(action, StartService)]
    return start.content.text


# --- what is said ---------------------------------------------------------------------------


def test_a_fork_says_how_the_aggregation_begins():
    one = overlapping()
    assert hear(one, ASK) == [
        Send("b", Task(own(0, 1), ASK.content)),
        Send("c", Task(own(0, 2), ASK.content)),
        Prefill(FINAL, Content(10 + 8, "why? Merge: ")),
        StartService(own(), ASK.content, 0.0),
    ]


def test_each_response_extends_it_and_the_last_starts_the_task():
    one = asked()
    assert hear(one, reply("c", 2, "C")) == [Prefill(FINAL, Content(19, "why? Merge: [1] C"))]
    assert hear(one, done()) == [Prefill(FINAL, Content(20, "why? Merge: [1] C\n\n[2] own"))]
    text = "why? Merge: [1] C\n\n[2] own\n\n[3] B Now!"
    assert hear(one, reply("b", 1, "B")) == [StartService(FINAL, Content(26, text), 0.0)]
    assert one._station.prefilling == {}


def test_without_overlap_nothing_is_said_and_responses_stand_in_the_order_of_their_slots():
    one = node(layered(1, 2), "bc", template=SHORT)
    actions = hear(one, ASK, reply("c", 2, "C"), done(), reply("b", 1, "B"))
    assert not ahead(actions)
    assert started(actions[-1:]) == "why? Merge: [1] own\n\n[2] B\n\n[3] C Now!"


def test_lengths_alone_are_enough():
    one = overlapping()
    (said,) = ahead(hear(one, PromptArrived(0, Content(10))))
    assert said == Prefill(FINAL, Content(18))
    assert hear(one, MessageReceived("b", Response(own(0, 1), Content(5)))) == [
        Prefill(FINAL, Content(23))
    ]


def test_the_options_are_those_of_the_task_that_will_read_it():
    options = Options(history=(Turn("user", "hi"),), max_tokens=5, logprobs=2)
    one = overlapping()
    actions = hear(one, PromptArrived(0, Content(10, "why?"), options))
    assert [action.options for action in ahead(actions)] == [options]
    actions = hear(one, reply("b", 1, "B"), reply("c", 2, "C"), done())
    said = [action for action in actions if isinstance(action, Prefill | StartService)]
    assert [action.options for action in said] == [options] * 3


def test_every_later_layer_is_begun_and_each_reads_in_the_order_of_arrival():
    one = asked(layered(3, 1), "b")
    for stage in range(3):
        following = own(stage + 1)
        said = ahead(hear(one, reply("b", 1, f"B{stage}", stage=stage)))
        assert said == [Prefill(following, Content(19, f"why? Merge: [1] B{stage}"))]
        actions = hear(one, done(own(stage), f"A{stage}"))
        text = f"why? Merge: [1] B{stage}\n\n[2] A{stage} Now!"
        start = next(action for action in actions if isinstance(action, StartService))
        assert (start.task, start.content.text) == (following, text)
        known = Content(18, "why? Merge: ")
        after = [Prefill(own(stage + 2), known)] if stage < 2 else []
        assert ahead(actions) == after


@pytest.mark.parametrize(
    "plan",
    [layered(0, 0), layered(0, 2), layered(2, 0)],
    ids=["answers alone", "no layer", "asks nobody"],
)
def test_nothing_is_said_where_the_node_is_busy_until_the_join(plan):
    one = overlapping(plan)
    actions = hear(one, ASK, done(), done(own(1)))
    assert not ahead(actions)


def test_nothing_is_said_before_anything_is_known():
    one = node(layered(1, 1), "b", overlap=True, template=Template("{responses}{prompt}"))
    assert not ahead(hear(one, ASK))
    assert hear(one, reply("b", 1, "B")) == [Prefill(FINAL, Content(1, "[1] B"))]


ELSEWHERE = (Peers(1),)
OWN_AND_PEER = (Origin(), Peers(1))


@pytest.mark.parametrize(
    ("stages", "begun"),
    [
        # Two readers: which of them goes on first is not known.
        (
            [
                Stage(OWN_AND_PEER),
                Stage((Origin(),), (0,)),
                Stage((Origin(),), (0,)),
                Stage((Origin(),), (1, 2)),
            ],
            [],
        ),
        # It reads two clusters: which of them is known first is not known.
        ([Stage(OWN_AND_PEER), Stage(OWN_AND_PEER), Stage((Origin(),), (0, 1))], []),
        # A peer will read it.
        ([Stage(OWN_AND_PEER), Stage(ELSEWHERE, (0,)), Stage((Origin(),), (1,))], []),
        # The place of its own task follows from how many peers can be reached.
        (
            [Stage(OWN_AND_PEER), Stage((Peers(1), Origin()), (0,)), Stage((Origin(),), (1,))],
            [],
        ),
        ([Stage(OWN_AND_PEER), Stage(OWN_AND_PEER, (0,)), Stage((Origin(),), (1,))], [1]),
        ([Stage(ELSEWHERE), Stage((Origin(),), (0,))], [1]),
    ],
)
def test_only_what_will_surely_be_read_next_is_begun(stages, begun):
    one = overlapping(Plan(tuple(stages)), "bcd")
    assert [action.task.stage for action in ahead(hear(one, ASK))] == begun


# --- what is not said -----------------------------------------------------------------------


def test_duplicates_strangers_and_late_responses_do_not_extend_it():
    one = asked()
    hear(one, reply("b", 1, "B"))
    for noise in (reply("b", 1, "B"), reply("mallory", 2, "M"), reply("c", 2, "C", attempt=1)):
        assert hear(one, noise) == []
    actions = hear(one, reply("c", 2, "C"), done())
    assert started(actions) == "why? Merge: [1] B\n\n[2] C\n\n[3] own Now!"
    assert hear(one, reply("c", 2, "C")) == []


def test_a_response_that_will_not_come_leaves_what_was_said_as_it_is():
    one = asked()
    assert hear(one, MessageReceived("b", Refusal(own(0, 1), "full", 3))) == []
    assert hear(one, ServiceFailed(own(), "out of memory")) == []
    (start,) = hear(one, reply("c", 2, "C"))
    assert start == StartService(FINAL, Content(24, "why? Merge: [1] C Now!"), 0.0)


def test_the_response_of_a_replacement_comes_where_it_arrives():
    one = overlapping(layered(1, 1, join=Join(attempts=2)), "bc")
    first = next(action.to for action in hear(one, ASK) if isinstance(action, Send))
    other = "c" if first == "b" else "b"
    (again,) = hear(one, MessageReceived(first, Refusal(own(0, 1), "full", 3)))
    assert again == Send(other, Task(own(0, 1, attempt=1), ASK.content))
    assert hear(one, reply(first, 1, "late")) == []
    text = "why? Merge: [1] again"
    assert hear(one, reply(other, 1, "again", attempt=1)) == [Prefill(FINAL, Content(19, text))]
    assert started(hear(one, done())) == text + "\n\n[2] own Now!"


def test_a_quorum_after_the_deadline_starts_the_task_with_what_was_said():
    one = asked(layered(1, 2, join=Join(deadline_s=5.0, quorum=2)))
    hear(one, done())
    assert hear(one, TimerFired(TimerId(0, 0)), now=5.0) == []
    withdrawn, *rest = hear(one, reply("c", 2, "C"), now=6.0)
    assert withdrawn == Send("b", Withdrawal(own(0, 1)))
    assert started(rest) == "why? Merge: [1] own\n\n[2] C Now!"


def test_an_overdue_stage_without_a_quorum_goes_on_being_told():
    one = asked(layered(1, 2, join=Join(deadline_s=5.0, quorum=2)))
    hear(one, TimerFired(TimerId(0, 0)), now=5.0)
    assert hear(one, done(), now=6.0) == [Prefill(FINAL, Content(19, "why? Merge: [1] own"))]


# --- how it ends ----------------------------------------------------------------------------


def test_a_prompt_that_expires_drops_what_was_read_ahead():
    one = asked(layered(1, 1, deadline_s=9.0), "b")
    hear(one, done())
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        Send("b", Withdrawal(own(0, 1))),
        CancelService(FINAL),
        Expire(0),
    ]
    assert one._station.prefilling == {}


def test_a_prompt_that_fails_drops_what_was_read_ahead():
    one = asked(layered(1, 1), "b")
    assert hear(one, ServiceFailed(own(), "out of memory")) == []
    assert hear(one, PeerLost("b")) == [CancelService(FINAL), Fail(0, "b cannot be reached")]


def test_a_task_that_waits_is_still_read_ahead_and_dropped_if_its_prompt_ends():
    one = asked(layered(1, 1, deadline_s=9.0), "b")
    busy = TaskId("b", 5, 0, 0)
    hear(one, MessageReceived("b", Task(busy, Content(1))), done())
    assert hear(one, reply("b", 1, "B")) == []
    assert one.counts()[:2] == (1, 1)
    assert list(one._station.prefilling) == [FINAL]
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        CancelService(FINAL),
        Expire(0),
    ]
    assert one.counts() == (0, 1, 0, 0)
    assert one._station.prefilling == {}


def test_a_task_that_was_started_is_dropped_once():
    one = asked(layered(1, 1, deadline_s=9.0), "b")
    hear(one, reply("b", 1, "B"), done())
    assert hear(one, TimerFired(TimerId(0, WHOLE_PROMPT)), now=9.0) == [
        CancelService(FINAL),
        Expire(0),
    ]


def test_a_prompt_taken_up_again_is_read_ahead_under_its_new_attempt():
    one = overlapping()
    resumed = PromptArrived(0, ASK.content, attempt=2)
    (said,) = ahead(hear(one, resumed))
    assert said.task == own(1, attempt=2 * ATTEMPTS_MAX)
    late = hear(one, reply("b", 1, "from before the crash"))
    assert late == []


def test_prompts_are_read_ahead_apart():
    one = overlapping(layered(1, 1), "b", slots=2)
    hear(one, ASK, PromptArrived(1, Content(3, "how?")))
    other = TaskId("a", 1, 0, 1)
    said = hear(one, MessageReceived("b", Response(other, Content(1, "so"))))
    assert said == [Prefill(TaskId("a", 1, 1, 0), Content(12, "how? Merge: [1] so"))]
    assert len(one._station.prefilling) == 2
