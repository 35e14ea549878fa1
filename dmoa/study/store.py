"""The store of a sweep: a journal in one SQLite file that outlives Ctrl-C, kills and power cuts.

Points that finished together are one transaction. Each is known by a hash of everything it depends
on, so that a sweep which starts again with the same file does only what is missing. The process
that sweeps holds SQLite's write lock for as long as it runs; in write-ahead mode others may read
meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from dmoa.errors import ScenarioError

FORMAT = 1
"""Format of the file; another one is refused."""

SCENARIO_COLUMNS = ("plan.layers", "plan.proposers", "arrivals.arrival_rate_hz")
"""What every point has of its scenario, swept or not: stability curves are drawn from them."""

RESULT_COLUMNS = (
    "verdict",
    "critical_rate_hz",
    "theorem1_critical_rate_hz",
    "offered_load_max",
    "bottleneck",
    "horizon_s",
    "warmup_s",
    "digest",
)
"""What every finished point has, before its measures."""

_LISTED_MAX = 5
_BUSY_S = 1.0
_ELSEWHERE = "name another file, or delete this one to start over"
_NO_ROOM = "make room on the disk and sweep again; what was finished before is kept"
_SCHEMA = (
    "CREATE TABLE manifest (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE points (
        key TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        point TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('finished', 'failed')),
        result TEXT,
        error TEXT,
        finished_at TEXT NOT NULL,
        CHECK ((status = 'finished') = (result IS NOT NULL))
    )""",
)
_REASONS = {
    sqlite3.SQLITE_BUSY: ("another process is writing to it", "wait for it to end, or stop it"),
    sqlite3.SQLITE_NOTADB: ("is not an SQLite file", "name another file"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _ELSEWHERE),
    sqlite3.SQLITE_READONLY: ("cannot be written", "name a file that you may write"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "name a file in a folder that you may write"),
    sqlite3.SQLITE_FULL: ("cannot be written", _NO_ROOM),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", _NO_ROOM),
}


class Manifest(msgspec.Struct, frozen=True):
    """What a store is about: format and version, scenario, grid, and the graph's hash if any."""

    scenario: dict[str, Any]
    grid: dict[str, list[Any]]
    dmoa: str
    graph: str | None = None
    format: int = FORMAT
    created: str = ""


