from __future__ import annotations

import numpy as np
import pytest

from dmoa.core import Join, layered
from dmoa.errors import ScenarioError
from dmoa.trace import (
    Meter,
    layer_times_s,
    link_delay_s,
    little,
    measure,
    prompt_waiting_time_s,
    series,
    service_time_s,
    sojourn_time_s,
    waiting_time_s,
)
from tests.trace.world import complete, known_entries, known_track, run, track_of


def test_the_measures_of_the_known_run():
    found = measure(known_track())
    np.testing.assert_allclose(found.queue_length, [0.3, 0.3])
    np.testing.assert_allclose(found.number_in_system, [1.6, 0.0])
    np.testing.assert_allclose(found.tasks_present, [1.0, 0.8])
    np.testing.assert_allclose(found.join_buffer, [0.6, 0.0])
    np.testing.assert_allclose(found.utilization, [0.7, 0.5])
    np.testing.assert_allclose(found.throughput_hz, [0.2, 0.0])
    assert found.sojourn_time_s == 8.0
    assert found.waiting_time_s == 1.0
    assert found.service_time_s == 2.0
    assert (found.arrived, found.answered, found.failed, found.refused) == (2, 2, 0, 0)
    assert found.unfinished == 0


def test_the_summary_is_the_mean_over_nodes_prompts_and_tasks():
    summary = measure(known_track()).summary()
    assert summary == pytest.approx(
        {
            "queue_length": 0.3,
            "number_in_system": 0.8,
            "utilization": 0.6,
            "sojourn_time_s": 8.0,
            "waiting_time_s": 1.0,
            "throughput_hz": 0.1,
            "join_buffer": 0.3,
        }
    )


def test_a_window_clips_states_and_counts_what_happens_in_it():
    found = measure(known_track(), 2.5, 9.5)
    np.testing.assert_allclose(found.queue_length, np.array([0.5 + 2, 3]) / 7)
    np.testing.assert_allclose(found.number_in_system, np.array([6.5 + 7, 0]) / 7)
    assert (found.arrived, found.answered, found.unfinished) == (0, 1, 1)
    assert found.sojourn_time_s == 8.0
    assert found.waiting_time_s == (1 + 3 + 0 + 2) / 4
    assert found.service_time_s == (2 + 4 + 1 + 1 + 3) / 5
    np.testing.assert_allclose(found.throughput_hz, [1 / 7, 0])


def test_utilization_is_a_part_of_the_slots():
    np.testing.assert_allclose(measure(known_track(), slots=2).utilization, [0.35, 0.25])
    np.testing.assert_allclose(measure(known_track(), slots=[1, 5]).utilization, [0.7, 0.1])


def test_what_did_not_happen_has_no_mean():
    found = measure(Meter(["0"]).track(5.0))
    assert np.isnan([found.sojourn_time_s, found.waiting_time_s, found.service_time_s]).all()
    assert found.queue_length.tolist() == [0.0]


def test_refused_and_failed_prompts_are_counted_apart():
    plan = layered(1, 1, join=Join(4.0))
    entries = run(complete(2, plan, queue_max=2), [(0.0, 0), (0.5, 0), (0.6, 1)], lambda _: 1.0)
    found = measure(track_of(entries, ["0", "1"], 20.0))
    assert found.arrived == found.answered + found.failed + found.expired + found.refused == 3
    assert found.refused == 2


def test_expired_prompts_are_counted_apart_and_have_left_when_they_expired():
    plan = layered(1, 1, deadline_s=3.5)
    entries = run(complete(2, plan), [(0.0, 0), (0.0, 0), (5.0, 1)], lambda _: 1.0)
    track = track_of(entries, ["0", "1"], 20.0)
    found = measure(track)
    assert (found.arrived, found.answered, found.expired, found.failed) == (3, 2, 1, 0)
    assert found.throughput_hz.tolist() == [1 / 20, 1 / 20]
    assert little(track) < 1e-12


@pytest.mark.parametrize(
    "window", [(-1.0, 5.0), (5.0, 5.0), (6.0, 5.0), (0.0, 10.5), (np.nan, 5.0)]
)
def test_a_window_outside_the_run_is_refused(window):
    with pytest.raises(ScenarioError, match="within the run, from 0 to 10 s"):
        measure(known_track(), *window)


def test_times_per_prompt_task_layer_and_link():
    track = known_track()
    assert sojourn_time_s(track.prompts).tolist() == [8, 8]
    assert waiting_time_s(track.tasks).tolist() == [0, 0, 1, 3, 0, 2]
    assert service_time_s(track.tasks).tolist() == [2, 4, 1, 1, 3, 1]
    assert prompt_waiting_time_s(track).tolist() == [0, 6]
    assert layer_times_s(track).tolist() == [[5, 3], [5, 3]]
    assert track.links is not None
    assert link_delay_s(track.links).tolist() == [0.5] * 4


def test_unfinished_prompts_have_times_for_the_layers_they_completed():
    entries = [entry for entry in known_entries() if entry[0] <= 6.0]
    np.testing.assert_array_equal(
        layer_times_s(track_of(entries, ["0", "1"], 6.0)), [[5, np.nan], [np.nan, np.nan]]
    )
    assert layer_times_s(Meter(["0"]).track(1.0)).shape == (0, 0)


def test_layer_times_add_up_to_the_sojourn_time():
    rng = np.random.default_rng(1)
    arrivals = [(float(at_s), i % 4) for i, at_s in enumerate(rng.exponential(5, 40).cumsum())]
    entries = run(complete(4, layered(2, 2)), arrivals, lambda _: float(rng.exponential()))
    track = track_of(entries, [*"0123"], entries[-1][0])
    np.testing.assert_allclose(layer_times_s(track).sum(axis=1), sojourn_time_s(track.prompts))


@pytest.mark.parametrize(
    ("count", "node", "integrals"),
    [
        ("waiting", 0, [1, 0, 0, 2, 0]),
        ("waiting", 1, [0.5, 2, 0.5, 0, 0]),
        ("waiting", None, [0.75, 1, 0.25, 1, 0]),
        ("unfinished", 0, [3, 4, 4, 4, 1]),
    ],
)
def test_a_series_is_the_exact_average_over_each_cell(count, node, integrals):
    grid_s = [1, 3, 5, 7, 9, 10]
    found = series(known_track(), count, grid_s, node)
    np.testing.assert_allclose(found * np.diff(grid_s), integrals)


def test_a_series_over_the_whole_run_is_the_measure():
    rng = np.random.default_rng(2)
    arrivals = [(float(at_s), i % 3) for i, at_s in enumerate(rng.exponential(2, 60).cumsum())]
    entries = run(complete(3, layered(1, 2)), arrivals, lambda _: float(rng.exponential()))
    track = track_of(entries, [*"012"], entries[-1][0])
    found = measure(track)
    for node in range(3):
        whole = series(track, "waiting", [0, track.end_s], node)
        np.testing.assert_allclose(whole, found.queue_length[node])
    np.testing.assert_allclose(series(track, "joining", [0, track.end_s]), found.join_buffer.mean())


def test_the_window_of_a_run_that_nobody_visited():
    assert series(Meter(["0", "1"]).track(4.0), "waiting", [0, 1, 4]).tolist() == [0, 0]
