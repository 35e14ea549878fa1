"""Phase diagrams of overlays of a hundred thousand nodes: λ against what shapes the overlay."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import CELL, Column, Experiment, begin, count_verdicts

import dmoa
from dmoa import plot
from dmoa.plot import style
from dmoa.scenario import Setup
from dmoa.study.capacities import at_rate

#: How an overlay is called, which of its keys is varied, and the others.
OVERLAYS: tuple[tuple[str, str, tuple[int, ...], Mapping[str, Any]], ...] = (
    ("scale-free", "attachments", (1, 2, 4, 8), {"topology": "barabasi-albert"}),
    ("hierarchy", "branching", (100, 300, 1000), {"topology": "hierarchy", "attachments": 3}),
    ("siblings", "attachments", (1, 2, 4, 8), {"topology": "hierarchy", "branching": 300}),
)
NODES = 100_000
SHARES = (0.7, 0.9, 1.1, 1.3, 1.6)
#: Events of a run at λ*, where that is no shorter and no longer than these.
EVENTS, HORIZON_MIN_S, HORIZON_MAX_S = 1.5e6, 210.0, 4000.0
EVENTS_PER_PROMPT = 5
COLUMNS = (
    Column("shape", "overlay"),
    Column("key", "key"),
    Column("parameter", "value"),
    Column("theorem1_critical_rate_hz", "Theorem 1", ".4f"),
    Column("critical_rate_hz", "λ*", ".5f"),
    Column("horizon_s", "horizon, s", ",.0f"),
    Column("stable_to", "stable up to, of λ*", ".2f"),
    Column("unstable_from", "unstable from, of λ*", ".2f"),
    Column("undetermined", "undetermined"),
    Column("wrong", "wrong"),
    Column("took_s", "run time, s", ".0f"),
)


def sweep_overlay(
    experiment: Experiment, shape: str, key: str, value: int, overlay: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Simulate one overlay at every share of its λ*; it is built once."""
    began_s = time.monotonic()
    nodes = experiment.choose(NODES, 1_000)
    setup = dmoa.prepare(experiment.load({"overlay": {**overlay, "nodes": nodes, key: value}}))
    limit_hz = dmoa.bound(setup, best=False).critical_rate_hz
    events = experiment.choose(EVENTS, 1e5)
    horizon_s = events / (limit_hz * nodes * EVENTS_PER_PROMPT)
    horizon_s = float(round(min(max(horizon_s, HORIZON_MIN_S), HORIZON_MAX_S)))
    points = [cell(setup, share, share * limit_hz, horizon_s) for share in SHARES]
    about = {"shape": shape, "key": key, "parameter": value, "took_s": time.monotonic() - began_s}
    print(f"{about}: {[point['verdict'] for point in points]}", flush=True)
    return [{**point, **about} for point in points]


def cell(setup: Setup, share: float, rate_hz: float, horizon_s: float) -> dict[str, Any]:
    """Simulate an overlay at one rate; give the row that a sweep would have."""
    made = at_rate(setup, rate_hz, horizon_s)
    # Below ten million tasks a sweep would keep every step, for a digest that nobody asks for here.
    found = dmoa.simulate(made, engine="compiled", totals=True, best=False)
    return {
        "share": share,
        "arrivals.arrival_rate_hz": rate_hz,
        "critical_rate_hz": found.theory.critical_rate_hz,
        "theorem1_critical_rate_hz": found.theory.theorem1_critical_rate_hz,
        "verdict": found.verdict.status,
        "queue_length_mean": found.summary["queue_length"].mean,
        "horizon_s": horizon_s,
    }


def draw(points: list[dict[str, Any]]) -> Any:
    """Draw a panel for each kind of overlay."""
    figure = plot.phase_panels(points, "parameter", "shape", relative=True, columns=3)
    for ax, (shape, key, _, _) in zip(figure.axes, OVERLAYS, strict=False):
        style.label(ax, title=shape, x=ax.get_xlabel(), y=key)
    return figure


def main() -> None:
    """Sweep all overlays, and compare verdicts with theory."""
    experiment = begin(__file__)
    curves = [
        sweep_overlay(experiment, shape, key, value, overlay)
        for shape, key, values, overlay in OVERLAYS
        for value in experiment.choose(values, values[:2])
    ]
    points = [point for own in curves for point in own]
    experiment.write_table(COLUMNS, [{**own[0], **count_verdicts(own)} for own in curves])
    experiment.write_csv(["shape", "key", "parameter", *CELL], points, "cells")
    found = count_verdicts(points)
    experiment.write_text(
        f"Of {len(points)} cells {found['right']} were decided as theory says,"
        f" {found['undetermined']} are undetermined and {found['wrong']} wrong.",
        "count",
    )
    experiment.save(draw(points), "phases")
    experiment.end()


if __name__ == "__main__":
    main()
