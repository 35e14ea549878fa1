"""Theorem 1, the general bound and the best weights on overlays of internet shape and size."""

from __future__ import annotations

import sys
from math import pi, sqrt
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, panels, share_legend

import dmoa
from dmoa.plot import style
from dmoa.scenario import Setup
from dmoa.study import at_rate

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SHAPES = ("scale-free", "geometric", "hierarchy")
MEAN_DEGREE = 2 * pi
#: Events per run, and what is too long; there are at most so many for each prompt.
EVENTS, EVENTS_MAX, EVENTS_PER_PROMPT = 5e6, 4e7, 8
#: The verdict needs a hundred times what a prompt takes alone, 3 s, and a little.
HORIZON_MIN_S = 320.0
#: What an overloaded node gathers must be so many times what a critically loaded one has by chance.
CLEAR = 2.0
#: Shares of each limit at which the network is simulated.
BELOW, ABOVE = 0.9, 1.1
COLUMNS = (
    Column("shape", "overlay"),
    Column("nodes", "nodes", ","),
    Column("degree_max", "most neighbours", ","),
    Column("theorem1_hz", "Theorem 1", ".4f"),
    Column("uniform_hz", "λ*, uniform", ".5f"),
    Column("best_hz", "λ*, best weights", ".5f"),
    Column("best_gap", "proven within", ".2%"),
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


def horizon_s(load: float) -> float:
    """Give how long a run must last where the busiest node's offered load is this.

    A node gathers load - 1 tasks a second, as its service takes 1 s, and after t seconds chance
    alone has made a queue of about the root of 2 t at one that is just critically loaded.
    """
    if load <= 1:
        return HORIZON_MIN_S
    return max(HORIZON_MIN_S, 2 * (CLEAR / (load - 1)) ** 2)


def verdict(setup: Setup, rate_hz: float, limit_hz: float, events: float) -> str:
    """Simulate a network at a rate; give the verdict, or a dash where that would take too long."""
    per_second = rate_hz * len(setup.names) * EVENTS_PER_PROMPT
    until_s = max(events / per_second, horizon_s(rate_hz / limit_hz))
    if per_second * until_s > EVENTS_MAX:
        return "–"
    made = at_rate(setup, rate_hz, until_s)
    return dmoa.simulate(made, engine="compiled", totals=True).verdict.status


def compare(experiment: Experiment, shape: str, nodes: int) -> dict[str, Any]:
    """Compute the limits of an overlay, and simulate it on either side of each."""
    replications = experiment.choose(3, 2)
    scenario = experiment.load({"overlay": overlay(shape, nodes), "run.replications": replications})
    weighted = dmoa.load(scenario, {"plan.selection": "weighted", "plan.weights": "best"})
    # Solved here, once: weights that are best at one rate are best at all.
    uniform = dmoa.prepare(scenario)
    best = dmoa.prepare(weighted, like=uniform)
    limit, best_limit = dmoa.bound(uniform, best=False), dmoa.bound(best)
    uniform_hz, best_hz = limit.critical_rate_hz, best_limit.critical_rate_hz
    theorem1_hz, events = limit.theorem1_critical_rate_hz, experiment.choose(EVENTS, 2e5)
    row = {
        "shape": shape,
        "nodes": nodes,
        "degree_max": int(uniform.peers.lengths().max()),
        "theorem1_hz": theorem1_hz,
        "uniform_hz": uniform_hz,
        "best_hz": best_hz,
        "best_gap": best.best_gap,
        "gain": best_hz / uniform_hz,
        "at_theorem1": verdict(uniform, BELOW * theorem1_hz, uniform_hz, events),
        "below_uniform": verdict(uniform, BELOW * uniform_hz, uniform_hz, events),
        "above_uniform": verdict(uniform, ABOVE * uniform_hz, uniform_hz, events),
        "below_best": verdict(best, BELOW * best_hz, best_hz, events),
        "above_best": verdict(best, ABOVE * best_hz, best_hz, events),
    }
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def draw(rows: list[dict[str, Any]]) -> Any:
    """Draw the three limits against the number of nodes, a panel for each shape."""
    figure, axes = panels(1, len(SHAPES), 7.6, 2.8)
    named = (
        ("theorem1_hz", "Theorem 1"),
        ("best_hz", "λ*, best weights"),
        ("uniform_hz", "λ*, uniform"),
    )
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
    share_legend(figure, axes[0, 0])
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
