"""What nodes are built with: the plan of the scenario, to the last of its numbers."""

from __future__ import annotations

import pytest

from dmoa.core import (
    WHOLE_PROMPT,
    Content,
    MessageReceived,
    Node,
    PromptArrived,
    Refusal,
    Report,
    Response,
    Send,
    ServiceEnded,
    SetTimer,
    Task,
    TaskId,
    TimerId,
)
from dmoa.errors import ScenarioError
from dmoa.scenario import build_nodes, from_dict, resolve

ASK = PromptArrived(0, Content(10))


def first(**sections) -> Node:
    """Build node 0 of a complete overlay of 5."""
    overlay = {"topology": "complete", "nodes": 5}
    return build_nodes(resolve(from_dict({"overlay": overlay, **sections})), key=1)[0]


def timers(node: Node, now: float = 2.0) -> list[SetTimer]:
    return [action for action in node.step(ASK, now) if isinstance(action, SetTimer)]


def reported(node: Node) -> Report | None:
    """Let a node serve a peer's task in 4 s, and give what it says of itself."""
    task = TaskId("1", 0, 0, 1)
    node.step(MessageReceived("1", Task(task, Content(1))), 0.0)
    (send,) = node.step(ServiceEnded(task, Content(1), "tiny"), 4.0)
    assert isinstance(send, Send)
    assert isinstance(send.message, Response)
    return send.message.report


def test_without_deadlines_there_are_no_timers_and_no_reports():
    assert timers(first(plan={"layers": 1, "proposers": 2})) == []
    assert reported(first()) is None


def test_a_prompts_deadline_is_set():
    node = first(plan={"prompt_deadline_s": 30.0})
    assert timers(node) == [SetTimer(TimerId(0, WHOLE_PROMPT), 32.0)]


def test_a_layers_deadline_is_set():
    assert timers(first(plan={"layer_deadline_s": 5.0})) == [SetTimer(TimerId(0, 0), 7.0)]


def test_patience_multiplies_the_expected_service_time_of_the_scenario():
    node = first(plan={"patience": 3.0}, service={"service_time_s": 4.0})
    # The own task is behind itself in the queue when the deadline is set: (1 + 1) 4 s, three times.
    assert timers(node) == [SetTimer(TimerId(0, 0), 2.0 + 3 * 8.0)]
    assert reported(first(plan={"patience": 3.0})) == Report("tiny", 4.0, 4.0, 0)


def test_live_nodes_report():
    assert reported(first(live={"engine": "scripted"})) == Report("tiny", 4.0, 4.0, 0)


@pytest.mark.parametrize(("attempts", "replaced"), [(None, False), (1, False), (2, True)])
def test_attempts_let_refusing_peers_be_replaced(attempts, replaced):
    plan = {"layers": 1, "proposers": 1} | ({} if attempts is None else {"attempts": attempts})
    node = first(plan=plan)
    (asked,) = [action for action in node.step(ASK, 0.0) if isinstance(action, Send)]
    refused = Refusal(asked.message.id, "queue full", 3)
    again = node.step(MessageReceived(asked.to, refused), 1.0)
    assert any(isinstance(action, Send) for action in again) == replaced


@pytest.mark.parametrize(
    "plan", [{}, {"quorum": 2, "layer_deadline_s": 3.0}], ids=["no deadline", "quorum"]
)
def test_the_deadline_of_a_prompt_lets_messages_be_lost(plan):
    lossy = {"plan": {"layers": 1, "proposers": 2, **plan}, "links": {"loss": 0.1}}
    with pytest.raises(ScenarioError, match=r"plan\.prompt_deadline_s"):
        from_dict(lossy)
    lossy["plan"]["prompt_deadline_s"] = 60.0
    assert from_dict(lossy).links.loss == 0.1
