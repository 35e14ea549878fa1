"""Search the four mean service times of the preset paper-table-2.

The latencies fix the scale of the service times; the queue column, which does not change when all
times are scaled, says how unequal they are. Nelder and Mead's search minimises the root mean square
of the logarithms of simulated over published values, both columns counting alike, over the
logarithms of the four means, once from clearly unequal and once from nearly equal nodes. All steps
use the same seeds, so the function is smooth enough. It takes about two minutes.
"""

from __future__ import annotations

import numpy as np
from paper import TABLE_2, simulate
from scipy.optimize import minimize

import dmoa
from dmoa.scenario import with_values

REPLICATIONS = 60
STEPS_MAX = 120
STARTS_S = ((70.0, 90.0, 110.0, 130.0), (110.0, 112.0, 114.0, 116.0))


def errors(means_s: np.ndarray) -> np.ndarray:
    """Give the logarithms of simulated over published latencies and queues, (7, 2)."""
    values = {f"nodes.{node}.service_time_s": float(mean) for node, mean in enumerate(means_s)}
    scenario = with_values(dmoa.load("paper-table-2"), {**values, "run.replications": REPLICATIONS})
    ours = [simulate(scenario, row) for row in TABLE_2]
    ratios = [
        (mine.latency_s.mean / row.latency_s, mine.queue_ref.mean / row.queue)
        for mine, row in zip(ours, TABLE_2, strict=True)
    ]
    return np.log(ratios)


def distance(log_means: np.ndarray) -> float:
    """Give the root mean square error of both columns."""
    return float(np.sqrt((errors(np.exp(log_means)) ** 2).mean()))


def search(start_s: tuple[float, ...]) -> tuple[np.ndarray, float]:
    """Search from one start: the means, ascending, and their distance."""
    start = np.log(start_s)
    simplex = start + np.vstack([np.zeros(4), 0.3 * np.eye(4)])
    found = minimize(
        distance,
        start,
        method="Nelder-Mead",
        options={"maxfev": STEPS_MAX, "initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-4},
    )
    return np.sort(np.exp(found.x)), float(found.fun)


def main() -> None:
    """Search from all starts, and print the means and what is left of the errors."""
    for start_s in STARTS_S:
        means_s, rms = search(start_s)
        print(f"from {start_s}: means {np.round(means_s, 1)} s, rms error {rms:.3f}")
        print("simulated over published, latency and queue:")
        print(np.round(np.exp(errors(means_s)), 2))


if __name__ == "__main__":
    main()
