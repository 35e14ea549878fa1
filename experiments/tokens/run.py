"""Compare constant service times with service by tokens, where later layers cost more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, Experiment, begin, curve, draw_curves, panels

import dmoa
from dmoa.plot import style

CASES = (("ring", 1, 2), ("ring", 2, 2), ("star", 1, 2), ("star", 2, 2))
"""Overlay, layers M and proposers k."""

DRAWN = (("ring", 2, 2), ("star", 1, 2))
SHARES = (0.5, 0.7, 0.85, 0.95, 1.05, 1.15)
COLUMNS = (
    Column("overlay", "overlay"),
    Column("layers", "M"),
    Column("proposers", "k"),
    Column("service", "service time"),
    Column("service_time_s", "mean per task (s)", ".2f"),
    Column("theorem1_hz", "Theorem 1", ".5f"),
    Column("critical_rate_hz", "λ*", ".5f"),
    Column("stable_hz", "stable at", ".5f"),
    Column("unstable_hz", "unstable at", ".5f"),
)


def variants(
    experiment: Experiment, overlay: str, layers: int, proposers: int
) -> dict[str, dmoa.Scenario]:
    """Give the three scenarios of one case: two constants and the tokens."""
    values = {
        "overlay.topology": overlay,
        "plan.layers": layers,
        "plan.proposers": proposers,
    }
    if experiment.quick:
        values |= {"run.horizon_s": 3000.0, "run.replications": 3}
    by_tokens = experiment.load(values)
    setup = dmoa.prepare(by_tokens)
    # All nodes are equally fast, so any of them tells what a raw prompt takes.
    first_s = setup.token_service(0).timer()(int(setup.prompt_tokens), int(setup.response_tokens))
    mean_s = sum(setup.service_time_s) / len(setup.service_time_s)
    constants = {"constant, of a raw prompt": first_s, "constant, mean of all tasks": mean_s}
    return {
        **{
            name: dmoa.load(
                by_tokens,
                {"service.distribution": "deterministic", "service.service_time_s": time_s},
            )
            for name, time_s in constants.items()
        },
        "by tokens": by_tokens,
    }


def measure(overlay: str, name: str, scenario: dmoa.Scenario) -> dict[str, Any]:
    """Compute the limits of one variant; bracket that of the tokens by simulation."""
    setup = dmoa.prepare(scenario)
    limit = dmoa.bound(setup)
    found = dmoa.capacity(scenario) if name == "by tokens" else None
    return {
        "overlay": overlay,
        "layers": scenario.plan.layers,
        "proposers": scenario.plan.proposers,
        "service": name,
        "service_time_s": sum(setup.service_time_s) / len(setup.service_time_s),
        "theorem1_hz": limit.theorem1_critical_rate_hz,
        "critical_rate_hz": limit.critical_rate_hz,
        "stable_hz": None if found is None else found.low,
        "unstable_hz": None if found is None else found.high,
    }


def main() -> None:
    """Compare the variants in all cases, and draw two of them."""
    experiment = begin(__file__)
    rows = []
    for case in experiment.choose(CASES, DRAWN[:1]):
        scenarios = variants(experiment, *case)
        rows += [measure(case[0], name, own) for name, own in scenarios.items()]
    drawn = experiment.choose(DRAWN, DRAWN[:1])
    shares = experiment.choose(SHARES, (0.5, 1.2))
    figure, axes = panels(1, len(drawn), 8.4, 4.4)
    for ax, case in zip(axes.flat, drawn, strict=True):
        scenarios = variants(experiment, *case)
        draw_curves(ax, {name: curve(own, shares) for name, own in scenarios.items()}, columns=1)
        title = f"{case[0]}, 8 nodes, M = {case[1]}, k = {case[2]}"
        ax.set_title(title, loc="left", fontsize=style.TITLE_PT)
    experiment.write_table(COLUMNS, rows)
    experiment.save(figure, "curves")
    if not experiment.quick:
        brackets = [row for row in rows if row["stable_hz"] is not None]
        assert len(brackets) == len(CASES)
        for row in brackets:
            assert row["stable_hz"] < row["critical_rate_hz"] < row["unstable_hz"], row
    experiment.end()


if __name__ == "__main__":
    main()
