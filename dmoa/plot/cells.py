"""Cells of a phase diagram, however they come: as records, or as the DataFrame of `load_sweep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from dmoa.errors import ScenarioError
from dmoa.plot.points import estimated, number_of, records_of
from dmoa.plot.style import VERDICTS

if TYPE_CHECKING:
    from dmoa.trace.meter import Floats

CELLS_MAX = 10_000
"""More than that cannot be told apart on a page."""

RATE = "arrivals.arrival_rate_hz"
FAILED = "failed"
SAME = 1e-3

Place = str | float | bool | None
"""A swept value that rows or panels are told apart by; lists and tables are their JSON."""


@dataclass(frozen=True)
class Cell:
    """One point of a sweep: its panel and row, its rate, what was measured, what theory says.

    ``x`` is the arrival rate, or its share of λ*; so are ``limit`` and ``theorem1``. nan is
    unknown.
    """

    panel: Place
    row: Place
    x: float
    mean: float
    verdict: str
    limit: float
    theorem1: float


def read_cells(points: Any, y: str, panel: str | None, *, relative: bool) -> list[Cell]:
    """Read the cells of a phase diagram.

    Args:
        points: mappings, or an object with ``to_dict("records")`` that gives them.
        y: the key of the rows.
        panel: the key of the panels, if there are several.
        relative: whether rates are given as shares of each point's own λ*.

    Raises:
        ScenarioError: there are none, too many, one lacks a value, or two stand in one place.

    >>> row = {"arrivals.arrival_rate_hz": 0.1, "plan.layers": 1, "queue_length_mean": 0.3}
    >>> read_cells([row], "plan.layers", None, relative=False)[0].mean
    0.3
    """
    records = records_of(points)
    if not 0 < len(records) <= CELLS_MAX:
        raise ScenarioError(
            f"a phase diagram has 1 to {CELLS_MAX:,} points",
            path="points",
            given=len(records),
            remedy="sweep over arrivals.arrival_rate_hz and another key",
        )
    found = [
        _cell(position, record, (y, panel), relative=relative)
        for position, record in enumerate(records)
        # A point that failed has no λ*, and so no place where rates are shares of it.
        if not (relative and record.get("status") == FAILED)
    ]
    seen: set[tuple[Place, Place, float]] = set()
    for cell in found:
        place = cell.panel, cell.row, cell.x
        if place in seen:
            raise ScenarioError(
                "two points have the same place",
                path="points",
                given=[value for value in place if value is not None],
                remedy="choose the points of one scenario, or give a key that differs as panel",
            )
        seen.add(place)
    return found


def in_order(places: Iterable[Place]) -> list[Place]:
    """Give every place once: numbers ascending, all else in the order in which they come.

    >>> in_order([4, 2, 4, 3]), in_order(["ring", "grid", "ring"])
    ([2, 3, 4], ['ring', 'grid'])
    """
    found = list(dict.fromkeys(places))
    if all(isinstance(place, int | float) for place in found):
        return sorted(found, key=lambda place: float(place or 0))
    return found


def range_of_means(cells: Iterable[Cell]) -> tuple[float, float]:
    """Give the smallest and largest mean above 0 of all cells; nan where there is none."""
    means = [cell.mean for cell in cells if cell.mean > 0 and isfinite(cell.mean)]
    return min(means, default=nan), max(means, default=nan)


def by_row(cells: Sequence[Cell]) -> dict[tuple[Place, Place], list[Cell]]:
    """Give the cells of each row of each panel, in order of their rates."""
    found: dict[tuple[Place, Place], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.x):
        found.setdefault((cell.panel, cell.row), []).append(cell)
    return found


def edges(own: Sequence[Cell], *, log: bool) -> Floats:
    """Give the borders of a row's cells: half-way between the rates, and as far at the ends."""
    rates = np.array([cell.x for cell in own])
    places = np.log(rates) if log else rates
    step = 0.1 if log else 0.1 * rates[0]
    first, last = (places[1] - places[0], places[-1] - places[-2]) if len(own) > 1 else (step, step)
    inner = (places[1:] + places[:-1]) / 2
    edges = np.array([places[0] - first / 2, *inner, places[-1] + last / 2])
    borders: Floats = np.exp(edges) if log else np.maximum(edges, 0.0)
    return borders


def limit_of(own: Sequence[Cell], kind: str) -> float:
    """Give the limit of a row, as its cell nearest to λ* has it."""
    known = [cell for cell in own if isfinite(getattr(cell, kind))]
    nearest = min(known, key=lambda cell: abs(cell.x - cell.limit), default=None)
    return nan if nearest is None else float(getattr(nearest, kind))


def differs(own: Sequence[Cell]) -> bool:
    """Tell whether Theorem 1's limit of a row is another than λ*."""
    limit, theorem1 = limit_of(own, "limit"), limit_of(own, "theorem1")
    return isfinite(theorem1) and not abs(theorem1 - limit) <= SAME * theorem1


def _cell(
    position: int, record: Mapping[str, Any], keys: tuple[str, str | None], *, relative: bool
) -> Cell:
    limit, theorem1 = (
        number_of(record.get(name)) for name in ("critical_rate_hz", "theorem1_critical_rate_hz")
    )
    rate_hz = number_of(record.get(RATE, record.get("arrival_rate_hz")))
    row, own_panel = (None if key is None else _place(position, record, key) for key in keys)
    unit = limit if relative else 1.0
    x = rate_hz / unit if unit > 0 else nan
    if not (isfinite(x) and x > 0):
        raise ScenarioError(
            f"{RATE} must be a number above 0" + (", and so must λ*" if relative else ""),
            path=f"points[{position}]",
            given=[rate_hz, limit] if relative else record.get(RATE),
            remedy=f"choose points that have both: a sweep over {RATE}",
        )
    mean = estimated(record, "queue_length")[0]
    verdict = _verdict(position, record)
    return Cell(own_panel, row, x, mean, verdict, limit / unit, theorem1 / unit)


def _verdict(position: int, record: Mapping[str, Any]) -> str:
    if record.get("status") == FAILED:
        return FAILED
    verdict = record.get("verdict") or "undetermined"
    if verdict not in VERDICTS:
        raise ScenarioError(
            f"verdict must be one of {', '.join(VERDICTS)}",
            path=f"points[{position}]",
            given=verdict,
        )
    return str(verdict)


def _place(position: int, record: Mapping[str, Any], key: str) -> Place:
    if key not in record:
        raise ScenarioError(
            f"lacks {key}",
            path=f"points[{position}]",
            given=sorted(map(str, record)),
            remedy="name a key that was swept",
        )
    value = record[key]
    # A data frame says nan where a sweep says None.
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, str | int | float):
        return value
    return msgspec.json.encode(value).decode()
