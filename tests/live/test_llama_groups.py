"""Which sequences are computed together: what was measured decides, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dmoa.live.engines.llama_groups import LESS, RELEARNED, TRIALS, Groups


def learned(times: dict[int, float]) -> Groups:
    groups = Groups()
    for size, took_s in times.items():
        for _ in range(TRIALS):
            groups.note(size, took_s)
    return groups


def test_nothing_to_split() -> None:
    assert Groups().split(0) == ()
    assert Groups().split(1) == (1,)


def test_what_is_not_known_is_tried() -> None:
    groups = Groups()
    assert groups.split(4) == (1, 1, 1, 1)
    groups.note(1, 0.01)
    for _ in range(TRIALS):
        assert groups.split(4) == (4,)
        groups.note(4, 0.2)
    assert groups.split(4) == (1, 1, 1, 1)


def test_together_where_that_is_faster() -> None:
    assert learned({1: 0.01, 8: 0.02}).split(8) == (8,)


def test_a_little_faster_is_noise() -> None:
    groups = learned({1: 0.01, 2: 0.0201})
    assert groups.split(2) == (2,)


def test_groups_of_several_sizes() -> None:
    # Two take as long as one, five are slow.
    assert sorted(learned({1: 0.01, 2: 0.01, 5: 0.2}).split(5)) == [1, 2, 2]


def test_a_median_does_not_follow_one_slow_turn() -> None:
    groups = learned({1: 0.01, 2: 0.012})
    groups.note(2, 9.0)
    assert groups.split(2) == (2,)


def test_times_are_learned_again() -> None:
    groups = learned({1: 0.01, 2: 0.04})
    assert groups.split(2) == (1, 1)
    for _ in range(RELEARNED):
        groups.note(2, 0.012)
    assert groups.split(2) == (1, 1)  # singles are tried
    groups.note(1, 0.01)
    assert groups.split(2) == (2,)


@given(
    st.dictionaries(st.integers(1, 12), st.floats(0.001, 1.0), min_size=1),
    st.lists(st.integers(0, 16), max_size=20),
)
def test_groups_add_up_and_are_never_slower_than_all_at_once(
    times: dict[int, float], counts: list[int]
) -> None:
    groups = learned(times)
    for count in counts:
        split = groups.split(count)
        assert sum(split) == count
        if 1 in times and count in times and split != (count,):
            assert sum(times[size] for size in split) < LESS * times[count] * (1 + 1e-9)


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=6))
def test_the_split_is_the_fastest(values: list[float]) -> None:
    times = dict(enumerate(values, 1))
    groups = learned(times)
    best = {0: 0.0}
    for count in times:
        best[count] = min(times[size] + best[count - size] for size in range(1, count + 1))
    for count, (_, took_s) in zip(times, pairwise([0.0, *values]), strict=False):
        if best[count] < LESS * took_s * (1 - 1e-9):
            found = sum(times[size] for size in groups.split(count))
            assert abs(found - best[count]) < 1e-9
