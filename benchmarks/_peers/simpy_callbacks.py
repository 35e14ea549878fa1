"""SimPy with callbacks on its events: no process, which is its fastest style."""

from __future__ import annotations

import time
from collections import deque
from math import log
from random import Random

import simpy
from _peers.network import PAIRS, Network, Run


def run(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon."""
    model = (Layered if network.layers else Single)(network, seed)
    began = time.process_time()
    model.env.run(until=horizon_s)
    seconds = time.process_time() - began
    area = model.area + model.waiting * horizon_s
    return Run(model.events, seconds, area / horizon_s / network.nodes)


class Single:
    """Every node serves its own prompts; `area` is that under the number of waiting tasks."""

    def __init__(self, network: Network, seed: int) -> None:
        self.env = simpy.Environment()
        self.random = Random(seed).random  # noqa: S311 - chance, not secrets
        self.network, self.gap_s = network, 1 / network.arrival_rate_hz
        self.events = self.waiting = 0
        self.area = 0.0
        self.number = [0] * network.nodes
        self.on_arrival, self.on_end = self.arrive, self.end
        for node in range(network.nodes):
            self.expect(node)

    def expect(self, node: int) -> None:
        """Let the next prompt arrive at a node."""
        delay_s = -self.gap_s * log(1.0 - self.random())
        self.env.timeout(delay_s, node).callbacks.append(self.on_arrival)

    def serve(self, node: int) -> None:
        """Begin a service."""
        self.env.timeout(-log(1.0 - self.random()), node).callbacks.append(self.on_end)

    def arrive(self, event: simpy.Event) -> None:
        """Hear a prompt arrive."""
        node = event.value
        self.events += 1
        self.expect(node)
        self.number[node] += 1
        if self.number[node] == 1:
            self.serve(node)
        else:
            self.waiting += 1
            self.area -= self.env.now

    def end(self, event: simpy.Event) -> None:
        """Hear a service end."""
        node = event.value
        self.events += 1
        self.number[node] -= 1
        if self.number[node]:
            self.waiting -= 1
            self.area += self.env.now
            self.serve(node)


class Layered(Single):
    """Prompts are lists of origin, layer and the number of tasks that are awaited."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__(network, seed)
        self.served: list[list[int]] = [[]] * network.nodes  # empty where a node is idle
        self.queues: list[deque[list[int]]] = [deque() for _ in range(network.nodes)]

    def arrive(self, event: simpy.Event) -> None:
        """Hear a prompt arrive."""
        self.events += 1
        self.expect(event.value)
        self.fork([event.value, 0, 0])

    def fork(self, prompt: list[int]) -> None:
        """Place the tasks of a prompt's next layer."""
        origin, layer, _ = prompt
        nodes = self.network.nodes
        asked: tuple[int, ...] = (origin,)
        if layer < self.network.layers:
            one, other = PAIRS[int(self.random() * 6)]
            asked = (origin, (origin + one) % nodes, (origin + other) % nodes)
        prompt[2] = len(asked)
        for node in asked:
            if self.served[node]:
                self.waiting += 1
                self.area -= self.env.now
                self.queues[node].append(prompt)
            else:
                self.served[node] = prompt
                self.serve(node)

    def end(self, event: simpy.Event) -> None:
        """Hear a service end, begin the next, and join."""
        node = event.value
        self.events += 1
        prompt = self.served[node]
        if self.queues[node]:
            self.waiting -= 1
            self.area += self.env.now
            self.served[node] = self.queues[node].popleft()
            self.serve(node)
        else:
            self.served[node] = []
        prompt[2] -= 1
        if prompt[2] == 0:
            prompt[1] += 1
            if prompt[1] <= self.network.layers:
                self.fork(prompt)
