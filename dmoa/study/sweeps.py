"""Sweep: simulate every point of a grid on all cores, and keep what is finished."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dmoa import __version__
from dmoa.errors import DmoaError, InvariantError, ScenarioError
from dmoa.live.cores import cores
from dmoa.scenario import Scenario, resolve, to_dict, value_at, with_values
from dmoa.scenario.overlay_files import is_file_name
from dmoa.study.bounds import prepare, to_json
from dmoa.study.cluster import Cluster
from dmoa.study.engines import check_engine, choose, make_ready
from dmoa.study.grid import Grid, check_grid, configurations
from dmoa.study.pool import Processes
from dmoa.study.results import SimulationResult
from dmoa.study.simulation import expected_tasks, is_large, simulate
from dmoa.study.store import SCENARIO_COLUMNS, Manifest, Outcome, Point, Store, file_named
from dmoa.study.units import Pool, PoolError

if TYPE_CHECKING:
    import networkx as nx

Progress = Callable[[int, int, float | None], None]
Names = tuple[str | None, str | None, str | None]
Hashes = tuple[str | None, ...]

_NAMED = ("overlay.topology", "arrivals.file", "service.file")
_TITLES = ("name", "description")

LOOKED_AT_MAX = 20
"""Points at most that are resolved beforehand to see whether the engine must be compiled."""


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What `sweep` found out: one flat row for every point, in the order of the grid.

    ``finished`` and ``failed`` add up to ``total``; ``resumed`` of the finished ones were in the
    store already. A row has the swept paths, ``plan.layers``, ``plan.proposers`` and
    ``arrivals.arrival_rate_hz`` even where they were not swept, ``status``, verdict and theory,
    ``_mean``, ``_low`` and ``_high`` of each measure, and ``error``; what a point lacks is None.
    """

    path: Path
    points: list[dict[str, Any]]
    finished: int
    failed: int
    total: int
    resumed: int

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa sweep --json``."""
        return {"store": str(self.path), **{k: v for k, v in asdict(self).items() if k != "path"}}


@dataclass(frozen=True)
class Task:
    """A point to be simulated: what a worker needs for it, and hashes of the files it reads."""

    scenario: Scenario
    graph: nx.Graph[Any] | None
    point: Point
    files: Hashes = (None, None, None)
    engine: str = "auto"


def sweep(
    scenario: Scenario,
    grid: Mapping[str, Iterable[Any]],
    *,
    store: str | os.PathLike[str],
    engine: str = "auto",
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    graph: nx.Graph[Any] | None = None,
) -> SweepResult:
    """Simulate every combination of values of a grid, and write each to a store as it finishes.

    All points draw from the same random streams, so that they differ by their configuration and
    not by chance. The same call with the same store does only what is missing, whatever ended the
    last one: an error, Ctrl-C or a kill. A point that fails is recorded and does not stop the
    others; it is tried again by the next call.

    Args:
        scenario: what all points have in common.
        grid: dotted path of the scenario to its values, at most 100,000 combinations.
        store: the file; made if there is none.
        engine: as of `simulate`, for every point; a store that goes on may have had another.
        workers: processes to use, at least 1; None: all cores.
        scheduler: address of a Dask scheduler whose workers take the place of processes, such as
            ``tcp://10.0.0.1:8786``.
        progress: called with the points done, those to be done and the seconds left (None until
            one finished).
        tell: called with what to tell the user before a wait.
        graph: a networkx graph in place of the overlay that the scenario names.

    Raises:
        ScenarioError: a path or a value is wrong, the store cannot be used, or no scheduler
            answers; before any work. Later: the disk is full, or a file has changed.
        DmoaError: a worker process was killed, or the cluster was lost.
        KeyboardInterrupt: Ctrl-C, after the store was closed.

    >>> from tempfile import TemporaryDirectory
    >>> from dmoa.scenario import load
    >>> ring = load("ring", ["run.horizon_s=50", "run.replications=2"])
    >>> with TemporaryDirectory() as folder:
    ...     result = sweep(ring, {"plan.layers": [0, 1]}, store=f"{folder}/ring.db", workers=1)
    >>> [(row["plan.layers"], row["critical_rate_hz"]) for row in result.points]
    [(0, 1.0), (1, 0.25)]
    """
    _check_workers(workers, scheduler)
    path, axes = file_named(store), check_grid(scenario, grid)
    tasks = _tasks(scenario, axes, graph, engine)
    manifest = Manifest(
        scenario=_configuration(scenario), grid=axes, dmoa=__version__, graph=_graph_hash(graph)
    )
    with Store(path, manifest, [task.point for task in tasks]) as journal:
        finished = journal.finished()
        missing = [task for task in tasks if task.point.key not in finished]
        resumed = len(tasks) - len(missing)
        report = _reporter(progress, resumed, len(tasks))
        try:
            with closing(_simulated(missing, workers, scheduler, tell)) as units:
                for unit in units:
                    journal.record((task.point, outcome) for task, outcome in unit)
                    for _ in unit:
                        report()
        except PoolError as error:
            raise PoolError(
                f"{error}; what was finished is in {path}: sweep again to go on"
            ) from None
        rows = journal.table().rows
    failed = sum(row["status"] == "failed" for row in rows)
    return SweepResult(path, rows, len(rows) - failed, failed, len(rows), resumed)


def _check_workers(workers: int | None, scheduler: str | None) -> None:
    if workers is not None and workers < 1:
        raise ScenarioError(
            "must be at least 1", path="workers", given=workers, remedy="leave it out: all cores"
        )
    if workers is not None and scheduler is not None:
        raise ScenarioError(
            "are those of the scheduler", path="workers", given=workers, remedy="leave one out"
        )


def _simulated(
    tasks: list[Task],
    workers: int | None,
    scheduler: str | None,
    tell: Callable[[str], None] | None,
) -> Generator[list[tuple[Task, Outcome]]]:
    """Simulate points, a unit of work at a time, in the order in which they finish."""
    if not tasks:
        return
    if scheduler is None:
        _compile_once(tasks, tell)
    with _pool(workers, scheduler) as pool:
        if _share_replications(tasks, pool.workers):
            for task in tasks:
                yield [(task, run_point(task, pool))]
        else:
            yield from pool.run(run_point, tasks)


def _pool(workers: int | None, scheduler: str | None) -> Processes | Cluster:
    return Processes(workers or cores()) if scheduler is None else Cluster(scheduler)


def _compile_once(tasks: list[Task], tell: Callable[[str], None] | None) -> None:
    """Have the engine compiled here, where a point takes it, before every worker waits for it."""
    for task in tasks[:: -ceil(len(tasks) / LOOKED_AT_MAX)]:
        scenario = with_values(task.scenario, task.point.values)
        with suppress(ScenarioError):  # that point says so itself
            setup = resolve(_uniform(scenario), task.graph)
            choice = choose(setup, task.engine, expected_tasks(setup), totals=None)
            if choice.engine == "compiled":
                make_ready(choice, tell)
                return


def _share_replications(tasks: list[Task], workers: int) -> bool:
    """Tell whether workers that share one point after another end sooner than with one each.

    Only where some would stand idle: what replications leave behind is large to send.
    """
    if len(tasks) >= workers:
        return False
    scenarios = [with_values(task.scenario, task.point.values) for task in tasks]
    replications = min(scenario.run.replications for scenario in scenarios)
    if len(tasks) * ceil(replications / workers) >= replications:
        return False
    try:
        setups = [prepare(made, task.graph) for made, task in zip(scenarios, tasks, strict=True)]
    except ScenarioError:
        return False  # that point says so itself
    engine = tasks[0].engine
    return all(is_large(made, choose(made, engine, expected_tasks(made)).engine) for made in setups)


def run_point(task: Task, workers: int | Pool = 1) -> Outcome:
    """Simulate one point; an error of the point's own is its outcome.

    Args:
        task: the point.
        workers: processes or a pool for its replications; 1: this process.

    Raises:
        ScenarioError: a file that the scenario names is not the one that the sweep began with.
        InvariantError: a bug.
    """
    scenario = with_values(task.scenario, task.point.values)
    _check_files(_names(scenario, task.graph), task.files)
    try:
        # A row has no place for the best weights, which would take longer than a short point.
        result = simulate(
            scenario, graph=task.graph, engine=task.engine, workers=workers, best=False
        )
    except (InvariantError, PoolError):
        raise
    except DmoaError as error:
        return Outcome(error=str(error))
    if result.out_of_memory:
        # How far it came depends on the machine, so it is no result of the point.
        return Outcome(error=f"{result.stopped}; where there is more memory, sweep again")
    return Outcome(_columns(result))


def _columns(result: SimulationResult) -> dict[str, Any]:
    limit = result.theory
    columns: dict[str, Any] = {
        "verdict": result.verdict.status,
        "critical_rate_hz": limit.critical_rate_hz,
        "theorem1_critical_rate_hz": limit.theorem1_critical_rate_hz,
        "offered_load_max": limit.offered_load_max,
        "bottleneck": limit.bottleneck,
        "horizon_s": result.horizon_s,
        "warmup_s": result.warmup_s,
        "digest": result.digest,
    }
    for measure, estimate in result.summary.items():
        columns[f"{measure}_mean"] = estimate.mean
        columns[f"{measure}_low"] = estimate.low
        columns[f"{measure}_high"] = estimate.high
    return to_json(columns)


def _reporter(progress: Progress | None, resumed: int, total: int) -> Callable[[], None]:
    """Report the start; give what reports each further point, with the seconds left."""
    started_s, done = time.monotonic(), resumed

    def report() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            # The wall time of a point, whichever number of workers shared it.
            each_s = (time.monotonic() - started_s) / (done - resumed)
            progress(done, total, each_s * (total - done))

    if progress is not None:
        progress(done, total, None)
    return report


def _tasks(scenario: Scenario, grid: Grid, graph: nx.Graph[Any] | None, engine: str) -> list[Task]:
    """Check every point and give it its hash: whatever its result depends on is in it."""
    if graph is not None and any(path.startswith("overlay.") for path in grid):
        raise ScenarioError(
            "a graph takes the place of the overlay", path="grid", given=[*grid],
            remedy="leave out graph, or the paths that begin with overlay",
        )  # fmt: skip
    graph_hash = _graph_hash(graph)
    hashes: dict[Names, Hashes] = {}
    tasks: dict[str, Task] = {}
    for position, (values, configured) in enumerate(configurations(scenario, grid)):
        check_engine(engine, configured)
        names = _names(configured, graph)
        if names not in hashes:
            _check_names(configured, graph)
            hashes[names] = _file_hashes(names)
        about = {
            "dmoa": __version__,
            "scenario": _configuration(configured),
            "graph": graph_hash,
            "files": hashes[names],
        }
        key = hashlib.sha256(msgspec.json.encode(about, order="deterministic")).hexdigest()
        if key in tasks:
            raise ScenarioError(
                "two points are the same configuration", path="grid", given=values,
                remedy="give every value once",
            )  # fmt: skip
        own = {path: value_at(configured, path) for path in SCENARIO_COLUMNS}
        point = Point(key, position, values | own)
        tasks[key] = Task(scenario, graph, point, hashes[names], engine)
    return list(tasks.values())


def _configuration(scenario: Scenario) -> dict[str, Any]:
    """Give what a run depends on: all but the titles."""
    return {key: value for key, value in to_dict(scenario).items() if key not in _TITLES}


def _names(scenario: Scenario, graph: nx.Graph[Any] | None) -> Names:
    """Give what the scenario names outside of itself, in the order of ``_NAMED``."""
    topology = None if graph is not None else scenario.overlay.topology
    return topology, scenario.arrivals.file, scenario.service.file


def _check_names(scenario: Scenario, graph: nx.Graph[Any] | None) -> None:
    """Refuse an unknown topology or a missing file at once, not point by point.

    What else does not fit an overlay depends on the point, and is that point's failure.
    """
    try:
        resolve(_uniform(scenario), graph)
    except ScenarioError as error:
        if error.path in _NAMED:
            raise


def _uniform(scenario: Scenario) -> Scenario:
    """Do without best weights: they take a linear program, which says nothing of names or size."""
    return with_values(scenario, {"plan.selection": "uniform"})


def _check_files(names: Names, hashes: Hashes) -> None:
    """Refuse a file that changed while the sweep ran, or is another one on this machine."""
    for path, name, begun, found in zip(_NAMED, names, hashes, _file_hashes(names), strict=True):
        if begun != found:
            raise ScenarioError(
                f"is another file on {platform.node()} than where the sweep began, or none",
                path=path,
                given=name,
                remedy="leave it as it is while a sweep runs; on a cluster, put it in the folder "
                "where the workers were started, or name it by a path that all machines share",
            )


def _file_hashes(names: Names) -> Hashes:
    """Hash the files that a scenario names, so that old results do not outlive a change."""
    topology, *files = names
    found: list[str | None] = []
    for name in (topology if topology and is_file_name(topology) else None, *files):
        try:
            content = Path(name).read_bytes() if name is not None else b""
        except OSError:
            content = b""  # each point says so itself
        found.append(hashlib.sha256(content).hexdigest() if content else None)
    return tuple(found)


def _graph_hash(graph: nx.Graph[Any] | None) -> str | None:
    """Hash what a simulation sees of a graph: its nodes in their order, and its edges."""
    if graph is None:
        return None
    overlay = resolve(Scenario(), graph)
    return hashlib.sha256(msgspec.json.encode([overlay.names, list(overlay.peers)])).hexdigest()
