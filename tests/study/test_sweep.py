"""Sweeps: every point once, whatever fails or is already there."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from dmoa.errors import DmoaError, InvariantError, ScenarioError
from dmoa.plot import stability_curves
from dmoa.scenario import load, with_values
from dmoa.study import bounds, sweeps
from dmoa.study.simulation import simulate
from dmoa.study.store import Outcome, Point, read_store
from dmoa.study.sweeps import Task, run_point, sweep
from dmoa.study.tidy import load_sweep

RING = load("ring", ["run.horizon_s=20", "run.replications=2"])
GRID: dict[str, list] = {"plan.layers": [0, 1], "arrivals.arrival_rate_hz": [0.1, 0.2]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sweep.db"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Give the values of the points that are run; nothing is simulated for them."""
    points: list[dict] = []

    def record(task: Task) -> Outcome:
        points.append(task.point.values)
        return Outcome({"verdict": "stable"})

    monkeypatch.setattr(sweeps, "run_point", record)
    return points


def break_down(task: Task) -> Outcome:
    raise InvariantError(f"a bug in point {task.point.position}")


# --- points ---------------------------------------------------------------------------------


def test_a_row_is_what_simulate_says_of_the_point(store):
    result = sweep(RING, GRID, store=store, workers=1)
    assert (result.path, result.total) == (store, 4)
    assert (result.finished, result.failed, result.resumed) == (4, 0, 0)
    row = result.points[3]
    alone = simulate(with_values(RING, {"plan.layers": 1, "arrivals.arrival_rate_hz": 0.2}))
    assert (row["plan.layers"], row["arrivals.arrival_rate_hz"]) == (1, 0.2)
    assert (row["status"], row["error"]) == ("finished", None)
    assert row["digest"] == alone.digest
    assert row["verdict"] == alone.verdict.status
    assert row["horizon_s"] == alone.horizon_s == 20
    assert row["warmup_s"] == alone.warmup_s
    for name in ("critical_rate_hz", "theorem1_critical_rate_hz", "offered_load_max", "bottleneck"):
        assert row[name] == getattr(alone.theory, name)
    for measure, estimate in alone.summary.items():
        found = [row[f"{measure}_{part}"] for part in ("mean", "low", "high")]
        assert found == [estimate.mean, estimate.low, estimate.high]


def test_no_point_waits_for_best_weights_that_no_row_tells(store, monkeypatch):
    def solve(setup):
        raise AssertionError(setup)

    monkeypatch.setattr(bounds, "best_chances", solve)
    assert sweep(RING, GRID, store=store, workers=1).finished == 4


@pytest.mark.parametrize(
    ("sets", "grid", "fixed"),
    [
        ({}, {"run.seed": [1, 2]}, (1, 2, 0.2)),
        ({"plan.layers": 3}, {"arrivals.arrival_rate_hz": [0.4]}, (3, 2, 0.4)),
        ({}, {"arrivals.process": ["trace"], "arrivals.file": ["day.csv"]}, (1, 2, None)),
    ],
)
@pytest.mark.usefixtures("ran")
def test_every_row_says_its_plan_and_arrival_rate(store, workdir, sets, grid, fixed):
    (workdir / "day.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,10,10\n"
        "2024-05-10 00:00:01,10,10\n", encoding="utf-8",
    )  # fmt: skip
    for row in sweep(with_values(RING, sets), grid, store=store, workers=1).points:
        assert (
            row["plan.layers"], row["plan.proposers"], row["arrivals.arrival_rate_hz"]
        ) == fixed  # fmt: skip
    assert list(row)[: len(grid)] == list(grid)


def test_curves_are_drawn_from_a_sweep_of_nothing_but_rates(store):
    pytest.importorskip("pandas")
    sweep(RING, {"arrivals.arrival_rate_hz": [0.1, 0.2]}, store=store, workers=1)
    ax = stability_curves(load_sweep(store))
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "M = 1, k = 2\n  λ* = 0.25"


