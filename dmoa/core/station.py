"""The station: the first-come-first-served queue in front of a node's language model."""

from __future__ import annotations

from collections import deque

from dmoa.core.actions import Action, CancelService, Send, StartService
from dmoa.core.messages import Content, Options, Refusal, TaskId

Waiting = tuple[TaskId, Content, float, Options | None, float | None]
"""A task in the queue, what it reads, since when, and until when anybody waits for it."""


class Station:
    """One FCFS queue, ``slots`` tasks in service, at most ``queue_max`` waiting.

    The bound is real because it is charged at admission. A peer's task takes one place from
    arrival to end of service; a prompt of the node's own keeps as many places as its plan has
    tasks until it ends: as many as it will take here and at peers. Places are
    ``queue_max + slots``, so no queue is ever longer than ``queue_max`` and an accepted prompt is
    never stopped by its own node's full queue.
    """

    __slots__ = ("closed", "foreign", "name", "places", "queue", "reserved", "serving", "slots")

    def __init__(self, name: str, slots: int, queue_max: int | None) -> None:
        self.name = name
        self.slots = slots
        self.places = None if queue_max is None else queue_max + slots
        self.queue: deque[Waiting] = deque()
        #: When each task in service was started.
        self.serving: dict[TaskId, float] = {}
        self.foreign = 0
        self.reserved = 0
        #: Whether the node is about to leave, and promises nothing more.
        self.closed = False

    def objection(self, places: int) -> str | None:
        """Say why ``places`` more are not promised; None if they are free."""
        if self.closed:
            return "leaving"
        if self.places is None or self.foreign + self.reserved + places <= self.places:
            return None
        if places > self.places:
            return f"the plan takes {places} places, and this node has only {self.places}"
        return "queue full"

    def ahead(self) -> int:
        """Count the tasks waiting per slot, rounded up, as peers and users hear of it."""
        return -(-len(self.queue) // self.slots)

    def enqueue(
        self,
        task: TaskId,
        content: Content,
        now: float,
        options: Options | None = None,
        deadline_s: float | None = None,
    ) -> None:
        """Put a task at the end of the queue. Room was checked at admission."""
        self.queue.append((task, content, now, options, deadline_s))
        if task.origin != self.name:
            self.foreign += 1

    def start(self, now: float, actions: list[Action]) -> None:
        """Start waiting tasks in the order they came while a slot is free.

        A peer's task that is past its deadline is refused instead: nobody waits for it.
        """
        queue, serving = self.queue, self.serving
        while queue and len(serving) < self.slots:
            task, content, queued_s, options, deadline_s = queue.popleft()
            if deadline_s is not None and deadline_s < now and task.origin != self.name:
                self.foreign -= 1
                actions.append(Send(task.origin, Refusal(task, "deadline passed", self.ahead())))
                continue
            serving[task] = now
            actions.append(StartService(task, content, queued_s, options))

    def end(self, task: TaskId) -> float | None:
        """Free the slot of a task; tell when it was started, or None if it was not served here."""
        started_s = self.serving.pop(task, None)
        if started_s is not None and task.origin != self.name:
            self.foreign -= 1
        return started_s

    def withdraw(self, task: TaskId, actions: list[Action]) -> bool:
        """Take out a task that nobody waits for any more; tell whether it was here."""
        if task in self.serving:
            del self.serving[task]
            actions.append(CancelService(task))
        else:
            kept = [entry for entry in self.queue if entry[0] != task]
            if len(kept) == len(self.queue):
                return False
            self.queue.clear()
            self.queue.extend(kept)
        if task.origin != self.name:
            self.foreign -= 1
        return True
