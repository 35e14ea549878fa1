"""Tasks per second of the simulator against bare SimPy callbacks and Ciw, in one run.

    python benchmarks/simulator.py [--json] [--repeats 5]

The bare model is what one would write by hand for this one network: SimPy events with callbacks,
no node core, no messages, no trace, `random.Random` for chance; it measures the mean queue length
as an exact time average, and both must agree on it before their speed counts. Ciw is measured on
what it can express: 20 nodes that answer alone (M = 0).

Ours is measured three times: the nodes and the driver alone, with the digest of the trace, and
with digest and measures, which is what `dmoa simulate` does. A fourth time the same ring, with a
speed-up that is none, takes the way of slots that share a processor.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Callable

import ciw
import simpy

from dmoa.scenario import Setup, load
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.sim import Simulation, build_world
from dmoa.study import prepare
from dmoa.study.replication import Job, header
from dmoa.trace import Meter, TraceWriter, measure

NODES, LAYERS, PROPOSERS, ARRIVAL_RATE_HZ = 8, 2, 2, 0.1
HORIZON_S = 10_000.0
CIW_NODES, CIW_RATE_HZ, CIW_HORIZON_S = 20, 0.7, 1_000.0


class Bare:
    """The ring of the benchmark, written by hand with SimPy callbacks."""

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.random = random.Random(seed)  # noqa: S311 - chance, not secrets
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
        """Let something happen after a delay."""
        self.env.timeout(delay_s, value).callbacks.append(callback)

    def arrive(self, event: simpy.Event) -> None:
        """Hear a prompt arrive."""
        node = event.value
        self.later(self.random.expovariate(ARRIVAL_RATE_HZ), node, self.arrive)
        self.fork([node, 0, 0])  # origin, layer, responses awaited

    def fork(self, prompt: list[int]) -> None:
        """Place the tasks of a prompt's next layer."""
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
        """Serve a task, or let it wait."""
        if self.busy[node]:
            self.count(node)
            self.queues[node].append(prompt)
        else:
            self.busy[node] = True
            self.later(self.random.expovariate(1.0), (node, prompt), self.end)

    def end(self, event: simpy.Event) -> None:
        """Hear a task end; serve the next, and join."""
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
        """Add to the area under a node's queue length."""
        now = self.env.now
        self.area[node] += len(self.queues[node]) * (now - self.since[node])
        self.since[node] = now


def ours(setup: Setup, *, digest: bool, measures: bool) -> tuple[int, float]:
    """Simulate with the core; return the tasks started and the mean queue length, if measured."""
    key = run_key(1, 0)
    meter = Meter(setup.names)
    writer = TraceWriter(None, header(Job(setup, 1, 0)))
    observers = [writer.extend] * digest + [meter.extend] * measures
    Simulation(build_nodes(setup, key), build_world(setup, key), observers).run(setup.horizon_s)
    if not measures:
        return 0, 0.0
    track = meter.track(setup.horizon_s)
    return len(track.tasks.server), float(measure(track).queue_length.mean())


def ciw_independent(seed: int) -> tuple[int, float]:
    """Simulate nodes that answer alone with Ciw; return the tasks served."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(CIW_RATE_HZ)] * CIW_NODES,
        service_distributions=[ciw.dists.Exponential(1.0)] * CIW_NODES,
        number_of_servers=[1] * CIW_NODES,
        routing=[[0.0] * CIW_NODES for _ in range(CIW_NODES)],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(CIW_HORIZON_S)
    return len(simulation.get_all_records()), 0.0


def ring(**station: object) -> Setup:
    """Give the ring that `Bare` is, as a scenario."""
    return prepare(
        load(
            {
                "overlay": {"topology": "ring", "nodes": NODES},
                "plan": {"layers": LAYERS, "proposers": PROPOSERS},
                "arrivals": {"arrival_rate_hz": ARRIVAL_RATE_HZ},
                "station": station,
                "run": {"horizon_s": HORIZON_S},
            }
        )
    )


def alone() -> Setup:
    """Give Ciw's network as a scenario."""
    return prepare(
        load(
            {
                "overlay": {"topology": "ring", "nodes": CIW_NODES},
                "plan": {"layers": 0},
                "arrivals": {"arrival_rate_hz": CIW_RATE_HZ},
                "run": {"horizon_s": CIW_HORIZON_S},
            }
        )
    )


def time_all(repeats: int) -> dict[str, list[float]]:
    """Measure the tasks per second of every contender, taking turns so that noise is shared."""
    ours_ring, ours_shared, ours_alone = ring(), ring(speedup=[1.0]), alone()
    tasks, queue = ours(ours_ring, digest=False, measures=True)
    tasks_alone, _ = ours(ours_alone, digest=False, measures=True)
    _, bare_queue = Bare(1).run()
    if not 0.85 < queue / bare_queue < 1.15:
        raise SystemExit(f"the models disagree: mean queue {queue:.3f} against {bare_queue:.3f}")
    contenders: dict[str, Callable[[], tuple[int, float]]] = {
        "bare SimPy": lambda: Bare(1).run(),
        "dmoa, core": lambda: ours(ours_ring, digest=False, measures=False),
        "dmoa, core and digest": lambda: ours(ours_ring, digest=True, measures=False),
        "dmoa, all": lambda: ours(ours_ring, digest=True, measures=True),
        "dmoa, all, shared": lambda: ours(ours_shared, digest=True, measures=True),
        "Ciw, M = 0": lambda: ciw_independent(1),
        "dmoa, all, M = 0": lambda: ours(ours_alone, digest=True, measures=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            started = time.perf_counter()
            served, _ = run()
            elapsed = time.perf_counter() - started
            served = served or (tasks_alone if name.endswith("M = 0") else tasks)
            rates[name].append(served / elapsed)
    return rates


def main() -> None:
    """Print medians, spread and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    arguments = parser.parse_args()
    rates = time_all(max(1, arguments.repeats))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        name: median / medians["Ciw, M = 0" if name.endswith("M = 0") else "bare SimPy"]
        for name, median in medians.items()
    }
    if arguments.json:
        print(json.dumps({"tasks_per_s": medians, "ratio_to_baseline": ratios}))
        return
    print(f"{'':24}{'tasks/s':>10}{'spread':>18}{'ratio':>8}")
    for name, values in rates.items():
        spread = f"{min(values):,.0f}-{max(values):,.0f}"
        print(f"{name:24}{medians[name]:10,.0f}{spread:>18}{ratios[name]:8.2f}")


if __name__ == "__main__":
    main()
