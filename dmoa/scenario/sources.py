"""Scenarios from presets, files and mappings."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.scenario.overlay_files import is_file_name
from dmoa.scenario.overrides import override, parse_sets
from dmoa.scenario.parse import from_dict, nearest, plain, to_dict
from dmoa.scenario.schema import Scenario
from dmoa.scenario.text_files import read_text

_BYTES_MAX = 10_000_000
_FOLDER = Path(__file__).parent / "presets"
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


@cache
def presets() -> dict[str, str]:
    """Names of the presets with a sentence about each, sorted by name.

    >>> "ring" in presets()
    True
    """
    found = {}
    for file in sorted(_FOLDER.glob("*.toml")):
        found[file.stem] = str(tomllib.loads(file.read_text("utf-8"))["description"])
    return found


def load(
    source: str | Path | Mapping[str, Any] | Scenario,
    overrides: Iterable[str] | Mapping[str, Any] = (),
) -> Scenario:
    """Load a scenario and change some of its values.

    Args:
        source: Name of a preset, a TOML file, nested values, or a scenario.
        overrides: ``"key=value"`` texts as after ``--set``, or a mapping of path to value.

    Returns:
        The scenario, checked, with all defaults of its choices filled in. Files that it names
        are looked for beside the scenario file first, then in the current folder.

    Raises:
        ScenarioError: There is no such preset or file, or it is not a valid scenario.

    >>> load("ring", ["plan.layers=2", "arrivals.arrival_rate_hz=0.1"]).plan.layers
    2
    """
    if isinstance(source, Scenario):
        data: Mapping[str, Any] = to_dict(source)
    elif isinstance(source, Mapping):
        data = plain(source)
    elif isinstance(source, str) and source in presets():
        data = _toml(_FOLDER / f"{source}.toml")
    elif isinstance(source, Path) or is_file_name(source) or source.endswith(".toml"):
        data = _beside(_toml(Path(source)), Path(source).parent)
    else:
        raise ScenarioError(
            "there is no such preset",
            path="scenario",
            given=source,
            remedy=nearest(source, presets()) + "; or give a .toml file",
        )
    values = overrides if isinstance(overrides, Mapping) else parse_sets(overrides)
    return from_dict(override(data, values))


def _toml(file: Path) -> dict[str, Any]:
    text = read_text(file, path="scenario", bytes_max=_BYTES_MAX)
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem, where = str(error), ""
        place = _PLACE.match(problem)
        if place is not None:
            lines = text.splitlines() or [""]
            line, column = place[2] or len(lines), place[3] or len(lines[-1]) + 1
            problem, where = place[1], f" at line {line}, column {column}"
        raise ScenarioError(
            f"is not valid TOML{where}: {problem}", path="scenario", given=str(file)
        ) from None
    if not data:
        raise ScenarioError(
            "the file is empty",
            path="scenario",
            given=str(file),
            remedy=f"write a scenario, or use a preset: {', '.join(presets())}",
        )
    return data


def _beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Find the files that a scenario names beside its own file."""
    for section, key in (("overlay", "topology"), ("arrivals", "file"), ("service", "file")):
        table = data.get(section)
        name = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(name, str) and "\0" not in name:
            beside = os.path.normpath(folder / name)
            if (key == "file" or is_file_name(name)) and Path(beside).is_file():
                table[key] = beside
    return data
