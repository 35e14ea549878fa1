from __future__ import annotations

import numpy as np
import pytest

from dmoa.core import layered
from dmoa.errors import ScenarioError
from dmoa.trace import Meter, estimate, measure, queue_ref, replay_calls
from tests.trace.world import complete, known_entries, known_track, run, track_of


def test_one_prompt_meets_nobody():
    assert replay_calls([1.0], [[[(0, 2.0), (1, 3.0)], [(0, 1.0)]]], 2) == 0.0


def test_others_count_only_where_their_current_layer_needs_the_node_and_is_ready():
    # The second prompt arrives after the first's task is complete, the third needs node 1.
    calls = [[[(0, 2.0)]], [[(0, 2.0)]], [[(1, 6.0)]]]
    assert replay_calls([0.0, 3.0, 0.0], calls, 2) == 0.0


def test_layers_are_taken_in_the_order_in_which_they_are_ready():
    # Taken: the first prompt's layer at 0 (0-2 on node 0, with one other), the second prompt at
    # 1 (2-7 on node 0, with the first's next layer, ready at 2), that layer (7-8, alone).
    calls = [[[(0, 2.0)], [(0, 1.0)]], [[(0, 5.0)]]]
    assert replay_calls([0.0, 1.0], calls, 1) == (2.0 + 5.0) / 8.0


def test_the_prompt_taken_last_need_not_be_complete_last():
    calls = [[[(0, 9.0)]], [[(1, 1.0)]]]
    assert replay_calls([0.0, 1.0], [*calls], 2) == 0.0
    crossed = [[[(0, 9.0)]], [[(0, 1.0)]], [[(1, 1.0)]]]
    # The first counts the second for 9 s; the third is taken last, and complete at 3.
    assert replay_calls([0.0, 1.0, 2.0], crossed, 2) == 9.0 / 2 / 3.0


def test_a_track_holds_all_that_the_replay_needs():
    # First layers: node 0 until 3 with one other (2 s), node 1 until 5 from 1 with one other
    # (4 s); ready at 5. Second prompt: node 0 until 4 with the first's aggregation, ready at 5,
    # not yet; node 1 until 6; ready at 6. Aggregations: 5-8 with one other (3 s), 8-9 alone.
    assert queue_ref(known_track()) == pytest.approx((2 + 3 + 4) / 2 / 9)


def test_a_run_with_prompts_unanswered_is_refused():
    early = [entry for entry in known_entries() if entry[0] < 10]
    for track in (track_of(early, ["0", "1"], 9.5), Meter(["0"]).track(1.0)):
        with pytest.raises(ScenarioError, match="answered all of its prompts"):
            queue_ref(track)


def burst(layers: int, proposers: int, seed: int) -> tuple[float, float, float]:
    """Run the paper's Table I once: queue_ref, the exact average queue, the mean sojourn."""
    rng = np.random.default_rng([seed, layers, proposers])
    arrivals = [(float(at_s), int(rng.integers(4))) for at_s in rng.exponential(1, 10).cumsum()]
    nodes = complete(4, layered(layers, proposers), seed=seed)
    entries = run(nodes, arrivals, lambda _: float(rng.gamma(4, 45 / 4)))
    track = track_of(entries, [*"0123"], entries[-1][0])
    found = measure(track)
    return queue_ref(track), found.summary()["queue_length"], found.sojourn_time_s


@pytest.mark.parametrize(
    ("layers", "proposers", "expected"),
    [(1, 1, (1.91, 1.62, 349)), (2, 1, (2.24, 2.01, 610)), (2, 3, (5.66, 5.17, 1002))],
)
def test_the_bursts_of_table_1_are_within_a_tenth_of_what_is_expected(layers, proposers, expected):
    runs = np.array([burst(layers, proposers, seed) for seed in range(100)])
    for values, value in zip(runs.T, expected, strict=True):
        found = estimate(values)
        assert 0.9 * value < found.low
        assert found.high < 1.1 * value
