"""Seconds and memory of everything before and around the simulation, on large overlays.

    python benchmarks/large.py [--json] [--repeats 3] [--nodes N ...] [--shape NAME ...]
                               [--step NAME ...]

For each of three shapes of the internet and each number of nodes: generating the overlay, resolving
a scenario on it, the loads and limits of `dmoa bound`, the best weights, reading the overlay from
an edge list, and what `dmoa topology show` says of it. Each run is a process of its own, so that
its peak of memory is its own: the peak of `bound` includes the overlay. Printed are medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _process import in_a_process

from dmoa.cli.topology import facts_of
from dmoa.scenario import from_dict, resolve
from dmoa.scenario.generators import generate
from dmoa.scenario.overlays import build_overlay
from dmoa.scenario.schema import Overlay
from dmoa.study.loads import best_chances, chances, loads

SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "scale-free": lambda _: {"topology": "barabasi-albert", "attachments": 2},
    "geometric": lambda nodes: {"topology": "geometric", "radius": (2 / nodes) ** 0.5},
    "hierarchy": lambda _: {"topology": "hierarchy", "branching": 100, "attachments": 3},
}
NODES = (1_000, 10_000, 100_000, 1_000_000)
WARM_UP_NODES = 500
STEPS = ("generate", "resolve", "bound", "weights", "read", "show")
PLAN = {"layers": 2, "proposers": 2}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--nodes", type=int, action="append", help="overlay size; repeatable")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="repeatable")
    parser.add_argument("--step", choices=STEPS, action="append", help="repeatable")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        asked = json.loads(given.run)
        # What is imported at first use does not count.
        run(**{**asked, "nodes": WARM_UP_NODES, "file": asked["file"] + ".small.txt"})
        print(json.dumps(run(**asked)))
        return
    rows, steps = [], tuple(step for step in STEPS if step in (given.step or STEPS))
    if not given.json:
        print(f"{'shape':12}{'nodes':>10}{'edges':>11}", end="")
        print("".join(f"{step + ' s':>12}{'MiB':>7}" for step in steps), f"{'gain':>6}{'gap':>8}")
    for shape in given.shape or SHAPES:
        for nodes in given.nodes or NODES:
            row = measure(shape, nodes, max(1, given.repeats), steps)
            rows.append(row)
            if not given.json:
                show(row, steps)
    if given.json:
        print(json.dumps({"plan": PLAN, "repeats": given.repeats, "rows": rows}))


def measure(shape: str, nodes: int, repeats: int, steps: tuple[str, ...]) -> dict[str, Any]:
    """Run every step in processes of their own, and take medians."""
    row: dict[str, Any] = {"shape": shape, "nodes": nodes}
    with TemporaryDirectory() as folder:
        asked = {"shape": shape, "nodes": nodes, "file": f"{folder}/overlay.txt"}
        if "read" in steps:
            in_a_process(__file__, {**asked, "step": "write"})
        for step in steps:
            runs = [in_a_process(__file__, {**asked, "step": step}) for _ in range(repeats)]
            for key in ("seconds", "peak_mib"):
                row[f"{step}_{key}"] = statistics.median(one.pop(key) for one in runs)
            row |= runs[0]
    return row


def run(shape: str, nodes: int, step: str, file: str) -> dict[str, Any]:
    """Take one step in this process; what comes before it is not timed."""
    overlay = {"nodes": nodes, **SHAPES[shape](nodes)}
    scenario = from_dict({"overlay": overlay, "plan": PLAN})
    found: dict[str, Any] = {}
    setup = resolve(scenario) if step in {"bound", "weights", "show"} else None
    if step == "write" or (step == "read" and not Path(file).exists()):
        np.savetxt(file, generate(scenario.overlay).pairs, fmt="%d")
    began_s = time.perf_counter()
    if step == "generate":
        found["edges"] = len(generate(scenario.overlay).pairs)
    elif step == "read":
        found["edges"] = len(build_overlay(Overlay(topology=file)).peers.targets) // 2
    elif setup is None:
        resolve(scenario)
    elif step == "show":
        found["edges"] = facts_of(setup)["edges"]
    elif step == "bound":
        found["critical_rate_hz"] = loads(setup, chances(setup)).critical_rate_hz
    else:
        best, found["gap"] = best_chances(setup)
        found["best_critical_rate_hz"] = loads(setup, best).critical_rate_hz
        sums = np.bincount(setup.peers.origins(), best, minlength=nodes)
        wanted = np.minimum(PLAN["proposers"], setup.peers.lengths())
        assert np.abs(sums - wanted).max() < 1e-9
    found["seconds"] = time.perf_counter() - began_s
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def show(row: dict[str, Any], steps: tuple[str, ...]) -> None:
    """Print the medians of one overlay."""
    print(f"{row['shape']:12}{row['nodes']:10,}{row.get('edges', 0):11,}", end="")
    taken = (f"{row[f'{one}_seconds']:12.3f}{row[f'{one}_peak_mib']:7.0f}" for one in steps)
    print(*taken, sep="", end="")
    if "gap" in row and "critical_rate_hz" in row:
        gain = row["best_critical_rate_hz"] / row["critical_rate_hz"]
        print(f" {gain:6.2f}{100 * row['gap']:6.2f} %", end="")
    print()


if __name__ == "__main__":
    main()
