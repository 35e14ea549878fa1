"""The processor of one node: its tasks in service read and write at speeds that depend on them all.

A task reads its prompt, then writes its response. One task reads at a time, in the order in which
they were started. In each turn of the engine's loop every task that writes gets one token; if one
reads, the turn also reads a chunk of its prompt. Between two changes of what is in service all
speeds are constant, so the next end is known exactly, and nothing has to be looked at before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from dmoa.core import Content, TaskId

KEPT_MAX = 8
"""Prompts whose beginnings a node remembers beside those of its slots, as the engine ``llama``."""


@dataclass(frozen=True)
class Pace:
    """How fast a node's language model is.

    Attributes:
        output_token_s: time in which one task alone writes a token, s; 0 for service that is not
            by tokens.
        chunk_s: time that reading takes in a turn in which others write, s.
        speedup: total speed of writing with 1, 2, ... tasks, relative to one alone; None: as many
            times as tasks.
    """

    output_token_s: float = 0.0
    chunk_s: float = 0.0
    speedup: tuple[float, ...] | None = None

    def speeds(self, writing: int, *, reading: bool) -> tuple[float, float]:
        """Give the speed of each task that writes, and of the one that reads; alone it is 1.

        >>> Pace(output_token_s=0.1, chunk_s=0.3, speedup=(1.0, 1.6)).speeds(2, reading=False)
        (0.8, 0.0)
        >>> Pace(output_token_s=0.1, chunk_s=0.3).speeds(2, reading=True)
        (0.25, 0.7499999999999999)
        """
        if writing == 0:
            return 0.0, 1.0 if reading else 0.0
        total = writing if self.speedup is None else self.speedup[writing - 1]
        if not reading:
            return total / writing, 0.0
        turn_s = self.output_token_s * writing / total + self.chunk_s
        return self.output_token_s / turn_s, self.chunk_s / turn_s


class Memory:
    """How much of the beginning of each recent prompt a node has read, in seconds of reading.

    Args:
        recurring_s: task -> what of its prompt recurs in the later tasks of the same prompt, s.
        slots: tasks that the node serves at once.
    """

    __slots__ = ("_known_s", "_prompts_max", "_recurring_s")

    def __init__(self, recurring_s: Callable[[TaskId], float], slots: int) -> None:
        self._recurring_s = recurring_s
        self._prompts_max = KEPT_MAX + slots
        self._known_s: dict[tuple[str, int], float] = {}

    def known_s(self, task: TaskId) -> float:
        """Give the reading that a task is spared, s."""
        return self._known_s.get((task.origin, task.prompt), 0.0)

    def note(self, task: TaskId) -> None:
        """Remember that a task's prompt was read."""
        key = task.origin, task.prompt
        self._known_s[key] = max(self._recurring_s(task), self._known_s.pop(key, 0.0))
        if len(self._known_s) > self._prompts_max:
            del self._known_s[next(iter(self._known_s))]


class _Prompt:
    """A prompt that is read: what is left and what is told of it, and how long its task writes."""

    __slots__ = ("left_s", "told_s", "writing_s")

    def __init__(self, told_s: float, writing_s: float = 0.0) -> None:
        self.left_s = self.told_s = told_s
        self.writing_s = writing_s


