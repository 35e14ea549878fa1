"""What travels between nodes: tasks, responses, refusals. Frozen, tagged, plain MessagePack.

Every struct encodes as an array whose first element is its tag, so any MessagePack reader can
read the wire and the trace. New fields are appended with a default.
"""

from __future__ import annotations

from typing import Annotated, final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number that cannot be negative; decoding refuses one that is."""


@final
class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A text as the core sees it: its length in tokens, and the text where there is one.

    The simulator fills in only ``tokens``; a live node fills in both.
    """

    tokens: Count
    text: str | None = None


@final
class TaskId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which task: slot ``slot`` of stage ``stage`` of prompt ``prompt`` of node ``origin``.

    ``attempt`` tells a replaced task from its late twin.
    """

    origin: str
    prompt: Count
    stage: Count
    slot: Count
    attempt: Count = 0


def task_position(prompt: int, stage: int, slot: int) -> int:
    """Give each task of an origin its own position in a random stream.

    Room for 2**20 slots in each of 2**10 stages, so that no two draws of a run share a position.

    >>> task_position(1, 0, 0) - task_position(0, 1023, 2**20 - 1)
    1
    """
    return (prompt << 10 | stage) << 20 | slot


@final
class Task(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="task"):
    """Origin to proposer: please propose a response to this content."""

    id: TaskId
    content: Content


@final
class Response(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="response"):
    """Proposer to origin: the response to a task."""

    id: TaskId
    content: Content


@final
class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="refusal"):
    """Proposer to origin: the task will not be served, why, and how long the queue is."""

    id: TaskId
    reason: str
    queue_length: Count


Message = Task | Response | Refusal
