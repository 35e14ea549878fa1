"""Units of work: every item once, in pieces that are worth handing out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.study import units
from dmoa.study.units import UNIT_ITEMS_MAX, UNITS_PER_WORKER, Units, work_through


@given(
    count=st.integers(0, 300),
    workers=st.integers(1, 8),
    chance=st.randoms(use_true_random=False),
)
def test_every_item_is_settled_once_whatever_comes_back_and_whoever_is_lost(count, workers, chance):
    waiting = Units(range(count), workers)
    flying: list[list[int]] = []
    settled: list[tuple[int, int]] = []
    while True:
        while len(flying) < UNITS_PER_WORKER * workers and (unit := waiting.take()):
            flying.append(unit)
        if not flying:
            break
        unit = flying.pop(chance.randrange(len(flying)))
        if chance.random() < 0.1:
            waiting.give_back(unit)
        else:
            finished = unit[: chance.randint(1, len(unit))]
            settled += waiting.settle(unit, [-item for item in finished])
    assert sorted(settled) == [(item, -item) for item in range(count)]


def test_the_first_units_leave_the_others_their_share_and_the_last_hold_one_item():
    waiting = Units(range(100), workers=2)
    sizes = []
    while unit := waiting.take():
        sizes.append(len(unit))
    assert sizes[:2] == [25, 18]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_a_unit_has_a_limit():
    assert len(Units(range(10**6), workers=1).take()) == UNIT_ITEMS_MAX


def test_items_that_come_back_are_the_next():
    waiting = Units("abcdefgh", workers=1)
    unit = waiting.take()
    assert waiting.settle(unit, ["A"]) == [("a", "A")]
    assert [waiting.take()[0], *waiting.take()][:2] == ["b", "e"]


@pytest.mark.parametrize(("item_s", "finished"), [(0.01, 10), (0.3, 4), (0.6, 2), (5.0, 1)])
def test_a_worker_returns_after_a_second(monkeypatch, item_s, finished):
    now_s = [0.0]
    monkeypatch.setattr(units, "time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def work(item: int) -> int:
        now_s[0] += item_s
        return -item

    assert work_through(work, range(10)) == [-item for item in range(finished)]


def test_an_error_leaves_as_the_first_of_a_unit_and_what_was_before_it_is_kept():
    assert work_through(int, ["1", "2", "three", "4"]) == [1, 2]
    with pytest.raises(ValueError, match="three"):
        work_through(int, ["three", "4"])


def test_ctrl_c_is_never_put_off():
    def interrupt(item: int) -> int:
        if item:
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt):
        work_through(interrupt, [0, 1])
