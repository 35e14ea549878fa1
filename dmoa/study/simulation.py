"""Simulate a scenario: replications, warm-up, measures with intervals, verdict."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from dmoa.live.cores import cores
from dmoa.scenario import Scenario, Setup
from dmoa.scenario.schema import Run
from dmoa.study.bounds import Bound, bound, prepare
from dmoa.study.engines import FINITE, choose, make_ready
from dmoa.study.observation import Observation, count_prompts, observe
from dmoa.study.pool import run_all
from dmoa.study.replication import Job, Outcome, replicate
from dmoa.study.results import NodeSummary, SimulationResult
from dmoa.study.units import Pool
from dmoa.trace import Measures

if TYPE_CHECKING:
    import networkx as nx

Progress = Callable[[int, int], None]

POOL_TASKS_MIN = {"simpy": 100_000, "compiled": 5_000_000}
"""Below this many expected tasks starting worker processes takes longer than the work."""

BEST_NODES_MAX = 10_000
"""Above so many nodes the best weights, which are only told here, take longer than other work."""

REPLICATIONS_MAX = 1000
"""Replications at most where only the interval's width was asked for."""


def simulate(
    scenario: Scenario | Setup,
    *,
    graph: nx.Graph[Any] | None = None,
    engine: str = "auto",
    totals: bool | None = None,
    best: bool | None = None,
    workers: int | Pool | None = None,
    trace: Path | str | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> SimulationResult:
    """Simulate independent replications of a scenario and measure them.

    With ``run.relative_half_width`` replications are added, twice as many each time, until the
    interval of the mean sojourn time is that narrow or there are ``run.replications_max``.
    Little's law is checked in every replication. The same scenario and seed give the same digest
    whatever the number of workers.

    Args:
        scenario: a scenario, or a resolved one.
        graph: a networkx graph in place of the overlay that the scenario names.
        engine: ``simpy``, ``compiled``, or ``auto``: compiled where it covers the scenario and is
            worth it. The trace is the same.
        totals: keep only totals of a run, so that memory does not grow with its length; None:
            where the columns would be too large and no trace is asked for.
        best: whether ``theory`` tells of the best weights; None: up to 10,000 nodes, beyond which
            they take longer than all else.
        workers: processes to use, or a pool; None: all cores where the work is worth it.
        trace: file for the entries of replication 0; a name that holds ``{replication}`` is
            written for every replication.
        progress: called with the replications finished and to be done.
        tell: called with what to tell the user before a wait.

    Raises:
        ScenarioError: the scenario does not fit its overlay, or the trace cannot be written.
        InvariantError: a bug; Little's law does not hold, for example.

    >>> from dmoa.scenario import load
    >>> result = simulate(load("ring", ["run.horizon_s=500", "run.replications=2"]))
    >>> result.prompts["arrived"] >= result.prompts["answered"] > 1000
    True
    """
    setup = prepare(scenario, graph)
    limit = bound(setup, best=len(setup.names) <= BEST_NODES_MAX if best is None else best)
    run = setup.scenario.run
    if trace is not None and totals is None:
        totals = False
    choice = choose(setup, engine, expected_tasks(setup), totals=totals)
    make_ready(choice, tell)
    jobs = _Jobs(setup, choice.engine, choice.totals, trace)
    outcomes = _run(jobs, range(run.replications), workers, progress)
    seen = _seen(setup, outcomes)
    while _is_vague(run, seen):
        more = range(
            len(outcomes), min(2 * len(outcomes), run.replications_max or REPLICATIONS_MAX)
        )
        outcomes += _run(jobs, more, workers, progress)
        seen = _seen(setup, outcomes)
    tracks, measures = seen.tracks, seen.measures
    return SimulationResult(
        engine=choice.engine,
        seed=run.seed,
        replications=len(outcomes),
        horizon_s=setup.horizon_s,
        warmup_s=seen.warmup_s,
        stationary=seen.stationary,
        verdict=seen.verdict(),
        theory=limit,
        summary=seen.summary,
        nodes=_by_node(setup, limit, measures),
        prompts=count_prompts(tracks),
        digest=_digest(outcomes),
        stopped=seen.stopped,
        notes=[*limit.notes, *filter(None, [choice.note]), *_remarks(outcomes)],
        setup=setup,
        kept=tracks,
        out_of_memory=any(outcome.out_of_memory for outcome in outcomes),
    )


def _seen(setup: Setup, outcomes: list[Outcome]) -> Observation:
    """Observe all replications so far, in their common window."""
    return observe(
        [outcome.track for outcome in outcomes],
        setup.slots,
        finite=setup.scenario.arrivals.process in FINITE,
        stopped=next((outcome.stopped for outcome in outcomes if outcome.stopped), None),
    )


def _is_vague(run: Run, seen: Observation) -> bool:
    """Tell whether the interval is still wider than was asked for, and more runs are allowed."""
    if run.relative_half_width is None or seen.stopped:
        return False
    if len(seen.tracks) >= (run.replications_max or REPLICATIONS_MAX):
        return False
    return seen.summary["sojourn_time_s"].relative_half_width > run.relative_half_width


class _Jobs(NamedTuple):
    """What all replications have in common."""

    setup: Setup
    engine: Literal["simpy", "compiled"]
    totals: bool
    trace: Path | str | None

    def job(self, replication: int) -> Job:
        """Describe one replication."""
        seed, file = self.setup.scenario.run.seed, _trace_file(self.trace, replication)
        return Job(self.setup, seed, replication, file, self.engine, self.totals)


def _run(
    jobs: _Jobs, replications: range, workers: int | Pool | None, progress: Progress | None
) -> list[Outcome]:
    if workers is None:
        workers = cores() if is_large(jobs.setup, jobs.engine) else 1
    if isinstance(workers, int):
        workers = min(workers, len(replications))
    outcomes: dict[int, Outcome] = {}
    each = [jobs.job(replication) for replication in replications]
    for job, outcome in run_all(replicate, each, workers):
        outcomes[job.replication] = outcome
        if progress is not None:
            progress(len(outcomes), len(each))
    return [outcomes[replication] for replication in replications]


def _trace_file(trace: Path | str | None, replication: int) -> Path | None:
    if trace is None:
        return None
    name = str(trace)
    if "{replication}" in name:
        return Path(name.replace("{replication}", str(replication)))
    return Path(name) if replication == 0 else None


def is_large(setup: Setup, engine: str) -> bool:
    """Tell whether a simulation by this engine is worth more than one process."""
    return expected_tasks(setup) > POOL_TASKS_MIN[engine]


def expected_tasks(setup: Setup) -> float:
    """Count the tasks that a simulation will serve, roughly: all replications, no overload."""
    plan, run = setup.scenario.plan, setup.scenario.run
    asked = np.minimum(plan.proposers, setup.peers.lengths())
    per_second = float(np.dot(setup.arrival_rate_hz, (asked + 1) * plan.layers + 1))
    prompts = setup.scenario.arrivals.prompts or len(setup.recorded)
    span_s = setup.horizon_s
    if prompts:
        span_s = min(span_s, prompts / sum(setup.arrival_rate_hz))
    return per_second * span_s * run.replications


def _by_node(setup: Setup, limit: Bound, measures: list[Measures]) -> list[NodeSummary]:
    utilization = np.mean([one.utilization for one in measures], axis=0)
    queue_length = np.mean([one.queue_length for one in measures], axis=0)
    return [
        NodeSummary(name, limit.offered_load[i], float(utilization[i]), float(queue_length[i]))
        for i, name in enumerate(setup.names)
    ]


def _digest(outcomes: list[Outcome]) -> str | None:
    """Give the digest of one replication; of several, the SHA-256 of their digests."""
    digests = [outcome.digest for outcome in outcomes if outcome.digest is not None]
    if len(digests) < len(outcomes):
        return None
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _remarks(outcomes: list[Outcome]) -> list[str]:
    ignored = sum((outcome.ignored for outcome in outcomes), Counter[str]())
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
    return [f"messages that the nodes ignored: {said}"] if said else []
