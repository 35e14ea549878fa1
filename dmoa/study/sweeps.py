"""Sweep: simulate every point of a grid on all cores, and keep what is finished."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dmoa import __version__
from dmoa.errors import DmoaError, InvariantError, ScenarioError
from dmoa.live.cores import cores
from dmoa.scenario import Scenario, resolve, to_dict, value_at, with_values
from dmoa.scenario.overlay_files import is_file_name
from dmoa.study.bounds import to_json
from dmoa.study.grid import Grid, check_grid, configurations
from dmoa.study.pool import run_all
from dmoa.study.results import SimulationResult
from dmoa.study.simulation import simulate
from dmoa.study.store import SCENARIO_COLUMNS, Manifest, Outcome, Point, Store, file_named

if TYPE_CHECKING:
    import networkx as nx

Progress = Callable[[int, int, float | None], None]
Names = tuple[str | None, str | None, str | None]

_NAMED = ("overlay.topology", "arrivals.file", "service.file")
_TITLES = ("name", "description")


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
    """A point to be simulated: what a worker process needs for it."""

    scenario: Scenario
    graph: nx.Graph[Any] | None
    point: Point


def sweep(
    scenario: Scenario,
    grid: Mapping[str, Iterable[Any]],
    *,
    store: str | os.PathLike[str],
    workers: int | None = None,
    progress: Progress | None = None,
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
        workers: processes to use, at least 1; None: all cores.
        progress: called with the points done, those to be done and the seconds left (None until
            one finished).
        graph: a networkx graph in place of the overlay that the scenario names.

    Raises:
        ScenarioError: a path or a value is wrong, or the store cannot be used; before any work.
        DmoaError: a worker process was killed.
        KeyboardInterrupt: Ctrl-C, after the store was closed.

    >>> from tempfile import TemporaryDirectory
    >>> from dmoa.scenario import load
    >>> ring = load("ring", ["run.horizon_s=50", "run.replications=2"])
    >>> with TemporaryDirectory() as folder:
    ...     result = sweep(ring, {"plan.layers": [0, 1]}, store=f"{folder}/ring.db", workers=1)
    >>> [(row["plan.layers"], row["critical_rate_hz"]) for row in result.points]
    [(0, 1.0), (1, 0.25)]
    """
    if workers is not None and workers < 1:
        raise ScenarioError(
            "must be at least 1", path="workers", given=workers, remedy="leave it out: all cores"
        )
    path, axes = file_named(store), check_grid(scenario, grid)
    points = _points(scenario, axes, graph)
    manifest = Manifest(
        scenario=_configuration(scenario), grid=axes, dmoa=__version__, graph=_graph_hash(graph)
    )
    with Store(path, manifest, points) as journal:
        finished = journal.finished()
        tasks = [Task(scenario, graph, point) for point in points if point.key not in finished]
        resumed = len(points) - len(tasks)
        report = _reporter(progress, resumed, len(points))
        try:
            for task, outcome in run_all(run_point, tasks, min(workers or cores(), len(tasks))):
                journal.record(task.point, outcome)
                report()
        except BrokenExecutor:
            raise DmoaError(
                "a worker process was killed, perhaps for want of memory; what was finished is in "
                f"{path}; sweep again to go on, with fewer workers"
            ) from None
        rows = journal.table().rows
    failed = sum(row["status"] == "failed" for row in rows)
    return SweepResult(path, rows, len(rows) - failed, failed, len(rows), resumed)


def run_point(task: Task) -> Outcome:
    """Simulate one point in this process; an error of the point's own is its outcome.

    Raises:
        InvariantError: a bug.
    """
    try:
        scenario = with_values(task.scenario, task.point.values)
        return Outcome(_columns(simulate(scenario, graph=task.graph, workers=1)))
    except InvariantError:
        raise
    except DmoaError as error:
        return Outcome(error=str(error))


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


def _points(scenario: Scenario, grid: Grid, graph: nx.Graph[Any] | None) -> list[Point]:
    """Check every point and give it its hash: whatever its result depends on is in it."""
    if graph is not None and any(path.startswith("overlay.") for path in grid):
        raise ScenarioError(
            "a graph takes the place of the overlay", path="grid", given=[*grid],
            remedy="leave out graph, or the paths that begin with overlay",
        )  # fmt: skip
    graph_hash = _graph_hash(graph)
    hashes: dict[Names, list[str | None]] = {}
    points: dict[str, Point] = {}
    for position, (values, configured) in enumerate(configurations(scenario, grid)):
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
        if key in points:
            raise ScenarioError(
                "two points are the same configuration", path="grid", given=values,
                remedy="give every value once",
            )  # fmt: skip
        own = {path: value_at(configured, path) for path in SCENARIO_COLUMNS}
        points[key] = Point(key, position, values | own)
    return list(points.values())


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
    # The best weights take a linear program, which says nothing about names.
    uniform = with_values(scenario, {"plan.selection": "uniform"})
    try:
        resolve(uniform, graph)
    except ScenarioError as error:
        if error.path in _NAMED:
            raise


def _file_hashes(names: Names) -> list[str | None]:
    """Hash the files that a scenario names, so that old results do not outlive a change."""
    topology, *files = names
    found: list[str | None] = []
    for name in (topology if topology and is_file_name(topology) else None, *files):
        try:
            content = Path(name).read_bytes() if name is not None else b""
        except OSError:
            content = b""  # each point says so itself
        found.append(hashlib.sha256(content).hexdigest() if content else None)
    return found


def _graph_hash(graph: nx.Graph[Any] | None) -> str | None:
    """Hash what a simulation sees of a graph: its nodes in their order, and its edges."""
    if graph is None:
        return None
    overlay = resolve(Scenario(), graph)
    return hashlib.sha256(msgspec.json.encode([overlay.names, list(overlay.peers)])).hexdigest()
