from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dmoa.core import Join, layered
from dmoa.errors import InvariantError, ScenarioError
from dmoa.trace import Meter, Track, little
from tests.trace.world import complete, known_entries, known_track, run, track_of


def busy_track(*, deadline_s: float | None = None, horizon_s: float = 150.0) -> Track:
    """Run three nodes that are overloaded, so that tasks still wait at the end."""
    rng = np.random.default_rng(3)
    arrivals = [(float(at_s), i % 3) for i, at_s in enumerate(rng.exponential(0.5, 200).cumsum())]
    plan = layered(2, 2, join=Join(deadline_s))
    entries = run(
        complete(3, plan), arrivals, lambda _: float(rng.exponential()), until_s=horizon_s
    )
    return track_of(entries, [*"012"], horizon_s)


def test_littles_law_is_exact_on_every_window():
    track = busy_track()
    assert track.steps.waiting[-10:].min() > 10
    for window in [(0.0, None), (0.0, 40.0), (30.0, 150.0), (149.0, 149.5)]:
        assert little(track, *window) < 1e-12


def test_littles_law_holds_where_nothing_happened():
    assert little(Meter(["0"]).track(5.0)) == 0.0
    with pytest.raises(ScenarioError, match="window"):
        little(known_track(), 5.0, 11.0)


def test_a_prompt_that_the_count_forgot_is_found():
    track = known_track()
    unfinished = np.minimum(track.steps.unfinished, 1)
    wrong = replace(track, steps=replace(track.steps, unfinished=unfinished))
    with pytest.raises(
        InvariantError, match=r"prompts of node 0: the count integrates to 9 s, .* sum to 16 s"
    ):
        little(wrong)


def test_a_task_whose_time_in_the_queue_is_wrong_is_found():
    track = known_track()
    queued_s = track.tasks.queued_s + np.array([0, 0, 0, 1e-3, 0, 0])
    wrong = replace(track, tasks=replace(track.tasks, queued_s=queued_s))
    with pytest.raises(InvariantError, match="waiting tasks of node 1"):
        little(wrong)
    assert little(wrong, 6.0) < 1e-12


def test_errors_of_rounding_are_no_errors():
    late = 2.0**23
    entries = [(at_s + late, *rest) for at_s, *rest in known_entries()]
    shifted = track_of(entries, ["0", "1"], 10.0 + late)  # type: ignore[arg-type]  # rest of a tuple
    queued_s = shifted.tasks.queued_s + late
    queued_s[3] += 1e-9
    assert little(replace(shifted, tasks=replace(shifted.tasks, queued_s=queued_s))) < 1e-6


def test_queues_that_tasks_may_have_left_unseen_are_not_checked():
    track = busy_track(deadline_s=5.0)
    assert track.withdrew.all()
    assert little(track) < 1e-12
    with pytest.raises(InvariantError, match="waiting tasks"):
        little(replace(track, withdrew=np.zeros(3, bool)))
