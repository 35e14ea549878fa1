from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgpack
import msgspec
import pytest

from dmoa.errors import ScenarioError
from dmoa.trace import Entry, Header, TraceWriter, export_jsonl, read_trace
from dmoa.trace import codec as codec_module
from tests.trace.world import known_entries

HEADER = Header(
    names=["0", "1"],
    engine="simpy",
    seed=1,
    replication=0,
    dmoa="0.1.0",
    scenario={"name": "known"},
)


def write(path, entries=None, header=HEADER):
    with TraceWriter(path, header) as writer:
        writer.extend(known_entries() if entries is None else entries)
    return path


def test_reading_gives_back_what_was_written(tmp_path):
    header, entries = read_trace(write(tmp_path / "run.trace"))
    assert header == HEADER
    assert list(entries) == known_entries()


def test_any_messagepack_reader_can_read_a_trace(tmp_path):
    with write(tmp_path / "run.trace").open("rb") as file:
        header, *entries = msgpack.Unpacker(file)
    assert header["format"] == "dmoa-trace"
    assert header["names"] == ["0", "1"]
    assert entries[0][:2] == [1.0, 0]
    assert entries[0][2][:3] == ["prompt", 0, [10, None, False]]
    assert len(entries) == len(known_entries())


def test_the_digest_covers_names_and_entries_and_nothing_else(tmp_path):
    entries = known_entries()
    bare = TraceWriter(None, HEADER)
    bare.extend(entries)
    by_hand = hashlib.sha256(
        b"".join(msgspec.msgpack.encode(each) for each in [HEADER.names, *entries])
    )
    assert bare.digest() == by_hand.hexdigest()
    other = Header(names=["0", "1"], engine="live", seed=9, replication=3, dmoa="9")
    filed = TraceWriter(tmp_path / "run.trace", other)
    for entry in entries:
        filed.extend([entry])
    filed.extend([])
    filed.close()
    assert filed.digest() == bare.digest()
    renamed = TraceWriter(None, Header(names=["0", "b"], engine="", seed=1, replication=0, dmoa=""))
    renamed.extend(entries)
    assert renamed.digest() != bare.digest()


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65535, 65536])
def test_chunks_of_every_size_are_written_one_entry_after_another(count):
    entry = known_entries()[0]
    whole, split = TraceWriter(None, HEADER), TraceWriter(None, HEADER)
    whole.extend([entry] * count)
    for _ in range(count):
        split.extend([entry])
    assert whole.digest() == split.digest()


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "run.trace"
    writer = TraceWriter(path, HEADER)
    assert not path.exists()
    writer.close()
    writer.close()
    assert path.exists()
    assert list(tmp_path.iterdir()) == [path]


def interrupt(path):
    with TraceWriter(path, HEADER) as writer:
        writer.extend(known_entries())
        raise KeyboardInterrupt


def test_after_an_error_the_part_can_be_read(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path / "run.trace")
    with pytest.raises(KeyboardInterrupt):
        interrupt(None)
    assert [path.name for path in tmp_path.iterdir()] == ["run.trace.part"]
    _, entries = read_trace(tmp_path / "run.trace.part")
    assert list(entries) == known_entries()


def test_a_path_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be written") as caught:
        TraceWriter(tmp_path / "absent" / "run.trace", HEADER)
    assert caught.value.path.endswith("run.trace")
    with pytest.raises(ScenarioError, match="it is a folder"):
        TraceWriter(tmp_path, HEADER)


class FullDisk:
    def write(self, _):
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_said_with_the_path(tmp_path, monkeypatch):
    writer = TraceWriter(tmp_path / "run.trace", HEADER)
    writer.close()
    monkeypatch.setattr(writer, "_file", FullDisk())
    with pytest.raises(ScenarioError, match="No space left"):
        writer.extend(known_entries())


@pytest.mark.parametrize("missing", [1, 10, 40])
def test_a_cut_off_entry_is_reported_and_the_rest_is_read(tmp_path, missing):
    path = write(tmp_path / "run.trace")
    whole = path.read_bytes()
    last = len(whole) - len(msgspec.msgpack.encode(known_entries()[-1]))
    path.write_bytes(whole[:-missing])
    _, entries = read_trace(path)
    with pytest.warns(UserWarning, match=f"at byte {last}, is cut off"):
        assert list(entries) == known_entries()[:-1]


@pytest.mark.parametrize(
    ("tail", "problem"),
    [
        (b"\xc1", "is not MessagePack"),
        (b"\x91" * 5000 + b"\xc0", "is not MessagePack"),
        (b"\x2a", "is no entry"),
        (msgspec.msgpack.encode([1.0, 0, ["unheard"], [], 0, 0, 0, 0]), "is no entry"),
        (msgspec.msgpack.encode([1.0, 0, ["prompt", 0, [1, b"\xff"]], [], 0, 0, 0, 0]), "no entry"),
        (
            msgspec.msgpack.encode([1.0, 2, ["prompt", 0, [1]], [], 0, 0, 0, 0]),
            "names node 2, but the header names 2 nodes",
        ),
    ],
)
def test_garbage_after_entries_is_refused_with_its_offset(tmp_path, tail, problem):
    path = write(tmp_path / "run.trace")
    offset = path.stat().st_size
    path.write_bytes(path.read_bytes() + tail)
    _, entries = read_trace(path)
    read: list[Entry] = []
    with pytest.raises(ScenarioError, match=f"at byte {offset} .*{problem}"):
        read.extend(entries)


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"name = 'ring'\n", b"\x80", b"\xa3\xff\xff\xff"]
)
def test_a_file_that_is_no_trace_is_refused(tmp_path, content):
    path = tmp_path / "run.trace"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=r"run\.trace: what stands at byte 0"):
        read_trace(path)


def test_a_trace_of_a_later_version_says_what_can_read_it(tmp_path):
    path = tmp_path / "run.trace"
    path.write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(HEADER, version=2)))
    with pytest.raises(
        ScenarioError, match=r"version 1, but 2 was given; read it with dmoa 0\.1\.0"
    ):
        read_trace(path)


def test_a_trace_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ScenarioError, match="cannot be read"):
            read_trace(path)


def test_an_endless_entry_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(codec_module, "ENTRY_BYTES_MAX", 2000)
    path = write(tmp_path / "run.trace")
    offset = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\xc6\x00\x01\x00\x00" + bytes(65536))
    _, entries = read_trace(path)
    read: list[Entry] = []
    with pytest.raises(ScenarioError, match=f"at byte {offset} is longer than 2000 bytes"):
        read.extend(entries)


def test_json_lines_hold_the_header_and_every_entry(tmp_path):
    path = write(tmp_path / "run.trace")
    assert export_jsonl(path, tmp_path / "run.jsonl") == len(known_entries())
    header, *entries = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    assert header["scenario"] == {"name": "known"}
    assert msgspec.convert(entries, list[Entry]) == known_entries()
    with pytest.raises(ScenarioError, match="cannot be written"):
        export_jsonl(path, Path("/"))


def test_a_trace_written_in_place_can_be_read_while_it_grows(tmp_path):
    path = tmp_path / "run.trace"
    entries = known_entries()
    writer = TraceWriter(path, HEADER, in_place=True)
    for count in (0, 3, len(entries)):
        writer.extend(entries[len(list(read_trace(path)[1])) : count])
        assert list(read_trace(path)[1]) == entries[:count]
        assert writer.written_bytes == path.stat().st_size
    writer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.trace"]
