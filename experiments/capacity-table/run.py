"""Bracket the critical rate by simulation on five overlays and four plans: 20 cells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels

import dmoa
from dmoa.plot import style

OVERLAYS: dict[str, dict[str, Any]] = {
    "ring-8": {"overlay.topology": "ring", "overlay.nodes": 8},
    "complete-8": {"overlay.topology": "complete", "overlay.nodes": 8},
    "star-8": {"overlay.topology": "star", "overlay.nodes": 8},
    "grid-4x4": {"overlay.topology": "grid", "overlay.nodes": 16},
    "barabasi-albert-32": {
        "overlay.topology": "barabasi-albert",
        "overlay.nodes": 32,
        "overlay.attachments": 2,
        "overlay.seed": 1,
    },
}
PLANS = ((0, 0), (1, 1), (1, 2), (2, 2))
HORIZON_S = {"grid-4x4": 10000.0, "star-8": 30000.0, "barabasi-albert-32": 30000.0}
"""Where one node or four are the bottleneck, not all: a longer run, so that the bottlenecks serve
200,000 tasks in the replications that give the estimate, whose standard error is then 0.3 %."""

COLUMNS = (
    Column("overlay", "overlay"),
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("critical_rate_hz", "λ*", ".4f"),
    Column("stable_hz", "stable at", ".4f"),
    Column("unstable_hz", "unstable at", ".4f"),
    Column("width_percent", "width %", ".1f"),
    Column("estimate_hz", "estimate", ".4f"),
    Column("estimate_error_percent", "error %", "+.2f"),
    Column("bracketed", "λ* inside"),
)


def cell(experiment: Experiment, overlay: str, layers: int, proposers: int) -> dict[str, Any]:
    """Measure the capacity of one overlay under one plan."""
    values = {**OVERLAYS[overlay], "plan.layers": layers, "plan.proposers": proposers}
    if layers > 0 and overlay in HORIZON_S:
        values["run.horizon_s"] = HORIZON_S[overlay]
    if experiment.quick:
        values |= {"run.horizon_s": 500.0, "run.replications": 4}
    found = dmoa.capacity(experiment.load(values))
    low, high, limit = found.low or 0.0, found.high or float("inf"), found.critical_rate_hz
    estimate_hz = found.estimate or float("nan")
    return {
        "overlay": overlay,
        "layers": layers,
        "proposers": proposers,
        "critical_rate_hz": limit,
        "stable_hz": low,
        "unstable_hz": high,
        "width_percent": 200 * (high - low) / (high + low),
        "estimate_hz": estimate_hz,
        "estimate_error_percent": 100 * (estimate_hz / limit - 1),
        "bracketed": "yes" if low < limit < high else "no",
    }


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw each cell's bracket and estimate as shares of λ*."""
    figure, axes = panels(1, 1, 6.4, 5.0)
    ax = axes[0, 0]
    for place, row in enumerate(rows):
        limit = row["critical_rate_hz"]
        share = [row["stable_hz"] / limit, row["unstable_hz"] / limit]
        ax.plot(share, [place, place], color=style.BLUE, lw=5, alpha=0.35, solid_capstyle="butt")
        ax.plot(row["estimate_hz"] / limit, place, "o", ms=4.5, color=style.BLUE)
    ax.axvline(1, color=style.VERMILION, ls=style.THEORY_DASHES, lw=1.2)
    names = [f"{row['overlay']}  ({row['layers']}, {row['proposers']})" for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=style.TICK_PT)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    style.label(
        ax,
        title="Critical rate: simulation against theory, for plans (M, k)",
        x="arrival rate / λ*  (bar: from stable to unstable; point: estimate; dashed: λ*)",
    )
    return figure


def main() -> None:
    """Fill the table."""
    experiment = begin(__file__)
    rows = []
    for overlay in experiment.choose(list(OVERLAYS), ["ring-8", "star-8"]):
        for layers, proposers in experiment.choose(PLANS, PLANS[1:2]):
            rows.append(cell(experiment, overlay, layers, proposers))
            print({key: rows[-1][key] for key in ("overlay", "layers", "proposers")}, flush=True)
    experiment.write_table(COLUMNS, rows)
    experiment.save(draw(rows), "brackets")
    if not experiment.quick:
        assert all(row["bracketed"] == "yes" for row in rows)
        assert max(row["width_percent"] for row in rows) <= 10
        assert max(abs(row["estimate_error_percent"]) for row in rows) <= 1
    experiment.end()


if __name__ == "__main__":
    main()
