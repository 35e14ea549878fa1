"""Every subcommand of plot and topology draw writes the figure that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import SHORT, Run

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "stem"),
    [
        (("queue", "t.dmoa"), "queue-length"),
        (("timeline", "t.dmoa"), "prompt-timeline"),
        (("timeline", "t.dmoa", "--prompt", "3:2"), "prompt-timeline"),
        (("heatmap", "star", "--layers", "0..2", "--proposers", "1,2"), "critical-rate"),
        (("overlay", "--topology", "abilene"), "overlay"),
        (("sojourn", "ring", *SHORT), "sojourn-time"),
    ],
)
def test_both_formats_are_written_unless_one_is_named(
    dmoa: Run, workdir: Path, arguments: tuple[str, ...], stem: str
) -> None:
    if "t.dmoa" in arguments:
        assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    result = dmoa("plot", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"figure: {stem}.png\nfigure: {stem}.svg\n"
    assert (workdir / f"{stem}.png").read_bytes().startswith(PNG)
    assert "<svg" in (workdir / f"{stem}.svg").read_text()
    assert dmoa("plot", *arguments, "--output", "new/one.png").stdout == "figure: new/one.png\n"
    assert (workdir / "new" / "one.png").read_bytes().startswith(PNG)


RATES = ("--grid", "arrivals.arrival_rate_hz=0.1,0.2", "--workers", "1", "--store", "s.db")
LAYERS, NODES = ("--grid", "plan.layers=0,1"), ("--grid", "overlay.nodes=6,8")


def test_a_sweep_over_two_other_keys_has_a_panel_for_each_value_of_one(
    dmoa: Run, workdir: Path
) -> None:
    assert dmoa("sweep", "ring", *SHORT, *LAYERS, *NODES, *RATES).exit_code == 0
    result = dmoa("plot", "phase", "s.db")
    assert result.stdout == "figure: phase.png\nfigure: phase.svg\n", result.stderr
    assert (workdir / "phase.png").read_bytes().startswith(PNG)
    chosen = [(), ("--y", "plan.layers"), ("--panels", "overlay.nodes"), ("--y", "overlay.nodes"),
              ("--relative",)]  # fmt: skip
    drawn = []
    for options in chosen:
        assert dmoa("plot", "phase", "s.db", *options, "-o", "one.svg").exit_code == 0
        drawn.append((workdir / "one.svg").read_bytes())
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("grids", "options", "said"),
    [
        (LAYERS, (), "a phase diagram needs a sweep over arrivals.arrival_rate_hz and one or two"),
        (RATES, (), "and one or two other keys, but ['arrivals.arrival_rate_hz'] was given"),
        (
            (*LAYERS, *NODES, "--grid", "plan.proposers=1,2", *RATES),
            (),
            "dmoa.plot.phase_panels draws the points that you choose",
        ),
        ((*LAYERS, *RATES), ("--y", "plan.proposers"), "--y: must be a key that was swept"),
        (
            (*LAYERS, *RATES),
            ("--panels", "arrivals.arrival_rate_hz"),
            "--panels: must be a key that was swept, other than the arrival rate",
        ),
        ((*LAYERS, *RATES), ("--panels", "plan.layers"), "the rows need a key of their own"),
        (
            (*LAYERS, *NODES, *RATES),
            ("--y", "plan.layers", "--panels", "plan.layers"),
            "the rows need a key of their own",
        ),
    ],
)
def test_a_store_without_the_keys_of_a_phase_diagram_is_refused(
    dmoa: Run, workdir: Path, grids: tuple[str, ...], options: tuple[str, ...], said: str
) -> None:
    short = ("--horizon", "5", "--replications", "1", "--workers", "1", "--store", "s.db")
    assert dmoa("sweep", "ring", *short, *grids).exit_code == 0
    result = dmoa("plot", "phase", "s.db", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert [file.name for file in workdir.iterdir()] == ["s.db"]


def test_the_prompt_that_is_asked_for_is_drawn(dmoa: Run, workdir: Path) -> None:
    assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    for prompt in ("3:2", "4:1"):
        name = f"p{prompt[0]}.svg"
        assert dmoa("plot", "timeline", "t.dmoa", "--prompt", prompt, "-o", name).exit_code == 0
    assert (workdir / "p3.svg").read_bytes() != (workdir / "p4.svg").read_bytes()


def test_a_prompt_that_the_run_has_not_is_refused(dmoa: Run, workdir: Path) -> None:
    assert dmoa("simulate", "ring", *SHORT, "--trace", "t.dmoa").exit_code == 0
    result = dmoa("plot", "timeline", "t.dmoa", "--prompt", "3:100000")
    assert result.exit_code == 2
    assert "no such prompt" in result.stderr
    assert [file.name for file in workdir.iterdir()] == ["t.dmoa"]


def test_topology_draw_takes_the_parameters_of_its_overlay(dmoa: Run, workdir: Path) -> None:
    result = dmoa("topology", "draw", "tree", "--nodes", "7", "--set", "overlay.branching=3",
                  "-o", "tree.svg")  # fmt: skip
    assert result.exit_code == 0
    assert "7 nodes" in (workdir / "tree.svg").read_text() or result.stdout == "figure: tree.svg\n"
