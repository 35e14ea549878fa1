"""The station: the first-come-first-served queue in front of a node's language model."""

from __future__ import annotations

from collections import deque

from dmoa.core.actions import Action, CancelService, StartService
from dmoa.core.messages import Content, TaskId


class Station:
    """One FCFS queue, ``slots`` tasks in service, at most ``queue_max`` waiting.

    The bound is real because it is charged at admission. A peer's task takes one place from
    arrival to end of service; a prompt of the node's own keeps the places that its plan may need
    until it ends. Places are ``queue_max + slots``, so no queue is ever longer than ``queue_max``
    and an accepted prompt is never stopped by its own node's full queue.
    """

    __slots__ = ("foreign", "name", "places", "queue", "reserved", "serving", "slots")

    def __init__(self, name: str, slots: int, queue_max: int | None) -> None:
        self.name = name
        self.slots = slots
        self.places = None if queue_max is None else queue_max + slots
        self.queue: deque[tuple[TaskId, Content, float]] = deque()
        self.serving: set[TaskId] = set()
        self.foreign = 0
        self.reserved = 0

    def has_room(self, places: int) -> bool:
        """Tell whether ``places`` more can be promised."""
        return self.places is None or self.foreign + self.reserved + places <= self.places

    def enqueue(self, task: TaskId, content: Content, now: float) -> None:
        """Put a task at the end of the queue. Room was checked at admission."""
        self.queue.append((task, content, now))
        if task.origin != self.name:
            self.foreign += 1

    def start(self, actions: list[Action]) -> None:
        """Start waiting tasks in the order they came while a slot is free."""
        queue, serving = self.queue, self.serving
        while queue and len(serving) < self.slots:
            task, content, queued_s = queue.popleft()
            serving.add(task)
            actions.append(StartService(task, content, queued_s))

    def end(self, task: TaskId) -> bool:
        """Free the slot of a task; tell whether it was in service here."""
        if task not in self.serving:
            return False
        self.serving.remove(task)
        if task.origin != self.name:
            self.foreign -= 1
        return True

    def withdraw(self, task: TaskId, actions: list[Action]) -> None:
        """Take out one of the node's own tasks that nobody waits for any more."""
        if task in self.serving:
            self.serving.remove(task)
            actions.append(CancelService(task))
        else:
            kept = [entry for entry in self.queue if entry[0] != task]
            self.queue.clear()
            self.queue.extend(kept)
