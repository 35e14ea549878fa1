"""One JSON object on standard output, of the shape that the documentation promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmoa.cli import topology
from tests.cli.conftest import SHORT, Answer

MEASURES = {
    "queue_length",
    "number_in_system",
    "utilization",
    "sojourn_time_s",
    "waiting_time_s",
    "throughput_hz",
    "join_buffer",
}


def test_simulate(answer: Answer) -> None:
    found = answer("simulate", "ring", *SHORT, "--seed", "5")
    assert (found["engine"], found["seed"], found["replications"]) == ("simpy", 5, 2)
    assert found["verdict"] in {"stable", "unstable", "undetermined"}
    theory = found["theory"]
    assert theory["critical_rate_hz"] == pytest.approx(0.25)
    assert theory["theorem1_critical_rate_hz"] == pytest.approx(0.25)
    assert theory["offered_load_max"] == pytest.approx(0.8)
    assert theory["bottleneck"] in {str(node) for node in range(8)}
    assert set(found["summary"]) == MEASURES
    for estimate in found["summary"].values():
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    assert [node["node"] for node in found["nodes"]] == [str(node) for node in range(8)]
    assert set(found["nodes"][0]) == {"node", "offered_load", "utilization", "queue_length"}
    assert found["prompts"]["arrived"] >= found["prompts"]["answered"] > 0
    assert len(bytes.fromhex(found["digest"])) == 32


def test_simulate_gives_null_where_there_is_no_interval(answer: Answer) -> None:
    found = answer("simulate", "ring", "--horizon", "200", "--replications", "1")
    assert found["summary"]["queue_length"]["low"] is None


def test_the_same_seed_gives_the_same_answer_with_any_number_of_workers(answer: Answer) -> None:
    one = answer("simulate", "ring", *SHORT, "--workers", "1")
    assert answer("simulate", "ring", *SHORT, "--workers", "2") == one
    assert answer("simulate", "ring", *SHORT, "--seed", "2")["digest"] != one["digest"]


def test_bound(answer: Answer) -> None:
    found = answer("bound", "--topology", "star", "--layers", "1", "--proposers", "1",
                   "--arrival-rate", "0.1")  # fmt: skip
    assert found["critical_rate_hz"] == pytest.approx(1 / 9)
    assert found["theorem1_critical_rate_hz"] == pytest.approx(1 / 3)
    assert found["best_critical_rate_hz"] == pytest.approx(1 / 9)
    assert found["offered_load"][0] == pytest.approx(0.9)
    assert found["bottleneck"] == "0"
    assert found["sufficient"]["case"] == "conjectured"
    assert (found["nodes_total"], found["best_gap"]) == (8, 0.0)


def test_bound_of_many_nodes_lists_the_busiest(answer: Answer) -> None:
    found = answer("bound", "--topology", "star", "--nodes", "5001", "--layers", "1",
                   "--proposers", "1", "--arrival-rate", "0.0001")  # fmt: skip
    assert found["nodes_total"] == 5001
    assert found["nodes"][:2] == ["0", "1"]
    assert {len(found[key]) for key in ("nodes", "offered_load", "saturation", "utilization")} == {
        1000
    }
    assert "of 5,001 nodes only the 1,000 busiest are listed" in found["notes"]


def test_capacity(answer: Answer) -> None:
    found = answer("capacity", "complete", "--layers", "0", "--proposers", "0", "--nodes", "2",
                   "--horizon", "1000", "--replications", "5", "--width", "0.5")  # fmt: skip
    assert found["critical_rate_hz"] == pytest.approx(1.0)
    empirical = found["empirical"]
    assert empirical["low"] < empirical["estimate"] < empirical["high"]
    assert {tried["verdict"] for tried in found["verdicts"]} >= {"stable", "unstable"}


def test_sweep(answer: Answer, workdir: Path) -> None:
    found = answer("sweep", "ring", *SHORT, "--grid", "plan.layers=0,1", "--store", "s.db",
                   "--csv", "s.csv", "--workers", "1")  # fmt: skip
    assert (found["finished"], found["failed"], found["total"]) == (2, 0, 2)
    assert [point["plan.layers"] for point in found["points"]] == [0, 1]
    assert found["store"] == "s.db"
    assert found["written"] == ["s.csv"]
    assert len((workdir / "s.csv").read_text().splitlines()) == 3


def test_check(answer: Answer) -> None:
    found = answer("check", "ring")
    assert set(found) == {"scenario", "simulation", "notes"}
    assert found["scenario"]["overlay"] == {"topology": "ring", "nodes": 8}


def test_topology_list(answer: Answer) -> None:
    found = answer("topology", "list")
    generated = {overlay["name"]: overlay["parameters"] for overlay in found["generated"]}
    assert generated["barabasi-albert"] == {"nodes": 8, "attachments": 2, "seed": 1}
    ready = {overlay["name"]: overlay for overlay in found["ready"]}
    assert (ready["nsfnet"]["nodes"], ready["nsfnet"]["edges"]) == (14, 21)
    assert [overlay["name"] for overlay in found["ready"] if not overlay["description"]] == []


def test_topology_show(answer: Answer) -> None:
    found = answer("topology", "show", "karate")
    assert (found["nodes"], found["edges"], found["diameter"]) == (34, 78, 5)
    assert found["connected"] is True
    assert found["directed"] is False
    assert found["degree"] == {"min": 1, "mean": pytest.approx(4.588, abs=1e-3), "max": 17}
    rates = {(row["layers"], row["proposers"]): row for row in found["critical_rates"]}
    assert rates[1, 2]["critical_rate_hz"] == pytest.approx(0.0739, abs=5e-5)
    assert rates[1, 2]["theorem1_critical_rate_hz"] == pytest.approx(0.25)


def test_topology_show_of_a_directed_overlay_in_parts(answer: Answer, workdir: Path) -> None:
    nodes = [{"id": name} for name in "abcde"]
    ends = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "e")]
    edges = [{"source": one, "target": other} for one, other in ends]
    text = json.dumps({"directed": True, "nodes": nodes, "edges": edges})
    (workdir / "mine.json").write_text(text, "utf-8")
    found = answer("topology", "show", "mine.json")
    assert (found["nodes"], found["edges"], found["diameter"]) == (5, 4, None)
    assert (found["connected"], found["directed"]) == (False, True)
    assert found["degree"] == {"min": 0, "mean": 0.8, "max": 1}


def test_topology_show_of_a_large_overlay_leaves_the_best_weights_out(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "BEST_NODES_MAX", 33)
    found = answer("topology", "show", "karate")
    assert {row["best_critical_rate_hz"] for row in found["critical_rates"]} == {None}
    assert topology.BEST_LEFT_OUT in found["notes"]


def test_topology_draw_and_plots_name_their_files(answer: Answer, workdir: Path) -> None:
    assert answer("topology", "draw", "home", "-o", "home.svg") == {"written": ["home.svg"]}
    assert (workdir / "home.svg").stat().st_size > 1000


def test_replay_and_export(answer: Answer, workdir: Path) -> None:
    answer("simulate", "ring", *SHORT, "--trace", "t.dmoa")
    replayed = answer("replay", "t.dmoa")
    assert replayed["agrees"] is True
    assert replayed["difference"] is None
    exported = answer("export", "t.dmoa", "t.jsonl")
    assert exported["entries"] == replayed["entries_agreed"] > 100
    assert len((workdir / "t.jsonl").read_text().splitlines()) == exported["entries"] + 1


def test_characters_that_the_output_lacks_are_escaped() -> None:
    from click.testing import CliRunner

    from dmoa.cli import main

    result = CliRunner(charset="ascii").invoke(main, ["topology", "list", "--json"])
    assert result.exit_code == 0
    assert "G\\u00c9ANT" in result.stdout
