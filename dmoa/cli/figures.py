"""What the commands that draw have in common: check the place first, draw, save, say where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dmoa import plot, study
from dmoa.cli.output import console, print_json
from dmoa.study.store import read_store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.scenario import Scenario


def draw(make: Callable[[], Axes], output: str, *, as_json: bool) -> None:
    """Draw a figure into a file, after a check that the file can be written."""
    plot.check_writable(output)
    written = plot.save(make(), output)
    if as_json:
        print_json({"written": [str(file) for file in written]})
    else:
        for file in written:
            console().print(f"figure: {file}", soft_wrap=True)


def draw_overlay(scenario: Scenario, output: str | None, *, as_json: bool) -> None:
    """Draw the overlay of a scenario with its offered loads."""

    def make() -> Axes:
        setup = study.prepare(scenario)
        return plot.overlay(setup, study.bound(setup).offered_load)

    draw(make, output or "overlay", as_json=as_json)


def stability(store: str) -> Axes:
    """Draw the stability curves of a sweep's finished points."""
    rows = read_store(store).rows
    return plot.stability_curves([row for row in rows if row["status"] == "finished"])


def draw_stability(store: str, output: str) -> list[Path]:
    """Write the stability curves of a sweep; give the files."""
    return plot.save(stability(store), output)
