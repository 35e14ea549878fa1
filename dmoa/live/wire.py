"""What stands on the wire: ``[header][body]``, both plain MessagePack.

The header is ``[version, kind, sent_s, incarnation]``: ``kind`` is "message", "hello" or
"leaving", ``sent_s`` the sender's clock in seconds, ``incarnation`` the number of its start. The
body is a tagged message of the core, ``[connection, hears]`` of a hello, or empty. Whatever the
bytes, reading them ends in a letter or in a ``PeerError``, and takes memory in proportion to their
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, final

import msgspec

from dmoa.core.messages import Message, Task
from dmoa.errors import PeerError

PROTOCOL_VERSION = 1
FRAMES = 2
CLOCK_MAX_S = 1e10
"""A clock or a deadline beyond three centuries is nonsense, and sums of such could overflow."""

Incarnation = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Which start of a node speaks: each has a higher number than the one before."""

Connection = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""Which connection of which start of a node a hello was sent over."""


@final
class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who speaks when: everything about a letter but its content and its sender's name."""

    version: int
    kind: Literal["message", "hello", "leaving"]
    sent_s: float
    incarnation: Incarnation


@final
class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """I am here. ``hears``: the connection of yours that I hear, None if I hear none."""

    connection: Connection
    hears: Connection | None = None


@final
class Leaving(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """I am about to go, on purpose."""


@final
class Letter(msgspec.Struct, frozen=True, gc=False):
    """What came: its header and its body."""

    sent_s: float
    incarnation: int
    body: Message | Hello | Leaving


@final
class _Versioned(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known of the headers of other protocol versions."""

    version: int


_encode = msgspec.msgpack.Encoder().encode
_headers = msgspec.msgpack.Decoder(Header)
_versions = msgspec.msgpack.Decoder(_Versioned)
_messages = msgspec.msgpack.Decoder(Message)
_hellos = msgspec.msgpack.Decoder(Hello)
_leavings = msgspec.msgpack.Decoder(Leaving)

# UnicodeDecodeError: msgspec lets it out of a text that is not UTF-8, although it is no
# DecodeError; it is a ValueError, as DecodeError is. RecursionError: arrays in arrays in arrays.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


def encode(
    body: Message | Hello | Leaving, *, sent_s: float, incarnation: int
) -> tuple[bytes, bytes]:
    r"""Write a letter as two frames.

    Args:
        body: A message of the core, or a word of the transport itself.
        sent_s: The sender's clock, seconds.
        incarnation: Which start of the sender speaks.

    Raises:
        PeerError: The body cannot stand on the wire, for no peer could read it: a text that is
            not Unicode, or an integer beyond 64 bits.

    >>> header, body = encode(Hello(connection=5, hears=7), sent_s=0.5, incarnation=3)
    >>> body
    b'\x92\x05\x07'
    """
    kind: Literal["message", "hello", "leaving"] = "message"
    if isinstance(body, Hello):
        kind = "hello"
    elif isinstance(body, Leaving):
        kind = "leaving"
    try:
        return _encode(Header(PROTOCOL_VERSION, kind, sent_s, incarnation)), _encode(body)
    except (UnicodeEncodeError, OverflowError) as error:
        raise PeerError(f"a message cannot be written for the wire: {error}") from None


def decode(frames: Sequence[bytes]) -> Letter:
    """Read a letter from its two frames.

    Raises:
        PeerError: They are not a letter of this protocol version, whatever else they are.

    >>> decode(encode(Hello(connection=5), sent_s=0.5, incarnation=3))
    Letter(sent_s=0.5, incarnation=3, body=Hello(connection=5, hears=None))
    """
    if len(frames) != FRAMES:
        raise PeerError(f"a letter has {FRAMES} frames, header and body, but {len(frames)} came")
    try:
        header = _headers.decode(frames[0])
        if header.version != PROTOCOL_VERSION:
            raise PeerError(
                f"protocol version {header.version} came, but this node speaks {PROTOCOL_VERSION}"
            )
        body: Message | Hello | Leaving
        if header.kind == "message":
            body = _check_deadline(_messages.decode(frames[1]))
        elif header.kind == "hello":
            body = _hellos.decode(frames[1])
        else:
            body = _leavings.decode(frames[1])
    except _UNREADABLE as error:
        # An error may quote what came, up to a whole frame of anything.
        raise PeerError(f"unreadable: {str(error)[:120]!r}") from None
    if not -CLOCK_MAX_S <= header.sent_s <= CLOCK_MAX_S:  # false for NaN too
        raise PeerError(f"a clock says a number of seconds, but {header.sent_s} came")
    return Letter(header.sent_s, header.incarnation, body)


def connection_number(incarnation: int, count: int) -> int:
    """Number a connection so that no other of the same node, in any of its lives, has the number.

    >>> connection_number(2, 1) > connection_number(1, 1_000_000)
    True
    """
    return incarnation << 21 | count % (1 << 21)


def connection_incarnation(number: int) -> int:
    """Tell which start of a node opened the connection of this number.

    >>> connection_incarnation(connection_number(2, 1))
    2
    """
    return number >> 21


def other_version(frames: Sequence[bytes]) -> int | None:
    """Tell which other protocol version these frames say they are of; None if of none.

    >>> other_version([msgspec.msgpack.encode([2, {"all": "else"}]), b""])
    2
    """
    try:
        version = _versions.decode(frames[0]).version
    except (*_UNREADABLE, IndexError):
        return None
    return version if version != PROTOCOL_VERSION else None


def _check_deadline(body: Message) -> Message:
    """Refuse a deadline that is no number of seconds: it would poison every sum it enters."""
    if isinstance(body, Task):
        at_s = body.deadline_s
        if at_s is not None and not -CLOCK_MAX_S <= at_s <= CLOCK_MAX_S:
            raise PeerError(f"a deadline is a number of seconds, but {at_s} came")
    return body
