"""The SimPy driver: virtual time for the nodes of the core.

It carries out what the nodes ask for: a message becomes an event at the receiver after the link's
delay, a service becomes an event after a drawn time. It decides nothing.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import simpy

from dmoa.core import (
    Content,
    Event,
    MessageReceived,
    Node,
    PromptArrived,
    Send,
    ServiceEnded,
    SetTimer,
    StartService,
    TaskId,
    TimerFired,
)
from dmoa.core.actions import CancelService
from dmoa.errors import UnstableError
from dmoa.sim.world import World
from dmoa.trace.codec import Entry

Observer = Callable[[list[Entry]], None]

CHUNK = 512
"""Entries reach the observers in lists of about this length: short ones stay in the cache."""

# Events at one time happen in this order of kinds, then of nodes, then as they were scheduled:
# a tie never depends on how the kernel numbers its events across nodes.
_ENDS, _DELIVERS, _TIMES, _ARRIVES = (kind << 32 for kind in range(4))


class Occurrence(simpy.Event):
    """Something that will happen at a node; the callback gets it with its node and payload."""

    _ok = True  # it cannot fail, so the kernel need not look at each

    def __init__(self, callbacks: list[Callable[[Any], None]], node: int, payload: Any) -> None:
        # Deliberately not Event.__init__: this is the hot path, and nobody triggers these.
        self.callbacks = callbacks
        self.node = node
        self.payload = payload


class Simulation:
    """One replication in virtual time.

    Args:
        nodes: the nodes, as built by `dmoa.scenario.build_nodes`.
        world: what surrounds them.
        observers: called with lists of trace entries, in order.
        check: called with a node after each of its steps (`dmoa.core.invariants.check` in tests).
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        world: World,
        observers: Sequence[Observer],
        check: Callable[[Node], None] | None = None,
    ) -> None:
        self._env = simpy.Environment()
        self._nodes = nodes
        self._names = [node.name for node in nodes]
        self._index = {name: index for index, name in enumerate(self._names)}
        self._world = world
        self._observers = observers
        self._check = check
        self._log: list[Entry] = []
        self._cancelled: set[TaskId] = set()
        self._numbers = [0] * len(nodes)
        self._expected = len(nodes)
        self._last_s = self._horizon_s = 0.0
        self._step = self._stepper()

    @property
    def ended_s(self) -> float:
        """When the run ended: at the horizon or, where nothing was left, at the last event.

        Nothing is left when prompts stopped arriving and all have ended, or a limit was hit.
        """
        idle = self._expected == 0 and not any(any(node.counts()) for node in self._nodes)
        return self._last_s if idle or self._env.now < self._horizon_s else self._horizon_s

    def run(self, horizon_s: float) -> None:
        """Run until ``horizon_s``, or until nothing more happens.

        Raises:
            UnstableError: a queue reached the limit. What happened until then was observed.
        """
        self._horizon_s = horizon_s
        for node in range(len(self._nodes)):
            self._expect_prompt(node)
        # A run allocates much and makes no reference cycles: collecting them costs a fifth of
        # its time and finds nothing.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._env.run(until=horizon_s)
        finally:
            if collecting:
                gc.enable()
            self._flush()

    def _expect_prompt(self, node: int) -> None:
        arrival = next(self._world.arrivals[node], None)
        if arrival is None:
            self._expected -= 1
        else:
            at_s, tokens = arrival
            delay_s = at_s - self._env.now
            schedule: Callable[..., None] = self._env.schedule
            schedule(Occurrence([self._on_arrival], node, tokens), _ARRIVES + node, delay_s)

    def _on_arrival(self, occurrence: Occurrence) -> None:
        node = occurrence.node
        number = self._numbers[node]
        self._numbers[node] += 1
        self._step(node, PromptArrived(number, Content(occurrence.payload)))
        self._expect_prompt(node)

    def _on_event(self, occurrence: Occurrence) -> None:
        self._step(occurrence.node, occurrence.payload)

    def _on_end(self, occurrence: Occurrence) -> None:
        ended = occurrence.payload
        if self._cancelled and ended.task in self._cancelled:
            self._cancelled.remove(ended.task)
        else:
            self._step(occurrence.node, ended)

    # One flat loop: a call per action would cost more than the action.
    def _stepper(self) -> Callable[[int, Event], None]:  # noqa: C901
        """Make the function that lets a node hear an event; a closure, for speed."""
        env, names, index, world = self._env, self._names, self._index, self._world
        nodes, check = self._nodes, self._check
        steps = [node.step for node in nodes]
        counts = [node.counts for node in nodes]
        transmit, serve, limit = world.transmit, world.serve, world.queue_length_max
        inbox: deque[tuple[int, Event]] = deque()
        schedule: Callable[..., None] = env.schedule  # any order may be a priority
        ends: list[Callable[[Any], None]] = [self._on_end]
        hears: list[Callable[[Any], None]] = [self._on_event]

        def step(node: int, event: Event) -> None:  # noqa: C901
            """Hear an event, and all that follows from it at other nodes without delay."""
            now = env.now
            while True:
                actions = steps[node](event, now)
                waiting, serving, joining, unfinished = counts[node]()
                self._log.append((now, node, event, actions, waiting, serving, joining, unfinished))
                for action in actions:
                    if type(action) is StartService:
                        task = action.task
                        service_s, response = serve(node, task, action.content)
                        ended = ServiceEnded(task, response)
                        schedule(Occurrence(ends, node, ended), _ENDS + node, service_s)
                    elif type(action) is Send:
                        heard = MessageReceived(names[node], action.message)
                        to = index[action.to]
                        if transmit is None:
                            inbox.append((to, heard))
                        elif (delay_s := transmit(action.message)) is not None:
                            schedule(Occurrence(hears, to, heard), _DELIVERS + to, delay_s)
                    elif type(action) is SetTimer:
                        fired = TimerFired(action.timer)
                        schedule(Occurrence(hears, node, fired), _TIMES + node, action.at_s - now)
                    elif type(action) is CancelService:
                        self._cancelled.add(action.task)
                if check is not None:
                    check(nodes[node])
                if waiting >= limit:
                    raise UnstableError(
                        "the limit run.queue_length_max was reached",
                        node=names[node],
                        queue_length=waiting,
                    )
                if not inbox:
                    break
                node, event = inbox.popleft()
            self._last_s = now
            if len(self._log) >= CHUNK:
                self._flush()

        return step

    def _flush(self) -> None:
        if self._log:
            for observe in self._observers:
                observe(self._log)
            self._log = []
