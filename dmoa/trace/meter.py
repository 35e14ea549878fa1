"""From entries to columns: what a run did, as arrays that the measures are computed from."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmoa.core.actions import (
    Action,
    Answer,
    CancelService,
    Expire,
    Fail,
    Persist,
    Refuse,
    Send,
    StartService,
)
from dmoa.core.events import (
    Event,
    MessageReceived,
    PromptArrived,
    ServiceEnded,
    ServiceFailed,
    TimerFired,
)
from dmoa.core.messages import Refusal, TaskId, Withdrawal
from dmoa.errors import InvariantError
from dmoa.trace.codec import Entry

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]

UNFINISHED, ANSWERED, FAILED, REFUSED, EXPIRED = range(5)
"""How a prompt ended: the codes of ``Prompts.outcome``."""

SERVED, CANCELLED = ANSWERED, REFUSED
"""How a task's service ended, beside ``UNFINISHED`` and ``FAILED``: ``Tasks.outcome``."""

_FREQUENT = frozenset({MessageReceived, ServiceEnded, Send, StartService, Persist})

_OUTCOMES: dict[type, int] = {Answer: ANSWERED, Fail: FAILED, Refuse: REFUSED, Expire: EXPIRED}


@dataclass(frozen=True, eq=False)
class Steps:
    """The nodes' states: row i holds from ``time_s[i]`` on, until the node's next row."""

    time_s: Floats
    node: Ints
    waiting: Ints
    serving: Ints
    joining: Ints
    unfinished: Ints


@dataclass(frozen=True, eq=False)
class Prompts:
    """One row per prompt, in order of arrival. ``ended_s`` is nan while it is unfinished.

    A prompt that is taken up again after a crash is the one that had arrived before.
    """

    origin: Ints
    number: Ints
    arrived_s: Floats
    ended_s: Floats
    outcome: Ints


@dataclass(frozen=True, eq=False)
class Tasks:
    """One row per task that was started, in order of start. ``ended_s`` is nan while served."""

    server: Ints
    origin: Ints
    prompt: Ints
    stage: Ints
    slot: Ints
    queued_s: Floats
    started_s: Floats
    ended_s: Floats
    outcome: Ints


@dataclass(frozen=True, eq=False)
class Links:
    """One row per message that was received, in order of receipt."""

    sender: Ints
    receiver: Ints
    sent_s: Floats
    received_s: Floats


@dataclass(frozen=True, eq=False)
class Track:
    """All that the measures need of one run: from 0 to ``end_s`` seconds, over the ``names``.

    ``withdrew`` (n,) marks the nodes whose queue waiting tasks may have left without being
    started: a deadline of their own passed, a prompt of theirs failed, a peer withdrew its task or
    came too late with it, or they were started anew.
    """

    names: tuple[str, ...]
    end_s: float
    steps: Steps
    prompts: Prompts
    tasks: Tasks
    links: Links | None
    withdrew: NDArray[np.bool_]

    @cached_property
    def order(self) -> Ints:
        """The steps by node, each node's in order of time (s,); kept, since every measure asks."""
        nodes = self.steps.node
        # A stable sort of 16-bit numbers is a radix sort, ten times as fast as a comparison sort.
        small = len(self.names) <= np.iinfo(np.uint16).max
        return np.argsort(nodes.astype(np.uint16) if small else nodes, kind="stable")

    @cached_property
    def until_s(self) -> Floats:
        """Until when each step's state held (s,), in seconds."""
        ordered = self.steps.time_s[self.order]
        following = np.append(ordered[1:], self.end_s)
        following[np.diff(self.steps.node[self.order], append=-1) != 0] = self.end_s
        until = np.empty_like(ordered)
        until[self.order] = following
        return until


