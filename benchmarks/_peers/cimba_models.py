"""cimba: models in Python that it compiles, on its engine in C; with processes and with events.

With processes each node has one for the arrivals and one that serves, as in cimba's own examples.
With events each node schedules its next arrival and the end of its service, which spares the
engine a change of stacks: the fastest style we know.

Prompts are rows of the network's arrays, tasks the numbers 3 * row + 0, 1 or 2. `following` links
the tasks of a queue, and by their first tasks the rows that are free.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import cimba as cb
from _peers.network import Network, Run, UnavailableError
from cimba import random

IN_FLIGHT = 10
"""Prompts under way for which there is room, per node: 1.6 are; where there is none a run fails."""
MAPPINGS = Path("/proc/sys/vm/max_map_count")
MOMENT_S = 1e-9
"""Horizon of a run that shows how long cimba takes to set the network up."""


class Whole(cb.Model):
    """The network: prompts under way, and what is measured."""

    nodes: list[Node]
    layers: int = 0
    gap_s: float = 0.0
    horizon_s: cb.Param[float]
    origin: cb.Array[int]
    layer: cb.Array[int]
    awaited: cb.Array[int]
    following: cb.Array[int]
    free: int = 0
    counted: int = 0
    waiting: int = 0
    area: float = 0.0
    events: cb.Output[float]
    mean: cb.Output[float]

    @cb.function
    def arrive(self, node: int) -> None:
        """Take a free row for a prompt, and fork its first layer."""
        prompt = self.free
        self.free = self.following[3 * prompt]
        self.origin[prompt] = node
        self.layer[prompt] = 0
        self.fork(prompt)

    @cb.function
    def fork(self, prompt: int) -> None:
        """Place the tasks of a prompt's next layer."""
        first, origin, nodes = 3 * prompt, self.origin[prompt], len(self.nodes)
        if self.layer[prompt] == self.layers:
            self.awaited[prompt] = 1
            self.nodes[origin].enqueue(first)
        else:
            self.awaited[prompt] = 3
            self.nodes[origin].enqueue(first)
            # Two of the neighbours at -2, -1, 1 and 2.
            one = random.dice(0, 3)
            other = random.dice(0, 2)
            if other >= one:
                other += 1
            self.nodes[(origin + nodes + one - 2 + (one > 1)) % nodes].enqueue(first + 1)
            self.nodes[(origin + nodes + other - 2 + (other > 1)) % nodes].enqueue(first + 2)

    @cb.function
    def join(self, prompt: int) -> None:
        """Hear that a task was served; after the last of a layer go on."""
        self.awaited[prompt] -= 1
        if self.awaited[prompt] == 0:
            self.layer[prompt] += 1
            if self.layer[prompt] <= self.layers:
                self.fork(prompt)
            else:
                self.following[3 * prompt] = self.free
                self.free = prompt

    @cb.process
    def stop(self) -> None:
        """End the run at the horizon: events have no end of their own."""
        cb.hold(self.horizon_s)
        cb.end_trial()

    @cb.on_end
    def measure(self) -> None:
        """Leave the results."""
        self.events = float(self.counted)
        self.mean = self.area / self.horizon_s + self.waiting


class Node(cb.Model):
    """What every node has."""

    whole: cb.Ref[Whole]
    index: int

    @cb.function
    def enqueue(self, task: int) -> None:
        """Serve a task, or let it wait."""


class SingleProcesses(Node):
    """A node that answers alone: a level of tasks, as in cimba's example of M/M/1."""

    work: cb.Container

    @cb.process
    def arrivals(self) -> None:
        """Let prompts arrive."""
        while True:
            cb.hold(random.exponential(self.whole.gap_s))
            self.whole.counted += 1
            self.whole.waiting += 1
            self.whole.area -= cb.now()
            self.work.put(1)

    @cb.process
    def server(self) -> None:
        """Serve."""
        while True:
            self.work.get(1)
            self.whole.waiting -= 1
            self.whole.area += cb.now()
            cb.hold(random.exponential(1.0))
            self.whole.counted += 1


class SingleEvents(Node):
    """A node that answers alone: the number of its tasks."""

    number: int = 0

    @cb.on_start
    def begin(self) -> None:
        """Wait for the first prompt."""
        cb.schedule(self.arrival, random.exponential(self.whole.gap_s))

    @cb.event
    def arrival(self) -> None:
        """Hear a prompt arrive, and wait for the next."""
        whole = self.whole
        whole.counted += 1
        cb.schedule(self.arrival, random.exponential(whole.gap_s))
        self.number += 1
        if self.number == 1:
            cb.schedule(self.end, random.exponential(1.0))
        else:
            whole.waiting += 1
            whole.area -= cb.now()

    @cb.event
    def end(self) -> None:
        """Hear a service end, and begin the next."""
        whole = self.whole
        whole.counted += 1
        self.number -= 1
        if self.number > 0:
            whole.waiting -= 1
            whole.area += cb.now()
            cb.schedule(self.end, random.exponential(1.0))


