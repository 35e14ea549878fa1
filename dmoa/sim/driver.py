"""The SimPy driver: virtual time for the nodes of the core.

It carries out what the nodes ask for: a message becomes an event at the receiver after the link's
delay, a service becomes an event after a drawn time. It decides nothing.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, ClassVar

import msgspec
import simpy

from dmoa.core import (
    Content,
    Event,
    MessageReceived,
    Node,
    Persist,
    Prefill,
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
from dmoa.sim.hosts import Hosts, Turn
from dmoa.sim.world import World
from dmoa.trace.codec import Entry

Observer = Callable[[list[Entry]], None]

CHUNK = 512
"""Entries reach the observers in lists of about this length: short ones stay in the cache."""

# Events at one time happen in this order of kinds, then of nodes, then as they were scheduled:
# a tie never depends on how the kernel numbers its events across nodes.
_ENDS, _DELIVERS, _TIMES, _ARRIVES = (kind << 32 for kind in range(4))


class Occurrence(msgspec.Struct):
    """An event that a node will hear at a time: all of an event that SimPy's kernel looks at.

    Three times as fast to make as a `simpy.Event`, which can also be waited for, succeed and fail.
    """

    callbacks: Any
    node: int
    event: Event
    at_s: float

    _ok: ClassVar[bool] = True


class Simulation:
    """One replication in virtual time.

    Args:
        nodes: the nodes, as built by `dmoa.scenario.build_nodes`.
        world: what surrounds them.
        observers: called with trace entries, in order; the list is theirs only during the call.
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
        self._awaited = len(nodes)
        self._last_s = self._horizon_s = 0.0
        self._numbers = [count() for _ in nodes]
        self._timed: set[tuple[int, int]] = set()
        self._step = self._stepper()
        self._on_arrival = [self._step, self._expect_prompt]
        self._on_turn = [] if world.hosts is None else [partial(self._turn, world.hosts)]

    @property
    def ended_s(self) -> float:
        """When the run ended: at the horizon or, where nothing was left, at the last event.

        Nothing is left when prompts stopped arriving and all have ended, or a limit was hit.
        """
        idle = self._awaited == 0 and not any(any(node.counts()) for node in self._nodes)
        return self._last_s if idle or self._env.now < self._horizon_s else self._horizon_s

    def run(self, horizon_s: float) -> None:
        """Run until ``horizon_s``, or until nothing more happens.

        Raises:
            UnstableError: a queue reached the limit. What happened until then was observed.
        """
        self._horizon_s = horizon_s
        for node in range(len(self._nodes)):
            self._schedule_prompt(node)
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

    def _expect_prompt(self, arrived: Occurrence) -> None:
        self._schedule_prompt(arrived.node)

    def _schedule_prompt(self, node: int) -> None:
        arrival = next(self._world.arrivals[node], None)
        if arrival is None:
            self._awaited -= 1
            return
        at_s, tokens = arrival
        event = PromptArrived(next(self._numbers[node]), Content(tokens))
        self._schedule(_ARRIVES, self._on_arrival, node, event, at_s)

    def _schedule(
        self, kind: int, callbacks: list[Any], node: int, event: Event, at_s: float
    ) -> None:
        now = self._env.now
        schedule: Callable[..., None] = self._env.schedule  # any order may be a priority
        # The time as the kernel will compute it, to the last bit.
        schedule(Occurrence(callbacks, node, event, now + (at_s - now)), kind + node, at_s - now)

    # One flat loop: a call per action would cost more than the action.
    def _stepper(self) -> Callable[[Occurrence], None]:  # noqa: C901, PLR0915
        """Make the callback that lets a node hear an event; a closure, for speed."""
        nodes, names, index, world = self._nodes, self._names, self._index, self._world
        steps = [node.step for node in nodes]
        counts = [node.counts for node in nodes]
        transmit, serve, limit = world.transmit, world.serve, world.queue_length_max
        hosts = world.hosts
        log, check = self._log, self._check
        inbox: deque[tuple[int, Event]] = deque()
        cancelled: set[TaskId] = set()
        timed = self._timed
        schedule: Callable[..., None] = self._env.schedule  # any order may be a priority

        def step(occurrence: Occurrence) -> None:  # noqa: C901, PLR0912, PLR0915
            """Hear an event, and all that follows from it at other nodes without delay."""
            node, event, now = occurrence.node, occurrence.event, occurrence.at_s
            if cancelled and type(event) is ServiceEnded and event.task in cancelled:
                cancelled.remove(event.task)
                return
            while True:
                actions = steps[node](event, now)
                waiting, serving, joining, unfinished = counts[node]()
                log.append((now, node, event, actions, waiting, serving, joining, unfinished))
                for action in actions:
                    if type(action) is StartService:
                        task = action.task
                        if hosts is not None:
                            hosts.start(node, task, action.content, now)
                            continue
                        service_s, response = serve(node, task, action.content)
                        ended = ServiceEnded(task, response)
                        happens = Occurrence(on_event, node, ended, now + service_s)
                        schedule(happens, _ENDS + node, service_s)
                    elif type(action) is Send:
                        heard = MessageReceived(names[node], action.message)
                        to = index[action.to]
                        if transmit is None:
                            inbox.append((to, heard))
                        elif (delay_s := transmit(action.message)) is not None:
                            happens = Occurrence(on_event, to, heard, now + delay_s)
                            schedule(happens, _DELIVERS + to, delay_s)
                    elif type(action) is SetTimer:
                        timed.add((node, action.timer.prompt))
                        fired = TimerFired(action.timer)
                        self._schedule(_TIMES, on_timer, node, fired, action.at_s)
                    elif type(action) is CancelService:
                        if hosts is None:
                            cancelled.add(action.task)
                        else:
                            hosts.cancel(node, action.task, now)
                    elif type(action) is Prefill:
                        if hosts is not None:
                            hosts.prefill(node, action.task, action.content, now)
                    elif timed and type(action) is not Persist:
                        timed.discard((node, action.prompt))
                if check is not None:
                    check(nodes[node])
                if waiting >= limit:
                    self._last_s = now
                    problem = "the limit run.queue_length_max was reached"
                    raise UnstableError(problem, node=names[node], queue_length=waiting)
                if not inbox:
                    break
                node, event = inbox.popleft()
            self._last_s = now
            if hosts is not None:
                self._settle(hosts, now)
            if len(log) >= CHUNK:
                self._flush()

        on_event, on_timer = [step], [self._fire]
        return step

    def _turn(self, hosts: Hosts, turn: Turn) -> None:
        """Let a node hear that a task was served, if that is what ends on a host now."""
        ended = hosts.end(turn)
        if ended is None:
            self._settle(hosts, turn.at_s)
        else:
            node, task, response = ended
            event = ServiceEnded(task, response)
            self._step(Occurrence(self._on_turn, node, event, turn.at_s))

    def _settle(self, hosts: Hosts, now: float) -> None:
        """Schedule what ends next on the hosts where something changed."""
        schedule: Callable[..., None] = self._env.schedule  # any order may be a priority
        for host, version, node, delay_s in hosts.settle(now):
            schedule(Turn(self._on_turn, host, version, now + delay_s), _ENDS + node, delay_s)

    def _fire(self, occurrence: Occurrence) -> None:
        """Let a node hear a timer, unless its prompt has ended: that stops its timers."""
        event = occurrence.event
        if isinstance(event, TimerFired) and (occurrence.node, event.timer.prompt) in self._timed:
            self._step(occurrence)

    def _flush(self) -> None:
        if self._log:
            for observe in self._observers:
                observe(self._log)
            self._log.clear()
