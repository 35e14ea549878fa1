"""What the commands that draw have in common: check the place first, draw, save, say where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dmoa import plot, study
from dmoa.cli.output import console, print_json
from dmoa.errors import ScenarioError
from dmoa.plot.cells import RATE
from dmoa.study.store import read_store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmoa.scenario import Scenario


def draw(make: Callable[[], Axes | Figure], output: str, *, as_json: bool) -> None:
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


def phase(store: str, y: str | None, panels: str | None, *, relative: bool) -> Axes | Figure:
    """Draw the phase diagram of a sweep: rows and panels are its first keys unless named."""
    table = read_store(store)
    by, panel = _phase_keys(table.grid, y, panels)
    if panel is None:
        return plot.phase_diagram(table.rows, by, relative=relative)
    return plot.phase_panels(table.rows, by, panel, relative=relative)


def _phase_keys(grid: list[str], y: str | None, panels: str | None) -> tuple[str, str | None]:
    """Choose the keys of the rows and of the panels among those that were swept."""
    others = [key for key in grid if key != RATE]
    if RATE not in grid or not 1 <= len(others) <= 2:
        raise ScenarioError(
            f"a phase diagram needs a sweep over {RATE} and one or two other keys",
            path="store",
            given=grid,
            remedy=f"sweep with --grid {RATE}=… --grid KEY=…; in Python, dmoa.plot.phase_panels "
            "draws the points that you choose",
        )
    for option, key in (("--y", y), ("--panels", panels)):
        if key is not None and key not in others:
            raise ScenarioError(
                "must be a key that was swept, other than the arrival rate",
                path=option,
                given=key,
                remedy=f"name {' or '.join(others)}",
            )
    left = [key for key in others if key not in {y, panels}]
    if y == panels is not None or (y is None and not left):
        raise ScenarioError(
            "the rows need a key of their own",
            path="--panels",
            given=panels,
            remedy="leave it out, or name another key",
        )
    y = y or left.pop(0)
    return y, panels or next(iter(left), None)


def draw_stability(store: str, output: str) -> list[Path]:
    """Write the stability curves of a sweep; give the files."""
    return plot.save(stability(store), output)
