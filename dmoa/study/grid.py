"""The grid of a sweep: how it is written, and which points it has."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.scenario import Scenario, parse_set, value_at, with_values
from dmoa.scenario.parse import plain

POINTS_MAX = 100_000
"""Points that a grid may have."""

Grid = dict[str, list[Any]]

_RANGE = "start:stop:count, or start:stop:count:log"


def parse_grid(text: str) -> tuple[str, list[Any]]:
    """Read ``path=values``: a dotted path, and values or ranges between commas.

    ``start:stop:count`` is a range of ``count`` values with both ends, equally far apart;
    with ``:log`` after it, equal factors apart. A text that holds a comma, a colon or a bracket
    is written as TOML, in quotes.

    Raises:
        ScenarioError: there is no ``=``, a value is missing, or a range is malformed.

    >>> parse_grid("plan.layers=0,1,2")
    ('plan.layers', [0, 1, 2])
    >>> parse_grid("arrivals.arrival_rate_hz=0.02:0.08:4")
    ('arrivals.arrival_rate_hz', [0.02, 0.04, 0.06, 0.08])
    >>> parse_grid("service.service_time_s=0.01:1:3:log")
    ('service.service_time_s', [0.01, 0.1, 1.0])
    """
    path, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not path or not given:
        raise ScenarioError(
            "must be path=values", path="grid", given=text, remedy="for example plan.layers=0,1,2"
        )
    if any(mark in given for mark in "[{\"'"):
        return path, _toml_values(path, given)
    values: list[Any] = []
    for item in given.split(","):
        if not item.strip():
            raise ScenarioError(
                "a value is missing", path=path, given=given, remedy="write one between two commas"
            )
        values += _range(path, item) if ":" in item else [parse_set(f"{path}={item}")[1]]
    return path, values


def parse_grids(texts: Iterable[str]) -> Grid:
    """Read several ``path=values``, each of another path.

    Raises:
        ScenarioError: one of them is malformed, or a path comes twice.

    >>> parse_grids(["plan.layers=0,1", "overlay.topology=ring,star"])
    {'plan.layers': [0, 1], 'overlay.topology': ['ring', 'star']}
    """
    grid: Grid = {}
    for text in texts:
        path, values = parse_grid(text)
        if path in grid:
            raise ScenarioError(
                "is given twice", path=path, given=text, remedy="give all of its values at once"
            )
        grid[path] = values
    return grid


def _toml_values(path: str, given: str) -> list[Any]:
    try:
        found = tomllib.loads(f"values = [{given}]")
    except tomllib.TOMLDecodeError:
        found = {}
    if list(found) != ["values"]:
        raise ScenarioError(
            "are no TOML values",
            path=path,
            given=given,
            remedy="put every text in quotes and close all brackets",
        )
    values: list[Any] = found["values"]
    return values


def _range(path: str, item: str) -> list[float] | list[int]:
    first, last, count, log = _range_parts(path, item)
    places = [Fraction(place, count - 1) for place in range(count)]
    if log:
        low, high = math.log(first), math.log(last)
        # Twelve digits hide what exp and log round, so that 0.01:1:3:log has the value 0.1.
        inner = [math.exp(low + float(place) * (high - low)) for place in places[1:-1]]
        return [float(first), *(float(f"{value:.12g}") for value in inner), float(last)]
    # Exact, so that 0.02:0.24:12 has the value 0.06 and not 0.06000000000000001.
    start, stop = Fraction(repr(first)), Fraction(repr(last))
    exact = [start + place * (stop - start) for place in places]
    if isinstance(first, int) and isinstance(last, int) and all(e.denominator == 1 for e in exact):
        return [int(value) for value in exact]
    return [float(value) for value in exact]


def _range_parts(path: str, item: str) -> tuple[float, float, int, bool]:
    parts = [part.strip() for part in item.split(":")]
    log = parts[-1] == "log"
    try:
        first, last = (_number(part) for part in parts[:2])
        (count,) = (int(part) for part in parts[2 : len(parts) - log])
    except ValueError:
        raise ScenarioError(
            "is no range",
            path=path,
            given=item,
            remedy=f"write {_RANGE}; put a text that holds a colon in quotes",
        ) from None
    if not 2 <= count <= POINTS_MAX:
        raise ScenarioError(
            f"a range has 2 to {POINTS_MAX:,} values", path=path, given=item, remedy=_RANGE
        )
    if log and not (first > 0 and last > 0):
        raise ScenarioError(
            "a logarithmic range needs ends above 0", path=path, given=item, remedy=_RANGE
        )
    return first, last, count, log


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:
        return value


def check_grid(scenario: Scenario, grid: object) -> Grid:
    """Copy a grid into plain values, and refuse unknown paths and grids without end.

    Args:
        scenario: the scenario that it varies.
        grid: dotted path to values; a user may have given anything.

    Raises:
        ScenarioError: a path is unknown, or it has no values or too many.

    >>> check_grid(Scenario(), {"plan.layers": range(3)})
    {'plan.layers': [0, 1, 2]}
    """
    if not isinstance(grid, Mapping) or not grid:
        raise ScenarioError(
            "must give values to at least one path",
            path="grid",
            given=grid,
            remedy='for example {"plan.layers": [0, 1, 2]}',
        )
    axes: Grid = {}
    for path, values in grid.items():
        if not isinstance(path, str):
            raise ScenarioError("paths are texts", path="grid", given=path)
        value_at(scenario, path)
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise ScenarioError(
                "must be a sequence of values", path=path, given=values, remedy="put it in brackets"
            )
        axes |= plain({path: list(itertools.islice(values, POINTS_MAX + 1))})
    size = math.prod(len(values) for values in axes.values())
    if not 0 < size <= POINTS_MAX:
        shape = " x ".join(str(len(values)) for values in axes.values())
        raise ScenarioError(
            f"a grid has 1 to {POINTS_MAX:,} points",
            path="grid",
            given=f"{shape} values",
            remedy="give every path a value" if not size else "give fewer, or sweep in parts",
        )
    return axes


def configurations(scenario: Scenario, grid: Grid) -> Iterator[tuple[dict[str, Any], Scenario]]:
    """Give every point of a grid, the last path varying fastest: its values and its scenario.

    Values are as the schema holds them, so 1 becomes 1.0 where a number may have a fraction.

    Raises:
        ScenarioError: a value is outside its range, or does not go with the others.

    >>> grid = {"plan.layers": [0, 1], "station.slots": [1, 2]}
    >>> [list(values.values()) for values, _ in configurations(Scenario(), grid)]
    [[0, 1], [0, 2], [1, 1], [1, 2]]
    """
    for values in itertools.product(*grid.values()):
        point = with_values(scenario, dict(zip(grid, values, strict=True)))
        yield {path: value_at(point, path) for path in grid}, point
