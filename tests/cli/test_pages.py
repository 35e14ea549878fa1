"""What people read: verdict and why, theory beside measurement, nodes, notes, what next."""

from __future__ import annotations

import io
from pathlib import Path

import msgpack
import pytest

from dmoa import study
from tests.cli.conftest import SHORT, Run

LONG = ("--horizon", "1500", "--replications", "4")


def words(page: str) -> str:
    """Give a page as one line, without frames, so that line breaks do not matter."""
    return " ".join(page.replace("│", " ").split())


def words_by_line(page: str) -> str:
    """Give a page with single spaces, line by line."""
    return "\n".join(f" {' '.join(line.split())} " for line in page.splitlines())


def test_a_stable_run_says_why_and_what_next(dmoa: Run) -> None:
    result = dmoa("simulate", "ring", "--layers", "0", *LONG)
    page = words(result.stdout)
    assert result.exit_code == 0
    assert "STABLE λ = 0.2 is below λ* = 1 prompts/s per node: every node is offered 20 %" in page
    assert "Evidence: doubling the horizon lets the drift decay" in page
    assert "utilization ρ 0.2 0." in page
    # M = 0 is M/M/1 at ρ = 0.2: Lq = 0.05, Wq = 0.25, W = 1.25
    assert "queue length Lq ≈ 0.05 0.0" in page
    assert "waiting time Wq ≈ 0.25 0.2" in page
    assert "sojourn time W ≈ 1.25 1." in page
    assert "--figures DIR draws this run." in page
    assert "bottleneck" not in page
    assert "dmoa capacity" in page


def test_an_unstable_run_is_a_finding_with_a_way_out(dmoa: Run) -> None:
    result = dmoa("simulate", "--topology", "karate", "--arrival-rate", "0.2", *LONG)
    page = words(result.stdout)
    assert result.exit_code == 0
    assert "UNSTABLE λ = 0.2 is not below λ* = 0.07389 prompts/s per node" in page
    assert "the bottleneck, node 33, is offered 271 % of the work" in page
    assert "33 ◂ bottleneck" in page
    assert "Next: give --arrival-rate 0.0665, or --selection weighted" in page
    assert "queue length Lq " in page
    assert "≈ 0" not in page


def test_an_unstable_run_on_a_ring_has_no_better_weights_to_offer(dmoa: Run) -> None:
    page = words(dmoa("simulate", "ring", "--arrival-rate", "0.5", *LONG).stdout)
    assert "Next: give --arrival-rate 0.225." in page


def test_an_undetermined_run_names_the_horizon_it_would_take(dmoa: Run) -> None:
    page = words(dmoa("simulate", "ring", *SHORT, "--replications", "10").stdout)
    assert "UNDETERMINED" in page
    assert "Next: about --horizon " in page


def test_one_replication_has_no_intervals_and_asks_for_more(dmoa: Run) -> None:
    page = words(dmoa("simulate", "ring", "--horizon", "500", "--replications", "1").stdout)
    assert "one replication cannot tell drift from chance" in page
    assert "give more replications" in page
    assert " to " not in page.partition("queue length Lq")[2].partition("number in system")[0]


def test_a_burst_has_no_steady_state_to_judge(dmoa: Run) -> None:
    page = words(dmoa("simulate", "paper-table-1", "--replications", "2").stdout)
    assert "no steady state to judge" in page
    assert "measured whole" in page


def test_many_nodes_are_cut_to_those_with_most_load(dmoa: Run) -> None:
    page = dmoa("simulate", "--topology", "karate", "--arrival-rate", "0.05", *SHORT).stdout
    assert "… and 22 more nodes with less load; --json gives all" in page
    assert page.index("\n 33 ") < page.index("\n 0 ")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "ring", *SHORT),
        ("simulate", "--topology", "geant", *SHORT),
        ("bound", "paper-table-1"),
        ("topology", "list"),
        ("topology", "show", "campus"),
        ("presets",),
    ],
)
def test_pages_fit_the_terminal(dmoa: Run, columns: int, arguments: tuple[str, ...]) -> None:
    result = dmoa(*arguments, COLUMNS=str(columns))
    assert result.exit_code == 0
    assert max(len(line.rstrip()) for line in result.stdout.splitlines()) <= columns


