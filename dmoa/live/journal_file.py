"""The journal's file: one owner, made whole or not at all, checked before it is believed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dmoa.errors import InvariantError, ScenarioError

Durability = Literal["full", "process"]

VERSION = 1
#: Marks an SQLite file as a journal of dmoa: the letters "dmoa".
APPLICATION_ID = int.from_bytes(b"dmoa", "big")
#: How long a predecessor that is just ending is waited for, s.
OWNER_WAIT_S = 2.0
_OWNER_POLL_S = 0.02
#: Size to which the write-ahead log shrinks once its content is in the file.
_LOG_BYTES_MAX = 4 * 1024 * 1024

_TABLES = """
CREATE TABLE prompt (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'answered', 'failed', 'expired')),
    arrival BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    zero_s REAL NOT NULL,
    accepted_s REAL NOT NULL,
    ended_s REAL,
    outcome BLOB,
    CHECK ((state = 'accepted') = (ended_s IS NULL)),
    CHECK ((outcome IS NULL) = (ended_s IS NULL))
);
CREATE INDEX unfinished ON prompt (number) WHERE ended_s IS NULL;
CREATE INDEX ended ON prompt (ended_s) WHERE ended_s IS NOT NULL;
CREATE TABLE idempotency (key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX keys_of_prompt ON idempotency (number);
CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO tally VALUES
    ('incarnation', 0), ('reserved', 0),
    ('accepted', 0), ('answered', 0), ('failed', 0), ('expired', 0);
"""
_IDENTITY = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"


class Lock:
    """The right to a journal, held by one process at a time and given back when it ends.

    SQLite's own lock would not do: it begins only once there is a file, and it cannot say who
    holds it.
    """

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".lock")
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _not_writable(journal, error) from None
        try:
            self._take(journal)
        except BaseException:
            os.close(self._handle)
            raise

    def _take(self, journal: Path) -> None:
        until_s = time.monotonic() + OWNER_WAIT_S
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until_s:
                    owner = os.pread(self._handle, 20, 0).decode("ascii", "replace").strip()
                    raise unusable(
                        journal,
                        f"is in use by another node process{f' ({owner})' if owner else ''}",
                        "stop that one first, or give this node a state folder of its own",
                    ) from None
                time.sleep(_OWNER_POLL_S)
            except OSError as error:
                raise unusable(
                    journal,
                    f"cannot be locked ({error.strerror})",
                    "give a folder on a disk of this machine",
                ) from None
            else:
                break
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        """Give the journal free."""
        os.close(self._handle)


def unusable(journal: Path, problem: str, remedy: str) -> ScenarioError:
    """Say why a journal cannot be used."""
    return ScenarioError(problem, path=str(journal), remedy=remedy)


def _not_writable(journal: Path, error: OSError) -> ScenarioError:
    return unusable(
        journal,
        f"cannot be opened for writing ({error.strerror})",
        "give a folder in which this user may write",
    )


def damaged(journal: Path, reason: str) -> ScenarioError:
    """Say that the content of a journal cannot be believed. Nothing is ever deleted for it."""
    return unusable(
        journal,
        f"is damaged ({reason})",
        "restore it from a copy; or move it and its -wal file away, which gives up the prompts"
        " that it holds, and start again. Nothing in it was changed",
    )


def failure(journal: Path, error: sqlite3.Error | UnicodeDecodeError) -> ScenarioError:
    """Turn an error of SQLite into one for the user; its message may quote bytes of the file."""
    if isinstance(error, UnicodeDecodeError):
        return damaged(journal, "it holds bytes that are no text")
    if isinstance(error, sqlite3.ProgrammingError):
        raise InvariantError(f"the journal is not used as it has to be: {error}")
    # An error without a code is Python's own: a text in the file that is none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return unusable(
            journal,
            "cannot be written: the disk is full",
            "free some space; what was accepted is safe, and nothing new is accepted until then",
        )
    if code == sqlite3.SQLITE_READONLY:
        return unusable(
            journal,
            "cannot be written: the file or its folder is read-only",
            "make both writable for the user of this node",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(journal, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return unusable(
            journal, "is being read or written by another program", "close that program first"
        )
    return unusable(
        journal,
        f"cannot be read or written ({error})",
        "check the disk and the rights of the folder; what was accepted before is safe",
    )


def open_database(journal: Path, durability: Durability) -> sqlite3.Connection:
    """Open a journal whose `Lock` is held, and make it first where there is none.

    The log is flushed to the disk with every commit until `relax` is called.

    Raises:
        ScenarioError: It is no journal, damaged, of a newer version, or cannot be written.
    """
    try:
        if not journal.exists():
            _make(journal)
        with journal.open("r+b") as handle:
            if not handle.read(1):
                # SQLite would take it for a new file and forget the log beside it.
                raise damaged(journal, "it is empty")
    except OSError as error:
        raise _not_writable(journal, error) from None
    database: sqlite3.Connection | None = None
    try:
        database = _connect(journal)
        _check(journal, database)
        # Where the disk has a cache of its own, macOS flushes that only when asked to.
        database.execute(f"PRAGMA fullfsync = {int(durability == 'full')}")
        database.execute(f"PRAGMA checkpoint_fullfsync = {int(durability == 'full')}")
        database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_MAX}")
    except (sqlite3.Error, UnicodeDecodeError, ScenarioError) as error:
        if database is not None:
            _close_quietly(database)
        if isinstance(error, ScenarioError):
            raise
        raise failure(journal, error) from None
    return database


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None, timeout=OWNER_WAIT_S)
    # One owner: no memory shared through a file, and a program that looks in is kept out.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA synchronous = FULL")
    return database


def _check(journal: Path, database: sqlite3.Connection) -> None:
    """Refuse a file that is not a whole journal of this version, before anything is written."""
    identity = database.execute("PRAGMA application_id").fetchone()[0]
    if identity != APPLICATION_ID:
        raise unusable(
            journal,
            "is an SQLite file, but no journal of dmoa",
            "give the node a state folder of its own",
        )
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise unusable(
            journal,
            f"is of version {version}; this dmoa writes and reads version {VERSION}",
            "start the dmoa that wrote it, let it end its prompts, then move the file away",
        )
    database.execute("PRAGMA journal_mode = WAL")
    reason = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if reason != "ok":
        raise damaged(journal, reason)


def _make(journal: Path) -> None:
    """Make an empty journal under another name, so that a crash on the way leaves none."""
    log = journal.with_name(f"{journal.name}-wal")
    if log.exists():
        raise damaged(journal, f"it is missing beside its own log, {log.name}")
    part = journal.with_name(f"{journal.name}.new")
    for left in (part, part.with_name(f"{part.name}-journal")):
        left.unlink(missing_ok=True)  # of a start that was killed here; it never was a journal
    database: sqlite3.Connection | None = None
    try:
        database = _connect(part)
        database.executescript(f"BEGIN IMMEDIATE;{_TABLES}{_IDENTITY}COMMIT;")
    except sqlite3.Error as error:
        raise failure(journal, error) from None
    finally:
        if database is not None:
            _close_quietly(database)
    part.chmod(0o600)  # what users ask is nobody else's
    part.replace(journal)
    handle = os.open(journal.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _close_quietly(database: sqlite3.Connection) -> None:
    """Close after an error, or after all is committed: the log is then read at the next start."""
    with suppress(sqlite3.Error):
        database.close()


def close_database(database: sqlite3.Connection, lock: Lock) -> None:
    """Close a journal and give it free; what was committed is safe even if this fails."""
    _close_quietly(database)
    lock.release()
