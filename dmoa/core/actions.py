"""What a node asks its driver to do. Imperatives, executed in the order given."""

from __future__ import annotations

from typing import final

import msgspec

from dmoa.core.events import PromptArrived, TimerId
from dmoa.core.messages import Content, Message, Options, TaskId


@final
class Send(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="send"):
    """Send a message to a peer. It may be lost, late, doubled or reordered."""

    to: str
    message: Message


@final
class StartService(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="start"):
    """Give a task to the language model. ``queued_s``: when it joined this node's queue."""

    task: TaskId
    content: Content
    queued_s: float
    options: Options | None = None


@final
class Prefill(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="prefill"):
    """Let the language model read the beginning of a task's prompt while it has nothing else to do.

    A hint for a task of the node's own that a later ``StartService`` will start with the whole
    prompt, of which ``content`` is the beginning that is known so far. Said again, it is longer.
    A task that will not be started is dropped by ``CancelService``.
    """

    task: TaskId
    content: Content
    options: Options | None = None


@final
class CancelService(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="cancel"):
    """Take a task, served or read ahead, away from the language model: nobody waits for it."""

    task: TaskId


@final
class SetTimer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="timer"):
    """Send ``TimerFired`` at ``at_s`` (seconds since the run began)."""

    timer: TimerId
    at_s: float


@final
class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="answer"):
    """Give the user the answer to a prompt. One of the three ends of an accepted prompt."""

    prompt: int
    content: Content


@final
class Fail(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="fail"):
    """Tell the user that an accepted prompt cannot be answered, and why."""

    prompt: int
    reason: str


@final
class Expire(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="expire"):
    """Tell the user that an accepted prompt was not answered before its deadline."""

    prompt: int


@final
class Refuse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="refuse"):
    """Tell the user that a prompt is not accepted: this node's queue is full, or it leaves."""

    prompt: int
    queue_length: int
    reason: str = "queue full"


@final
class Persist(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="persist"):
    """Write to stable storage that a prompt was accepted, or how it ended.

    The driver does not go on to the next action before this is durable. Once it is, an accepted
    prompt has been promised to its user.
    """

    record: PromptArrived | Answer | Fail | Expire


Action = (
    Send
    | StartService
    | Prefill
    | CancelService
    | SetTimer
    | Persist
    | Answer
    | Fail
    | Expire
    | Refuse
)
