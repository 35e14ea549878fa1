"""What every experiment does: take its options, write its table, its figure and its README."""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import dmoa
from dmoa import plot
from dmoa.plot import style

Choice = TypeVar("Choice")


class Column(NamedTuple):
    """One column of a result: its key in the CSV, its heading and its format in the README."""

    key: str
    heading: str
    format: str = ""


@dataclass
class Experiment:
    """One experiment: where its scenario lies and where its results go.

    ``quick`` asks for a run of seconds that shows only that the script works.
    """

    folder: Path
    out: Path
    quick: bool
    arguments: argparse.Namespace
    started_s: float = field(default_factory=time.monotonic)

    def choose(self, full: Choice, quick: Choice) -> Choice:
        """Give the value for this run: the full or the quick one."""
        return quick if self.quick else full

    def load(self, overrides: Mapping[str, Any], file: str = "scenario.toml") -> dmoa.Scenario:
        """Load a scenario of the experiment's folder."""
        return dmoa.load(self.folder / file, overrides)

    def write_table(
        self, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], name: str = "table"
    ) -> None:
        """Write rows as CSV and into the README, and print them."""
        self.write_csv([column.key for column in columns], rows, name)
        lines = [[column.heading for column in columns], ["---"] * len(columns)]
        lines += [[_shown(row[column.key], column.format) for column in columns] for row in rows]
        self.write_text("\n".join("| " + " | ".join(line) + " |" for line in lines), name)

    def write_csv(self, keys: Sequence[str], rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Write rows as CSV alone: what a figure was drawn from."""
        with (self.out / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(keys)
            writer.writerows([_exact(row[key]) for key in keys] for row in rows)

    def write_text(self, text: str, name: str) -> None:
        """Put text between the README's marks ``<!-- name -->`` and ``<!-- end -->``."""
        print(f"\n{text}", flush=True)
        file = self.out / "README.md"
        readme = (file if file.exists() else self.folder / "README.md").read_text("utf-8")
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        filled, found = marks.subn(lambda mark: f"{mark[1]}\n{text}\n\n{mark[2]}", readme)
        assert found == 1, f"README.md has no place for {name}"
        file.write_text(filled, "utf-8")

    def save(self, figure: Any, name: str) -> None:
        """Write a figure as PNG and SVG."""
        plot.save(figure, self.out / name)

    def end(self) -> None:
        """Say where the results are, and how long they took."""
        print(f"\n{self.out}: {time.monotonic() - self.started_s:.0f} s", flush=True)


def begin(script: str, **options: str) -> Experiment:
    """Read the command line of an experiment.

    Args:
        script: its ``__file__``.
        options: further options that take a value, with their help.
    """
    folder = Path(script).resolve().parent
    parser = argparse.ArgumentParser(description=f"Reproduce the experiment {folder.name}.")
    parser.add_argument(
        "--quick", action="store_true", help="a run of seconds, into a temporary folder"
    )
    parser.add_argument("--out", type=Path, help="folder for the results (default: beside run.py)")
    for name, text in options.items():
        parser.add_argument(f"--{name}", help=text)
    given = parser.parse_args()
    out = given.out
    if out is None:
        # Results of a reduced run must not replace those that the README discusses.
        out = Path(tempfile.mkdtemp(prefix=f"{folder.name}-")) if given.quick else folder
    out.mkdir(parents=True, exist_ok=True)
    return Experiment(folder, out, given.quick, given)


CELL = (
    "share", "arrivals.arrival_rate_hz", "critical_rate_hz", "theorem1_critical_rate_hz",
    "verdict", "queue_length_mean",
)  # fmt: skip
"""What a cell of a phase diagram is drawn from, beside its row and its panel."""


def curve(
    scenario: dmoa.Scenario, shares: Sequence[float], graph: Any = None
) -> list[dict[str, Any]]:
    """Sweep the arrival rate over shares of λ*: the points of one stability curve."""
    limit_hz = dmoa.bound(scenario, graph, best=False).critical_rate_hz
    rates = [float(f"{share * limit_hz:.6g}") for share in shares]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "sweep.db"
        grid = {"arrivals.arrival_rate_hz": rates}
        points = dmoa.sweep(scenario, grid, store=store, graph=graph).points
    plan = {"layers": scenario.plan.layers, "proposers": scenario.plan.proposers}
    return [{**plan, "share": share, **point} for share, point in zip(shares, points, strict=True)]


def count_verdicts(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare verdicts with the λ* of theory: how many agree, and between which shares they change.

    Up to the share ``stable_to`` of λ* every point was found stable, from ``unstable_from`` on
    every one unstable.
    """
    expected = {True: "stable", False: "unstable"}
    counts = {"right": 0, "undetermined": 0, "wrong": 0}
    for point in points:
        if point["verdict"] == "undetermined":
            counts["undetermined"] += 1
        else:
            counts["right" if point["verdict"] == expected[point["share"] < 1] else "wrong"] += 1
    ordered = sorted(points, key=lambda point: point["share"])
    below = takewhile(lambda point: point["verdict"] == "stable", ordered)
    above = takewhile(lambda point: point["verdict"] == "unstable", reversed(ordered))
    return {
        **counts,
        "stable_to": max((point["share"] for point in below), default=None),
        "unstable_from": min((point["share"] for point in above), default=None),
    }


def draw_curves(
    ax: Any, curves: Mapping[str, Sequence[Mapping[str, Any]]], columns: int = 2
) -> None:
    """Draw queue length against arrival rate of named curves that share a plan, and each λ*.

    Args:
        ax: where to draw.
        curves: points of `curve` by the name of each.
        columns: of the legend.
    """
    limits = [points[0]["critical_rate_hz"] for points in curves.values()]
    for place, (name, points) in enumerate(curves.items()):
        colour, limit_hz = style.CURVES[place], limits[place]
        rates = [point["arrivals.arrival_rate_hz"] for point in points]
        means = [point["queue_length_mean"] for point in points]
        ends = [
            [abs(point["queue_length_mean"] - point[f"queue_length_{end}"]) for point in points]
            for end in ("low", "high")
        ]
        ax.errorbar(rates, means, ends, color=colour, lw=style.LINE_PT, elinewidth=1, capsize=2.5)
        for rate, mean, point in zip(rates, means, points, strict=True):
            ax.plot(rate, mean, **_marker(point["verdict"], colour), zorder=3)
        # Lines that coincide take turns: the gaps of one hold the dashes of the others.
        same = [other for other, rate in enumerate(limits) if abs(rate / limit_hz - 1) < 1e-3]
        turns = (-6 * same.index(place), (4, 6 * len(same) - 4 if len(same) > 1 else 2))
        ax.axvline(limit_hz, color=colour, ls=turns, lw=1.2)
        text = f"{name}: λ* = {style.number(limit_hz)} (dashed)"
        ax.plot([], [], color=colour, lw=style.LINE_PT, label=text)
    seen = {point["verdict"] for points in curves.values() for point in points}
    for verdict in style.VERDICTS:
        if verdict in seen:
            ax.plot([], [], **_marker(verdict, style.MUTED), ls="none", label=verdict)
    ax.set_yscale("log")
    style.label(
        ax, x="arrival rate λ per node (prompts/s)", y="mean queue length Lq per node (tasks)"
    )
    style.legend_below(ax, columns=columns)


def _marker(verdict: str, colour: str) -> dict[str, Any]:
    marker, filled = style.VERDICTS[verdict]
    return {
        "marker": marker,
        "ms": 5.5,
        "color": colour,
        "mfc": colour if filled else "white",
        "mew": 1.3,
    }


def panels(rows: int, columns: int, width_in: float, height_in: float) -> tuple[Any, Any]:
    """Make a figure of several axes in the house style: the figure, and its axes as an array."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        style.axes_for(ax)
    return figure, axes


def share_legend(figure: Any, ax: Any, columns: int = 3) -> None:
    """Put one axes' legend below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower left", frameon=False, ncols=columns,
        fontsize=style.NOTE_PT, labelcolor=style.INK,
    )  # fmt: skip


def _exact(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _shown(value: Any, wanted: str) -> str:
    return "" if value is None else format(value, wanted)
