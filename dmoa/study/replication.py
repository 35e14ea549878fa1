"""One replication of a scenario: build the nodes and their world, run, measure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from dmoa import __version__
from dmoa.errors import UnstableError
from dmoa.live.cores import cores
from dmoa.live.machine import Machine
from dmoa.scenario import Setup
from dmoa.scenario.nodes import build_nodes, replay_facts, run_key
from dmoa.sim import Simulation, build_world
from dmoa.study.engines import load_kernel
from dmoa.trace import Header, Meter, Totals, TraceWriter, Track

MEMORY_SHARE = 0.8
"""Of the memory that is available, what all runs of the compiled engine may take together."""

_DECLARED = "the limit run.queue_length_max "
"""How both engines begin to say that a limit of the scenario stopped a run; memory is not one."""


@dataclass(frozen=True)
class Job:
    """Which replication to run, by which engine; ``trace`` is the file for its entries, if any.

    With ``totals`` nothing is kept of single steps; only the compiled engine can do that.
    """

    setup: Setup
    seed: int
    replication: int
    trace: Path | None = None
    engine: Literal["simpy", "compiled"] = "simpy"
    totals: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is kept of a replication, its digest, messages ignored by kind, the limit it hit.

    Where only totals are kept there is no digest. ``out_of_memory`` tells whether the limit was the
    machine's and not the scenario's.
    """

    track: Track | Totals
    digest: str | None
    ignored: Counter[str]
    stopped: str | None
    out_of_memory: bool = False


def header(job: Job) -> Header:
    """Describe a run so that its trace can be replayed without the files it was made from."""
    return Header(
        engine=job.engine,
        seed=job.seed,
        replication=job.replication,
        dmoa=__version__,
        **replay_facts(job.setup),
    )


def replicate(job: Job) -> Outcome:
    """Run one replication in this process.

    Raises:
        ScenarioError: the trace cannot be written.
        InvariantError: a bug.
    """
    if job.engine == "compiled":
        return _replicate_compiled(job)
    setup = job.setup
    key = run_key(job.seed, job.replication)
    nodes = build_nodes(setup, key)
    meter = Meter(setup.names, links=setup.scenario.links.delay_s > 0)
    stopped = None
    with TraceWriter(job.trace, header(job)) as writer:
        simulation = Simulation(nodes, build_world(setup, key), (writer.extend, meter.extend))
        try:
            simulation.run(setup.horizon_s)
        except UnstableError as error:
            stopped = str(error)
        digest = writer.digest()
    ignored = sum((node.ignored for node in nodes), Counter[str]())
    return Outcome(meter.track(simulation.ended_s), digest, ignored, stopped)


def _replicate_compiled(job: Job) -> Outcome:
    """Run one replication by the compiled engine."""
    from dmoa.sim.compiled.run import recorded, summed  # numba is heavy, and may not be there

    load_kernel(totals=job.totals)
    key, room_bytes = run_key(job.seed, job.replication), _room_bytes()
    if job.totals:
        totals, stopped = summed(job.setup, key, room_bytes)
        return Outcome(totals, None, Counter(), stopped, _by_memory(stopped))
    with TraceWriter(job.trace, header(job)) as writer:
        track, stopped = recorded(job.setup, key, writer.extend_encoded, room_bytes)
        digest = writer.digest()
    return Outcome(track, digest, Counter(), stopped, _by_memory(stopped))


def _by_memory(stopped: str | None) -> bool:
    """Tell whether it was memory that stopped a run."""
    return stopped is not None and not stopped.startswith(_DECLARED)


def _room_bytes() -> float:
    """Give the memory that this run may take, where others may run beside it on every core."""
    available = Machine().memory_bytes()[1]
    return inf if available is None else MEMORY_SHARE * available / cores()
