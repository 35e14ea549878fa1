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