def test_worker_processes_give_the_same_rows_in_the_same_order(store, tmp_path):
    several = sweep(RING, GRID, store=store, workers=2)
    one = sweep(RING, GRID, store=tmp_path / "other.db", workers=1)
    assert several.points == one.points
    assert [row["plan.layers"] for row in several.points] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("points", "replications", "workers", "shared"),
    [
        (1, 2, 2, True),
        (1, 1, 2, False),  # nothing to share
        (2, 10, 2, False),  # nobody stands idle
        (3, 4, 8, True),  # three rounds instead of four
        (3, 3, 8, False),
        (5, 100, 64, True),
    ],
)
def test_workers_share_replications_where_they_would_stand_idle(
    points, replications, workers, shared, monkeypatch
):
    monkeypatch.setattr("dmoa.study.simulation.POOL_TASKS_MIN", {"simpy": 0, "compiled": 0})
    made = with_values(RING, {"run.replications": replications})
    tasks = [Task(made, None, Point(str(place), place, {})) for place in range(points)]
    assert sweeps._share_replications(tasks, workers) == shared


@pytest.mark.parametrize(
    "values",
    [
        [{"run.replications": 100}, {"run.replications": 1}],  # the smallest value counts
        [{}, {}],  # too small to be worth it
        [{"overlay.topology": "random-regular", "overlay.degree": 20}],  # does not fit
    ],
)
def test_workers_do_not_share_otherwise(values):
    made = with_values(RING, {"run.replications": 100})
    tasks = [Task(made, None, Point(str(n), n, value)) for n, value in enumerate(values)]
    assert not sweeps._share_replications(tasks, workers=64)


def test_shared_replications_give_the_same_rows(store, tmp_path, monkeypatch):
    monkeypatch.setattr("dmoa.study.simulation.POOL_TASKS_MIN", {"simpy": 0, "compiled": 0})
    grid: dict[str, list] = {"run.replications": [4]}
    shared = sweep(RING, grid, store=store, workers=2)
    alone = sweep(RING, grid, store=tmp_path / "other.db", workers=1)
    assert shared.points == alone.points


@pytest.mark.parametrize("content", ["a b\nb c\nc a\n", None])
def test_a_file_that_changes_while_a_sweep_runs_ends_it(store, workdir, content):
    overlay = workdir / "mine.edgelist"
    overlay.write_text("a b\nb c\n", encoding="utf-8")
    mine = with_values(RING, {"overlay.topology": "mine.edgelist"})

    def change(done: int, *_: object) -> None:
        if done == 1:
            overlay.write_text(content, encoding="utf-8") if content else overlay.unlink()

    with pytest.raises(ScenarioError, match="is another file on") as caught:
        sweep(mine, GRID, store=store, workers=1, progress=change)
    assert (caught.value.path, caught.value.given) == ("overlay.topology", "mine.edgelist")
    assert 1 <= len(read_store(store).rows) < 4


def test_points_differ_by_their_configuration_and_not_by_chance(store):
    result = sweep(RING, {"station.queue_max": [1000, 2000]}, store=store, workers=1)
    small, large = result.points
    assert small["sojourn_time_s_mean"] == large["sojourn_time_s_mean"] > 0


def test_the_result_is_plain_json(store):
    told = sweep(RING, GRID, store=store, workers=1).to_dict()
    assert told.pop("points") == read_store(store).rows
    assert told == {"store": str(store), "finished": 4, "failed": 0, "total": 4, "resumed": 0}


def test_a_point_that_does_not_fit_fails_alone_and_is_tried_again(store, monkeypatch):
    grid: dict[str, list] = {"overlay.degree": [3, 20], "overlay.topology": ["random-regular"]}
    result = sweep(RING, grid, store=store, workers=1)
    assert (result.finished, result.failed, result.total) == (1, 1, 2)
    good, bad = result.points
    assert (bad["status"], bad["verdict"], bad["digest"]) == ("failed", None, None)
    assert "20" in bad["error"]
    assert good["error"] is None
    monkeypatch.setattr(sweeps, "run_point", lambda task: Outcome({"digest": task.point.values}))
    result = sweep(RING, grid, store=store, workers=1)
    assert result.points[0] == good
    assert result.points[1]["digest"]["overlay.degree"] == 20
    assert (result.finished, result.failed, result.resumed) == (2, 0, 1)


