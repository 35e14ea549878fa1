"""Sweep the arrival rate through Theorem 1's limit on the overlay that it is about."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, curve

from dmoa import plot

PLANS = ((1, 1), (1, 2), (2, 2), (2, 3))
SHARES = (0.4, 0.6, 0.8, 0.9, 0.95, 1.05, 1.1, 1.15)
COLUMNS = (
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("theorem1_critical_rate_hz", "Theorem 1", ".4f"),
    Column("critical_rate_hz", "λ*", ".4f"),
    Column("stable_hz", "stable up to", ".4f"),
    Column("unstable_hz", "unstable from", ".4f"),
    Column("utilization", "ρ at 0.8 λ*", ".4f"),
    Column("estimate_hz", "0.8 λ* / ρ", ".4f"),
)


def sweep_plan(experiment: Experiment, layers: int, proposers: int) -> list[dict[str, Any]]:
    """Sweep one plan."""
    values: dict[str, Any] = {"plan.layers": layers, "plan.proposers": proposers}
    if experiment.quick:
        values |= {"run.horizon_s": 400.0, "run.replications": 3}
    return curve(experiment.load(values), experiment.choose(SHARES, (0.5, 0.8, 1.2)))


def summarise(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell between which rates the verdict changed, and where the utilization would reach 1."""
    rates = {
        status: [
            point["arrivals.arrival_rate_hz"] for point in points if point["verdict"] == status
        ]
        for status in ("stable", "unstable")
    }
    at = next(point for point in points if point["share"] == 0.8)
    return {
        **{column.key: at.get(column.key) for column in COLUMNS},
        "stable_hz": max(rates["stable"], default=None),
        "unstable_hz": min(rates["unstable"], default=None),
        "utilization": at["utilization_mean"],
        "estimate_hz": at["arrivals.arrival_rate_hz"] / at["utilization_mean"],
    }


def main() -> None:
    """Sweep all plans, draw them, and check the limit."""
    experiment = begin(__file__)
    curves = [
        sweep_plan(experiment, layers, proposers)
        for layers, proposers in experiment.choose(PLANS, PLANS[:2])
    ]
    experiment.write_table(COLUMNS, [summarise(points) for points in curves])
    points = [point for points in curves for point in points]
    experiment.save(plot.stability_curves(points), "stability")
    if not experiment.quick:
        for point in points:
            expected = "stable" if point["share"] < 1 else "unstable"
            assert point["verdict"] in {expected, "undetermined"}, point
    experiment.end()


if __name__ == "__main__":
    main()
