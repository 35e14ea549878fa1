"""A live trace is written as it grows, ends at its limit, and never stops a node."""

import logging

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.recorder import ENTRIES_MAX, Recorder
from dmoa.trace import Header, TraceWriter, read_trace
from tests.trace.world import known_entries

HEADER = Header(names=["0", "1"], engine="live", seed=1, replication=0, dmoa="0", node=0)


def recorder(path, bytes_max=1_000_000):
    return Recorder(TraceWriter(path, HEADER, in_place=True), bytes_max)


def test_what_was_flushed_can_be_read_while_more_comes(tmp_path):
    one = recorder(tmp_path / "a.trace")
    first, *others = known_entries()
    one.record(first)
    one.flush()
    assert list(read_trace(tmp_path / "a.trace")[1]) == [first]
    for entry in others:
        one.record(entry)
    one.close()
    assert list(read_trace(tmp_path / "a.trace")[1]) == [first, *others]
    one.record(first)
    one.close()
    assert len(list(read_trace(tmp_path / "a.trace")[1])) == len(known_entries())


def test_many_entries_are_written_without_being_asked(tmp_path):
    one = recorder(tmp_path / "a.trace")
    for _ in range(ENTRIES_MAX):
        one.record(known_entries()[0])
    assert len(list(read_trace(tmp_path / "a.trace")[1])) == ENTRIES_MAX
    one.close()


def test_at_its_limit_it_ends_and_says_so(tmp_path, caplog):
    one = recorder(tmp_path / "a.trace", bytes_max=10)
    with caplog.at_level(logging.WARNING):
        for entry in known_entries():
            one.record(entry)
            one.flush()
    assert "the trace ends here: it has" in caplog.text
    assert len(list(read_trace(tmp_path / "a.trace")[1])) == 1
    one.close()


def test_a_full_disk_ends_the_trace_and_not_the_node(tmp_path, caplog, monkeypatch):
    writer = TraceWriter(tmp_path / "a.trace", HEADER, in_place=True)
    one = Recorder(writer, 1_000_000)

    def full(_entries):
        raise ScenarioError("cannot be written (No space left on device)")

    monkeypatch.setattr(writer, "extend", full)
    one.record(known_entries()[0])
    with caplog.at_level(logging.WARNING):
        one.flush()
    assert "No space left on device" in caplog.text
    one.record(known_entries()[0])
    one.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_written_bytes_are_those_of_the_file(tmp_path, in_place):
    with TraceWriter(tmp_path / "a.trace", HEADER, in_place=in_place) as writer:
        writer.extend(known_entries())
    assert writer.written_bytes == (tmp_path / "a.trace").stat().st_size
