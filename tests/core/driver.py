"""A driver without time: everything a node asks for happens at once, in the order it was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from dmoa.core import (
    Action,
    Answer,
    Content,
    Event,
    Expire,
    Fail,
    MessageReceived,
    Node,
    Persist,
    Plan,
    PromptArrived,
    Selection,
    Send,
    ServiceEnded,
    StartService,
    TaskId,
    Uniform,
    derive,
)
from dmoa.core.invariants import check


def node(
    plan: Plan,
    peers: Sequence[str] = ("b", "c", "d"),
    *,
    slots: int = 1,
    queue_max: int | None = None,
    selection: Selection | None = None,
    **live: Any,
) -> Node:
    """Build node ``a``."""
    return Node(
        "a",
        plan=plan,
        selection=selection or Uniform(peers),
        key=derive(1, "a"),
        slots=slots,
        queue_max=queue_max,
        **live,
    )


def hear_all(one: Node, *events: Event, now: float = 0.0) -> list[Action]:
    """Let a node hear events, check it after each, and gather its actions."""
    actions = []
    for event in events:
        actions += one.step(event, now)
        check(one)
    return actions


def hear(one: Node, *events: Event, now: float = 0.0) -> list[Action]:
    """Do the same, see that every end is written down just before it is told, and leave that out.

    What has to be written down when is what ``test_persistence.py`` is about.
    """
    actions = hear_all(one, *events, now=now)
    for before, action in zip([None, *actions], actions, strict=False):
        if isinstance(action, Answer | Fail | Expire):
            assert before == Persist(action)
    return [action for action in actions if not isinstance(action, Persist)]


def complete(names: str, plan: Plan) -> dict[str, Node]:
    """Build the nodes of a complete overlay, one per letter."""
    return {
        name: Node(
            name,
            plan=plan,
            selection=Uniform([peer for peer in names if peer != name]),
            key=derive(1, name),
        )
        for name in names
    }


def run(
    nodes: dict[str, Node], prompts: Sequence[tuple[str, int]]
) -> tuple[list[StartService], list[tuple[str, Answer]]]:
    """Run prompts, given as (node, number), to their end; give the services and the answers.

    A response's text is its task, written ``origin/prompt.stage.slot``.
    """
    services, answers = [], []
    pending: deque[tuple[str, Event]] = deque(
        (name, PromptArrived(number, Content(1, "question"))) for name, number in prompts
    )
    while pending:
        name, event = pending.popleft()
        for action in hear(nodes[name], event):
            if isinstance(action, Send):
                pending.append((action.to, MessageReceived(name, action.message)))
            elif isinstance(action, StartService):
                services.append(action)
                pending.append((name, ServiceEnded(action.task, Content(1, label(action.task)))))
            else:
                assert isinstance(action, Answer)
                answers.append((name, action))
    return services, answers


def label(task: TaskId) -> str:
    """Name a task for people."""
    return f"{task.origin}/{task.prompt}.{task.stage}.{task.slot}"
