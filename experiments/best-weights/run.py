"""Compare the best weights with the paper's uniform gossip on a scale-free overlay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, curve, draw_curves, panels

import dmoa
from dmoa import plot
from dmoa.plot import style
from dmoa.trace import Estimate, Track, estimate, measure

SELECTIONS: dict[str, dict[str, Any]] = {
    "uniform gossip": {"plan.selection": "uniform"},
    "best weights": {"plan.selection": "weighted", "plan.weights": "best"},
}
PLANS = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3))
SHARES = (0.3, 0.5, 0.7, 0.85, 0.95, 1.05, 1.15)
PAIRED_SHARES = (0.5, 0.8, 0.95)
"""Of the uniform λ*: below it both selections are stable, and differ prompt by prompt."""

LIMITS = (
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("theorem1_hz", "Theorem 1", ".4f"),
    Column("uniform_hz", "λ* uniform", ".4f"),
    Column("best_hz", "λ* best", ".4f"),
    Column("ratio", "best / uniform", ".2f"),
)
PAIRS = (
    Column("arrival_rate_hz", "λ", ".4f"),
    Column("uniform_s", "W uniform (s)", ".3f"),
    Column("best_s", "W best (s)", ".3f"),
    Column("difference_s", "difference (s)", "+.3f"),
    Column("low_s", "95 % from", "+.3f"),
    Column("high_s", "to", "+.3f"),
)
BRACKETS = (
    Column("selection", "selection"),
    Column("critical_rate_hz", "λ*", ".4f"),
    Column("stable_hz", "stable at", ".4f"),
    Column("unstable_hz", "unstable at", ".4f"),
    Column("estimate_hz", "estimate", ".4f"),
)


def limits(experiment: Experiment, layers: int, proposers: int) -> dict[str, Any]:
    """Compute the limits of one plan."""
    bound = dmoa.bound(experiment.load({"plan.layers": layers, "plan.proposers": proposers}))
    best_hz = bound.best_critical_rate_hz or float("nan")
    return {
        "layers": layers,
        "proposers": proposers,
        "theorem1_hz": bound.theorem1_critical_rate_hz,
        "uniform_hz": bound.critical_rate_hz,
        "best_hz": best_hz,
        "ratio": best_hz / bound.critical_rate_hz,
    }


def sojourn_times_s(tracks: tuple[Track, ...], start_s: float) -> list[float]:
    """Give each replication's mean sojourn time over the window from ``start_s``."""
    return [measure(track, start_s).sojourn_time_s for track in tracks]


def compare(scenarios: dict[str, dmoa.Scenario], arrival_rate_hz: float) -> dict[str, Any]:
    """Compare both selections at one rate: same seeds, so the same prompts and services."""
    at_rate = {"arrivals.arrival_rate_hz": arrival_rate_hz}
    results = {name: dmoa.simulate(dmoa.load(own, at_rate)) for name, own in scenarios.items()}
    start_s = max(result.warmup_s for result in results.values())
    uniform, best = (sojourn_times_s(result.tracks, start_s) for result in results.values())
    change: Estimate = estimate([b - u for u, b in zip(uniform, best, strict=True)])
    return {
        "arrival_rate_hz": arrival_rate_hz,
        "uniform_s": estimate(uniform).mean,
        "best_s": estimate(best).mean,
        "difference_s": change.mean,
        "low_s": change.low,
        "high_s": change.high,
    }


def bracket(name: str, scenario: dmoa.Scenario) -> dict[str, Any]:
    """Bracket one selection's critical rate by simulation."""
    found = dmoa.capacity(scenario)
    return {
        "selection": name,
        "critical_rate_hz": found.critical_rate_hz,
        "stable_hz": found.low or 0.0,
        "unstable_hz": found.high or float("inf"),
        "estimate_hz": found.estimate,
    }


def draw_loads(scenarios: dict[str, dmoa.Scenario], arrival_rate_hz: float) -> Any:
    """Draw the loads of both selections at a rate that only one of them carries."""
    figure, axes = panels(1, 2, 11, 4.6)
    for ax, (name, own) in zip(axes.flat, scenarios.items(), strict=True):
        setup = dmoa.prepare(dmoa.load(own, {"arrivals.arrival_rate_hz": arrival_rate_hz}))
        plot.overlay(setup, dmoa.bound(setup).offered_load, ax)
        ax.set_title(
            f"{name}, λ = {style.number(arrival_rate_hz)}/s per node", loc="left", pad=18,
            fontsize=style.TITLE_PT,
        )  # fmt: skip
    return figure


def main() -> None:
    """Compare limits, curves, paired runs and brackets."""
    experiment = begin(__file__)
    experiment.write_table(LIMITS, [limits(experiment, *plan) for plan in PLANS], "limits")
    short = {"run.horizon_s": 300.0, "run.replications": 3} if experiment.quick else {}
    scenarios = {name: experiment.load({**values, **short}) for name, values in SELECTIONS.items()}
    uniform_hz = dmoa.bound(scenarios["uniform gossip"]).critical_rate_hz
    pairs = [
        compare(scenarios, share * uniform_hz)
        for share in experiment.choose(PAIRED_SHARES, PAIRED_SHARES[1:2])
    ]
    experiment.write_table(PAIRS, pairs, "pairs")
    if not experiment.quick:
        rows = [bracket(name, own) for name, own in scenarios.items()]
        experiment.write_table(BRACKETS, rows, "brackets")
        assert all(row["stable_hz"] < row["critical_rate_hz"] < row["unstable_hz"] for row in rows)
    shares = experiment.choose(SHARES, (0.5, 1.2))
    figure, axes = panels(1, 1, 6.4, 4.2)
    draw_curves(axes[0, 0], {name: curve(own, shares) for name, own in scenarios.items()})
    axes[0, 0].set_title("Scale-free overlay, 32 nodes, M = 1, k = 1", loc="left", fontsize=10)
    experiment.save(figure, "curves")
    experiment.save(draw_loads(scenarios, 0.2), "loads")
    experiment.end()


if __name__ == "__main__":
    main()
