"""Points per second of a sweep in two processes, beside one process, in one run.

    python benchmarks/sweeps.py [--json] [--repeats 3] [--points 20] [--workers 2]

The points are equal but for their seed: eight nodes on a ring, one layer, two proposers. A sweep
counts from the call to its end: processes start, import and end, and every point is written to a
store. A point is long enough for the compiled engine to keep totals, if it is there, and takes a
second or two. It needs as many cores as workers, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from dmoa.scenario import Scenario, load
from dmoa.study import sweep

HORIZON_S = 4_000_000.0


def seconds(scenario: Scenario, points: int, workers: int) -> tuple[float, list[float]]:
    """Sweep once; give the wall time, and the mean sojourn times of all points."""
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        result = sweep(
            scenario,
            {"run.seed": range(points)},
            store=Path(folder) / "sweep.db",
            workers=workers,
        )
        return time.perf_counter() - began_s, [row["sojourn_time_s_mean"] for row in result.points]


def main() -> None:
    """Print medians, spread and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=3, help="sweeps of each (default 3)")
    parser.add_argument("--points", type=int, default=20, help="of each sweep (default 20)")
    parser.add_argument("--workers", type=int, default=2, help="beside one (default 2)")
    parser.add_argument(
        "--horizon", type=float, default=HORIZON_S, help=f"of each point, s (default {HORIZON_S:g})"
    )
    arguments = parser.parse_args()
    scenario = load("ring", {"run.horizon_s": arguments.horizon, "run.replications": 1})
    contenders = (1, max(2, arguments.workers))
    times: dict[int, list[float]] = {workers: [] for workers in contenders}
    means: list[list[float]] = []
    for _ in range(max(1, arguments.repeats)):  # they take turns, so that noise is shared
        for workers in contenders:
            wall_s, found = seconds(scenario, arguments.points, workers)
            times[workers].append(wall_s)
            means.append(found)
    assert all(found == means[0] for found in means)
    one, several = (times[workers] for workers in contenders)
    ratio = statistics.median(a / b for a, b in zip(one, several, strict=True))
    if arguments.json:
        report = {
            "points": arguments.points,
            "workers": contenders[1],
            "one_s": statistics.median(one),
            "several_s": statistics.median(several),
            "ratio": ratio,
        }
        print(json.dumps(report))
        return
    print(f"{'workers':>8}{'seconds':>10}{'spread':>16}{'points/s':>10}{'ratio':>8}")
    for workers, taken in times.items():
        middle = statistics.median(taken)
        spread = f"{min(taken):.2f}-{max(taken):.2f}"
        print(
            f"{workers:8}{middle:10.2f}{spread:>16}{arguments.points / middle:10.2f}"
            f"{ratio if workers > 1 else 1.0:8.2f}"
        )


if __name__ == "__main__":
    main()
