"""Replacing a proposer that refused, failed, was lost or is late by a peer not tried yet."""

from __future__ import annotations

from dmoa.core.actions import Send
from dmoa.core.flight import Flight, Gathering
from dmoa.core.messages import Task, TaskId, task_position
from dmoa.core.selection import Selection
from dmoa.core.streams import derive


def replacement(
    task: TaskId, flight: Flight, gathering: Gathering, present: Selection, key: int
) -> Send | None:
    """Give a task to another peer and say how it is told; None if nobody is left to try.

    Args:
        task: as it was given, of a stage of ``flight`` whose responses are gathered.
        flight: of its prompt.
        gathering: of its stage; it is changed.
        present: how the peers that can be reached are chosen.
        key: of the node's random stream; the choice depends on it, task and attempt alone.
    """
    attempt = task.attempt + 1
    old = gathering.assigned[task.slot]
    attempts = flight.outline.stages[task.stage].join.attempts
    if old == task.origin or attempt - flight.attempt >= attempts:
        return None
    tried = {*gathering.assigned, *gathering.replaced}
    position = task_position(task.prompt, task.stage, task.slot)
    to = present.replace(tried, derive(key, "replacement", attempt), position)
    if to is None:
        return None
    if gathering.attempts is None:
        gathering.attempts = [flight.attempt] * len(gathering.assigned)
    gathering.attempts[task.slot] = attempt
    gathering.replaced = (*gathering.replaced, old)
    gathering.assigned[task.slot] = to
    again = TaskId(task.origin, task.prompt, task.stage, task.slot, attempt)
    options = flight.options_of(task.stage)
    return Send(to, Task(again, gathering.content, flight.deadline_s, options))
