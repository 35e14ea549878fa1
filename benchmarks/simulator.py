"""Tasks per second of the simulator against bare SimPy callbacks and Ciw, in one run.

    python benchmarks/simulator.py [--json] [--repeats 5]

The bare model is what one would write by hand for this one network: SimPy events with callbacks,
no node core, no messages, no trace, `random.Random` for chance; it measures the mean queue length
as an exact time average, and both must agree on it before their speed counts. Ciw is measured on
what it can express: 20 nodes that answer alone (M = 0).

Ours is measured three times: the nodes and the driver alone, with the digest of the trace, and
with digest and measures, which is what `dmoa simulate` does.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Callable

import simpy

NODES, LAYERS, PROPOSERS, ARRIVAL_RATE_HZ = 8, 2, 2, 0.1
HORIZON_S = 10_000.0
CIW_NODES, CIW_RATE_HZ, CIW_HORIZON_S = 20, 0.7, 1_000.0


class Bare:
    """The ring of the benchmark, written by hand with SimPy callbacks."""

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.random = random.Random(seed)
        self.queues: list[deque[list[int]]] = [deque() for _ in range(NODES)]
        self.busy = [False] * NODES
        self.peers = [[(i - 1) % NODES, (i + 1) % NODES] for i in range(NODES)]
        self.area, self.since = [0.0] * NODES, [0.0] * NODES
        self.served = 0

    def run(self) -> tuple[int, float]:
        """Return the tasks served and the mean queue length per node."""
        for node in range(NODES):
            self.later(self.random.expovariate(ARRIVAL_RATE_HZ), node, self.arrive)
        self.env.run(until=HORIZON_S)
        for node in range(NODES):
            self.count(node)
        return self.served, sum(self.area) / NODES / HORIZON_S

    def later(self, delay_s: float, value: object, callback: Callable[..., None]) -> None:
        self.env.timeout(delay_s, value).callbacks.append(callback)

    def arrive(self, event: simpy.Event) -> None:
        node = event.value
        self.later(self.random.expovariate(ARRIVAL_RATE_HZ), node, self.arrive)
        self.fork([node, 0, 0])  # origin, layer, responses awaited

    def fork(self, prompt: list[int]) -> None:
        origin, layer, _ = prompt
        if layer == LAYERS:
            prompt[2] = 1
            self.enqueue(origin, prompt)
            return
        prompt[2] = PROPOSERS + 1
        self.enqueue(origin, prompt)
        for peer in self.random.sample(self.peers[origin], PROPOSERS):
            self.enqueue(peer, prompt)

    def enqueue(self, node: int, prompt: list[int]) -> None:
        if self.busy[node]:
            self.count(node)
            self.queues[node].append(prompt)
        else:
            self.busy[node] = True
            self.later(self.random.expovariate(1.0), (node, prompt), self.end)

    def end(self, event: simpy.Event) -> None:
        node, prompt = event.value
        self.served += 1
        if self.queues[node]:
            self.count(node)
            following = self.queues[node].popleft()
            self.later(self.random.expovariate(1.0), (node, following), self.end)
        else:
            self.busy[node] = False
        prompt[2] -= 1
        if prompt[2] == 0:
            prompt[1] += 1
            if prompt[1] <= LAYERS:
                self.fork(prompt)

    def count(self, node: int) -> None:
        now = self.env.now
        self.area[node] += len(self.queues[node]) * (now - self.since[node])
        self.since[node] = now
