"""What a sweep left behind, to be compared."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def finished_at(store: Path) -> dict[str, str]:
    """Give when each point was finished, by its key."""
    with closing(sqlite3.connect(store)) as db:
        return dict(db.execute("SELECT key, finished_at FROM points"))


def content(store: Path) -> list[tuple]:
    """Give everything that a store holds of its points but the time of day."""
    with closing(sqlite3.connect(store)) as db:
        return db.execute(
            "SELECT key, position, point, status, result, error FROM points ORDER BY position"
        ).fetchall()
