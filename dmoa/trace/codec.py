"""The trace file: a MessagePack stream of one header and one array per step of a node."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import msgpack
import msgspec

from dmoa.core.actions import Action
from dmoa.core.events import Event
from dmoa.errors import ScenarioError

VERSION = 1
ENTRY_BYTES_MAX = 64 * 1024 * 1024

Entry = tuple[float, int, Event, list[Action], int, int, int, int]
"""One step: time_s, node (index into the header's names), the event heard, the actions asked
for, and the node's state after it: waiting, serving, joining, unfinished."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first object of a trace: what was run, as a map.

    ``names`` are the nodes, in the order that the entries number them. ``peers`` (indices of
    whom each may ask) and ``inclusion`` (their chances, for weighted selection) make a trace
    replayable without the files that its scenario names; ``service_time_s`` is what a task was
    expected to take at each node, ``response_tokens`` what its response was expected to need in a
    language model's memory. ``began_s`` is the Unix time of time 0, live; ``node`` is the index of
    the one node whose steps these are, where each node writes its own trace.
    """

    names: list[str]
    engine: str
    seed: int
    replication: int
    dmoa: str
    scenario: dict[str, Any] = {}
    peers: list[list[int]] = []
    inclusion: list[list[float]] | None = None
    service_time_s: list[float] = []
    response_tokens: int = 1
    began_s: float | None = None
    node: int | None = None
    format: Literal["dmoa-trace"] = "dmoa-trace"
    version: int = VERSION


class TraceWriter:
    """Hash the entries of a run and, if there is a path, write them to it.

    The file is written beside its place, as ``PATH.part``, and moved there by ``close``; after
    an error the part stays and can be read. With ``in_place`` it is written where it belongs and
    can be read while it grows, whole entries at a time.

    The digest covers the names of the nodes and the entries, so it is the same whether a file is
    written or not, however the entries are cut into chunks, and in every version of dmoa that
    takes the same steps.

    Raises:
        ScenarioError: the path cannot be written. Raised by the constructor, before any work.

    >>> with TraceWriter(
    ...     None, Header(names=["0"], engine="simpy", seed=1, replication=0, dmoa="0.1.0")
    ... ) as writer:
    ...     writer.extend([])
    ...     writer.digest()[:16]
    'eddaaf7660d3cf1a'
    """

    def __init__(self, path: Path | str | None, header: Header, *, in_place: bool = False) -> None:
        self.written_bytes = 0
        self._in_place = in_place
        self._encoder = msgspec.msgpack.Encoder()
        self._hash = hashlib.sha256(self._encoder.encode(header.names))
        self._path = None if path is None else Path(path)
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        if self._path is not None:
            self._part = self._path
            if not in_place:
                self._part = self._path.with_name(self._path.name + ".part")
            if self._path.is_dir():
                raise _unwritable(self._path, "it is a folder")
            try:
                self._file = self._part.open("wb")
                self._write(self._file, self._encoder.encode(header))
            except OSError as error:
                raise _unwritable(self._path, error.strerror) from None

    def extend(self, entries: list[Entry]) -> None:
        """Take the next entries of the run, in order."""
        # One call for the whole chunk, then the list's own header is cut off: six times as fast
        # as an encode per entry, and the bytes are those of the entries one after another.
        count = len(entries)
        head = 1 if count < 16 else 3 if count < 65536 else 5
        self.extend_encoded(memoryview(self._encoder.encode(entries))[head:])

    def extend_encoded(self, encoded: memoryview) -> None:
        """Take the next entries of the run, in order, as the MessagePack of one after another."""
        self._hash.update(encoded)
        if self._file is not None:
            try:
                self._write(self._file, encoded)
            except OSError as error:
                raise _unwritable(self._path, error.strerror) from None

    def _write(self, file: BinaryIO, encoded: bytes | memoryview) -> None:
        self.written_bytes += file.write(encoded)
        if self._in_place:
            file.flush()

    def digest(self) -> str:
        """Return the SHA-256 of the run so far, in hexadecimal."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Finish the file and move it to its place."""
        if self._file is not None and self._part is not None and self._path is not None:
            self._file.close()
            self._file = None
            self._part.replace(self._path)

    def __enter__(self) -> Self:
        """Return the writer; leaving without an error closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close after success; after an error leave the part file for inspection."""
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.close()


def read_trace(path: Path | str) -> tuple[Header, Iterator[Entry]]:
    """Open a trace: its header, and an iterator over its entries.

    An entry that is cut off at the end of the file (the writer was killed) ends the iterator
    with a warning that says where; everything before it is whole.

    Raises:
        ScenarioError: the file cannot be read, is no trace, or has bytes that are no entry.
    """
    source = Path(path)
    frames = _frames(source)
    offset, frame = next(frames, (0, b""))
    try:
        header = msgspec.msgpack.decode(frame, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(source, offset, f"is no header of a dmoa trace ({error})") from None
    if header.version != VERSION:
        raise ScenarioError(
            f"must be a trace of version {VERSION}",
            path=str(source),
            given=header.version,
            remedy=f"read it with dmoa {header.dmoa}, which wrote it",
        )
    return header, _entries(source, frames, len(header.names))


def export_jsonl(path: Path | str, out: Path | str) -> int:
    """Write a trace as JSON lines, the header first; return the number of entries.

    Raises:
        ScenarioError: the trace cannot be read or ``out`` cannot be written.
    """
    header, entries = read_trace(path)
    encoder = msgspec.json.Encoder()
    count = 0
    try:
        with Path(out).open("wb") as file:
            file.write(encoder.encode(header) + b"\n")
            for count, entry in enumerate(entries, start=1):  # noqa: B007 (it is returned)
                file.write(encoder.encode(entry) + b"\n")
    except OSError as error:
        raise _unwritable(out, error.strerror) from None
    return count


def _entries(source: Path, frames: Iterator[tuple[int, bytes]], nodes: int) -> Iterator[Entry]:
    decoder = msgspec.msgpack.Decoder(Entry)
    for offset, frame in frames:
        try:
            entry = decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(source, offset, f"is no entry of a trace ({error})") from None
        if not 0 <= entry[1] < nodes:
            problem = f"names node {entry[1]}, but the header names {nodes} nodes"
            raise _unreadable(source, offset, problem)
        yield entry


def _frames(source: Path) -> Iterator[tuple[int, bytes]]:
    """Cut a file into MessagePack objects: the offset of each, and its bytes."""
    try:
        with source.open("rb") as ahead, source.open("rb") as file:
            # The unpacker reads ahead to find where each object ends; msgspec, which knows the
            # types and is faster, decodes the bytes.
            unpacker = msgpack.Unpacker(ahead, max_buffer_size=ENTRY_BYTES_MAX)
            start = 0
            while True:
                try:
                    unpacker.skip()
                except msgpack.OutOfData:
                    break
                except msgpack.BufferFull:
                    problem = f"is longer than {ENTRY_BYTES_MAX} bytes"
                    raise _unreadable(source, start, problem) from None
                except (ValueError, msgpack.UnpackException) as error:
                    problem = f"is not MessagePack ({type(error).__name__})"
                    raise _unreadable(source, start, problem) from None
                end = unpacker.tell()
                yield start, file.read(end - start)
                start = end
            rest = source.stat().st_size - start
            if rest:
                warnings.warn(
                    f"{source}: the last entry, at byte {start}, is cut off after {rest} bytes;"
                    " everything before it was read",
                    stacklevel=4,
                )
    except OSError as error:
        raise ScenarioError(
            f"cannot be read ({error.strerror})",
            path=str(source),
            remedy="give a file written by `dmoa simulate --trace FILE`",
        ) from None


def _unreadable(source: Path, offset: int, problem: str) -> ScenarioError:
    return ScenarioError(
        f"what stands at byte {offset} {problem}",
        path=str(source),
        remedy="give a file written by `dmoa simulate --trace FILE`",
    )


def _unwritable(path: Path | str | None, problem: str | None) -> ScenarioError:
    return ScenarioError(
        f"cannot be written ({problem})", path=str(path), remedy="give a path in a writable folder"
    )
