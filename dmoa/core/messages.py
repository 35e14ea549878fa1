"""What travels between nodes: tasks and what becomes of them. Frozen, tagged, plain MessagePack.

Every struct encodes as an array whose first element is its tag, so any MessagePack reader can
read the wire and the trace. New fields are appended with a default.
"""

from __future__ import annotations

from typing import Annotated, Literal, final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number that cannot be negative; decoding refuses one that is."""

Duration = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""A time in seconds that deadlines may be computed from: finite, and not negative."""


@final
class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A text as the core sees it: its length in tokens, and the text where there is one.

    The simulator fills in only ``tokens``; a live node fills in both. A response that the language
    model could not finish (its limit of tokens was reached) is ``cut``.
    """

    tokens: Count
    text: str | None = None
    cut: bool = False


@final
class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One turn of a conversation before the question."""

    role: Literal["system", "user", "assistant"]
    text: str


@final
class Options(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How language models shall serve the tasks of one prompt; what is None is up to each of them.

    The core passes it on, and keeps ``grammar`` and ``logprobs`` for the last stage: they are the
    answer's. ``logprobs`` asks for the log-probability of each token of it, and of so many of the
    likeliest at its place.
    """

    history: tuple[Turn, ...] = ()
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


@final
class Report(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a proposer says of itself with a response, for the origin's deadlines and its user.

    ``service_time_s`` is that of this task, ``mean_service_time_s`` the proposer's own recent
    mean, ``queue_length`` its tasks waiting per slot when the response left.
    """

    model: str
    service_time_s: Duration
    mean_service_time_s: Duration
    queue_length: Count


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
    """Origin to proposer: please propose a response to this content.

    ``deadline_s``: when the origin stops waiting for it, in seconds since the run began.
    """

    id: TaskId
    content: Content
    deadline_s: float | None = None
    options: Options | None = None


@final
class Response(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="response"):
    """Proposer to origin: the response to a task."""

    id: TaskId
    content: Content
    report: Report | None = None


@final
class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="refusal"):
    """Proposer to origin: the task will not be served, why, and how long the queue is."""

    id: TaskId
    reason: str
    queue_length: Count


@final
class Withdrawal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="withdrawal"):
    """Origin to proposer: nobody waits for this task any more."""

    id: TaskId


Message = Task | Response | Refusal | Withdrawal
