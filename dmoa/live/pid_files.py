"""Who runs: a file that a process keeps locked for as long as it lives, with its id in it.

The lock is the truth, the id only says whom to signal: the system gives the lock back however the
process ends, and an id that was given to another process since then holds no lock. The lock
belongs to the open file, so a child that inherits the file holds it although its parent took it.
The file stays when the process has ended: removing it would let two processes lock two files of
one name.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from dmoa.errors import ScenarioError

#: Whoever only looks at a lock holds it for an instant; a taker tries again after this long, s.
_RETRY_S = 0.02
_TRIES = 10


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a pid file; ``pid`` is None until it is written."""

    pid: int | None


def take(path: Path) -> int | None:
    """Lock a pid file for as long as the descriptor that is given back stays open.

    None if another process holds it. The descriptor is not inherited unless it is passed on.

    Raises:
        ScenarioError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ScenarioError(
            f"cannot be written ({error.strerror})",
            path=str(path),
            remedy="give a folder of yours with --dir",
        ) from error
    for attempt in range(_TRIES):
        if _lock(descriptor):
            os.ftruncate(descriptor, 0)
            return descriptor
        if attempt < _TRIES - 1:
            time.sleep(_RETRY_S)
    os.close(descriptor)
    return None


def write_pid(descriptor: int, pid: int) -> None:
    """Say in a pid file that was taken whose it is."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def release(descriptor: int) -> None:
    """Give back a pid file that was taken and not passed on."""
    os.ftruncate(descriptor, 0)
    os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Find the process that holds a pid file; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _lock(descriptor):
            return None
        text = os.pread(descriptor, 32, 0).strip()
        return Holder(int(text) if text.isdigit() else None)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
