"""What was measured, as one JSON object or as a table for each network."""

from __future__ import annotations

from typing import Any

from _peers.engines import BASELINE, ENGINES
from _peers.measuring import Entry
from rich import box
from rich.console import Console
from rich.table import Table

from dmoa.trace import Estimate


def record(entries: list[Entry]) -> dict[str, dict[str, Any]]:
    """Give what is found of each engine on one network."""
    baseline = next((entry.speed for entry in entries if entry.name == BASELINE), None)
    return {entry.name: facts(entry, baseline) for entry in entries}


def facts(entry: Entry, baseline: float | None) -> dict[str, Any]:
    """Give what is found of one engine; events per second, or null and a note that says why."""
    speed = entry.speed
    found, expected = entry.found, entry.expected
    return {
        "events_per_s": speed,
        "lowest": min(entry.speeds) if speed else None,
        "highest": max(entry.speeds) if speed else None,
        "runs": len(entry.speeds) if speed else 0,
        "ratio_to_baseline": speed / baseline if speed and baseline else None,
        "note": entry.note,
        "wrong": entry.wrong,
        "check": {
            "horizon_s": entry.horizon_s,
            "runs": len(entry.runs),
            "waiting": found and interval(found.waiting),
            "waiting_expected": expected and interval(expected.waiting),
            "events": found and interval(found.events),
            "events_expected": expected and interval(expected.events),
        },
    }


def interval(estimate: Estimate) -> dict[str, float]:
    """Give a mean and half its interval."""
    return {"mean": estimate.mean, "half_width": estimate.high - estimate.mean}


def print_table(console: Console, title: str, cell: dict[str, dict[str, Any]]) -> None:
    """Print what is found on one network, the fastest first; below it who has no speed, and why."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("engine", no_wrap=True)
    for column in ("events/s", "spread", "of SimPy", "waiting per node", "expected"):
        table.add_column(column, justify="right", no_wrap=True)
    timed = [name for name, one in cell.items() if one["events_per_s"] is not None]
    for name in sorted(timed, key=lambda name: -cell[name]["events_per_s"]):
        one = cell[name]
        ratio = one["ratio_to_baseline"]
        table.add_row(
            ENGINES[name].title,
            f"{one['events_per_s']:,.0f}",
            f"{one['lowest']:,.0f} to {one['highest']:,.0f}",
            f"{ratio:.2f}" if ratio else "",
            shown(one["check"]["waiting"]),
            shown(one["check"]["waiting_expected"]),
        )
    console.print(table if timed else title)
    for name, one in cell.items():
        if one["events_per_s"] is None:
            console.print(f"{ENGINES[name].title}: {one['note']}", highlight=False, markup=False)


def shown(estimate: dict[str, float] | None) -> str:
    """Write a mean, and its interval if it has one."""
    if estimate is None:
        return ""
    half = f" ± {estimate['half_width']:.3f}" if estimate["half_width"] else ""
    return f"{estimate['mean']:.3f}{half}"
