"""salabim: at each node a component for the arrivals and one that serves, without its monitors."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from math import log
from random import Random
from typing import Any

import salabim
from _peers.network import PAIRS, Network, Run

salabim.yieldless(False)  # noqa: FBT003 - generators: faster than greenlets

Process = Generator[None, None, None]


def run(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon."""
    model = Model(network, seed)
    began = time.process_time()
    model.env.run(till=horizon_s)
    seconds = time.process_time() - began
    area = model.area + model.waiting * horizon_s
    return Run(model.events, seconds, area / horizon_s / network.nodes)


class Model:
    """Prompts are lists of origin, layer and the number of tasks that are awaited."""

    def __init__(self, network: Network, seed: int) -> None:
        self.env = salabim.Environment(trace=False)
        self.random = Random(seed).random  # noqa: S311 - chance, not secrets
        self.network = network
        self.events = self.waiting = 0
        self.area = 0.0
        self.servers = [Server(**self.quiet()) for _ in range(network.nodes)]
        for node in range(network.nodes):
            Arrivals(node=node, **self.quiet())

    def quiet(self) -> dict[str, Any]:
        """Give what every component gets: a name that costs nothing, and no trace."""
        return {"model": self, "name": "", "suppress_trace": True, "env": self.env}

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
            server = self.servers[node]
            server.queue.append(prompt)
            if server.idle:
                server.idle = False
                server.activate()
            else:
                self.waiting += 1
                self.area -= self.env.now()


class Arrivals(salabim.Component):
    """Lets prompts arrive at a node."""

    def setup(self, model: Model, node: int) -> None:
        """Take what the process needs."""
        self.model, self.node = model, node
        self.mode.monitor(False)  # noqa: FBT003 - as salabim has it
        self.status.monitor(False)  # noqa: FBT003

    def process(self) -> Process:
        """Wait, and fork."""
        model, gap_s = self.model, 1 / self.model.network.arrival_rate_hz
        while True:
            yield self.hold(-gap_s * log(1.0 - model.random()))
            model.events += 1
            model.fork([self.node, 0, 0])


class Server(salabim.Component):
    """Serves a node's queue."""

    def setup(self, model: Model) -> None:
        """Take what the process needs."""
        self.model, self.queue, self.idle = model, deque[list[int]](), False
        self.mode.monitor(False)  # noqa: FBT003 - as salabim has it
        self.status.monitor(False)  # noqa: FBT003

    def process(self) -> Process:
        """Serve, and join."""
        model, queue = self.model, self.queue
        while True:
            if queue:
                model.waiting -= 1
                model.area += model.env.now()
            else:
                self.idle = True
                yield self.passivate()
            prompt = queue.popleft()
            yield self.hold(-log(1.0 - model.random()))
            model.events += 1
            prompt[2] -= 1
            if prompt[2] == 0:
                prompt[1] += 1
                if prompt[1] <= model.network.layers:
                    model.fork(prompt)