class Meter:
    """Turn the entries of one run into a `Track`, a chunk at a time.

    Keeps about thirty bytes per entry and drops the entries themselves. With ``links`` each
    message's delay is recorded as well, which needs more of both.

    >>> meter = Meter(["a", "b"])
    >>> meter.extend([])
    >>> meter.track(10.0).steps.time_s.shape
    (0,)
    """

    def __init__(self, names: Sequence[str], *, links: bool = False) -> None:
        self._names = tuple(names)
        self._index = {name: node for node, name in enumerate(self._names)}
        # One array per column, in the order of the fields of Steps, Prompts, Tasks and Links.
        self._steps = _columns("diiiii")
        self._prompts = _columns("iqddi")
        self._tasks = _columns("iiqiidd")
        self._ended, self._outcome = _columns("di")
        self._links = _columns("iidd") if links else None
        self._asked: list[dict[int, int]] = [{} for _ in self._names]
        self._serving: dict[TaskId, int] = {}
        self._sent: dict[tuple[type, TaskId, int], tuple[int, float]] = {}
        self._withdrew = np.zeros(len(self._names), np.bool_)

    def extend(self, entries: list[Entry]) -> None:
        """Take the next entries of the run, in order."""
        if not entries:
            return
        times, nodes, events, actions, *counts = zip(*entries, strict=True)
        for column, values in zip(self._steps, (times, nodes, *counts), strict=True):
            column.extend(values)
        # A comprehension per kind costs half of a loop that looks at every entry: most entries
        # are messages, of which nothing is kept here.
        self._add_tasks(
            [
                (node, time_s, action)
                for time_s, node, asked in zip(times, nodes, actions, strict=True)
                for action in asked
                if type(action) is StartService
            ]
        )
        for time_s, node, event, asked in zip(times, nodes, events, actions, strict=True):
            if type(event) not in _FREQUENT:
                self._hear(node, event, time_s)
            if asked:
                for action in asked:
                    if type(action) not in _FREQUENT:
                        self._end(node, action, time_s)
                    elif type(action) is Send and type(action.message) is Refusal:
                        # Of another task than the event is about: one that had waited too long.
                        self._withdrew[node] |= action.message.id != _subject(event)
            elif type(event) is MessageReceived and type(event.message) is Withdrawal:
                self._withdrew[node] = True  # of a task that was not in service
        # Last: a service that ended after it was cancelled stays cancelled.
        self._end_tasks(
            [
                (event.task, time_s, SERVED)
                for time_s, event in zip(times, events, strict=True)
                if type(event) is ServiceEnded
            ]
        )
        if self._links is not None:
            self._match_messages(self._links, entries)

    def track(self, end_s: float) -> Track:
        """Give the columns of the run so far, which lasted until ``end_s``."""
        times = self._steps[0]
        if times and times[-1] > end_s:
            raise InvariantError(f"a run until {end_s} s has an entry at {times[-1]} s")
        tasks = [*self._tasks, self._ended, self._outcome]
        return Track(
            self._names,
            float(end_s),
            Steps(*map(np.array, self._steps)),
            Prompts(*map(np.array, self._prompts)),
            Tasks(*map(np.array, tasks)),
            None if self._links is None else Links(*map(np.array, self._links)),
            self._withdrew.copy(),
        )

    def _add_tasks(self, started: list[tuple[int, float, StartService]]) -> None:
        ids = [action.task for _, _, action in started]
        first = len(self._ended)
        self._serving.update(zip(ids, range(first, first + len(ids)), strict=True))
        self._ended.extend([nan] * len(ids))
        self._outcome.extend([UNFINISHED] * len(ids))
        index = self._index
        columns: tuple[list[Any], ...] = (
            [node for node, _, _ in started],
            [index[task.origin] for task in ids],
            [task.prompt for task in ids],
            [task.stage for task in ids],
            [task.slot for task in ids],
            [action.queued_s for _, _, action in started],
            [time_s for _, time_s, _ in started],
        )
        for column, values in zip(self._tasks, columns, strict=True):
            column.extend(values)

    def _end_tasks(self, ended: list[tuple[TaskId, float, int]]) -> None:
        for task, time_s, outcome in ended:
            row = self._serving.pop(task, None)
            if row is not None:  # None after a cancel that came too late
                self._ended[row] = time_s
                self._outcome[row] = outcome

    def _hear(self, node: int, event: Event, time_s: float) -> None:
        if isinstance(event, PromptArrived):
            if event.attempt == 0 or event.prompt not in self._asked[node]:
                self._add_prompt(node, event.prompt, time_s)
            if event.attempt > 0:
                self._withdrew[node] = True
        elif isinstance(event, ServiceFailed):
            self._end_tasks([(event.task, time_s, FAILED)])
        elif isinstance(event, TimerFired):
            self._withdrew[node] = True

    def _add_prompt(self, node: int, prompt: int, time_s: float) -> None:
        columns = self._prompts
        self._asked[node][prompt] = len(columns[0])
        for column, value in zip(columns, (node, prompt, time_s, nan, UNFINISHED), strict=True):
            column.append(value)

    def _end(self, node: int, action: Action, time_s: float) -> None:
        """Note the end of a prompt, or of a service that nobody waits for any more."""
        if isinstance(action, CancelService):
            self._end_tasks([(action.task, time_s, CANCELLED)])
        elif isinstance(action, Answer | Fail | Refuse | Expire):
            outcome = _OUTCOMES[type(action)]
            row = self._asked[node].pop(action.prompt, None)
            if row is None:
                raise InvariantError(
                    f"node {self._names[node]} ended prompt {action.prompt} at {time_s} s, which"
                    " had not arrived there"
                )
            self._prompts[3][row] = time_s
            self._prompts[4][row] = outcome
            if outcome == FAILED:
                self._withdrew[node] = True

    def _match_messages(self, columns: list[array[Any]], entries: list[Entry]) -> None:
        """Find for each message received when it was sent. Copies and the lost have no row."""
        sent = self._sent
        senders, receivers, sent_s, received_s = columns
        for time_s, node, event, actions, *_ in entries:
            if type(event) is MessageReceived:
                message = event.message
                origin = sent.pop((type(message), message.id, node), None)
                if origin is not None:
                    senders.append(origin[0])
                    receivers.append(node)
                    sent_s.append(origin[1])
                    received_s.append(time_s)
            for action in actions:
                if type(action) is Send:
                    message = action.message
                    key = (type(message), message.id, self._index[action.to])
                    sent[key] = (node, time_s)


def _subject(event: Event) -> TaskId | None:
    """Give the task that an event is about."""
    if isinstance(event, MessageReceived):
        return event.message.id
    return event.task if isinstance(event, ServiceEnded | ServiceFailed) else None


def _columns(types: str) -> list[array[Any]]:
    return [array(kind) for kind in types]