class LayeredProcesses(Node):
    """A node whose server takes tasks from a store."""

    tasks: cb.Store[int]

    @cb.process
    def arrivals(self) -> None:
        """Let prompts arrive."""
        while True:
            cb.hold(random.exponential(self.whole.gap_s))
            self.whole.counted += 1
            self.whole.arrive(self.index)

    @cb.function
    def enqueue(self, task: int) -> None:
        """Serve a task, or let it wait."""
        self.whole.waiting += 1
        self.whole.area -= cb.now()
        self.tasks.put(task)

    @cb.process
    def server(self) -> None:
        """Serve."""
        while True:
            task = self.tasks.get()
            self.whole.waiting -= 1
            self.whole.area += cb.now()
            cb.hold(random.exponential(1.0))
            self.whole.counted += 1
            self.whole.join(task // 3)


class LayeredEvents(Node):
    """A node with the task in service, and the first and last that wait; -1 is none."""

    served: int = -1
    first: int = -1
    last: int = -1

    @cb.on_start
    def begin(self) -> None:
        """Wait for the first prompt."""
        cb.schedule(self.arrival, random.exponential(self.whole.gap_s))

    @cb.event
    def arrival(self) -> None:
        """Hear a prompt arrive, and wait for the next."""
        whole = self.whole
        whole.counted += 1
        cb.schedule(self.arrival, random.exponential(whole.gap_s))
        whole.arrive(self.index)

    @cb.function
    def enqueue(self, task: int) -> None:
        """Serve a task, or let it wait."""
        if self.served < 0:
            self.served = task
            cb.schedule(self.end, random.exponential(1.0))
        else:
            whole = self.whole
            whole.waiting += 1
            whole.area -= cb.now()
            whole.following[task] = -1
            if self.first < 0:
                self.first = task
            else:
                whole.following[self.last] = task
            self.last = task

    @cb.event
    def end(self) -> None:
        """Hear a service end, and begin the next."""
        whole = self.whole
        whole.counted += 1
        prompt, task = self.served // 3, self.first
        self.served = task
        if task >= 0:
            self.first = whole.following[task]
            whole.waiting -= 1
            whole.area += cb.now()
            cb.schedule(self.end, random.exponential(1.0))
        whole.join(prompt)


@lru_cache(maxsize=1)
def build(kind: type[Node], network: Network) -> Whole:
    """Build a network, once for all its runs, and let cimba compile it."""
    whole = Whole()
    whole.layers, whole.gap_s = network.layers, 1 / network.arrival_rate_hz
    whole.nodes = [kind() for _ in range(network.nodes)]
    for index, node in enumerate(whole.nodes):
        node.whole, node.index = whole, index
    rows = IN_FLIGHT * network.nodes + 1000 if network.layers else 0
    whole.origin = whole.layer = whole.awaited = cb.Array(rows)
    links = [0] * (3 * rows)
    links[::3] = range(1, rows + 1)
    whole.following = cb.Array(links)
    trial(whole, MOMENT_S, 1)
    return whole


def trial(whole: Whole, horizon_s: float, seed: int) -> tuple[Any, float]:
    """Run once; return the network's results and the processor time that it took."""
    whole.horizon_s = horizon_s
    window = cb.Window(warmup=0.0, duration=2 * horizon_s)
    experiment = cb.Experiment(whole, replications=1, window=window, seed=seed)
    began = time.process_time()
    results = experiment.run(workers=1)
    seconds = time.process_time() - began
    if results.failed.any():
        raise RuntimeError(str(results.failure_reasons[0, 0]))
    return results[whole], seconds


def processes(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with two processes at each node.

    Raises:
        UnavailableError: Linux does not allow that many stacks, each of two mappings of memory.
    """
    if MAPPINGS.exists() and 4 * network.nodes > int(MAPPINGS.read_text("ascii")):
        raise UnavailableError("skipped: vm.max_map_count does not allow so many stacks")
    return run(LayeredProcesses if network.layers else SingleProcesses, network, horizon_s, seed)


def events(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with events alone."""
    return run(LayeredEvents if network.layers else SingleEvents, network, horizon_s, seed)


def run(kind: type[Node], network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network; cimba's own time to set it up is measured, and taken off."""
    whole = build(kind, network)
    _, setup_s = trial(whole, MOMENT_S, seed)
    results, seconds = trial(whole, horizon_s, seed)
    mean = float(results.mean.values[0, 0]) / network.nodes
    return Run(int(results.events.values[0, 0]), seconds - setup_s, mean)
