"""Rows of a sweep, however they come: as records, or as the DataFrame of `load_sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, nan
from typing import Any

from dmoa.errors import ScenarioError

POINTS_MAX = 100_000


@dataclass(frozen=True)
class Point:
    """One arrival rate of one plan: what was measured, and what theory says. nan is unknown."""

    layers: int
    proposers: int
    arrival_rate_hz: float
    mean: float
    low: float
    high: float
    verdict: str
    critical_rate_hz: float
    theorem1_critical_rate_hz: float


def read_points(points: Any) -> list[Point]:
    """Read the points of stability curves, sorted by plan and arrival rate.

    Args:
        points: mappings, or an object with ``to_dict("records")`` that gives them. Each has
            ``layers``, ``proposers``, ``arrival_rate_hz`` (or the scenario's paths, such as
            ``plan.layers``), ``queue_length`` as {mean, low, high} (or the columns
            ``queue_length_mean``, ...), ``verdict`` and the two critical rates.

    Raises:
        ScenarioError: there are none, too many, one lacks a value, or two stand in one place.

    >>> row = {"layers": 1, "proposers": 2, "arrival_rate_hz": 0.1, "queue_length": {"mean": 0.3}}
    >>> read_points([row])[0].mean
    0.3
    """
    found = [_point(position, record) for position, record in enumerate(records_of(points))]
    if not 0 < len(found) <= POINTS_MAX:
        raise ScenarioError(
            f"stability curves need 1 to {POINTS_MAX:,} points",
            path="points",
            given=len(found),
            remedy="sweep over arrivals.arrival_rate_hz",
        )
    ordered = sorted(found, key=_place)
    for one, other in pairwise(ordered):
        if _place(one) == _place(other):
            raise ScenarioError(
                "two points have the same plan and arrival rate",
                path="points",
                given=_place(one),
                remedy="choose the points of one overlay and service, a figure for each",
            )
    return ordered


def _place(point: Point) -> tuple[int, int, float]:
    return point.layers, point.proposers, point.arrival_rate_hz


def _point(position: int, record: Mapping[str, Any]) -> Point:
    def given(*names: str) -> Any:
        return next((record[name] for name in names if name in record), None)

    def needed(*names: str) -> float:
        value = number_of(given(*names))
        if not isfinite(value):
            raise ScenarioError(
                f"{names[0]} must be a finite number",
                path=f"points[{position}]",
                given=given(*names),
                remedy=f"name it {' or '.join(names)}",
            )
        return value

    mean, low, high = estimated(record, "queue_length")
    return Point(
        layers=int(needed("layers", "plan.layers")),
        proposers=int(needed("proposers", "plan.proposers")),
        arrival_rate_hz=needed("arrival_rate_hz", "arrivals.arrival_rate_hz"),
        mean=mean,
        low=low,
        high=high,
        verdict=str(given("verdict") or "undetermined"),
        critical_rate_hz=number_of(given("critical_rate_hz")),
        theorem1_critical_rate_hz=number_of(given("theorem1_critical_rate_hz")),
    )


def records_of(points: Any) -> list[Mapping[str, Any]]:
    """Give the points as mappings; of a DataFrame its rows.

    >>> records_of([{"verdict": "stable"}])
    [{'verdict': 'stable'}]
    """
    return list(points.to_dict("records") if hasattr(points, "to_dict") else points)


def estimated(record: Mapping[str, Any], measure: str) -> tuple[float, float, float]:
    """Give mean, low and high of a measure, which is a mapping, an `Estimate` or three columns.

    >>> estimated({"queue_length_mean": 0.3}, "queue_length")
    (0.3, nan, nan)
    """
    whole = record.get(measure)
    mean, low, high = (
        number_of(record.get(f"{measure}_{part}") if whole is None else _part(whole, part))
        for part in ("mean", "low", "high")
    )
    return mean, low, high


def number_of(value: Any) -> float:
    """Take a number, or nan for what is none.

    >>> number_of("2"), number_of(None)
    (2.0, nan)
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan


def _part(estimate: Any, part: str) -> Any:
    """Take the mean or an end of the interval from a mapping or an `Estimate`."""
    if isinstance(estimate, Mapping):
        return estimate.get(part)
    return getattr(estimate, part, None)
