"""What a node hears. Past participles; frozen, tagged, the same in both worlds."""

from __future__ import annotations

from typing import final

import msgspec

from dmoa.core.messages import Content, Count, Message, Options, TaskId
from dmoa.core.plan import Plan

WHOLE_PROMPT = -1
"""In place of a stage: the deadline of the prompt itself."""


@final
class TimerId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which timer: a deadline of a stage of one of the node's own prompts, or of the prompt.

    A stage that got another deadline ignores the timer of the one before: ``turn`` differs.
    """

    prompt: int
    stage: int
    turn: int = 0


@final
class PromptArrived(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="prompt"):
    """A user of this node asked something. The driver numbers prompts; a number ends once.

    ``plan`` replaces the node's own plan; ``deadline_s`` is when the user stops waiting. A prompt
    that is taken up again after a crash comes with another ``attempt``, so that what is left of
    the one before is not mistaken for its own.
    """

    prompt: int
    content: Content
    options: Options | None = None
    plan: Plan | None = None
    deadline_s: float | None = None
    attempt: Count = 0


@final
class MessageReceived(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="message"):
    """A message came from a peer, whom the driver has identified."""

    sender: str
    message: Message


@final
class ServiceEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="ended"):
    """The language model finished a task with this response; ``model`` is its name, live."""

    task: TaskId
    content: Content
    model: str = ""


@final
class ServiceFailed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="failed"):
    """The language model gave up a task."""

    task: TaskId
    reason: str


@final
class TimerFired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="timer"):
    """A timer that the node had set went off."""

    timer: TimerId


@final
class PeerLost(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="lost"):
    """A peer cannot be reached any more, or said that it leaves."""

    peer: str


@final
class PeerFound(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="found"):
    """A peer that was lost can be reached again. A node takes its peers for reachable at first."""

    peer: str


@final
class DrainStarted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="drain"):
    """This node is about to leave: it accepts nothing new and ends what it has."""


Event = (
    PromptArrived
    | MessageReceived
    | ServiceEnded
    | ServiceFailed
    | TimerFired
    | PeerLost
    | PeerFound
    | DrainStarted
)