@dataclass(frozen=True)
class Point:
    """One configuration of a sweep: hash, place in the grid, and values by dotted path."""

    key: str
    position: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a point: its columns, or why it failed."""

    result: dict[str, Any] | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """``finished`` or ``failed``."""
        return "failed" if self.result is None else "finished"


class Table(NamedTuple):
    """The points of a store, tidy: all rows have the same columns; ``grid`` are those swept.

    After the grid, the columns are those of `SCENARIO_COLUMNS` that were not swept.
    """

    grid: list[str]
    columns: list[str]
    rows: list[dict[str, Any]]


class Store:
    """The journal of one sweep, open for writing by this process alone.

    Args:
        path: the file; made if there is none.
        manifest: the sweep.
        points: all of its points. What the file already holds must be among them.

    Raises:
        ScenarioError: the file is no store, damaged, read-only, in use, of another version, or
            holds points of another sweep. It is left as it was.
    """

    def __init__(self, path: Path, manifest: Manifest, points: Sequence[Point]) -> None:
        self.path = path
        with _explained(path):
            self._db = sqlite3.connect(path.absolute(), timeout=_BUSY_S, isolation_level=None)
        try:
            with _explained(path):
                self._begin(manifest, points)
        except BaseException:
            self._db.close()
            raise

    def _begin(self, manifest: Manifest, points: Sequence[Point]) -> None:
        """Look before anything is written, then take the lock and set up what is missing."""
        there = _manifest(self._db, self.path)
        created = datetime.now(UTC).isoformat()
        if there is not None:
            _refuse_another(self._db, self.path, (there, manifest), points)
            created = there.created
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN IMMEDIATE")
        if there is None:
            for statement in _SCHEMA:
                self._db.execute(statement)
        about = msgspec.to_builtins(msgspec.structs.replace(manifest, created=created))
        self._db.executemany(
            "INSERT OR REPLACE INTO manifest VALUES (?, ?)",
            [(name, _json(value)) for name, value in about.items()],
        )
        # A grid that grew gives its old points new places, and new paths to those that had none.
        self._db.executemany(
            "UPDATE points SET position = ?, point = ? WHERE key = ?",
            [(point.position, _json(point.values), point.key) for point in points],
        )
        self._commit()

    def _commit(self) -> None:
        # The lock is taken again at once: it tells a second sweep that this one still runs.
        self._db.execute("COMMIT")
        self._db.execute("BEGIN IMMEDIATE")

    def finished(self) -> set[str]:
        """Give the keys of the points that need not run again; failed ones do."""
        with _explained(self.path):
            found = self._db.execute("SELECT key FROM points WHERE status = 'finished'")
            return {key for (key,) in found}

    def record(self, outcomes: Iterable[tuple[Point, Outcome]]) -> None:
        """Write what became of some points; all of it is on the disk when this returns.

        Raises:
            ScenarioError: the file cannot be written any more, and has none of them.
        """
        now = datetime.now(UTC).isoformat()
        rows = [
            (
                point.key, point.position, _json(point.values), outcome.status,
                None if outcome.result is None else _json(outcome.result), outcome.error, now,
            )
            for point, outcome in outcomes
        ]  # fmt: skip
        with _explained(self.path):
            self._db.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._commit()

    def table(self) -> Table:
        """Give all points so far, in the order of the grid."""
        with _explained(self.path):
            return _table(self._db, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(sqlite3.Error):
            self._db.rollback()
            # Leaves one file that can be read from anywhere; refused while somebody else reads.
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()


def read_store(path: str | os.PathLike[str]) -> Table:
    """Read the points of a store, also while a sweep is writing to it.

    Raises:
        ScenarioError: the file is missing, damaged or no store.
    """
    file = file_named(path)
    if not file.is_file():
        raise ScenarioError(
            "there is no such file", path="store", given=str(file), remedy="sweep first"
        )
    address = f"{file.absolute().as_uri()}?mode=ro"
    with _explained(file), closing(sqlite3.connect(address, uri=True)) as db:
        return _table(db, file)


def file_named(path: object, *, argument: str = "store") -> Path:
    """Take a file's name from the user, who may have given anything.

    Raises:
        ScenarioError: it is none.

    >>> file_named("ring.db").name
    'ring.db'
    """
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ScenarioError(
            "must name a file", path=argument, given=path, remedy="for example ring.db"
        )
    return Path(name)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a file into what the user can do about it."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        problem, remedy = _REASONS.get(code, ("cannot be used as a store", _ELSEWHERE))
        raise ScenarioError(
            f"{problem} ({error})", path="store", given=str(path), remedy=remedy
        ) from None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _damaged(path: Path, what: object) -> ScenarioError:
    return ScenarioError(f"is damaged ({what})", path="store", given=str(path), remedy=_ELSEWHERE)


def _manifest(db: sqlite3.Connection, path: Path) -> Manifest | None:
    """Read what the store is about; None if nothing has been written yet."""
    (health,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise _damaged(path, health)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    # A file of one byte is empty to SQLite, but not to whoever wrote the byte.
    if not tables and path.stat().st_size != 1:
        return None
    if not {"manifest", "points"} <= tables:
        raise ScenarioError(
            "is a file of something else",
            path="store",
            given=str(path),
            remedy="name another file",
        )
    try:
        about = {
            name: msgspec.json.decode(value)
            for name, value in db.execute("SELECT name, value FROM manifest")
        }
        if about.get("format") == FORMAT:
            return msgspec.convert(about, Manifest)
    except (msgspec.MsgspecError, TypeError) as error:
        raise _damaged(path, error) from None
    raise ScenarioError(
        f"has format {about.get('format')!r} instead of {FORMAT}",
        path="store",
        given=str(path),
        remedy="read it with the dmoa that wrote it, or name another file",
    )


def _refuse_another(
    db: sqlite3.Connection,
    path: Path,
    manifests: tuple[Manifest, Manifest],
    points: Sequence[Point],
) -> None:
    """Refuse a store with points that the sweep does not have, and say what differs."""
    there, here = manifests
    if there.dmoa != here.dmoa:
        raise ScenarioError(
            f"was written by dmoa {there.dmoa}, and this is {here.dmoa}",
            path="store",
            given=str(path),
            remedy=_ELSEWHERE,
        )
    known = {point.key for point in points}
    if all(key in known for (key,) in db.execute("SELECT key FROM points")):
        return
    differ = _differences(there, here) or ["a file that the scenario names has changed"]
    raise ScenarioError(
        f"holds another sweep: {_some(differ)}", path="store", given=str(path), remedy=_ELSEWHERE
    )


def _differences(there: Manifest, here: Manifest) -> list[str]:
    """Say how the sweep of a store differs from the one that was asked for.

    >>> ring = Manifest({"plan": {"layers": 1}}, {"run.seed": [1, 2]}, dmoa="0.1.0")
    >>> star = Manifest({"plan": {"layers": 2}}, {"run.seed": [1]}, dmoa="0.1.0")
    >>> _differences(ring, star)
    ['plan.layers is 1 there and 2 here', 'run.seed lacks 2']
    """
    found = []
    old, new = _flat(there.scenario), _flat(here.scenario)
    for path in dict.fromkeys([*old, *new]):
        one, other = old.get(path), new.get(path)
        if one != other and path not in there.grid and path not in here.grid:
            found.append(f"{path} is {one!r} there and {other!r} here")
    for path, values in there.grid.items():
        if path not in here.grid:
            found.append(f"{path} is swept only there")
        else:
            missing = [repr(value) for value in values if value not in here.grid[path]]
            found += [f"{path} lacks {_some(missing)}"] if missing else []
    found += [f"{path} is swept only here" for path in here.grid if path not in there.grid]
    if there.graph != here.graph:
        found.append("the graph is another one")
    return found


def _some(items: list[str]) -> str:
    more = len(items) - _LISTED_MAX
    return ", ".join(items[:_LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _table(db: sqlite3.Connection, path: Path) -> Table:
    about = _manifest(db, path)
    if about is None:
        raise ScenarioError(
            "holds no sweep yet", path="store", given=str(path), remedy="sweep first"
        )
    grid, merged = list(about.grid), []
    columns = dict.fromkeys([*grid, *SCENARIO_COLUMNS, "status", *RESULT_COLUMNS])
    # Points of the first stores hold swept values alone; what was not swept is the scenario's.
    scenario = _flat(about.scenario)
    common = {path: scenario.get(path) for path in SCENARIO_COLUMNS}
    found = db.execute("SELECT point, status, result, error FROM points ORDER BY position")
    try:
        for point, status, result, error in found:
            measured = {} if result is None else msgspec.json.decode(result, type=dict[str, Any])
            columns |= dict.fromkeys(measured)
            values = msgspec.json.decode(point, type=dict[str, Any])
            merged.append({**common, **values, "status": status, **measured, "error": error})
    except (msgspec.MsgspecError, TypeError) as error:
        raise _damaged(path, error) from None
    names = [*columns, "error"]
    return Table(grid, names, [{name: row.get(name) for name in names} for row in merged])
