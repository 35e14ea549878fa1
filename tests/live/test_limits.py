"""Allowances run out and come back; the log cannot be filled by others."""

from __future__ import annotations

import logging

import msgspec
import pytest

from dmoa.live.limits import Allowance, QuietLog, TransportLimits


def test_an_allowance_gives_its_rate_in_the_long_run():
    allowance = Allowance(per_s=10.0, at_once=5.0)
    given = sum(allowance.take(step / 1000.0) for step in range(10_001))
    assert 104 <= given <= 106


def test_an_allowance_does_not_grow_while_nobody_takes():
    allowance = Allowance(per_s=10.0, at_once=5.0)
    assert [allowance.take(1e6) for _ in range(6)] == [True] * 5 + [False]


def test_a_clock_that_steps_back_gives_nothing_away():
    allowance = Allowance(per_s=10.0, at_once=1.0)
    assert [allowance.take(at_s) for at_s in (5.0, 4.0, 5.0, 5.2)] == [True, False, False, True]


def test_a_subject_is_warned_about_once_per_interval(caplog):
    quiet = QuietLog(logging.getLogger("dmoa.test"), interval_s=60.0)
    for at_s in range(100):
        quiet.warn(("malformed", "bob"), float(at_s), "%s sent %d", "bob", at_s)
    assert [record.getMessage() for record in caplog.records] == [
        "bob sent 0",
        "bob sent 60 (and 59 times more since the last warning)",
    ]


def test_subjects_do_not_silence_each_other(caplog):
    quiet = QuietLog(logging.getLogger("dmoa.test"), interval_s=60.0)
    quiet.warn(("malformed", "bob"), 0.0, "bob")
    quiet.warn(("malformed", "eve"), 0.0, "eve")
    assert len(caplog.records) == 2


@pytest.mark.parametrize("field", [f.name for f in msgspec.structs.fields(TransportLimits)])
def test_every_limit_is_a_limit(field):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({field: 0}, TransportLimits)
