"""What a node hears. Past participles; frozen, tagged, the same in both worlds."""

from __future__ import annotations

from typing import final

import msgspec

from dmoa.core.messages import Content, Message, TaskId


@final
class TimerId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which timer: the join deadline of a stage of one of the node's own prompts."""

    prompt: int
    stage: int


@final
class PromptArrived(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="prompt"):
    """A user of this node asked something. The driver numbers prompts; a number ends once."""

    prompt: int
    content: Content


@final
class MessageReceived(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="message"):
    """A message came from a peer, whom the driver has identified."""

    sender: str
    message: Message


@final
class ServiceEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="ended"):
    """The language model finished a task with this response."""

    task: TaskId
    content: Content


@final
class ServiceFailed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="failed"):
    """The language model gave up a task."""

    task: TaskId
    reason: str


@final
class TimerFired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="timer"):
    """A timer that the node had set went off."""

    timer: TimerId


Event = PromptArrived | MessageReceived | ServiceEnded | ServiceFailed | TimerFired
