"""Simulate Tables I and II of arXiv 2412.21200 and set them beside what was published."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels, share_legend
from paper import TABLE_1, TABLE_2, Row, simulate

from dmoa.plot import style

COLUMNS = (
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("paper_latency_s", "paper: latency (s)", ".1f"),
    Column("latency_s", "ours (s)", ".1f"),
    Column("latency_half_width_s", "±95 %", ".1f"),
    Column("latency_sd_s", "sd of one run", ".0f"),
    Column("latency_error_percent", "error %", "+.1f"),
    Column("paper_queue", "paper: queue", ".2f"),
    Column("queue_ref", "queue_ref", ".2f"),
    Column("queue_ref_half_width", "±95 %", ".2f"),
    Column("queue_ref_sd", "sd of one run", ".2f"),
    Column("queue_ref_error_percent", "error %", "+.0f"),
    Column("queue_length", "exact average Lq", ".2f"),
)


def compare(experiment: Experiment, file: str, published: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Simulate the rows of one table."""
    scenario = experiment.load({"run.replications": experiment.choose(400, 20)}, file)
    rows = []
    for row in published:
        ours = simulate(scenario, row)
        latency, queue = ours.latency_s, ours.queue_ref
        rows.append(
            {
                "layers": row.layers,
                "proposers": row.proposers,
                "paper_latency_s": row.latency_s,
                "latency_s": latency.mean,
                "latency_half_width_s": latency.high - latency.mean,
                "latency_sd_s": ours.latency_sd_s,
                "latency_error_percent": 100 * (latency.mean / row.latency_s - 1),
                "paper_queue": row.queue,
                "queue_ref": queue.mean,
                "queue_ref_half_width": queue.high - queue.mean,
                "queue_ref_sd": ours.queue_ref_sd,
                "queue_ref_error_percent": 100 * (queue.mean / row.queue - 1),
                "queue_length": ours.queue_length.mean,
            }
        )
    return rows


def root_mean_square(errors_percent: Any) -> float:
    """Give the root mean square of errors."""
    return float(np.sqrt((np.asarray(errors_percent) ** 2).mean()))


def loading_text(rows: list[dict[str, Any]]) -> str:
    """Tell what a time that is the same in all rows would explain of Table II."""
    ours = np.array([row["latency_s"] for row in rows])
    paper = np.array([row["paper_latency_s"] for row in rows])
    # Least squares of the relative errors: scale * ours + constant against the paper.
    scale, constant_s = np.linalg.lstsq(
        np.column_stack([ours, np.ones_like(ours)]) / paper[:, None], np.ones_like(ours)
    )[0]
    errors = 100 * ((scale * ours + constant_s) / paper - 1)
    return (
        f"With {scale:.2f} times our latencies and {constant_s:.0f} s added to each, the seven "
        f"rows of Table II are met to {root_mean_square(errors):.0f} % rms, the worst to "
        f"{np.abs(errors).max():.0f} %; without the constant to "
        f"{root_mean_square([row['latency_error_percent'] for row in rows]):.0f} % and "
        f"{max(abs(row['latency_error_percent']) for row in rows):.0f} %."
    )


PANELS = (
    ("latency_s", "latency_sd_s", "paper_latency_s", "mean latency (s)"),
    ("queue_ref", "queue_ref_sd", "paper_queue", "queue length (tasks)"),
)
"""Rows of the figure: ours, the spread of one run, the published value, the axis' label."""


def draw(tables: dict[str, list[dict[str, Any]]]) -> Any:
    """Draw latencies above queues, Table I left of Table II."""
    figure, axes = panels(len(PANELS), len(tables), 7.2, 5.2)
    for column, (title, rows) in enumerate(tables.items()):
        places = np.arange(len(rows))
        for line, (ours, spread, paper, text) in enumerate(PANELS):
            ax = axes[line, column]
            ax.errorbar(
                places, [row[ours] for row in rows], [row[spread] for row in rows], fmt="o", ms=5,
                color=style.BLUE, elinewidth=7, ecolor="#BFD9EA",
                label="dmoa: mean, and sd of one run",
            )  # fmt: skip
            ax.plot(
                places, [row[paper] for row in rows], "x", ms=6.5, mew=1.8, color=style.VERMILION,
                label="published: one run", zorder=4,
            )  # fmt: skip
            ax.set_xticks(places, [f"{row['layers']}, {row['proposers']}" for row in rows])
            ax.set_ylim(0)
            style.label(ax, title=title if line == 0 else "", y=text if column == 0 else "")
        axes[1, column].plot(
            places, [row["queue_length"] for row in rows], "_", ms=12, mew=1.6, color=style.INK,
            label="dmoa: exact time average Lq", zorder=3,
        )  # fmt: skip
        style.label(axes[1, column], x="layers M, proposers k", y="" if column else PANELS[1][3])
    share_legend(figure, axes[1, 0])
    return figure


def main() -> None:
    """Compare both tables."""
    experiment = begin(__file__)
    first = compare(experiment, "table-1.toml", TABLE_1)
    second = compare(experiment, "table-2.toml", TABLE_2)
    experiment.write_table(COLUMNS, first, "table-1")
    experiment.write_table(COLUMNS, second, "table-2")
    experiment.write_text(loading_text(second), "loading")
    experiment.save(draw({"Table I": first, "Table II (diverse models)": second}), "tables")
    if not experiment.quick:
        # What the README says of them.
        assert max(abs(row["latency_error_percent"]) for row in first) < 8
        assert max(abs(row["latency_error_percent"]) for row in second[1:]) < 25
    experiment.end()


if __name__ == "__main__":
    main()
