"""The step: what is heard, what is counted, and the story of a bug."""

import pytest

from dmoa.core import (
    Content,
    MessageReceived,
    Node,
    Origin,
    Peers,
    Plan,
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
    TimerFired,
    TimerId,
    Uniform,
    Weighted,
    layered,
)
from dmoa.core.moa import REMEMBERED
from dmoa.core.node import STORY
from dmoa.errors import InvariantError, ScenarioError
from tests.core.driver import hear, node

SOME = Content(10)
FOREIGN = TaskId("b", 3, 0, 1)
ASKED = MessageReceived("b", Task(FOREIGN, SOME))


def test_a_peers_task_is_served_and_answered():
    one = node(layered(0, 0))
    assert hear(one, ASKED, now=2.0) == [StartService(FOREIGN, SOME, 2.0)]
    assert hear(one, ServiceEnded(FOREIGN, Content(7))) == [
        Send("b", Response(FOREIGN, Content(7)))
    ]
    assert one.counts() == (0, 0, 0, 0)


def test_a_peers_task_that_fails_is_refused_with_the_reason():
    one = node(layered(0, 0))
    hear(one, ASKED, MessageReceived("b", Task(TaskId("b", 4, 0, 1), SOME)))
    actions = hear(one, ServiceFailed(FOREIGN, "out of memory"))
    assert actions[0] == Send("b", Refusal(FOREIGN, "out of memory", 1))
    assert one.counts()[:2] == (0, 1)


def test_a_task_from_somebody_else_than_its_origin_is_a_stranger():
    one = node(layered(0, 0))
    assert hear(one, MessageReceived("c", Task(FOREIGN, SOME))) == []
    assert one.ignored == {"stranger": 1}


@pytest.mark.parametrize("ended", [False, True])
def test_a_task_heard_twice_is_served_once(ended):
    one = node(layered(0, 0))
    hear(one, ASKED, *([ServiceEnded(FOREIGN, SOME)] if ended else []))
    assert hear(one, ASKED) == []
    assert one.ignored == {"duplicate": 1}


def test_another_attempt_at_a_task_is_another_task():
    one = node(layered(0, 0), slots=2)
    again = TaskId("b", 3, 0, 1, attempt=1)
    hear(one, ASKED)
    assert hear(one, MessageReceived("b", Task(again, SOME))) == [StartService(again, SOME, 0.0)]


@pytest.mark.parametrize("end", [False, True])
def test_a_prompt_heard_twice_is_asked_once(end):
    one = node(layered(0, 0))
    hear(one, PromptArrived(0, SOME))
    if end:
        hear(one, ServiceEnded(TaskId("a", 0, 0, 0), SOME))
    assert hear(one, PromptArrived(0, SOME)) == []
    assert one.ignored == {"duplicate": 1}


def test_an_unfinished_prompt_is_known_however_many_came_after_it():
    one = node(layered(0, 0))
    for number in range(2 * REMEMBERED + 1):
        one.step(PromptArrived(number, SOME), 0.0)
    assert hear(one, PromptArrived(0, SOME)) == []
    assert one.ignored == {"duplicate": 1}


@pytest.mark.parametrize("event", [ServiceEnded(FOREIGN, SOME), ServiceFailed(FOREIGN, "out")])
def test_the_end_of_a_service_that_is_not_running_is_late(event):
    one = node(layered(0, 0))
    assert hear(one, event) == []
    assert one.ignored == {"late": 1}


def test_an_unknown_event_is_a_bug():
    with pytest.raises(InvariantError, match=r"node a: AssertionError: .* 'hello'"):
        node(layered(0, 0)).step("hello", 0.0)  # type: ignore[arg-type]  # what is tested


def test_an_unknown_message_is_a_bug():
    with pytest.raises(InvariantError, match="node a: AttributeError"):
        node(layered(0, 0)).step(MessageReceived("b", "hello"), 0.0)  # type: ignore[arg-type]


def test_a_bug_tells_its_story_oldest_first():
    class Broken(Uniform):
        """A selection that works once, when the node is built."""

        calls = 0

        def choose(self, count: int, key: int, position: int) -> tuple[str, ...]:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError(f"no {count} peers at {key + position - key - position}")
            return ("b",)

    one = Node("a", plan=layered(1, 1), selection=Broken("b"), key=1)
    for number in range(STORY):
        one.step(TimerFired(TimerId(number, 0)), float(number))
    with pytest.raises(InvariantError, match="node a: RuntimeError: no 1 peers at 0") as caught:
        one.step(PromptArrived(0, SOME), 99.5)
    story = caught.value.story
    assert story == one.story()
    assert len(story) == STORY
    assert story[0].startswith("1.000000 s  TimerFired(timer=TimerId(prompt=1")
    assert story[-1].startswith("99.500000 s  PromptArrived(prompt=0, content=Content(tokens=10,")
    assert story[-1] in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_weights_for_another_number_of_peers_are_the_users_error_not_a_crash_in_a_run():
    with pytest.raises(ScenarioError, match="the weights choose 2 peers, but 1 was given"):
        node(layered(1, 1), selection=Weighted("bcd", (1.0, 0.5, 0.5)))


def test_two_placements_of_a_stage_choose_apart():
    plan = Plan((Stage((Peers(1), Peers(1))), Stage((Origin(),), reads=(0,))))
    one = Node("a", plan=plan, selection=Uniform("bcdefg"), key=1)
    asked = [one.step(PromptArrived(number, SOME), 0.0) for number in range(20)]
    pairs = [[send.to for send in sends if isinstance(send, Send)] for sends in asked]
    assert 0 < sum(first == second for first, second in pairs) < 20


def test_the_peers_asked_depend_on_the_key_the_prompt_and_the_layer_alone():
    def asked(key, *prompts):
        one = Node("a", plan=layered(1, 2), selection=Uniform("bcdefg"), key=key)
        sent = [one.step(PromptArrived(number, SOME), 0.0) for number in prompts]
        return {
            number: [action.to for action in actions if isinstance(action, Send)]
            for number, actions in zip(prompts, sent, strict=True)
        }

    forward, backward = asked(1, *range(20)), asked(1, *reversed(range(20)))
    assert forward == backward
    assert len(set(map(tuple, forward.values()))) > 10
    assert forward != asked(2, *range(20))
