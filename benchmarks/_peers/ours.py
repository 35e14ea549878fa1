"""dmoa itself: its nodes and its SimPy driver alone, the user's whole path, the compiled engine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import TypeVar

from _peers.network import Network, Run, UnavailableError

import dmoa
from dmoa.core import Content, TaskId
from dmoa.scenario import Scenario, Setup
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.sim import Simulation, World, build_world
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
    given = scenario(network, horizon_s, seed)
    began = time.process_time()
    result = dmoa.simulate(given, workers=1)
    seconds = time.process_time() - began
    return seen(result.tracks[0], seconds)


def seen(track: Track, seconds: float) -> Run:
    """Tell what a run shows over its whole time, without a warm-up."""
    served = int((track.tasks.outcome != UNFINISHED).sum())
    waiting = float(measure(track).queue_length.mean())
    return Run(len(track.prompts.origin) + served, seconds, waiting)


def compiled(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with the compiled engine; its first run, which compiles it, is not timed."""
    try:
        import dmoa.sim.compiled  # noqa: F401
    except ImportError as error:
        raise UnavailableError("not available: dmoa has no compiled engine here") from error
    raise NotImplementedError
