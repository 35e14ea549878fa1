"""Changing single values of a scenario: ``--set key=value``, sweeps, and looking values up."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.scenario.choices import CHOICES, bound_keys, taken
from dmoa.scenario.fields import SECTIONS, keys
from dmoa.scenario.parse import from_dict, nearest, to_dict
from dmoa.scenario.schema import Scenario


def parse_set(text: str) -> tuple[str, Any]:
    """Read ``key=value``: a dotted path and a TOML value; a bare word is a text.

    Raises:
        ScenarioError: There is no ``=``, or an opened bracket or quote is not closed.

    >>> parse_set("plan.layers=2"), parse_set("overlay.topology=star")
    (('plan.layers', 2), ('overlay.topology', 'star'))
    """
    path, equals, value = text.partition("=")
    path, value = path.strip(), value.strip()
    if not equals or not path:
        raise ScenarioError(
            "must be key=value", path="--set", given=text, remedy="for example plan.layers=2"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if list(parsed) == ["value"]:
        return path, parsed["value"]
    if value[:1] in ("[", "{", '"', "'"):
        raise ScenarioError(
            "is no TOML value", path=path, given=value, remedy="close its brackets and quotes"
        )
    return path, value


def parse_sets(texts: Iterable[str]) -> dict[str, Any]:
    """Read several ``key=value``; a later one replaces an earlier one of the same key.

    >>> parse_sets(["plan.layers=1", "plan.layers=2"])
    {'plan.layers': 2}
    """
    return dict(parse_set(text) for text in texts)


def _steps(path: str) -> list[str]:
    """Split a dotted path; the name of a node may itself hold dots."""
    for tables in (["nodes"], ["live", "peers"]):
        head = ".".join(tables) + "."
        name, _, key = path.removeprefix(head).rpartition(".")
        if path.startswith(head) and name:
            return [*tables, name, key]
    return path.split(".")


def override(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Set values by dotted path in the nested values of a scenario; ``None`` removes one.

    Where a choice changes (``overlay.topology``, ``service.distribution``, ...), the keys that
    only the old choice takes are dropped, unless they are set here too.

    >>> override({"overlay": {"topology": "tree", "branching": 3}}, {"overlay.topology": "ring"})
    {'overlay': {'topology': 'ring'}}
    """
    changed = copy.deepcopy(dict(data))
    for section, (selector, _choices) in CHOICES.items():
        table = changed.get(section)
        if f"{section}.{selector}" not in values or not isinstance(table, dict):
            continue
        wanted = taken(section, values[f"{section}.{selector}"])
        for name in bound_keys(section) - set(wanted):
            table.pop(name, None)
    for path, value in values.items():
        *tables, last = _steps(path)
        place = changed
        for step in tables:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ScenarioError(
                    "no such key", path=path, given=value, remedy=nearest(path, paths())
                )
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return changed


def with_values(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """Copy a scenario with some values changed, by dotted path.

    Args:
        scenario: The scenario to start from.
        values: Path to value, for example ``{"plan.layers": 2}``; ``None`` takes an optional
            value away.

    Raises:
        ScenarioError: A path is unknown or a value outside its range.

    >>> with_values(Scenario(), {"plan.layers": 2, "service.service_time_s": 0.5}).plan.layers
    2
    """
    return from_dict(override(to_dict(scenario), values))


def value_at(scenario: Scenario, path: str) -> object:
    """Look a value up by its dotted path; ``None`` where it is optional and absent.

    Raises:
        ScenarioError: There is no such path; the nearest is suggested.

    >>> value_at(Scenario(), "plan.layers")
    1
    """
    steps = _steps(path)
    if steps[0] == "nodes" and len(steps) == 3 and steps[2] in keys("nodes.NAME"):
        return getattr(scenario.nodes.get(steps[1]), steps[2], None)
    if steps[:2] == ["live", "peers"] and len(steps) == 4 and steps[3] in keys("live.peers.NAME"):
        peers = {} if scenario.live is None else scenario.live.peers
        return getattr(peers.get(steps[2]), steps[3], None)
    if path not in paths():
        raise ScenarioError("no such key", path=path, remedy=nearest(path, paths()))
    found: object = scenario
    for step in steps:
        found = getattr(found, step, None)  # there may be no [live]
    return found


def paths() -> list[str]:
    """Dotted path of every key; a node's are ``nodes.NAME.key``.

    >>> paths()[:4]
    ['name', 'description', 'overlay.topology', 'overlay.nodes']
    """
    return [key.path for section in ("", *SECTIONS) for key in keys(section).values()]
