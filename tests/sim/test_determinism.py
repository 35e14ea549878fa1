"""The same seed takes the same steps: in another process, with other workers, beside other runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dmoa.study import simulate
from dmoa.trace import Track
from tests.sim.digests import digests
from tests.sim.kinds import kind
from tests.sim.runs import run, scenario


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_a_new_process_with_another_hash_seed_gives_the_same_digests(root: Path, hash_seed: str):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.sim.digests"],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout) == digests()


def test_the_number_of_workers_changes_nothing():
    made = kind("loss", **{"run.replications": 3})
    alone, shared = simulate(made, workers=1), simulate(made, workers=2)
    assert shared.to_dict() == alone.to_dict()


def test_replications_differ_from_each_other_and_a_longer_study_starts_with_the_same_ones():
    three = run(kind("ring", **{"run.replications": 3})).tracks
    two = run(kind("ring")).tracks
    for one, same in zip(two, three, strict=False):
        np.testing.assert_array_equal(one.prompts.arrived_s, same.prompts.arrived_s)
        np.testing.assert_array_equal(one.tasks.ended_s, same.tasks.ended_s)
    arrived = {track.prompts.arrived_s.tobytes() for track in three}
    assert len(arrived) == 3


# --- common random numbers ------------------------------------------------------------------


def demands(track: Track) -> dict[tuple[int, ...], float]:
    """Give the service time of each task that was served, by whose it was."""
    tasks = track.tasks
    served = ~np.isnan(tasks.ended_s)
    keys = zip(
        *(column[served].tolist() for column in (tasks.origin, tasks.prompt, tasks.stage)),
        tasks.slot[served].tolist(),
        strict=True,
    )
    return dict(zip(keys, (tasks.ended_s - tasks.started_s)[served].tolist(), strict=True))


def first(**values: object) -> Track:
    return run(scenario("ring", **{"run.horizon_s": 200, "run.replications": 1, **values})).tracks[
        0
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"plan.layers": 3},
        {"plan.proposers": 1},
        {"station.slots": 2},
        {"links.delay_s": 0.5},
        {"plan.selection": "weighted", "plan.weights": "best"},
        {"overlay.topology": "complete"},
    ],
)
def test_scenarios_share_prompts_and_service_demands(changed: dict):
    here, there = first(), first(**changed)
    np.testing.assert_array_equal(here.prompts.arrived_s, there.prompts.arrived_s)
    np.testing.assert_array_equal(here.prompts.origin, there.prompts.origin)
    ours, theirs = demands(here), demands(there)
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 200
    for task in shared:
        # Read back from instants, so that they have rounding errors of their own.
        assert theirs[task] == pytest.approx(ours[task], abs=1e-9)


def test_a_higher_arrival_rate_brings_the_same_prompts_sooner():
    slow, fast = first(), first(**{"arrivals.arrival_rate_hz": 0.4, "run.horizon_s": 100})
    for node in range(8):
        at_s = slow.prompts.arrived_s[slow.prompts.origin == node]
        sooner_s = fast.prompts.arrived_s[fast.prompts.origin == node]
        np.testing.assert_allclose(sooner_s, at_s / 2, rtol=1e-12)
    ours, theirs = demands(slow), demands(fast)
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 200
    assert all(theirs[task] == pytest.approx(ours[task], abs=1e-9) for task in shared)


def test_a_longer_service_time_stretches_the_same_demands():
    ours, theirs = demands(first()), demands(first(**{"service.service_time_s": 0.5}))
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 200
    assert all(theirs[task] == pytest.approx(ours[task] / 2, abs=1e-9) for task in shared)


def test_a_longer_horizon_starts_with_the_same_run():
    short, long = first(), first(**{"run.horizon_s": 300})
    count = len(short.steps.time_s)
    for column in ("time_s", "node", "waiting", "serving", "joining", "unfinished"):
        np.testing.assert_array_equal(
            getattr(short.steps, column), getattr(long.steps, column)[:count]
        )
