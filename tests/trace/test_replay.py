from __future__ import annotations

from dmoa.core import layered
from dmoa.trace import replay
from tests.trace.world import complete, known_entries


def test_a_trace_replays_to_the_same_actions_and_states():
    report = replay(known_entries(), complete(2, layered(1, 1)))
    assert report.agrees
    assert report.agreed == len(known_entries())
    assert report.difference is None


def test_an_empty_trace_agrees():
    assert replay([], []).agreed == 0


def test_nodes_of_another_plan_differ_at_their_first_step():
    report = replay(known_entries(), complete(2, layered(2, 1)))
    assert not report.agrees
    assert report.difference is not None
    assert report.agreed == report.difference.entry
    recorded, replayed = report.difference.recorded, report.difference.replayed
    assert recorded != replayed
    assert report.difference.node == "0"


def test_a_state_that_differs_is_reported_with_both_sides():
    entries = known_entries()
    time_s, node, event, actions, waiting, serving, joining, unfinished = entries[3]
    entries[3] = (time_s, node, event, actions, waiting + 1, serving, joining, unfinished)
    report = replay(entries, complete(2, layered(1, 1)))
    assert report.agreed == 3
    assert report.difference is not None
    assert report.difference.time_s == time_s
    assert report.difference.recorded == (actions, (waiting + 1, serving, joining, unfinished))
    assert report.difference.replayed == (actions, (waiting, serving, joining, unfinished))
