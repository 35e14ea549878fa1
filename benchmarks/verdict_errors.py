"""How often the verdict is right, wrong or left open, on M/M/1 queues whose stability is known.

Run it with ``python benchmarks/verdict_errors.py [--sets 100]``. It prints, for each horizon and
load ρ, the shares of sets of ten replications that were judged stable, undetermined and unstable.
Below ρ = 1 every "unstable" is an error, above it every "stable".
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from dmoa.trace import ANSWERED, UNFINISHED, Prompts, Steps, Tasks, Track, judge
from dmoa.trace.meter import Floats

LOADS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 2.0)
HORIZONS_S = (500.0, 1000.0, 5000.0, 10_000.0, 20_000.0, 40_000.0)
REPLICATIONS = 10


def single_queue(rng: np.random.Generator, rho: float, horizon_s: float) -> Track:
    """Simulate M/M/1 by Lindley's recursion: service time 1 s, arrival rate ``rho`` per second."""
    count = int(horizon_s * rho + 8 * np.sqrt(horizon_s * rho) + 20)
    arrived_s = np.cumsum(rng.exponential(1 / rho, count))
    service_s = rng.exponential(1.0, count)
    busy_s = np.cumsum(service_s)
    # A departure is the latest arrival up to it plus all the service since: Lindley unrolled.
    departed_s = busy_s + np.maximum.accumulate(arrived_s - (busy_s - service_s))
    seen = arrived_s <= horizon_s
    arrived_s, started_s = arrived_s[seen], (departed_s - service_s)[seen]
    departed_s = departed_s[seen]
    return _track(arrived_s, started_s, departed_s, horizon_s)


def _track(arrived_s: Floats, started_s: Floats, departed_s: Floats, horizon_s: float) -> Track:
    done = departed_s <= horizon_s
    ended_s = np.where(done, departed_s, np.nan)
    outcome = np.where(done, ANSWERED, UNFINISHED)
    times = np.concatenate((arrived_s, departed_s[done]))
    moves = np.repeat([1, -1], [len(arrived_s), done.sum()])
    order = np.argsort(times, kind="stable")
    present = np.cumsum(moves[order])
    none, number = np.zeros(len(times), int), np.arange(len(arrived_s))
    zero = np.zeros_like(number)
    begun = started_s <= horizon_s
    return Track(
        names=("0",),
        end_s=horizon_s,
        steps=Steps(
            times[order], none, np.maximum(present - 1, 0), np.minimum(present, 1), none, present
        ),
        prompts=Prompts(zero, number, arrived_s, ended_s, outcome),
        tasks=Tasks(
            server=zero[begun],
            origin=zero[begun],
            prompt=number[begun],
            stage=zero[begun],
            slot=zero[begun],
            queued_s=arrived_s[begun],
            started_s=started_s[begun],
            ended_s=ended_s[begun],
            outcome=outcome[begun],
        ),
        links=None,
        withdrew=np.zeros(1, bool),
    )


def verdicts(
    rho: float, horizon_s: float, sets: int, replications: int = REPLICATIONS
) -> Counter[str]:
    """Count the verdicts on ``sets`` independent sets of replications."""
    found: Counter[str] = Counter()
    for number in range(sets):
        rng = np.random.default_rng([number, round(rho * 1000), round(horizon_s)])
        tracks = [single_queue(rng, rho, horizon_s) for _ in range(replications)]
        found[judge(tracks).status] += 1
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=100, help="sets of ten replications per cell")
    sets = parser.parse_args().sets
    print(f"share of {sets} sets: stable / undetermined / unstable; horizon in service times")
    print("    ρ " + "".join(f"{horizon_s:>20,.0f}" for horizon_s in HORIZONS_S))
    for rho in LOADS:
        cells = []
        for horizon_s in HORIZONS_S:
            found = verdicts(rho, horizon_s, sets)
            shares = (found[status] / sets for status in ("stable", "undetermined", "unstable"))
            cells.append(" / ".join(f"{share:.2f}" for share in shares))
        print(f"{rho:5.2f} " + "".join(f"{cell:>20}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
