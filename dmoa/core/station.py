"""The station: the first-come-first-served queue in front of a node's language model."""

from __future__ import annotations

from collections import deque

from dmoa.core.actions import Action, CancelService, Prefill, Send, StartService
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

    With ``cache_tokens``, what the tasks in service read and may write is at most so much: the
    first task that does not fit waits, and all behind it; one alone always fits. A task writes
    what its options allow, else ``response_tokens``. The places are the same, so a task that waits
    for memory while a slot is free has that slot's place.
    """

    __slots__ = (
        "_response_tokens", "cache_tokens", "charged_tokens", "charges", "closed", "foreign",
        "name", "places", "prefilling", "queue", "reserved", "serving", "slots",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        slots: int,
        queue_max: int | None,
        *,
        cache_tokens: int | None = None,
        response_tokens: int = 0,
    ) -> None:
        self.name = name
        self.slots = slots
        self.places = None if queue_max is None else queue_max + slots
        self.cache_tokens, self._response_tokens = cache_tokens, response_tokens
        self.queue: deque[Waiting] = deque()
        #: When each task in service was started.
        self.serving: dict[TaskId, float] = {}
        #: Tasks of the node's own that are not started yet, but whose beginning may be read.
        self.prefilling: dict[TaskId, None] = {}
        #: Tokens that each task in service keeps, and all together; only with ``cache_tokens``.
        self.charges: dict[TaskId, int] = {}
        self.charged_tokens = 0
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

    def prefill(
        self, task: TaskId, content: Content, options: Options | None, actions: list[Action]
    ) -> None:
        """Say how a task of the node's own will begin, as far as that is known."""
        if content.tokens or content.text:
            self.prefilling[task] = None
            actions.append(Prefill(task, content, options))

    def start(self, now: float, actions: list[Action]) -> None:
        """Start waiting tasks in the order they came while a slot and memory are free.

        A peer's task that is past its deadline is refused instead: nobody waits for it.
        """
        queue, serving = self.queue, self.serving
        while queue and len(serving) < self.slots:
            first = queue.popleft()
            task, content, queued_s, options, deadline_s = first
            if deadline_s is not None and deadline_s < now and task.origin != self.name:
                self.foreign -= 1
                actions.append(Send(task.origin, Refusal(task, "deadline passed", self.ahead())))
                continue
            if self.cache_tokens is not None:
                if not self.fits(first):
                    queue.appendleft(first)
                    return
                self.charges[task] = tokens = self._charge(content, options)
                self.charged_tokens += tokens
            if self.prefilling:
                self.prefilling.pop(task, None)
            serving[task] = now
            actions.append(StartService(task, content, queued_s, options))

    def fits(self, waiting: Waiting) -> bool:
        """Tell whether a waiting task has room beside those in service."""
        if self.cache_tokens is None or not self.serving:
            return True
        _, content, _, options, _ = waiting
        return self.charged_tokens + self._charge(content, options) <= self.cache_tokens

    def _charge(self, content: Content, options: Options | None) -> int:
        """Give the tokens that a task may come to, read and written."""
        if options is None or options.max_tokens is None:
            return content.tokens + self._response_tokens
        return content.tokens + options.max_tokens

    def end(self, task: TaskId) -> float | None:
        """Free the slot of a task; tell when it was started, or None if it was not served here."""
        started_s = self.serving.pop(task, None)
        if started_s is not None:
            if self.charges:
                self.charged_tokens -= self.charges.pop(task)
            if task.origin != self.name:
                self.foreign -= 1
        return started_s

    def withdraw(self, task: TaskId, actions: list[Action]) -> bool:
        """Take out a task that nobody waits for any more; tell whether it was here."""
        if self.end(task) is not None:
            actions.append(CancelService(task))
            return True
        here = task in self.prefilling
        if here:
            del self.prefilling[task]
            actions.append(CancelService(task))
        kept = [entry for entry in self.queue if entry[0] != task]
        if len(kept) < len(self.queue):
            here = True
            self.queue.clear()
            self.queue.extend(kept)
            if task.origin != self.name:
                self.foreign -= 1
        return here
