"""`replay`: the core, fed with a recorded trace, does the same again."""

from __future__ import annotations

from pathlib import Path

import msgpack
import networkx as nx
import pytest

from dmoa.errors import ScenarioError
from dmoa.study import replay, simulate
from tests.sim.kinds import KINDS, karate, kind
from tests.sim.runs import scenario


@pytest.mark.parametrize("name", KINDS)
def test_a_trace_of_any_kind_agrees(workdir: Path, name: str):
    result = simulate(kind(name), workers=1, trace="t-{replication}")
    for replication, track in enumerate(result.tracks):
        report = replay(f"t-{replication}")
        assert report.agrees, report.difference
        assert report.agreed == len(track.steps.time_s)
    assert len(list(workdir.iterdir())) == 2


def test_a_trace_on_a_graph_from_python_agrees(workdir: Path):
    simulate(karate(), workers=1, trace=workdir / "t")
    assert replay(workdir / "t").agrees


def test_a_trace_on_a_directed_graph_with_weights_by_hand_agrees(workdir: Path):
    graph = nx.DiGraph([("a", "b"), ("a", "c"), ("b", "c"), ("c", "a")])
    weights = {"a": {"b": 0.9, "c": 0.1}, "b": {"c": 1.0}, "c": {"a": 1.0}}
    made = scenario(
        plan={"layers": 2, "proposers": 1, "selection": "weighted", "weights": weights},
        arrivals__arrival_rate_hz=0.1,
        nodes={"a": {"service_time_s": 0.5, "slots": 2}},
        run={"horizon_s": 100, "replications": 1},
    )
    simulate(made, graph=graph, workers=1, trace=workdir / "t")
    assert replay(workdir / "t").agrees


def test_a_run_that_was_stopped_by_its_limit_agrees(workdir: Path):
    made = kind("overload", **{"run.queue_length_max": 5})
    assert simulate(made, workers=1, trace=workdir / "t").stopped
    assert replay(workdir / "t").agrees


def rewrite(path: Path, entry: int, change) -> None:
    """Change one entry of a trace with a plain MessagePack library."""
    with path.open("rb") as file:
        header, *entries = msgpack.Unpacker(file)
    change(entries[entry])
    path.write_bytes(b"".join(map(msgpack.packb, [header, *entries])))


def first_with(path: Path, kind_of_action: str) -> int:
    with path.open("rb") as file:
        _, *entries = msgpack.Unpacker(file)
    return next(i for i, e in enumerate(entries) if any(a[0] == kind_of_action for a in e[3]))


@pytest.mark.parametrize("action", ["send", "start", "answer"])
def test_a_trace_with_a_missing_action_differs_there(workdir: Path, action: str):
    path = workdir / "t"
    simulate(kind("ring"), workers=1, trace=path)
    at = first_with(path, action)
    rewrite(path, at, lambda entry: entry[3].clear())
    report = replay(path)
    assert not report.agrees
    assert report.difference is not None
    assert (report.agreed, report.difference.entry) == (at, at)
    assert report.difference.recorded[0] == []
    assert report.difference.replayed[0] != []


def test_a_trace_with_another_peer_differs(workdir: Path):
    path = workdir / "t"
    simulate(kind("one layer more"), workers=1, trace=path)

    def ask_another(entry: list) -> None:
        sends = [action for action in entry[3] if action[0] == "send"]
        sends[0][1] = str((int(sends[0][1]) + 1) % 8)

    at = first_with(path, "send")
    rewrite(path, at, ask_another)
    assert replay(path).agreed == at


def test_a_trace_with_another_count_differs(workdir: Path):
    path = workdir / "t"
    simulate(kind("ring"), workers=1, trace=path)
    rewrite(path, 7, lambda entry: entry.__setitem__(4, entry[4] + 1))
    assert replay(path).agreed == 7


def test_what_is_no_trace_is_refused(workdir: Path):
    (workdir / "t").write_text("hello")
    with pytest.raises(ScenarioError, match="no header of a dmoa trace"):
        replay("t")
    with pytest.raises(ScenarioError, match="cannot be read"):
        replay("missing")
