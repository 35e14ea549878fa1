"""The journal: what a node has promised to its users, and how each promise ended.

The guarantee, word for word:

    Once a node has returned a prompt's id, that prompt survives a crash of the process always,
    and of the machine with `durability = full` (the default). It ends exactly once: *answered*,
    *failed (reason)* or *expired*. Work is at least once; duplicates by (origin, id) are
    suppressed for the retention window. No promise if the disk is lost.

It is one SQLite file with a write-ahead log. A record is one transaction, so after a crash there
is all of it or nothing. Records are MessagePack of the core's own structs.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from dmoa.core import Answer, Content, Expire, Fail, PromptArrived
from dmoa.errors import InvariantError, ScenarioError
from dmoa.live.journal_file import (
    Durability,
    Lock,
    close_database,
    damaged,
    failure,
    open_database,
)

RETENTION_S = 7 * 86400.0
KEY_CHARACTERS_MAX = 255

Outcome = Answer | Fail | Expire
State = Literal["accepted", "answered", "failed", "expired"]
Row = TypeVar("Row", bound=tuple[Any, ...])
_STATES: dict[type, str] = {Answer: "answered", Fail: "failed", Expire: "expired"}
_ENCODER = msgspec.msgpack.Encoder()
_ARRIVALS = msgspec.msgpack.Decoder(PromptArrived)
_OUTCOMES: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)

#: Numbers that are set aside in one write; a crash leaves out what is unused of them.
_NUMBERS_AT_ONCE = 1024
#: Ended prompts that an acceptance takes with it, so that forgetting never takes long.
_FORGOTTEN_AT_ONCE = 4


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal knows of a prompt. Times are Unix times, s."""

    arrival: PromptArrived
    state: State
    content: Content | None = None
    reason: str = ""
    accepted_s: float
    ended_s: float | None = None


