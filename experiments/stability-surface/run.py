"""Sweep arrival rate, layers and proposers on a thousand nodes: where does the verdict change?"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import CELL, Column, Experiment, begin, count_verdicts, curve

from dmoa import plot

LAYERS, PROPOSERS = (1, 2, 3), (1, 2, 3, 4)
SHARES = (0.6, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2)
#: Of a run of seconds, which decides little.
QUICK = {"overlay.nodes": 100, "run.horizon_s": 400.0, "run.replications": 3}
COLUMNS = (
    Column("plan.layers", "M"),
    Column("plan.proposers", "k"),
    Column("theorem1_critical_rate_hz", "Theorem 1", ".4f"),
    Column("critical_rate_hz", "λ*", ".4f"),
    Column("stable_to", "stable up to, of λ*", ".2f"),
    Column("unstable_from", "unstable from, of λ*", ".2f"),
    Column("right", "as theory says"),
    Column("undetermined", "undetermined"),
    Column("wrong", "wrong"),
)


def sweep_plan(experiment: Experiment, layers: int, proposers: int) -> list[dict[str, Any]]:
    """Sweep one plan."""
    values = {"plan.layers": layers, "plan.proposers": proposers, **experiment.choose({}, QUICK)}
    points = curve(experiment.load(values), experiment.choose(SHARES, (0.5, 0.9, 1.2)))
    print(f"M = {layers}, k = {proposers}:", *(one["verdict"] for one in points), flush=True)
    return points


def main() -> None:
    """Sweep all plans, and compare verdicts with theory."""
    experiment = begin(__file__)
    plans = product(experiment.choose(LAYERS, LAYERS[:2]), experiment.choose(PROPOSERS, (1, 2)))
    curves = [sweep_plan(experiment, layers, proposers) for layers, proposers in plans]
    points = [point for own in curves for point in own]
    experiment.write_table(COLUMNS, [{**own[0], **count_verdicts(own)} for own in curves])
    experiment.write_csv(["plan.layers", "plan.proposers", *CELL], points, "cells")
    found = count_verdicts(points)
    experiment.write_text(
        f"Of {len(points)} cells {found['right']} were decided as theory says,"
        f" {found['undetermined']} are undetermined and {found['wrong']} wrong.",
        "count",
    )
    figure = plot.phase_panels(points, "plan.proposers", "plan.layers")
    experiment.save(figure, "surface")
    experiment.end()


if __name__ == "__main__":
    main()
