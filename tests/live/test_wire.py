"""Letters survive the wire, any MessagePack reader can read them, and no bytes do any harm."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.core.messages import (
    Content,
    Message,
    Options,
    Refusal,
    Report,
    Response,
    Task,
    TaskId,
    Turn,
    Withdrawal,
)
from dmoa.errors import PeerError
from dmoa.live import wire

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.integers(0, 2**63)
clocks = st.floats(-wire.CLOCK_MAX_S, wire.CLOCK_MAX_S)
seconds = st.floats(0.0, 1e9)
contents = st.builds(Content, counts, st.none() | texts, st.booleans())
ids = st.builds(TaskId, texts, counts, counts, counts, counts)
turns = st.builds(Turn, st.sampled_from(["system", "user", "assistant"]), texts)
options = st.builds(
    Options,
    history=st.lists(turns, max_size=3).map(tuple),
    max_tokens=st.none() | st.integers(1, 1_000_000),
    temperature=st.none() | st.floats(0.0, 100.0),
    top_p=st.none() | st.floats(0.0, 1.0, exclude_min=True),
    top_k=st.none() | st.integers(0, 1_000_000),
    min_p=st.none() | st.floats(0.0, 1.0),
    repeat_penalty=st.none() | st.floats(0.0, 100.0, exclude_min=True),
    seed=st.none() | st.integers(0, 2**32 - 1),
    stop=st.lists(texts, max_size=3).map(tuple),
    grammar=st.none() | texts,
    logprobs=st.none() | st.integers(0, 20),
)
reports = st.builds(Report, texts, seconds, seconds, counts)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Task, ids, contents, st.none() | clocks, st.none() | options),
    st.builds(Response, ids, contents, st.none() | reports),
    st.builds(Refusal, ids, texts, counts),
    st.builds(Withdrawal, ids),
)
incarnations = st.integers(0, 2**40)
connections = st.integers(0, 2**62)

TASK = Task(TaskId("ann", 1, 0, 0), Content(2, "a question"), 5.0, Options(top_k=1))
HEADER = wire.encode(TASK, sent_s=1.0, incarnation=1)[0]


def packed(*fields: Any) -> bytes:
    """Write an array as any other program might."""
    data: bytes = msgpack.packb(fields)
    return data


@given(messages, clocks, incarnations)
def test_a_message_arrives_as_it_was_sent(message, sent_s, incarnation):
    frames = wire.encode(message, sent_s=sent_s, incarnation=incarnation)
    assert wire.decode(frames) == wire.Letter(sent_s, incarnation, message)


@given(connections, st.none() | connections, clocks, incarnations)
def test_a_hello_arrives_as_it_was_sent(connection, hears, sent_s, incarnation):
    hello = wire.Hello(connection, hears)
    assert wire.decode(wire.encode(hello, sent_s=sent_s, incarnation=incarnation)).body == hello


@given(incarnations, st.integers(0, 2**21 - 1))
def test_a_connections_number_tells_whose_it_is_and_can_be_said(incarnation, count):
    number = wire.connection_number(incarnation, count)
    assert wire.connection_incarnation(number) == incarnation
    hello = wire.Hello(number, number)
    assert wire.decode(wire.encode(hello, sent_s=0.0, incarnation=incarnation)).body == hello


def test_a_farewell_arrives_as_one():
    assert (
        wire.decode(wire.encode(wire.Leaving(), sent_s=0.0, incarnation=1)).body == wire.Leaving()
    )


@given(messages, clocks, incarnations)
def test_any_messagepack_reader_reads_the_wire(message, sent_s, incarnation):
    header, body = wire.encode(message, sent_s=sent_s, incarnation=incarnation)
    assert msgpack.unpackb(header) == [wire.PROTOCOL_VERSION, "message", sent_s, incarnation]
    fields = msgpack.unpackb(body)
    assert fields[0] == type(message).__name__.lower()
    assert fields[1] == list(msgspec.structs.astuple(message.id))


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_are_a_letter_or_a_peer_error(frames):
    _ = wire.other_version(frames)
    with pytest.raises(PeerError):
        wire.decode(frames)


@given(messages, st.integers(0, 1), st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_gives_a_letter_or_a_peer_error(message, frame, place, byte):
    frames = [bytearray(f) for f in wire.encode(message, sent_s=2.0, incarnation=3)]
    frames[frame][place % len(frames[frame])] = byte
    changed = [bytes(each) for each in frames]
    _ = wire.other_version(changed)
    try:
        letter = wire.decode(changed)
    except PeerError:
        return
    assert isinstance(letter, wire.Letter)


BAD_BODIES = {
    "nothing": b"",
    "junk": b"\xc1",
    "another tag": packed("order", ["ann", 1, 0, 0]),
    "a map": msgpack.packb({"task": 1}),
    "trailing bytes": wire.encode(TASK, sent_s=0.0, incarnation=1)[1] + b"\x00",
    "a text that is not UTF-8": packed("task", ["ann", 1, 0, 0], [1, "x"]).replace(b"x", b"\xff"),
    "a negative count": packed("task", ["ann", -1, 0, 0], [1, "x"]),
    "a deadline that is not a number": packed("task", ["ann", 1, 0, 0], [1, "x"], math.nan),
    "an infinite deadline": packed("task", ["ann", 1, 0, 0], [1, "x"], -math.inf),
    "a deadline beyond all time": packed("task", ["ann", 1, 0, 0], [1, "x"], 1e300),
    "a temperature that is not a number": packed(
        "task", ["ann", 1, 0, 0], [1, "x"], None, [[], None, math.nan]
    ),
    "a service time that is not a number": packed(
        "response", ["ann", 1, 0, 0], [1, "x"], ["m", math.nan, 1.0, 0]
    ),
    "an infinite mean": packed("response", ["ann", 1, 0, 0], [1, "x"], ["m", 1.0, math.inf, 0]),
    "a negative service time": packed("response", ["ann", 1, 0, 0], [1, "x"], ["m", -1.0, 1.0, 0]),
    "arrays without an end": b"\x91" * 100_000,
    "arrays without an end in a field that is ignored": (
        b"\x9f\xa4task" + packed("ann", 1, 0, 0) + packed(1, "x") + b"\xc0\xc0" + b"\x91" * 100_000
    ),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_a_peer_error(body):
    with pytest.raises(PeerError):
        wire.decode([HEADER, body])


BAD_HEADERS = {
    "nothing": b"",
    "no array": packed(1)[1:],
    "too short": packed(1, "message"),
    "an unknown kind": packed(1, "order", 0.0, 1),
    "a clock that is not a number": packed(1, "message", math.nan, 1),
    "an infinite clock": packed(1, "message", math.inf, 1),
    "a clock beyond all time": packed(1, "message", -1e300, 1),
    "a negative incarnation": packed(1, "message", 0.0, -1),
    "an incarnation beyond all numbers": packed(1, "message", 0.0, 2**64 - 1),
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_a_peer_error(header):
    assert wire.other_version([header, b""]) is None
    with pytest.raises(PeerError):
        wire.decode([header, wire.encode(TASK, sent_s=0.0, incarnation=1)[1]])


@pytest.mark.parametrize("header", [packed(2, "message", 0.0, 1), packed(7), packed(2, {}, [])])
def test_another_version_is_told_apart_whatever_follows_it(header):
    frames = [header, b"\xc1"]
    assert wire.other_version(frames) == msgpack.unpackb(header)[0]
    with pytest.raises(PeerError):
        wire.decode(frames)


def test_what_a_header_claims_is_not_allocated():
    claims = [
        b"\xdd\xff\xff\xff\xff",  # an array of 2**32 - 1 elements
        b"\x92" + b"\xdb\xff\xff\xff\xff",  # a text of as many bytes
        packed("task", ["ann", 1, 0, 0], [1, "x"], None)[:-1].replace(b"\x94", b"\x95", 1)
        + b"\xc0\x91\xdd\xff\xff\xff\xff",  # a history of as many turns
    ]
    tracemalloc.start()
    for claim in claims:
        with pytest.raises(PeerError):
            wire.decode([HEADER, claim])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_an_error_quotes_only_the_beginning_of_what_came():
    with pytest.raises(PeerError) as caught:
        wire.decode([HEADER, packed("\x1b[2J\n" * 10_000)])
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "message", [Task(TaskId("\ud800", 1, 0, 0), Content(1)), Withdrawal(TaskId("ann", 2**64, 0, 0))]
)
def test_what_cannot_be_written_is_a_peer_error(message):
    with pytest.raises(PeerError, match="cannot be written"):
        wire.encode(message, sent_s=0.0, incarnation=1)
