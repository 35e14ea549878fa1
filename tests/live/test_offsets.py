"""Deadlines cross from clock to clock without anybody setting one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.live.offsets import BUCKETS, ClockOffset

letters = st.lists(
    st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 3.0)), min_size=1, max_size=200
)  # (pause before it, delay of it)


@given(letters, st.floats(-1e6, 1e6))
def test_a_time_comes_later_by_a_recent_delay_and_never_earlier(letters, offset_s):
    window_s = 20.0
    offset = ClockOffset(window_s)
    arrivals: list[tuple[float, float]] = []
    received_s = 0.0
    for pause_s, delay_s in letters:
        received_s += pause_s
        offset.observe(received_s - delay_s - offset_s, received_s)
        arrivals.append((received_s, delay_s))
    shift_s = offset.to_own_clock(0.0) - offset_s
    sure_s = window_s * (BUCKETS - 1) / BUCKETS
    recent = [delay for at_s, delay in arrivals if at_s > received_s - sure_s]
    assert -1e-6 <= shift_s <= min(recent) + 1e-6


def test_a_letter_that_stood_in_a_queue_brings_a_deadline_that_is_past():
    offset = ClockOffset(60.0)
    for sent_s in range(10):
        offset.observe(sent_s, sent_s + 1000.002)
    received_s = 9.5 + 1000.0 + 30.0  # sent at 9.5, and half a minute on its way
    offset.observe(9.5, received_s)
    assert offset.to_own_clock(9.5 + 5.0) < received_s


def test_an_old_difference_is_forgotten_after_the_window():
    offset = ClockOffset(window_s=8.0)
    offset.observe(0.0, 0.0)
    for sent_s in range(1, 12):  # the peer's machine was suspended for 100 s
        offset.observe(sent_s - 100.0, sent_s)
    assert offset.to_own_clock(0.0) == 100.0


def test_a_clock_that_starts_anew_is_known_by_its_new_letters_alone():
    offset = ClockOffset(60.0)
    offset.observe(500.0, 10.0)
    offset.forget()
    with pytest.raises(LookupError):
        offset.to_own_clock(1.0)
    offset.observe(0.0, 11.0)
    assert offset.to_own_clock(1.0) == 12.0
