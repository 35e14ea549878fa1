"""`simulate`: what it returns, what it checks, what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgpack
import networkx as nx
import numpy as np
import pytest

from dmoa.errors import InvariantError, ScenarioError
from dmoa.study import SimulationResult, expected_tasks, load_track, prepare, simulate, simulation
from dmoa.study.replication import Job, Outcome, replicate
from dmoa.trace import Track, measure
from tests.sim.kinds import KINDS, kind
from tests.sim.runs import run, scenario

MEASURES = [
    "join_buffer",
    "number_in_system",
    "queue_length",
    "sojourn_time_s",
    "throughput_hz",
    "utilization",
    "waiting_time_s",
]


def short(**values: object) -> SimulationResult:
    return run(scenario("ring", **{"run.horizon_s": 300, "run.replications": 3, **values}))


# --- the result -----------------------------------------------------------------------------


def test_the_best_weights_are_told_unless_nobody_asks():
    made = scenario("ring", **{"run.horizon_s": 20, "run.replications": 1})
    assert simulate(made).theory.best_critical_rate_hz == pytest.approx(0.25)
    assert simulate(made, best=False).theory.best_critical_rate_hz is None


@pytest.mark.parametrize("name", KINDS)
def test_the_json_object_has_every_key_and_nothing_that_json_cannot_hold(name: str):
    result = run(kind(name))
    said = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    wanted = {
        "engine", "seed", "replications", "verdict", "theory", "summary", "nodes", "prompts",
        "digest",
    }  # fmt: skip
    assert wanted <= said.keys()
    assert (said["engine"], said["seed"], said["replications"]) == ("simpy", 1, 2)
    assert said["verdict"] in {"stable", "unstable", "undetermined"}
    assert {
        "critical_rate_hz", "theorem1_critical_rate_hz", "offered_load_max", "bottleneck"
    } <= said["theory"].keys()  # fmt: skip
    assert sorted(said["summary"]) == MEASURES
    assert all(set(interval) == {"mean", "low", "high"} for interval in said["summary"].values())
    assert [node["node"] for node in said["nodes"]] == list(result.setup.names)
    assert set(said["nodes"][0]) == {"node", "offered_load", "utilization", "queue_length"}
    assert said["prompts"]["arrived"] >= said["prompts"]["answered"]
    assert len(bytes.fromhex(said["digest"])) == 32


def test_summary_and_nodes_are_means_of_the_same_windows():
    result = short()
    windows = [measure(track, result.warmup_s) for track in result.tracks]
    for name in ("queue_length", "utilization"):
        overall = np.mean([getattr(one, name) for one in windows])
        assert result.summary[name].mean == pytest.approx(overall)
        of_nodes = np.mean([getattr(node, name) for node in result.nodes])
        assert of_nodes == pytest.approx(overall)
    assert result.summary["throughput_hz"].mean == pytest.approx(0.2, rel=0.2)


def test_one_replication_has_no_intervals_and_no_verdict():
    result = short(**{"run.replications": 1})
    said = result.to_dict()
    assert said["summary"]["queue_length"]["mean"] > 0
    assert said["summary"]["queue_length"]["low"] is None
    assert said["verdict"] == "undetermined"
    assert "one replication" in said["evidence"]["reason"]


def test_a_run_in_which_nobody_asked_has_no_times():
    result = short(**{"run.horizon_s": 1e-6})
    assert result.prompts == {
        "arrived": 0, "answered": 0, "failed": 0, "expired": 0, "refused": 0, "unfinished": 0
    }  # fmt: skip
    assert result.to_dict()["summary"]["sojourn_time_s"]["mean"] is None
    assert result.summary["queue_length"].mean == 0
    assert result.verdict.status == "undetermined"


def test_loads_below_and_beyond_the_limit_are_told_apart():
    values = {"run.horizon_s": 2000, "run.replications": 5}
    assert short(**{**values, "arrivals.arrival_rate_hz": 0.15}).verdict.status == "stable"
    assert short(**{**values, "arrivals.arrival_rate_hz": 0.35}).verdict.status == "unstable"


def test_a_queue_that_reaches_the_limit_makes_the_run_unstable_and_stops_it():
    result = short(**{"arrivals.arrival_rate_hz": 0.5, "run.queue_length_max": 30})
    assert result.verdict.status == "unstable"
    assert result.stopped is not None
    assert "run.queue_length_max" in result.stopped
    assert result.verdict.reason == result.stopped
    assert (result.warmup_s, result.stationary) == (0.0, False)
    assert all(track.end_s < 300 for track in result.tracks)
    assert any(track.steps.waiting.max() == 30 for track in result.tracks)


def test_a_burst_is_measured_whole_and_ends_when_it_has_drained():
    result = run(scenario("paper-table-1", **{"run.replications": 4}))
    assert (result.warmup_s, result.stationary, result.stopped) == (0.0, False, None)
    assert result.prompts == {
        "arrived": 40, "answered": 40, "failed": 0, "expired": 0, "refused": 0, "unfinished": 0
    }  # fmt: skip
    for track in result.tracks:
        assert track.end_s == pytest.approx(np.nanmax(track.tasks.ended_s))


def test_a_graph_from_python_takes_the_place_of_the_overlay():
    result = run(scenario("ring", **{"run.horizon_s": 50}), nx.path_graph(["a", "b", "c"]))
    assert [node.node for node in result.nodes] == ["a", "b", "c"]


def test_ignored_messages_are_said():
    # Responses that are under way when their stage is joined without them.
    result = short(**{"plan.layer_deadline_s": 1.0, "links.delay_s": 0.3})
    assert any("ignored: " in note and " late" in note for note in result.notes)
    assert short().notes == []


# --- Little's law ---------------------------------------------------------------------------


def test_a_track_that_breaks_littles_law_fails_the_study(monkeypatch: pytest.MonkeyPatch):
    def corrupted(job: Job) -> Outcome:
        outcome = replicate(job)
        assert isinstance(outcome.track, Track)
        prompts = outcome.track.prompts
        late = replace(prompts, ended_s=prompts.ended_s + 1.0)
        return replace(outcome, track=replace(outcome.track, prompts=late))

    assert short().prompts["answered"] > 0
    monkeypatch.setattr(simulation, "replicate", corrupted)
    with pytest.raises(InvariantError, match="Little's law does not hold for the prompts"):
        short()


# --- progress and precision -----------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_counts_the_replications(workers: int):
    calls: list[tuple[int, int]] = []
    simulate(
        scenario("ring", **{"run.horizon_s": 30, "run.replications": 4}),
        workers=workers,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_replications_go_on_until_the_interval_is_narrow_enough():
    wide = short()
    goal = wide.summary["sojourn_time_s"].relative_half_width / 3
    narrow = short(**{"run.relative_half_width": goal})
    assert narrow.summary["sojourn_time_s"].relative_half_width <= goal
    assert narrow.replications > 3
    assert len(narrow.tracks) == narrow.replications
    same = short(**{"run.replications": narrow.replications})
    assert (same.digest, same.summary) == (narrow.digest, narrow.summary)


def test_replications_end_at_their_maximum():
    result = short(**{"run.relative_half_width": 1e-6, "run.replications_max": 5})
    assert result.replications == 5


def test_a_narrow_interval_is_not_waited_for_where_a_limit_stopped_a_run():
    values = {"run.relative_half_width": 1e-6, "run.queue_length_max": 30}
    assert short(**{**values, "arrivals.arrival_rate_hz": 0.5}).replications == 3


# --- workers --------------------------------------------------------------------------------


def test_all_cores_are_used_where_the_work_is_worth_it(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def record(work, items, workers):
        asked.append(workers)
        return [(item, work(item)) for item in items]

    monkeypatch.setattr(simulation, "run_all", record)
    monkeypatch.setattr(simulation, "cores", lambda: 64)
    made = scenario("ring", **{"run.horizon_s": 30, "run.replications": 3})
    simulate(made)
    monkeypatch.setattr(simulation, "POOL_TASKS_MIN", {"simpy": 0, "compiled": 0})
    simulate(made)
    simulate(made, workers=2)
    assert asked == [1, 3, 2]


@pytest.mark.parametrize(
    ("preset", "values", "tasks"),
    [
        ("ring", {"run.horizon_s": 100}, 8 * 0.2 * 4 * 100 * 10),
        ("star", {"run.horizon_s": 100}, (0.09 * 4 + 7 * 0.09 * 3) * 100 * 10),
        ("paper-table-1", {}, 10 * 4 * 400),
    ],
)
def test_the_tasks_to_come_are_counted_beforehand(preset: str, values: dict, tasks: float):
    assert expected_tasks(prepare(scenario(preset, **values))) == pytest.approx(tasks)


DAY = "".join(f"2023-11-16 18:15:{second}.0,10,20\n" for second in (40, 44, 49))


def test_the_tasks_of_a_recorded_day_are_those_of_its_prompts(tmp_path):
    file = tmp_path / "day.csv"
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + DAY)
    values = {"arrivals.process": "trace", "arrivals.file": str(file), "run.replications": 1}
    assert expected_tasks(prepare(scenario("ring", **values))) == pytest.approx(3 * 4)


# --- trace files ----------------------------------------------------------------------------


def test_a_trace_holds_the_first_replication(workdir: Path):
    result = simulate(kind("ring"), workers=1, trace="run.trace")
    assert [path.name for path in workdir.iterdir()] == ["run.trace"]
    header, track = load_track("run.trace")
    assert (header.engine, header.seed, header.replication) == ("simpy", 1, 0)
    np.testing.assert_array_equal(track.steps.time_s, result.tracks[0].steps.time_s)
    np.testing.assert_array_equal(track.prompts.ended_s, result.tracks[0].prompts.ended_s)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_name_with_replication_in_braces_is_written_for_each(workdir: Path, workers: int):
    simulate(kind("ring"), workers=workers, trace=workdir / "run-{replication}.trace")
    assert sorted(path.name for path in workdir.iterdir()) == ["run-0.trace", "run-1.trace"]
    assert load_track("run-1.trace")[0].replication == 1


def test_a_trace_is_a_plain_messagepack_stream(workdir: Path):
    result = simulate(kind("loss"), workers=1, trace=workdir / "t")
    with (workdir / "t").open("rb") as file:
        header, *entries = msgpack.Unpacker(file)
    assert header["format"] == "dmoa-trace"
    assert header["names"] == list(result.setup.names)
    assert len(entries) == len(result.tracks[0].steps.time_s)
    assert all(len(entry) == 8 for entry in entries)


def test_writing_a_trace_changes_nothing(workdir: Path):
    assert simulate(kind("loss"), workers=1, trace=workdir / "t").digest == run(kind("loss")).digest


def test_a_trace_that_cannot_be_written_is_refused_before_any_work(workdir: Path):
    with pytest.raises(ScenarioError, match="cannot be written"):
        simulate(kind("ring"), trace=workdir / "no" / "such" / "folder" / "t")


def test_a_trace_without_entries_is_refused(workdir: Path):
    simulate(kind("ring", **{"run.horizon_s": 1e-6}), workers=1, trace=workdir / "t")
    with pytest.raises(ScenarioError, match="no entries"):
        load_track(workdir / "t")