class Processor:
    """The tasks in service at one node, and the prompts that it reads ahead.

    All times are those of its host's clock. After any of `start`, `prefill`, `cancel` and
    `finish`, `settle` has to follow at the same time.

    Args:
        pace: how fast it is.
        memory: what it has read of recent prompts; None: it reads everything again.
    """

    __slots__ = (
        "_ahead", "_memory", "_pace", "_reader", "_reading", "_serials", "_service", "_since",
        "_speeds", "_unread", "_writer_ends", "_writing", "_written",
    )  # fmt: skip

    def __init__(self, pace: Pace, memory: Memory | None = None) -> None:
        self._pace, self._memory = pace, memory
        #: The response of each task in service, and the prompts of those that still read.
        self._service: dict[TaskId, Content] = {}
        self._reading: dict[TaskId, _Prompt] = {}
        #: Those that write, each with the value of `_written` at which it ends.
        self._writing: list[tuple[float, int, TaskId]] = []
        self._serials = count()
        #: The prompts of tasks to come as far as they are told, and those not read so far.
        self._ahead: dict[TaskId, _Prompt] = {}
        self._unread: dict[TaskId, _Prompt] = {}
        #: What a task that writes has got until `_since`, if it always wrote.
        self._written = self._since = 0.0
        self._speeds = 0.0, 0.0
        self._reader: _Prompt | None = None
        self._writer_ends = False

    @property
    def busy(self) -> bool:
        """Whether it computes, for a task in service or ahead of one; as of the last `settle`."""
        return bool(self._service) or self._reader is not None

    def start(
        self, task: TaskId, reading_s: float, writing_s: float, response: Content, now: float
    ) -> None:
        """Serve a task that would read and write so long alone, and forget it nothing read ahead.

        What was read ahead of its prompt, or with an earlier task of the same prompt, is not read
        again.
        """
        self._advance(now)
        self._unread.pop(task, None)
        ahead = self._ahead.pop(task, None)
        known_s = 0.0 if ahead is None else ahead.told_s - ahead.left_s
        if self._memory is not None:
            known_s = max(known_s, self._memory.known_s(task))
        self._service[task] = response
        if reading_s > known_s:
            self._reading[task] = _Prompt(reading_s - known_s, writing_s)
        else:
            self._write(task, writing_s)

    def prefill(self, task: TaskId, told_s: float, now: float) -> None:
        """Read the beginning of a task's prompt, so much of it, while nothing is in service."""
        self._advance(now)
        prompt = self._ahead.get(task)
        if prompt is None:
            prompt = self._ahead[task] = _Prompt(told_s)
        else:
            prompt.left_s += told_s - prompt.told_s
            prompt.told_s = told_s
        if prompt.left_s > 0:
            self._unread[task] = prompt

    def cancel(self, task: TaskId, now: float) -> None:
        """Take a task out of service, or forget what was read ahead of it."""
        self._advance(now)
        self._unread.pop(task, None)
        self._ahead.pop(task, None)
        if self._service.pop(task, None) is not None and self._reading.pop(task, None) is None:
            self._writing = [entry for entry in self._writing if entry[2] != task]
            heapify(self._writing)

    def finish(self, now: float) -> tuple[TaskId, Content] | None:
        """End what `settle` said would end now: a task, which is given, or the reading of one."""
        self._advance(now)
        if self._writer_ends:
            task = heappop(self._writing)[2]
            return task, self._service.pop(task)
        if self._reading:
            task = next(iter(self._reading))
            self._write(task, self._reading.pop(task).writing_s)
        else:
            self._unread.pop(next(iter(self._unread))).left_s = 0.0
        return None

    def settle(self, now: float) -> float:
        """Fix the speeds from now on; tell when the next task or reading will end, or infinity."""
        writing = len(self._service) - len(self._reading)
        reader: _Prompt | None = None
        if self._reading:
            reader = next(iter(self._reading.values()))
        elif not self._service:
            reader = self._next_unread()
        self._reader = reader
        write, read = self._speeds = self._pace.speeds(writing, reading=reader is not None)
        ends = now + reader.left_s / read if reader is not None else inf
        self._writer_ends = False
        if writing:
            left_s = self._writing[0][0] - self._written
            # Where tokens take no time to write, what else there is to write waits for the reader.
            writer_ends = now if left_s <= 0 else now + left_s / write if write else inf
            if writer_ends <= ends:
                self._writer_ends, ends = True, writer_ends
        else:
            self._written = 0.0  # small numbers round less
        return ends

    def _next_unread(self) -> _Prompt | None:
        """Find what to read ahead: the first that was told and is not known from elsewhere."""
        while self._unread:
            task, prompt = next(iter(self._unread.items()))
            if self._memory is not None:
                prompt.left_s = min(prompt.left_s, prompt.told_s - self._memory.known_s(task))
            if prompt.left_s > 0:
                return prompt
            prompt.left_s = 0.0
            del self._unread[task]
        return None

    def _write(self, task: TaskId, writing_s: float) -> None:
        if self._memory is not None:
            self._memory.note(task)
        heappush(self._writing, (self._written + writing_s, next(self._serials), task))

    def _advance(self, now: float) -> None:
        """Do the work of the time since the last change."""
        passed = now - self._since
        if passed > 0:
            write, read = self._speeds
            self._written += write * passed
            if self._reader is not None:
                self._reader.left_s = max(0.0, self._reader.left_s - read * passed)
            self._since = now