def test_a_bug_ends_the_sweep_and_keeps_what_is_finished(store, ran, monkeypatch):
    sweep(RING, {**GRID, "plan.layers": [0]}, store=store, workers=1)
    monkeypatch.setattr(sweeps, "run_point", break_down)
    with pytest.raises(InvariantError, match="a bug in point 2"):
        sweep(RING, GRID, store=store, workers=1)
    assert len(read_store(store).rows) == len(ran) == 2


def test_a_bug_in_a_point_is_not_taken_for_its_failure(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise InvariantError("a bug")

    monkeypatch.setattr(sweeps, "simulate", fail)
    with pytest.raises(InvariantError, match="a bug"):
        run_point(Task(RING, None, Point("key", 0, {})))


def test_a_killed_worker_is_said_and_what_is_finished_stays(store):
    def kill_workers(done: int, *_: object) -> None:
        if done == 1:
            for worker in multiprocessing.active_children():
                worker.kill()

    grid: dict[str, list] = {"run.seed": [*range(10)]}
    with pytest.raises(DmoaError, match="a worker process was killed") as caught:
        sweep(RING, grid, store=store, workers=2, progress=kill_workers)
    assert str(store) in str(caught.value)
    assert 1 <= len(read_store(store).rows) < 10
    assert sweep(RING, grid, store=store, workers=1).finished == 10


# --- resuming -------------------------------------------------------------------------------


def test_the_same_sweep_again_runs_nothing(store, ran):
    first = sweep(RING, GRID, store=store, workers=1)
    again = sweep(RING, GRID, store=str(store), workers=1)
    assert len(ran) == 4
    assert (again.finished, again.total, again.resumed) == (4, 4, 4)
    assert again.points == first.points


def test_new_values_and_new_paths_run_only_what_is_new(store, ran):
    sweep(RING, GRID, store=store, workers=1)
    del ran[:]
    grown: dict[str, list] = {"plan.layers": [2, 1, 0], "arrivals.arrival_rate_hz": [0.1, 0.2]}
    result = sweep(RING, grown, store=store, workers=1)
    assert [values["plan.layers"] for values in ran] == [2, 2]
    assert [row["plan.layers"] for row in result.points] == [2, 2, 1, 1, 0, 0]
    del ran[:]
    # The scenario's own number of proposers is 2, so the points with it are there.
    result = sweep(RING, {**grown, "plan.proposers": [1, 2]}, store=store, workers=1)
    assert {values["plan.proposers"] for values in ran} == {1}
    assert (result.total, result.resumed) == (12, 6)


def test_titles_and_the_way_a_number_is_written_make_no_difference(store, ran):
    sweep(RING, {"arrivals.arrival_rate_hz": [1.0]}, store=store, workers=1)
    renamed = with_values(RING, {"name": "other", "description": "another day"})
    sweep(renamed, {"arrivals.arrival_rate_hz": np.array([1])}, store=store, workers=1)
    assert len(ran) == 1


@pytest.mark.parametrize(
    ("changes", "grid", "said"),
    [
        ({"run.seed": 2}, GRID, "run.seed is 1 there and 2 here"),
        ({"run.replications": 3}, GRID, "run.replications is 2 there and 3 here"),
        ({}, {**GRID, "plan.layers": [0]}, "plan.layers lacks 1"),
        ({}, {"plan.layers": [0, 1]}, "arrivals.arrival_rate_hz is swept only there"),
    ],
)
def test_another_sweep_in_the_same_file_is_refused(store, ran, changes, grid, said):
    sweep(RING, GRID, store=store, workers=1)
    content = store.read_bytes()
    with pytest.raises(ScenarioError, match="holds another sweep") as caught:
        sweep(with_values(RING, changes), grid, store=store, workers=1)
    assert said in str(caught.value)
    assert store.read_bytes() == content
    assert len(ran) == 4


def test_another_version_does_not_take_over_old_points(store, ran, monkeypatch):
    sweep(RING, GRID, store=store, workers=1)
    monkeypatch.setattr(sweeps, "__version__", "99.0")
    with pytest.raises(ScenarioError, match=r"this is 99\.0"):
        sweep(RING, GRID, store=store, workers=1)
    assert len(ran) == 4


def test_a_changed_file_makes_another_sweep(store, ran, workdir):
    overlay = workdir / "mine.edgelist"
    overlay.write_text("a b\nb c\n", encoding="utf-8")
    mine = with_values(RING, {"overlay.topology": "mine.edgelist"})
    sweep(mine, GRID, store=store, workers=1)
    assert sweep(mine, GRID, store=store, workers=1).resumed == 4
    overlay.write_text("a b\nb c\nc a\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match="a file that the scenario names has changed"):
        sweep(mine, GRID, store=store, workers=1)
    assert len(ran) == 4


def test_a_graph_takes_the_place_of_the_overlay(store):
    path = nx.path_graph(3)
    result = sweep(RING, {"plan.layers": [0, 1]}, store=store, workers=1, graph=path)
    alone = simulate(with_values(RING, {"plan.layers": 1}), graph=path)
    assert result.points[1]["digest"] == alone.digest
    again = sweep(RING, {"plan.layers": [0, 1]}, store=store, workers=1, graph=nx.path_graph(3))
    assert again.resumed == 2
    with pytest.raises(ScenarioError, match="the graph is another one"):
        sweep(RING, {"plan.layers": [0, 1]}, store=store, workers=1, graph=nx.path_graph(4))


# --- refused before any work ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "rest", "path", "problem"),
    [
        ({"plan.layer": [1]}, {}, "plan.layer", "no such key"),
        ({"plan.layers": [0, -1]}, {}, "plan.layers", "whole number"),
        ({"plan.layers": [0, 1, 0]}, {}, "grid", "the same configuration"),
        ({"name": ["a", "b"]}, {}, "grid", "the same configuration"),
        ({"overlay.topology": ["ring", "rnig"]}, {}, "overlay.topology", "did you mean 'ring'"),
        ({"overlay.topology": ["no.json"]}, {}, "overlay.topology", "no such file"),
        ({"overlay.nodes": [3]}, {"graph": nx.path_graph(2)}, "grid", "place of the overlay"),
        ({"plan.layers": [0]}, {"workers": 0}, "workers", "at least 1"),
        ({"plan.layers": [0]}, {"store": ""}, "store", "must name a file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(store, ran, grid, rest, path, problem):
    with pytest.raises(ScenarioError, match=problem) as caught:
        sweep(RING, grid, **{"store": store, "workers": 1, **rest})
    assert caught.value.path == path
    assert not store.exists()
    assert ran == []


def test_a_folder_in_place_of_an_overlay_file_is_refused(store, ran, workdir):
    (workdir / "mine.json").mkdir()
    with pytest.raises(ScenarioError, match="cannot be read"):
        sweep(RING, {"overlay.topology": ["mine.json"]}, store=store, workers=1)
    assert ran == []


def test_a_point_that_fails_twice_over_fails_alone(store):
    grid: dict[str, list] = {"overlay.topology": ["random-regular"], "overlay.degree": [20]}
    measured = with_values(RING, {"service.distribution": "empirical", "service.file": "no.txt"})
    result = sweep(measured, grid, store=store, workers=1)
    assert (result.finished, result.failed) == (0, 1)


def test_a_missing_file_of_service_times_is_said_at_once(store, ran):
    measured = with_values(RING, {"service.distribution": "empirical", "service.file": "no.txt"})
    with pytest.raises(ScenarioError, match=r"service\.file: there is no such file"):
        sweep(measured, GRID, store=store, workers=1)
    assert ran == []


# --- progress -------------------------------------------------------------------------------


def test_progress_counts_points_and_tells_the_seconds_left(store, ran, monkeypatch):
    sweep(RING, {**GRID, "plan.layers": [0]}, store=store, workers=1)
    clock_s = iter([100.0, 103.0, 104.0])
    monkeypatch.setattr(sweeps, "time", SimpleNamespace(monotonic=lambda: next(clock_s)))
    told: list[tuple] = []
    sweep(RING, GRID, store=store, workers=1, progress=lambda *now: told.append(now))
    assert told == [(2, 4, None), (3, 4, 3.0), (4, 4, 0.0)]
    assert len(ran) == 4


def test_progress_without_anything_to_do_reports_once(store, ran):
    told: list[tuple] = []
    sweep(RING, GRID, store=store, workers=1)
    sweep(RING, GRID, store=store, progress=lambda *now: told.append(now))
    assert told == [(4, 4, None)]
    assert len(ran) == 4
