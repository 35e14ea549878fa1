"""The ends of log files: the last lines, and those that come after them.

A log is cut into parts by `dmoa.live.logs`: ``node.log`` is the newest, then ``node.log.1``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

#: At most so much is read to find the last lines of a file.
TAIL_BYTES_MAX = 4 * 1024 * 1024
#: A longer line is cut when it is shown.
LINE_CHARACTERS_MAX = 20_000

_TIME = re.compile(r'^(?:\{"time": ?")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z)')


def last_lines(path: Path, count: int) -> list[str]:
    """Read the last lines of a log; from its part before too, if the newest holds too few."""
    lines = _last_lines(path, count)
    if len(lines) < count:
        older = path.with_name(path.name + ".1")
        lines = _last_lines(older, count - len(lines)) + lines
    return lines


def merged(logs: Iterable[tuple[str, list[str]]]) -> list[tuple[str, str]]:
    """Put the lines of several logs into one order by the times at their beginnings.

    A line without a time, as of a traceback, stays after the one before it.

    >>> merged([("a", ["2026-01-01T00:00:00.2Z x", "y"]), ("b", ["2026-01-01T00:00:00.1Z z"])])
    [('b', '2026-01-01T00:00:00.1Z z'), ('a', '2026-01-01T00:00:00.2Z x'), ('a', 'y')]
    """
    keyed: list[tuple[str, str, str]] = []
    for name, lines in logs:
        time = ""
        for line in lines:
            match = _TIME.match(line)
            time = match[1] if match else time
            keyed.append((time, name, line))
    keyed.sort(key=lambda entry: entry[0])
    return [(name, line) for _, name, line in keyed]


class Follower:
    """Gives the lines that a log gains, also when its parts move on or it is cut.

    It begins at the end of the log as it is when the follower is made. A log that does not exist
    yet is awaited.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file = _open(path)
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        """Give the whole lines that have come since the last time."""
        found = list(self._read())
        if self._moved_on():
            self.close()
            self._file = _open(self._path)
            found += self._read()
        return found

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> Iterator[str]:
        if self._file is None:
            return
        data = self._rest + self._file.read(TAIL_BYTES_MAX)
        *whole, self._rest = data.split(b"\n")
        if len(self._rest) > LINE_CHARACTERS_MAX:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            yield _shown(line)

    def _moved_on(self) -> bool:
        """Whether the name stands for another file by now, or the file became shorter."""
        try:
            now = self._path.stat()
        except OSError:
            return False
        if self._file is None:
            return True
        mine = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or (
            now.st_size < self._file.tell()
        )


def _last_lines(path: Path, count: int) -> list[str]:
    if count <= 0:
        return []
    file = _open(path)
    if file is None:
        return []
    with file:
        size = file.seek(0, os.SEEK_END)
        wanted = min(size, 64 * 1024)
        while True:
            file.seek(size - wanted)
            data = file.read(wanted)
            if wanted in (size, TAIL_BYTES_MAX) or data.count(b"\n") > count:
                break
            wanted = min(size, wanted * 8, TAIL_BYTES_MAX)
    return [_shown(line) for line in data.removesuffix(b"\n").split(b"\n")[-count:]] if data else []


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").rstrip("\r")
    if len(text) > LINE_CHARACTERS_MAX:
        return f"{text[:LINE_CHARACTERS_MAX]}… ({len(text)} characters)"
    return text