def test_colours_follow_the_environment(dmoa: Run) -> None:
    arguments = ("bound", "ring")
    assert "\x1b[" not in dmoa(*arguments).stdout
    coloured = dmoa(*arguments, FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[1m" in coloured
    plain = dmoa("simulate", "ring", *SHORT, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stdout
    assert "\x1b[3" not in plain


def test_names_of_nodes_are_never_markup(dmoa: Run, workdir: Path) -> None:
    (workdir / "odd.edgelist").write_text("[bold] [/nonsense]\n:smile: [bold]\n", encoding="utf-8")
    page = dmoa("bound", "--topology", "odd.edgelist").stdout
    assert "\n [bold] " in page
    assert "\n [/nonsense] " in page
    assert "\n :smile: " in page


def test_bound_says_what_batches_gain_and_what_a_host_allows(dmoa: Run) -> None:
    values = ("station.slots=2", "station.speedup=[1, 1.5]", "host.cores=4")
    sets = [part for value in values for part in ("--set", value)]
    page = words(dmoa("bound", "ring", *sets).stdout)
    assert "critical rate λ* (this selection, all slots busy) 0.1875 100 %" in page
    assert "λ* with one slot 0.125 67 %" in page
    assert "λ* of the busiest host alone 0.1875 100 %" in page
    assert "the bottleneck, host common, is offered 107 % of the work that it can do" in page
    assert "of capacity" in page
    assert "common 8 107 %" in page
    assert "◂ bottleneck" not in dmoa("simulate", "ring", *sets, "--horizon", "50").stdout


def test_bound_sets_the_limits_side_by_side(dmoa: Run) -> None:
    page = words(dmoa("bound", "--topology", "karate").stdout)
    assert "critical rate λ* (this selection) 0.07389 100 %" in page
    assert "Theorem 1 (complete overlays) 0.25 338 %" in page
    assert "λ* with the best weights 0.1111 150 %" in page
    assert "no proof is known" in page


def test_means_that_theory_does_not_know_are_left_open(dmoa: Run) -> None:
    arguments = ("ring", "--set", "station.slots=2")
    assert "\n 0 0.8 2 – \n" in words_by_line(dmoa("bound", *arguments).stdout)
    page = words(dmoa("simulate", *arguments, *SHORT).stdout)
    assert "utilization ρ 0.4 0." in page
    assert "sojourn time W ≈" not in page


def test_several_bottlenecks_are_counted(dmoa: Run) -> None:
    page = words(dmoa("bound", "--topology", "grid", "--nodes", "16").stdout)
    assert "each of 4 bottlenecks, such as node 5, is offered" in page


def test_capacity_says_whether_the_bracket_holds_the_theory(dmoa: Run) -> None:
    page = words(
        dmoa(
            "capacity", "complete", "--layers", "0", "--proposers", "0", "--nodes", "2",
            "--horizon", "1000", "--replications", "5", "--width", "0.5",
        ).stdout
    )  # fmt: skip
    assert "critical rate λ* of theory 1 100.0 %" in page
    assert "The bracket contains the λ* of theory." in page
    assert " stable 0." in page


@pytest.mark.parametrize(
    ("low", "high", "tried", "expected"),
    [
        (None, 0.3, "undetermined", "The rates tried give no bracket; a longer --horizon"),
        (0.1, None, "out of memory", "no bracket: runs outgrew memory; try a shorter --horizon."),
        (0.1, 0.2, "unstable", "The bracket does NOT contain the λ* of theory."),
    ],
)
def test_capacity_says_where_theory_and_simulation_part(
    dmoa: Run,
    monkeypatch: pytest.MonkeyPatch,
    low: float | None,
    high: float | None,
    tried: str,
    expected: str,
) -> None:
    found = study.CapacityResult(
        critical_rate_hz=0.25,
        low=low,
        high=high,
        estimate=None,
        bottleneck="0",
        verdicts=[study.RateVerdict(0.2, tried, 100.0)],
    )
    monkeypatch.setattr(study, "capacity", lambda *_, **__: found)
    assert expected in words(dmoa("capacity", "ring").stdout)


def test_topology_show_for_people(dmoa: Run) -> None:
    page = words(dmoa("topology", "show", "ring", "--nodes", "6").stdout)
    assert "ring · connected overlay" in page
    assert "6 nodes, 6 edges, diameter 3, neighbours per node 2 to 2, 2 on average" in page
    assert "(2, 3) 0.1429 0.1111 0.1429" in page


def test_a_disconnected_overlay_is_described(dmoa: Run, workdir: Path) -> None:
    (workdir / "parts.edgelist").write_text("a b\nc d\n", encoding="utf-8")
    page = words(dmoa("topology", "show", "parts.edgelist").stdout)
    assert "parts.edgelist · disconnected overlay" in page
    assert "diameter –" in page
    assert "note: the overlay is disconnected: 2 parts that never ask each other" in page


def test_a_directed_overlay_is_described(dmoa: Run, workdir: Path) -> None:
    (workdir / "oneway.json").write_text(
        '{"directed": true, "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "edges": '
        '[{"source": "a", "target": "b"}, {"source": "b", "target": "c"}]}'
    )
    result = dmoa("topology", "show", "oneway.json")
    assert result.exit_code == 0, result.stderr
    page = words(result.stdout)
    assert "oneway.json · connected directed overlay" in page
    assert "neighbours per node 0 to 1" in page
    assert "note: the overlay is directed" in page


def test_a_trace_that_no_longer_agrees_is_shown_and_fails(dmoa: Run, workdir: Path) -> None:
    assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    file = workdir / "t.dmoa"
    objects = list(msgpack.Unpacker(io.BytesIO(file.read_bytes())))
    objects[5][4] += 1  # one more task waits than the core says
    file.write_bytes(b"".join(map(msgpack.packb, objects)))
    result = dmoa("replay", "t.dmoa")
    assert result.exit_code == 1
    assert "4 steps agree, then one differs:" in result.stdout
    assert "recorded: 1 waiting" in result.stdout
    assert "replayed: 0 waiting" in result.stdout
    found = dmoa("replay", "t.dmoa", "--json")
    assert found.exit_code == 1
    assert '"entry": 4' in found.stdout


def test_a_trace_that_was_cut_off_is_read_with_a_note(dmoa: Run, workdir: Path) -> None:
    assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    file = workdir / "t.dmoa"
    file.write_bytes(file.read_bytes()[:10_000])
    result = dmoa("replay", "t.dmoa")
    assert result.exit_code == 0
    assert "all actions and states agree" in result.stdout
    assert "note: t.dmoa: the last entry" in result.stderr
    assert "cut off" in result.stderr


def test_export_says_what_it_wrote(dmoa: Run, workdir: Path) -> None:
    assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    page = dmoa("export", "t.dmoa", "t.jsonl").stdout
    entries = len((workdir / "t.jsonl").read_text(encoding="utf-8").splitlines()) - 1
    assert page == f"{entries:,} entries written to t.jsonl\n"


def test_files_are_named_where_they_were_written(dmoa: Run) -> None:
    page = dmoa("simulate", "ring", *SHORT, "--figures", "f", "--trace", "t.dmoa").stdout
    assert "\ntrace: t.dmoa\n" in page
    assert "figure: f/overlay.png\n" in page
    assert "figure: f/queue-length.svg\n" in page
    assert "--figures DIR" not in page
