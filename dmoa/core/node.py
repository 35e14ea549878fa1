"""A node: `step` hears one event and says what to do. No clock, no I/O, no global randomness."""

from __future__ import annotations

from collections import Counter, deque
from typing import assert_never

from dmoa.core.actions import Action, Send
from dmoa.core.augment import Template
from dmoa.core.events import (
    DrainStarted,
    Event,
    MessageReceived,
    PeerFound,
    PeerLost,
    PromptArrived,
    ServiceEnded,
    ServiceFailed,
    TimerFired,
)
from dmoa.core.expectation import Expectations
from dmoa.core.messages import Refusal, Report, Response, Task, Withdrawal
from dmoa.core.moa import REMEMBERED, Coordinator
from dmoa.core.plan import Plan
from dmoa.core.recent import Recent
from dmoa.core.selection import Selection
from dmoa.core.station import Station
from dmoa.errors import InvariantError

STORY = 32
"""How many of its last events a node can tell when an invariant breaks."""


class Node:
    """One node of the overlay, in either world.

    Args:
        name: what its peers call it.
        plan: how its own prompts are answered.
        selection: which peers it asks.
        key: the key of its random stream (`dmoa.core.streams.derive`).
        slots: tasks its language model serves at once, at least 1.
        queue_max: tasks that may wait, None for no bound.
        template: the aggregation instruction.
        service_time_s: what a task is expected to take before any was served, s.
        overlap: whether the language model is told how the node's own tasks of later stages begin,
            while the responses that they will read are still being written.
        cache_tokens: tokens that all tasks in service may come to, read and written, at least 1;
            None for no bound. One task alone is always served.
        response_tokens: what a task may write whose options do not say, tokens.
        reporting: whether responses carry reports and service times are measured: plans with
            patience, and users who want to know who proposed what, need them.

    Raises:
        ScenarioError: if the node's peers cannot carry out the plan: a stage asks only peers and
            there are none, or the selection's weights are for another number of peers.

    >>> from dmoa.core import Content, PromptArrived, Uniform, layered
    >>> node = Node("a", plan=layered(1, 1), selection=Uniform(("b",)), key=1)
    >>> for action in node.step(PromptArrived(0, Content(12)), now=0.0):
    ...     print(type(action).__name__)
    Persist
    Send
    StartService
    """

    __slots__ = (
        "_coordinator", "_expectations", "_flights", "_queue", "_recent", "_reporting", "_serving",
        "_station", "_story", "ignored", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        plan: Plan,
        selection: Selection,
        key: int,
        slots: int = 1,
        queue_max: int | None = None,
        template: Template = Template(),  # noqa: B008 - frozen, so sharing it is safe
        service_time_s: float = 1.0,
        overlap: bool = False,
        cache_tokens: int | None = None,
        response_tokens: int = 0,
        reporting: bool = False,
    ) -> None:
        self.name = name
        self.ignored: Counter[str] = Counter()
        self._reporting = reporting
        self._expectations = Expectations(service_time_s)
        self._station = Station(
            name, slots, queue_max, cache_tokens=cache_tokens, response_tokens=response_tokens
        )
        self._coordinator = Coordinator(
            name,
            plan=plan,
            selection=selection,
            key=key,
            station=self._station,
            expectations=self._expectations,
            template=template,
            overlap=overlap,
            ignored=self.ignored,
        )
        # At hand for `counts`, which every step of a simulation calls.
        self._queue, self._serving = self._station.queue, self._station.serving
        self._flights = self._coordinator.flights
        self._recent = Recent(REMEMBERED)
        self._story: deque[tuple[float, Event]] = deque(maxlen=STORY)

    @property
    def mean_service_time_s(self) -> float:
        """Recent mean service time of this node's tasks, or what was expected before the first."""
        return self._expectations.mean_service_time_s

    def counts(self) -> tuple[int, int, int, int]:
        """Tell the node's state as a trace entry records it.

        Returns:
            waiting: tasks in the queue, those in service excluded.
            serving: tasks in service.
            joining: responses in the join buffer.
            unfinished: this node's own prompts that have not ended.
        """
        return (
            len(self._queue),
            len(self._serving),
            self._coordinator.joining,
            len(self._flights),
        )

    def step(self, event: Event, now: float) -> list[Action]:
        """Hear one event at time ``now`` (seconds since the run began); say what to do.

        Only `InvariantError` leaves this method; it tells the node's last events.
        """
        self._story.append((now, event))
        actions: list[Action] = []
        try:
            # The most frequent first, and by exact type: no line of a simulation runs more often.
            if type(event) is MessageReceived:
                message = event.message
                if type(message) is Response:
                    if message.report is not None:
                        self._expectations.hear(event.sender, message.report)
                    self._coordinator.respond(
                        message.id, event.sender, message.content, now, actions
                    )
                elif type(message) is Task:
                    self._hear_task(event.sender, message, now, actions)
                else:
                    self._hear_refusal_or_withdrawal(event.sender, message, now, actions)
            elif type(event) is ServiceEnded:
                self._hear_ended(event, now, actions)
            elif type(event) is PromptArrived:
                self._coordinator.arrive(event, now, actions)
            else:
                self._hear_rare(event, now, actions)
            if self._queue and len(self._serving) < self._station.slots:
                self._station.start(now, actions)
        except Exception as error:
            raise InvariantError(
                f"node {self.name}: {type(error).__name__}: {error}", self.story()
            ) from error
        return actions

    def story(self) -> tuple[str, ...]:
        """Tell the last events this node heard, oldest first, one line each."""
        return tuple(f"{now:.6f} s  {event}" for now, event in self._story)

    def _hear_rare(
        self,
        event: ServiceFailed | TimerFired | PeerLost | PeerFound | DrainStarted,
        now: float,
        actions: list[Action],
    ) -> None:
        if isinstance(event, TimerFired):
            self._coordinator.expire(event.timer, now, actions)
        elif isinstance(event, ServiceFailed):
            self._hear_failed(event, now, actions)
        elif isinstance(event, PeerLost):
            self._coordinator.lose(event.peer, now, actions)
        elif isinstance(event, PeerFound):
            self._coordinator.find(event.peer)
        elif isinstance(event, DrainStarted):
            self._station.closed = True
        else:
            assert_never(event)

    def _hear_task(self, sender: str, message: Task, now: float, actions: list[Action]) -> None:
        task = message.id
        if task.origin != sender:
            self.ignored["stranger"] += 1
        elif not self._recent.add(task):
            self.ignored["duplicate"] += 1
        elif (reason := self._station.objection(1)) is None:
            self._station.enqueue(task, message.content, now, message.options, message.deadline_s)
        else:
            actions.append(Send(sender, Refusal(task, reason, self._station.ahead())))

    def _hear_refusal_or_withdrawal(
        self, sender: str, message: Refusal | Withdrawal, now: float, actions: list[Action]
    ) -> None:
        task = message.id
        if isinstance(message, Refusal):
            self._expectations.hear_queue(sender, message.queue_length)
            self._coordinator.miss(task, sender, message.reason, now, actions)
        elif task.origin != sender:
            self.ignored["stranger"] += 1
        # One that overtook its task keeps it from being served when it comes.
        elif not self._recent.add(task) and not self._station.withdraw(task, actions):
            self.ignored["late"] += 1

    def _hear_ended(self, event: ServiceEnded, now: float, actions: list[Action]) -> None:
        task = event.task
        started_s = self._station.end(task)
        if started_s is None:
            self.ignored["late"] += 1
            return
        report = None
        if self._reporting:
            self._expectations.serve(now - started_s)
            mean_s = self._expectations.mean_service_time_s
            report = Report(event.model, now - started_s, mean_s, self._station.ahead())
        if task.origin == self.name:
            self._coordinator.respond(task, self.name, event.content, now, actions)
        else:
            actions.append(Send(task.origin, Response(task, event.content, report)))

    def _hear_failed(self, event: ServiceFailed, now: float, actions: list[Action]) -> None:
        task = event.task
        if self._station.end(task) is None:
            self.ignored["late"] += 1
        elif task.origin == self.name:
            self._coordinator.miss(task, self.name, event.reason, now, actions)
        else:
            actions.append(Send(task.origin, Refusal(task, event.reason, self._station.ahead())))
