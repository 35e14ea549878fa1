"""dmoa itself: its nodes and its SimPy driver alone, the user's whole path, the compiled engine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache
from itertools import count
from typing import TypeVar

from _peers.network import NODES_MIN, Network, Run, UnavailableError

import dmoa
from dmoa.core import Content, TaskId
from dmoa.scenario import Scenario, Setup
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.sim import Simulation, World, build_world
from dmoa.sim.compiled.coverage import INSTALL, trouble
from dmoa.study import prepare
from dmoa.trace import UNFINISHED, Meter, Track, measure

T = TypeVar("T")


def scenario(network: Network, horizon_s: float, seed: int = 1) -> Scenario:
    """Give the network as a scenario: a Watts-Strogatz overlay without rewiring."""
    return dmoa.load(
        {
            "overlay": {
                "topology": "watts-strogatz",
                "nodes": network.nodes,
                "neighbours": 4,
                "probability": 0.0,
            },
            "plan": {"layers": network.layers, "proposers": 2},
            "arrivals": {"arrival_rate_hz": network.arrival_rate_hz},
            "run": {"horizon_s": horizon_s, "replications": 1, "seed": seed},
        }
    )


@lru_cache(maxsize=1)
def resolved(network: Network, horizon_s: float) -> Setup:
    """Resolve the scenario, once for all runs to a horizon."""
    return prepare(scenario(network, horizon_s))


def core(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with the nodes and the driver, and nobody who observes."""
    setup, key = resolved(network, horizon_s), run_key(seed, 0)
    nodes, world = build_nodes(setup, key), build_world(setup, key)
    drawn, started = count(), count()
    simulation = Simulation(nodes, counted(world, drawn, started), [])
    began = time.process_time()
    simulation.run(horizon_s)
    seconds = time.process_time() - began
    # Of each node one prompt was drawn that is still to come.
    serving = sum(node.counts()[1] for node in nodes)
    events = next(drawn) - network.nodes + next(started) - serving
    return Run(events, seconds, math.nan)


def counted(world: World, drawn: count[int], started: count[int]) -> World:
    """Count the prompts drawn and the services started: less than a hundredth of a run's time."""

    def arrivals(prompts: Iterator[T]) -> Iterator[T]:
        for prompt in prompts:
            next(drawn)
            yield prompt

    def serve(server: int, task: TaskId, content: Content) -> tuple[float, Content]:
        next(started)
        return world.serve(server, task, content)

    return replace(world, arrivals=[arrivals(one) for one in world.arrivals], serve=serve)


def core_measured(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate as `core`, but with the meter: for what it finds, not for its speed."""
    setup, key = resolved(network, horizon_s), run_key(seed, 0)
    meter = Meter(setup.names)
    simulation = Simulation(build_nodes(setup, key), build_world(setup, key), [meter.extend])
    began = time.process_time()
    simulation.run(horizon_s)
    return seen(meter.track(horizon_s), time.process_time() - began)


def whole(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate as a user does: digest, measures, Little's law, verdict, and the bound beside it."""
    result, seconds = study(network, horizon_s, seed, "simpy")
    return seen(result.tracks[0], seconds)


def study(
    network: Network, horizon_s: float, seed: int, engine: str
) -> tuple[dmoa.SimulationResult, float]:
    """Call `dmoa.simulate` for one replication; return its result and the time that it took."""
    given = scenario(network, horizon_s, seed)
    began = time.process_time()
    result = dmoa.simulate(given, workers=1, engine=engine)
    return result, time.process_time() - began


def seen(track: Track, seconds: float) -> Run:
    """Tell what a run shows over its whole time, without a warm-up."""
    served = int((track.tasks.outcome != UNFINISHED).sum())
    waiting = float(measure(track).queue_length.mean())
    return Run(len(track.prompts.origin) + served, seconds, waiting)


# --- the compiled engine --------------------------------------------------------------------


def compiled(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with the compiled engine alone; it keeps sums, and no columns."""
    load_kernel()
    return kernel(network, horizon_s, seed)


def compiled_whole(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate as `whole`; what the run shows is what the engine alone shows of the same seed."""
    load_kernel()
    _, seconds = study(network, horizon_s, seed, "compiled")
    return kernel(network, horizon_s, seed)._replace(seconds=seconds)


def kernel(network: Network, horizon_s: float, seed: int) -> Run:
    """Run the compiled kernel."""
    from dmoa.sim.compiled.run import Run as Kernel  # numba may not be there

    made = Kernel(resolved(network, horizon_s), run_key(seed, 0))
    began = time.process_time()
    made.advance(horizon_s)
    seconds = time.process_time() - began
    end = made.moment(horizon_s)
    return Run(end.arrived + end.served, seconds, float(end.waiting_s.mean()) / horizon_s)


@cache
def load_kernel() -> None:
    """Compile the kernel, or fetch it from its cache, before anything is timed.

    Raises:
        UnavailableError: it cannot be loaded here.
    """
    problem = trouble()
    if problem is not None:
        raise UnavailableError(f"not available: {problem}; {INSTALL}")
    kernel(Network(0, NODES_MIN), 1.0, 1)
