"""Traces that exist are measured by the same rules, whoever wrote them and in how many files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from dmoa.errors import ScenarioError
from dmoa.study import load_track, measure_traces, replay, simulate
from dmoa.study.replays import _moved
from dmoa.trace import TraceWriter, read_trace
from tests.sim.runs import scenario


@pytest.fixture
def runs(workdir: Path):
    """Simulate a small ring, and write the trace of every replication."""
    made = scenario("ring", overlay__nodes=4, run={"horizon_s": 300, "replications": 3})
    return workdir, simulate(made, workers=1, trace=workdir / "t-{replication}.trace")


def split(source: Path, folder: Path) -> None:
    """Write a trace as live nodes do: a file for each, on a clock that began with its node."""
    header, entries = read_trace(source)
    told = list(entries)
    for node in range(len(header.names)):
        own = [entry for entry in told if entry[1] == node]
        began_s = own[0][0] - 1.0
        place = folder / "nodes" / header.names[node] / "trace"
        place.mkdir(parents=True)
        about = msgspec.structs.replace(
            header, engine="live", node=node, began_s=1_700_000_000.0 + began_s
        )
        with TraceWriter(place / "000001.trace", about, in_place=True) as writer:
            writer.extend([_moved(entry, -began_s) for entry in own])


def test_the_measures_of_traces_are_those_of_the_simulation(runs):
    folder, run = runs
    found = measure_traces([folder / f"t-{number}.trace" for number in range(3)], whole=True)
    assert found.prompts == run.prompts
    assert found.engine == "simpy"
    assert len(found.tracks) == 3
    busy = [node.utilization for node in found.nodes]
    assert np.mean(busy) == pytest.approx(found.summary["utilization"].mean)
    assert found.tasks_per_prompt == pytest.approx(4, rel=0.05)
    assert found.to_dict()["verdict"] == found.verdict.status


def test_the_files_of_a_clusters_nodes_are_one_run_on_one_clock(runs):
    folder, _ = runs
    whole = load_track(folder / "t-0.trace")[1]
    split(folder / "t-0.trace", folder / "cluster")
    header, merged = load_track(folder / "cluster")
    assert header.engine == "live"
    shift_s = whole.end_s - merged.end_s
    for node in range(4):  # at one instant, nodes may come in another order
        own, also = whole.steps.node == node, merged.steps.node == node
        assert np.allclose(merged.steps.time_s[also] + shift_s, whole.steps.time_s[own])
        assert merged.steps.waiting[also].tolist() == whole.steps.waiting[own].tolist()
    assert sorted(merged.tasks.queued_s + shift_s) == pytest.approx(sorted(whole.tasks.queued_s))
    assert sorted(merged.prompts.outcome) == sorted(whole.prompts.outcome)


def test_each_file_of_a_folder_is_replayed_by_itself(runs):
    folder, run = runs
    assert replay(folder).agreed == sum(len(track.steps.time_s) for track in run.tracks)


def test_the_first_difference_in_a_folder_is_told(runs, tmp_path):
    header, entries = read_trace(runs[0] / "t-0.trace")
    told = list(entries)
    wrong = (*told[5][:4], 99, *told[5][5:])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with TraceWriter(elsewhere / "a.trace", header) as writer:
        writer.extend([*told[:5], wrong])
    report = replay(elsewhere)
    assert (report.agreed, report.agrees) == (5, False)


def test_a_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match="the folder holds no traces"):
        measure_traces([tmp_path])


def test_traces_of_different_overlays_are_refused(runs):
    folder, _ = runs
    other = scenario("ring", overlay__nodes=5, run={"horizon_s": 50, "replications": 1})
    simulate(other, workers=1, trace=folder / "b.trace")
    with pytest.raises(ScenarioError, match="is of another overlay than the first"):
        measure_traces([folder / "t-0.trace", folder / "b.trace"])
    with pytest.raises(ScenarioError, match="are of different overlays"):
        measure_traces([folder])


def test_nothing_to_measure_is_refused():
    with pytest.raises(ScenarioError, match="there is nothing to measure"):
        measure_traces([])