class Journal:
    """The prompts of one node, from their acceptance to their end and some time beyond.

    It belongs to one process at a time and is used from one thread. Times in the records that it
    is given count from `opened_s`, as the node's own clock shall.

    Attributes:
        incarnation: How often this journal was opened, raised by one each time.
        opened_s: When it was opened this time, Unix time, s.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     journal = Journal.open(Path(folder) / "journal.sqlite")
    ...     arrived = PromptArrived(journal.next_prompt(), Content(3, "why so?"))
    ...     journal.persist(arrived), journal.persist(Fail(arrived.prompt, "no peers"))
    ...     journal.persist(Expire(arrived.prompt)), journal.find(arrived.prompt).state
    ...     journal.close()
    (True, True)
    (False, 'failed')
    """

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        lock: Lock,
        retention_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._path, self._database, self._lock = path, database, lock
        self._retention_s, self._clock = retention_s, clock
        self.opened_s = clock()
        with self._transaction():
            self.incarnation = self._raise_tally("incarnation", 1)
            self._reserved = self._raise_tally("reserved", _NUMBERS_AT_ONCE)
        self._next = self._reserved - _NUMBERS_AT_ONCE
        self._synchronous = "FULL"

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        durability: Durability = "full",
        retention_s: float = RETENTION_S,
        clock: Callable[[], float] = time.time,
    ) -> Journal:
        """Open a node's journal; make it where there is none.

        Args:
            path: The file; its folder exists. ``-wal``, ``.lock`` and ``.new`` are put after its
                name for files beside it.
            durability: ``full``: a record survives a crash of the machine; ``process``: it
                survives a crash of the process, and may be lost with the machine.
            retention_s: How long a prompt is remembered after its end, s.
            clock: Gives Unix time, s.

        Raises:
            ScenarioError: It is in use, read-only, damaged, of another version or no journal.
        """
        lock = Lock(path)
        database: sqlite3.Connection | None = None
        try:
            database = open_database(path, durability)
            journal = cls(path, database, lock, retention_s, clock)
            if durability == "process":
                journal._set_synchronous("NORMAL")
            journal.prune()
        except BaseException:
            if database is None:
                lock.release()
            else:
                close_database(database, lock)
            raise
        return journal

    def next_prompt(self) -> int:
        """Give a number that no prompt of this journal ever had, from 0.

        Raises:
            ScenarioError: More numbers could not be set aside.
        """
        if self._next == self._reserved:
            synchronous = self._synchronous
            # A number must not come twice even where the machine crashes without full durability.
            self._set_synchronous("FULL")
            try:
                with self._transaction():
                    reserved = self._raise_tally("reserved", _NUMBERS_AT_ONCE)
            finally:
                self._set_synchronous(synchronous)
            self._reserved = reserved
        self._next += 1
        return self._next - 1

    def persist(
        self, record: PromptArrived | Outcome, *, idempotency_key: str | None = None
    ) -> bool:
        """Write that a prompt was accepted, or how it ended; durable once this returns.

        Args:
            record: The acceptance of a prompt under a number of `next_prompt`, or its end.
            idempotency_key: With an acceptance: the key by which the same request, sent again,
                is recognised.

        Returns:
            Whether it counts. The end of a prompt that had ended does not, nor does the
            acceptance of one.

        Raises:
            ScenarioError: It could not be written, and nothing of it was; the prompt is not
                accepted, or not ended.
        """
        with self._transaction():
            if isinstance(record, PromptArrived):
                return self._accept(record, idempotency_key)
            return self._end(record)

    def unfinished(self) -> list[PromptArrived]:
        """Give what was accepted and has not ended, in order, to be taken up again.

        Each comes with its next ``attempt``, durably, and with its deadline by this run's clock.

        Raises:
            ScenarioError: A record is damaged, or the attempts could not be written.
        """
        taken_up = []
        with self._transaction():
            rows = self._read(
                tuple[int, bytes, int, float],
                "SELECT number, arrival, attempt, zero_s FROM prompt"
                " WHERE ended_s IS NULL ORDER BY number",
            )
            for number, arrival, attempt, zero_s in rows:
                record = self._arrival(number, arrival)
                deadline_s = record.deadline_s
                if deadline_s is not None:
                    deadline_s += zero_s - self.opened_s
                taken_up.append(
                    msgspec.structs.replace(record, attempt=attempt + 1, deadline_s=deadline_s)
                )
            self._execute("UPDATE prompt SET attempt = attempt + 1 WHERE ended_s IS NULL")
        return taken_up

    def find(self, prompt: int) -> Entry | None:
        """Look a prompt up; None if it was never accepted or is forgotten.

        Raises:
            ScenarioError: The file cannot be read, or its record is damaged.
        """
        rows = self._read(
            tuple[State, bytes, float, float | None, bytes | None],
            "SELECT state, arrival, accepted_s, ended_s, outcome FROM prompt WHERE number = ?",
            prompt,
        )
        if not rows:
            return None
        state, arrival, accepted_s, ended_s, outcome = rows[0]
        ended = None if outcome is None else self._outcome(prompt, outcome)
        return Entry(
            arrival=self._arrival(prompt, arrival),
            state=state,
            content=ended.content if isinstance(ended, Answer) else None,
            reason=ended.reason if isinstance(ended, Fail) else "",
            accepted_s=accepted_s,
            ended_s=ended_s,
        )

    def counts(self) -> dict[str, int]:
        """Count prompts accepted, answered, failed and expired over the life of the journal."""
        found = dict(self._read(tuple[str, int], "SELECT name, value FROM tally"))
        return {name: found.get(name, 0) for name in ("accepted", *_STATES.values())}

    def prompt_of_key(self, key: str) -> int | None:
        """Give the prompt that was accepted under an idempotency key, until it is forgotten.

        Raises:
            ScenarioError: The key is empty or too long.
        """
        if not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise ScenarioError(
                f"must have 1 to {KEY_CHARACTERS_MAX} characters",
                path="idempotency key",
                given=key if len(key) <= KEY_CHARACTERS_MAX else f"{key[:40]}...",
                remedy="send a shorter one" if key else "leave it out, or send one",
            )
        rows = self._read(tuple[int], "SELECT number FROM idempotency WHERE key = ?", key)
        return rows[0][0] if rows else None

    def prune(self) -> int:
        """Forget all prompts that ended longer ago than the retention; say how many.

        Acceptances do it too, a few at a time, so that it never has to be called on the way.
        """
        with self._transaction():
            return self._forget(-1)

    def close(self) -> None:
        """Close the file and let another process have it."""
        close_database(self._database, self._lock)

    def _accept(self, record: PromptArrived, key: str | None) -> bool:
        number = record.prompt
        rows = self._read(
            tuple[float | None], "SELECT ended_s FROM prompt WHERE number = ?", number
        )
        if rows:
            return rows[0][0] is None  # taken up again after a crash
        if not 0 <= number < self._next:
            raise InvariantError(f"prompt {number} has no number of this journal")
        now_s = self._clock()
        self._execute(
            "INSERT INTO prompt VALUES (?, 'accepted', ?, ?, ?, ?, NULL, NULL)",
            number,
            _ENCODER.encode(record),
            record.attempt,
            self.opened_s,
            now_s,
        )
        if key is not None:
            other = self.prompt_of_key(key)
            if other is not None:
                raise InvariantError(f"prompt {number} has the idempotency key of prompt {other}")
            self._execute("INSERT INTO idempotency VALUES (?, ?)", key, number)
        self._raise_tally("accepted", 1)
        self._forget(_FORGOTTEN_AT_ONCE)
        return True

    def _end(self, record: Outcome) -> bool:
        state = _STATES[type(record)]
        # A clock that was set back must not end a prompt before it began.
        changed = self._execute(
            "UPDATE prompt SET state = ?, ended_s = max(accepted_s, ?), outcome = ?"
            " WHERE number = ? AND ended_s IS NULL",
            state,
            self._clock(),
            _ENCODER.encode(record),
            record.prompt,
        ).rowcount
        if changed:
            self._raise_tally(state, 1)
        return bool(changed)

    def _forget(self, limit: int) -> int:
        rows = self._read(
            tuple[int],
            "SELECT number FROM prompt WHERE ended_s < ? ORDER BY ended_s LIMIT ?",
            self._clock() - self._retention_s,
            limit,
        )
        for (number,) in rows:
            self._execute("DELETE FROM prompt WHERE number = ?", number)
            self._execute("DELETE FROM idempotency WHERE number = ?", number)
        return len(rows)

    def _raise_tally(self, name: str, by: int) -> int:
        self._execute("UPDATE tally SET value = value + ? WHERE name = ?", by, name)
        rows = self._read(tuple[int], "SELECT value FROM tally WHERE name = ?", name)
        if not rows:
            raise damaged(self._path, f"it has lost count of {name}")
        return rows[0][0]

    def _arrival(self, number: int, data: bytes) -> PromptArrived:
        with self._believing(number):
            return _ARRIVALS.decode(data)

    def _outcome(self, number: int, data: bytes) -> Outcome:
        with self._believing(number):
            return _OUTCOMES.decode(data)

    @contextmanager
    def _believing(self, number: int) -> Iterator[None]:
        try:
            yield
        # A plan in a record checks itself, and a text may be no UTF-8.
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ScenarioError) as error:
            raise damaged(self._path, f"prompt {number} cannot be read: {error}") from None

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise failure(self._path, error) from None

    def _read(self, kind: type[Row], statement: str, *values: object) -> list[Row]:
        """Read rows, and believe only those that are of their kind."""
        try:
            rows = self._execute(statement, *values).fetchall()
            # The type is made here, where mypy reads only types that are written.
            return msgspec.convert(rows, list[kind])  # type: ignore[valid-type]
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise failure(self._path, error) from None
        except msgspec.ValidationError as error:
            raise damaged(self._path, str(error)) from None

    def _set_synchronous(self, mode: str) -> None:
        self._execute(f"PRAGMA synchronous = {mode}")
        self._synchronous = mode

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do all of it or, after an error, nothing of it."""
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._execute("ROLLBACK")
            raise
