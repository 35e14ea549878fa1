"""SimPy with processes: at each node one for the arrivals, and one that serves from a Store."""

from __future__ import annotations

import time
from collections.abc import Generator
from math import log
from random import Random

import simpy
from _peers.network import PAIRS, Network, Run

Process = Generator[simpy.Event, list[float], None]


def run(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon."""
    model = Model(network, seed)
    began = time.process_time()
    model.env.run(until=horizon_s)
    seconds = time.process_time() - began
    waited = model.waited_s + sum(
        horizon_s - queued_s for store in model.stores for _, queued_s in store.items
    )
    return Run(model.events, seconds, waited / horizon_s / network.nodes)


class Model:
    """Tasks are pairs of a prompt and the time at which they were queued."""

    def __init__(self, network: Network, seed: int) -> None:
        self.env = env = simpy.Environment()
        self.random = Random(seed).random  # noqa: S311 - chance, not secrets
        self.network = network
        self.events = 0
        self.waited_s = 0.0
        self.stores = [simpy.Store(env) for _ in range(network.nodes)]
        for node in range(network.nodes):
            env.process(self.arrive(node))
            env.process(self.serve(node))

    def arrive(self, node: int) -> Process:
        """Let prompts arrive at a node: lists of origin, layer and tasks that are awaited."""
        gap_s = 1 / self.network.arrival_rate_hz
        while True:
            yield self.env.timeout(-gap_s * log(1.0 - self.random()))
            self.events += 1
            self.fork([node, 0, 0])

    def serve(self, node: int) -> Process:
        """Serve a node's tasks, and join."""
        env, store = self.env, self.stores[node]
        while True:
            prompt, queued_s = yield store.get()
            self.waited_s += env.now - queued_s
            yield env.timeout(-log(1.0 - self.random()))
            self.events += 1
            prompt[2] -= 1
            if prompt[2] == 0:
                prompt[1] += 1
                if prompt[1] <= self.network.layers:
                    self.fork(prompt)

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
            self.stores[node].put((prompt, self.env.now))
