"""Sweeps as tables: a data frame, or CSV without pandas."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import msgspec

from dmoa.errors import ScenarioError
from dmoa.study.store import file_named, read_store

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("status", "verdict", "bottleneck", "digest", "error")
_COUNTS = ("plan.layers", "plan.proposers")


def load_sweep(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a sweep's store as a tidy data frame: one row per point, in the order of the grid.

    Columns are the swept paths, ``plan.layers``, ``plan.proposers`` and
    ``arrivals.arrival_rate_hz`` (per node; nan where a recorded trace sets the pace) even where
    they were not swept, ``status``, theory and verdict, three for each measure
    (``_mean``, ``_low``, ``_high``), and ``error``; numbers that a point lacks are nan. The sweep
    may still be running: points that have not ended are not there yet.

    Args:
        path: the file that `sweep` wrote.

    Raises:
        ScenarioError: the file is missing, damaged or no store, or pandas is not installed.

    >>> load_sweep("no-such-file.db")
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: store: there is no such file, but 'no-such-file.db' was given;
    sweep first
    """
    table = read_store(path)
    try:
        import pandas as pd  # an extra, and slow to import
    except ImportError:
        raise ScenarioError(
            "a data frame needs pandas, which is not installed",
            path="load_sweep",
            remedy='pip install "dmoa[data]", or use export_csv',
        ) from None
    frame = pd.DataFrame(table.rows, columns=table.columns)
    as_they_are = {*_TEXTS, *_COUNTS, *table.grid}
    numbers = [name for name in table.columns if name not in as_they_are]
    return frame.astype(dict.fromkeys(numbers, float))


def export_csv(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Write a sweep's store as CSV, with the columns of `load_sweep`; give the number of points.

    Needs nothing beyond dmoa itself. What is absent is an empty field; tables and lists are JSON.

    Args:
        path: the file that `sweep` wrote.
        out: the CSV file; replaced if it exists.

    Raises:
        ScenarioError: the store cannot be read, or the CSV file not be written.

    >>> export_csv("no-such-file.db", "points.csv")
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: store: there is no such file, but 'no-such-file.db' was given;
    sweep first
    """
    table, file = read_store(path), file_named(out, argument="out")
    try:
        if file.exists() and file.samefile(path):
            raise ScenarioError(
                "is the store itself", path="out", given=str(file), remedy="name another file"
            )
        with file.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(table.columns)
            writer.writerows([_field(row[name]) for name in table.columns] for row in table.rows)
    except OSError as error:
        raise ScenarioError(
            f"cannot be written ({error.strerror})",
            path="out",
            given=str(file),
            remedy="name a file in a folder that you may write",
        ) from None
    return len(table.rows)


def _field(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
