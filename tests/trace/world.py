"""A small world of real nodes in virtual time, and a run whose every number is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

import numpy as np

from dmoa.core import (
    CancelService,
    Content,
    Event,
    MessageReceived,
    Node,
    Plan,
    PromptArrived,
    Send,
    ServiceEnded,
    SetTimer,
    StartService,
    TaskId,
    TimerFired,
    Uniform,
    derive,
    layered,
)
from dmoa.trace import Entry, Meter, Track


def complete(
    size: int, plan: Plan, *, seed: int = 1, slots: int = 1, queue_max: int | None = None
) -> list[Node]:
    """Build nodes "0", "1", ... of which each may ask all the others."""
    names = [str(i) for i in range(size)]
    return [
        Node(
            name,
            plan=plan,
            selection=Uniform([peer for peer in names if peer != name]),
            key=derive(seed, name),
            slots=slots,
            queue_max=queue_max,
        )
        for name in names
    ]


def run(
    nodes: Sequence[Node],
    arrivals: Iterable[tuple[float, int]],
    serve: Callable[[TaskId], float],
    *,
    delay_s: float = 0.0,
    until_s: float = float("inf"),
) -> list[Entry]:
    """Run until ``until_s``. Arrivals are (time_s, node); ``serve`` gives a task's service time."""
    index = {node.name: i for i, node in enumerate(nodes)}
    agenda: list[tuple[float, int, int, Event]] = []
    cancelled: set[TaskId] = set()
    entries: list[Entry] = []
    serial = 0

    def plan(at_s: float, node: int, event: Event) -> None:
        nonlocal serial
        serial += 1
        heappush(agenda, (at_s, serial, node, event))

    for number, (at_s, node) in enumerate(arrivals):
        plan(at_s, node, PromptArrived(number, Content(10)))
    while agenda and agenda[0][0] <= until_s:
        now, _, node, event = heappop(agenda)
        if isinstance(event, ServiceEnded) and event.task in cancelled:
            continue
        actions = nodes[node].step(event, now)
        entries.append((now, node, event, actions, *nodes[node].counts()))
        for action in actions:
            if isinstance(action, Send):
                received = MessageReceived(nodes[node].name, action.message)
                plan(now + delay_s, index[action.to], received)
            elif isinstance(action, StartService):
                plan(now + serve(action.task), node, ServiceEnded(action.task, Content(20)))
            elif isinstance(action, SetTimer):
                plan(action.at_s, node, TimerFired(action.timer))
            elif isinstance(action, CancelService):
                cancelled.add(action.task)
    return entries


def track_of(entries: list[Entry], names: Sequence[str], end_s: float) -> Track:
    """Measure entries, with links."""
    meter = Meter(names, links=True)
    meter.extend(entries)
    return meter.track(end_s)


SERVICE_S = {(0, 0, 0): 2, (0, 0, 1): 4, (0, 1, 0): 3, (1, 0, 0): 1, (1, 0, 1): 1, (1, 1, 0): 1}


def known_entries() -> list[Entry]:
    """Two prompts of node 0, at 1 s and 2 s, one layer, one peer, links of half a second.

    ::

        prompt 0  node 0  1-3          6-9 aggregates
                  node 1  1.5-5.5
        prompt 1  node 0  2..3-4       7..9-10 aggregates
                  node 1  2.5..5.5-6.5
    """

    def serve(task: TaskId) -> float:
        return SERVICE_S[task.prompt, task.stage, task.slot]

    return run(complete(2, layered(1, 1)), [(1.0, 0), (2.0, 0)], serve, delay_s=0.5)


def known_track() -> Track:
    """Measure the known run, to its end at 10 s."""
    return track_of(known_entries(), ["0", "1"], 10.0)


def single_queue(rng: np.random.Generator, rho: float, horizon_s: float) -> Track:
    """Run M/M/1 on a real node: service time 1 s, arrival rate ``rho``."""
    gaps = rng.exponential(1 / rho, int(horizon_s * rho * 1.5 + 50))
    times = np.cumsum(gaps)
    arrivals = [(float(at_s), 0) for at_s in times[times <= horizon_s]]
    nodes = complete(1, layered(0, 0))
    entries = run(nodes, arrivals, lambda _: float(rng.exponential()), until_s=horizon_s)
    return track_of(entries, ["0"], horizon_s)
