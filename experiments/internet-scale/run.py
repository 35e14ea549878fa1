"""Theorem 1, the general bound and the best weights on overlays of internet shape and size."""

from __future__ import annotations

import sys
from math import pi, sqrt
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels

import dmoa
from dmoa.plot import style
from dmoa.scenario import Scenario

SIZES = (1_000, 10_000, 100_000)
SHAPES = ("scale-free", "geometric", "hierarchy")
MEAN_DEGREE = 2 * pi
#: Events per run, but at least so many seconds: a hundred times a prompt alone, which takes 3 s.
EVENTS, HORIZON_MIN_S, EVENTS_MAX = 5e6, 400.0, 6e7
EVENTS_PER_PROMPT = 8
#: Shares of each limit at which the network is simulated.
BELOW, ABOVE = 0.9, 1.1
COLUMNS = (
    Column("shape", "overlay"),
    Column("nodes", "nodes", ","),
    Column("degree_max", "most neighbours", ","),
    Column("theorem1_hz", "Theorem 1", ".4f"),
    Column("uniform_hz", "λ*, uniform", ".5f"),
    Column("best_hz", "λ*, best weights", ".5f"),
    Column("gain", "best / uniform", ".2f"),
    Column("at_theorem1", "at 0.9 of Theorem 1"),
    Column("below_uniform", "0.9 λ*, uniform"),
    Column("above_uniform", "1.1 λ*, uniform"),
    Column("below_best", "0.9 λ*, best"),
    Column("above_best", "1.1 λ*, best"),
)


def overlay(shape: str, nodes: int) -> dict[str, Any]:
    """Describe an overlay of a shape."""
    if shape == "scale-free":
        return {"topology": "barabasi-albert", "nodes": nodes, "attachments": 2}
    if shape == "geometric":
        return {"topology": "geometric", "nodes": nodes, "radius": sqrt(MEAN_DEGREE / (pi * nodes))}
    return {"topology": "hierarchy", "nodes": nodes, "branching": 100, "attachments": 3}


def verdict(scenario: Scenario, rate_hz: float, events: float) -> str:
    """Simulate a network at a rate; give the verdict, or a dash where that would take too long."""
    per_second = rate_hz * (scenario.overlay.nodes or 0) * EVENTS_PER_PROMPT
    horizon_s = max(events / per_second, HORIZON_MIN_S)
    if per_second * horizon_s > EVENTS_MAX:
        return "–"
    values = {"arrivals.arrival_rate_hz": rate_hz, "run.horizon_s": horizon_s}
    found = dmoa.simulate(dmoa.load(scenario, values), engine="compiled", totals=True)
    return found.verdict.status


def compare(experiment: Experiment, shape: str, nodes: int) -> dict[str, Any]:
    """Compute the limits of an overlay, and simulate it on either side of each."""
    replications = experiment.choose(3, 2)
    scenario = experiment.load({"overlay": overlay(shape, nodes), "run.replications": replications})
    best = dmoa.load(scenario, {"plan.selection": "weighted", "plan.weights": "best"})
    setup, events = dmoa.prepare(scenario), experiment.choose(EVENTS, 2e5)
    limit = dmoa.bound(setup)
    uniform_hz, best_hz = limit.critical_rate_hz, limit.best_critical_rate_hz or 0.0
    row = {
        "shape": shape,
        "nodes": nodes,
        "degree_max": int(setup.peers.lengths().max()),
        "theorem1_hz": limit.theorem1_critical_rate_hz,
        "uniform_hz": uniform_hz,
        "best_hz": best_hz,
        "gain": best_hz / uniform_hz,
        "at_theorem1": verdict(scenario, BELOW * limit.theorem1_critical_rate_hz, events),
        "below_uniform": verdict(scenario, BELOW * uniform_hz, events),
        "above_uniform": verdict(scenario, ABOVE * uniform_hz, events),
        "below_best": verdict(best, BELOW * best_hz, events),
        "above_best": verdict(best, ABOVE * best_hz, events),
    }
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw the three limits against the number of nodes, a panel for each shape."""
    figure, axes = panels(1, len(SHAPES), 7.6, 2.8)
    named = (("theorem1_hz", "Theorem 1"), ("best_hz", "λ*, best weights"), ("uniform_hz", "λ*"))
    for ax, shape in zip(axes[0], SHAPES, strict=True):
        own = [row for row in rows if row["shape"] == shape]
        for place, (key, label) in enumerate(named):
            sizes, rates = [row["nodes"] for row in own], [row[key] for row in own]
            ax.plot(sizes, rates, "o-", color=style.CURVES[place], ms=4, label=label)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(1e-4, 0.3)
        style.label(ax, title=shape, x="nodes", y="")
    style.label(axes[0, 0], title=SHAPES[0], x="nodes", y="λ per node (prompts/s)")
    style.legend_below(axes[0, 1], columns=3)
    return figure


def main() -> None:
    """Compare all shapes and sizes."""
    experiment = begin(__file__)
    sizes = experiment.choose(SIZES, SIZES[:1])
    rows = [compare(experiment, shape, nodes) for shape in SHAPES for nodes in sizes]
    experiment.write_table(COLUMNS, rows)
    experiment.save(draw(rows), "limits")
    experiment.end()


if __name__ == "__main__":
    main()
