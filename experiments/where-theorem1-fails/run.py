"""Set Theorem 1, the general bound and simulation side by side on overlays with hubs or borders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels

import dmoa
from dmoa import plot
from dmoa.plot import style

STAR = {"overlay.topology": "star", "overlay.nodes": 8}
GRID = {"overlay.topology": "grid", "overlay.nodes": 16}
SCALE_FREE = {
    "overlay.topology": "barabasi-albert",
    "overlay.nodes": 32,
    "overlay.attachments": 2,
    "overlay.seed": 1,
}
KARATE = {"overlay.topology": "karate"}
CASES: tuple[tuple[str, dict[str, Any], int, int], ...] = (
    ("star, 8 nodes", STAR, 1, 1),
    ("star, 8 nodes", STAR, 2, 2),
    ("grid 4 x 4", GRID, 1, 2),
    ("grid 4 x 4", GRID, 2, 2),
    ("scale-free, 32 nodes", SCALE_FREE, 1, 1),
    ("scale-free, 32 nodes", SCALE_FREE, 2, 2),
    ("karate club, 34 nodes", KARATE, 1, 2),
    ("karate club, 34 nodes", KARATE, 2, 2),
)
COLUMNS = (
    Column("overlay", "overlay"),
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("theorem1_hz", "Theorem 1", ".4f"),
    Column("critical_rate_hz", "λ*", ".4f"),
    Column("ratio", "Theorem 1 / λ*", ".2f"),
    Column("stable_hz", "stable at", ".4f"),
    Column("unstable_hz", "unstable at", ".4f"),
    Column("bottleneck", "bottleneck"),
)


def scenario(experiment: Experiment, case: tuple[str, dict[str, Any], int, int]) -> dmoa.Scenario:
    """Put an overlay and a plan into the scenario."""
    _, overlay, layers, proposers = case
    values = {**overlay, "plan.layers": layers, "plan.proposers": proposers}
    if experiment.quick:
        values |= {"run.horizon_s": 500.0, "run.replications": 3}
    return experiment.load(values)


def compare(experiment: Experiment, case: tuple[str, dict[str, Any], int, int]) -> dict[str, Any]:
    """Compute both limits of a case, and bracket the rate by simulation."""
    own = scenario(experiment, case)
    limit, found = dmoa.bound(own), dmoa.capacity(own)
    return {
        "overlay": case[0],
        "layers": case[2],
        "proposers": case[3],
        "theorem1_hz": limit.theorem1_critical_rate_hz,
        "critical_rate_hz": limit.critical_rate_hz,
        "ratio": limit.theorem1_critical_rate_hz / limit.critical_rate_hz,
        "stable_hz": found.low or 0.0,
        "unstable_hz": found.high or float("inf"),
        "bottleneck": limit.bottleneck,
    }


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw the two limits and the bracket of each case."""
    figure, axes = panels(1, 1, 7.2, 3.6)
    ax, places = axes[0, 0], range(len(rows))
    for place, row in enumerate(rows):
        ax.plot(
            [row["stable_hz"], row["unstable_hz"]], [place, place], color=style.BLUE, lw=7,
            alpha=0.4, solid_capstyle="butt", label="simulation: from stable to unstable",
        )  # fmt: skip
    limits, theorem1 = ([row[key] for row in rows] for key in ("critical_rate_hz", "theorem1_hz"))
    ax.plot(limits, places, "|", ms=12, mew=2, color=style.INK, label="general bound λ*")
    ax.plot(theorem1, places, "x", ms=6.5, mew=1.8, color=style.VERMILION, label="Theorem 1")
    ax.set_xscale("log")
    ticks = [0.05, 0.1, 0.2, 0.3]
    ax.set_xticks(ticks, [style.number(tick) for tick in ticks])
    ax.minorticks_off()
    names = [f"{row['overlay']}  ({row['layers']}, {row['proposers']})" for row in rows]
    ax.set_yticks(places, names, fontsize=style.TICK_PT)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    style.label(
        ax,
        title="Where queues stop being stable, for plans (M, k)",
        x="arrival rate λ per node (prompts/s)",
    )
    handles, names = ax.get_legend_handles_labels()
    chosen = dict(zip(names, handles, strict=True))
    style.legend_below(ax, handles=list(chosen.values()), labels=list(chosen))
    return figure


def main() -> None:
    """Compare all cases."""
    experiment = begin(__file__)
    cases = experiment.choose(CASES, CASES[:1])
    rows = [compare(experiment, case) for case in cases]
    experiment.write_table(COLUMNS, rows)
    experiment.save(draw(rows), "limits")
    # The loads at Theorem 1's own limit of the last case: orange nodes are beyond theirs.
    last = scenario(experiment, cases[-1])
    at_limit = dmoa.load(last, {"arrivals.arrival_rate_hz": rows[-1]["theorem1_hz"]})
    setup = dmoa.prepare(at_limit)
    experiment.save(plot.overlay(setup, dmoa.bound(setup).offered_load), "loads")
    if not experiment.quick:
        for row in rows:
            assert row["stable_hz"] < row["critical_rate_hz"] < row["unstable_hz"], row
            assert row["theorem1_hz"] > row["unstable_hz"], row
    experiment.end()


if __name__ == "__main__":
    main()
