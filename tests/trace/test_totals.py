"""Totals of a run: Little's law is an identity of theirs too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dmoa.errors import InvariantError
from dmoa.trace import Moment, Totals


def moment(**values: Any) -> Moment:
    """Make the totals of two nodes after 10 s: a prompt took 4 s, one of its tasks waited 1 s."""
    zero = np.zeros(2)
    return Moment(
        **{
            "time_s": 10.0,
            "waiting_s": np.array([1.0, 0.0]),
            "serving_s": np.array([3.0, 0.0]),
            "joining_s": zero,
            "unfinished_s": np.array([4.0, 0.0]),
            "busy_s": np.array([1.0, 0.0]),
            "present": zero.astype(int),
            "unfinished": 0,
            "answered_at": np.array([1, 0]),
            "arrived": 1,
            "answered": 1,
            "refused": 0,
            "started": 1,
            "served": 1,
            "sojourn_s": 4.0,
            "waited_s": 1.0,
            "service_s": 3.0,
            "pending_sojourn_s": 0.0,
            "pending_waited_s": 0.0,
            **values,
        }
    )


@pytest.fixture
def totals() -> Totals:
    half = moment(time_s=5.0)
    return Totals(("a", "b"), half, moment(), np.full(10, 0.2), ramp_s=3.0)


def test_littles_law_holds(totals: Totals) -> None:
    assert totals.little() == 0.0
    assert totals.end_s == 10.0


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [("sojourn_s", 4.1, "prompts"), ("pending_waited_s", 0.5, "waiting tasks")],
)
def test_totals_that_break_it_are_a_bug(totals: Totals, name: str, value: float, what: str) -> None:
    broken = replace(totals, end=moment(**{name: value}))
    with pytest.raises(InvariantError, match=f"does not hold for the {what}"):
        broken.little()


def test_the_second_half_and_the_whole(totals: Totals) -> None:
    whole, half = totals.measure(0.0, np.array([1, 1])), totals.measure(5.0, np.array([1, 1]))
    assert whole.sojourn_time_s == 4.0
    assert whole.utilization.tolist() == [0.3, 0.0]
    assert whole.throughput_hz.tolist() == [0.1, 0.0]
    assert half.arrived == 0
    assert np.isnan(half.waiting_time_s)
    assert half.start_s == 5.0
