"""Plain values into a :class:`Scenario`, or an error with path, value and remedy."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dmoa.errors import ScenarioError
from dmoa.scenario.checks import check
from dmoa.scenario.choices import (
    CHOICES,
    GENERATED,
    GRAPH,
    REQUIRED,
    bound_keys,
    taken,
    takers,
)
from dmoa.scenario.fields import SECTIONS, Key, keys
from dmoa.scenario.generators import grid_shape
from dmoa.scenario.overlay_files import is_file_name
from dmoa.scenario.ready import ready_overlays
from dmoa.scenario.schema import Scenario

_DEPTH_MAX = 8


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest what the user may have meant, and list what is known.

    >>> nearest("rnig", ["ring", "star"])
    "did you mean 'ring'? known are: ring, star"
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    listing = f"known are: {', '.join(names)}"
    return f"did you mean {close[0]!r}? {listing}" if close else listing


def plain(data: object, path: str = "") -> dict[str, Any]:
    """Copy nested values into plain Python: text keys, lists, finite numbers (numpy's too).

    Raises:
        ScenarioError: It is no table, a number is NaN or infinite, a key is no text, or tables
            nest too deep.

    >>> plain({"a": (1, 2.5)})
    {'a': [1, 2.5]}
    """
    if not isinstance(data, Mapping):
        raise ScenarioError("a scenario is a table of tables", given=_shortened(data))
    return {name: _plain(value, name, 1) for name, value in _text_keys(data, path)}


def _text_keys(table: Mapping[Any, Any], path: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if not isinstance(key, str):
            raise ScenarioError("keys must be text", path=path, given=key)
        yield key, value


def _plain(value: object, path: str, depth: int) -> object:
    if depth > _DEPTH_MAX:
        raise ScenarioError(f"tables may nest {_DEPTH_MAX} deep", path=path)
    if isinstance(value, Mapping):
        below = _text_keys(value, path)
        return {name: _plain(item, f"{path}.{name}", depth + 1) for name, item in below}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise ScenarioError(
                "must be finite", path=path, given=float(value), remedy="give a number"
            )
        return float(value)
    return value


def _remedy(key: Key, value: object) -> str:
    choices = re.findall(r"'([^']+)'", key.expected)
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f"did you mean {close[0]!r}?" if close else f"meaning: {key.description}"


def _value(key: Key, value: object, path: str) -> object:
    try:
        return msgspec.convert(value, key.type)
    except msgspec.ValidationError:
        unit = f" ({key.unit})" if key.unit else ""
        raise ScenarioError(
            f"must be {key.expected}{unit}",
            path=path,
            given=_shortened(value),
            remedy=_remedy(key, value),
        ) from None


def _shortened(value: object) -> object:
    text = repr(value)
    return value if len(text) <= 200 else text[:200] + "..."


def checked_table(data: object, known: Mapping[str, Key], path: str) -> dict[str, Any]:
    """Check a table of the user's against its keys.

    Args:
        data: The table.
        known: Its keys, by name.
        path: Where it stands; empty for the top level.

    Raises:
        ScenarioError: It is no table, a key is unknown or missing, or a value is out of range.

    >>> checked_table({"delay_s": 0.1}, keys("links"), "links")
    {'delay_s': 0.1}
    """
    if not isinstance(data, dict):
        raise ScenarioError(
            "must be a table",
            path=path,
            given=_shortened(data),
            remedy=f"write [{path}] above its keys",
        )
    prefix = f"{path}." if path else ""
    for name, value in data.items():
        if name not in known:
            raise ScenarioError(
                "unknown key",
                path=prefix + name,
                given=_shortened(value),
                remedy=nearest(name, known),
            )
        _value(known[name], value, prefix + name)
    for name, key in known.items():
        if key.default is REQUIRED and name not in data:
            raise ScenarioError(
                "must be given",
                path=prefix + name,
                remedy=f"give {key.expected} ({key.description})",
            )
    return data


def _section(data: object, section: str, path: str) -> dict[str, Any]:
    return checked_table(data, keys(section), path)


def _check_topology(name: str) -> None:
    known = [*GENERATED, *ready_overlays()]
    if name not in known and name != GRAPH and not is_file_name(name):
        raise ScenarioError(
            "unknown topology",
            path="overlay.topology",
            given=name,
            remedy=nearest(name, known)
            + "; or give a .graphml, .edgelist, .txt, .csv or .json file",
        )


def _fill(data: dict[str, Any], section: str) -> dict[str, Any]:
    """Refuse the keys that the section's choice does not take, and add its defaults."""
    selector = CHOICES[section][0]
    choice = data.get(selector, keys(section)[selector].default)
    if section == "overlay":
        _check_topology(choice)
    wanted = taken(section, choice)
    for name, value in data.items():
        if name in bound_keys(section) and name not in wanted:
            raise ScenarioError(
                f"{selector} {choice!r} does not take this key",
                path=f"{section}.{name}",
                given=_shortened(value),
                remedy=f"remove it, or choose one of: {', '.join(takers(section, name))}",
            )
    filled = dict(data)
    for name, default in wanted.items():
        if name not in filled and default is REQUIRED:
            key = keys(section)[name]
            raise ScenarioError(
                f"{selector} {choice!r} needs this key",
                path=f"{section}.{name}",
                remedy=f"give {key.expected} ({key.description})",
            )
        if name not in filled and default is not None:
            filled[name] = default
    if choice in ("grid", "torus"):
        rows, columns = grid_shape(
            filled.get("nodes"), filled.get("rows"), filled.get("columns"), str(choice)
        )
        filled["nodes"] = rows * columns
    return filled


def from_dict(data: Mapping[str, Any]) -> Scenario:
    """Make a scenario of nested plain values, as read from TOML or made by :func:`to_dict`.

    Every key that a choice takes is filled in, so equal scenarios have equal dictionaries.

    Raises:
        ScenarioError: A key is unknown or missing, or a value is outside its range.

    >>> from_dict({"overlay": {"topology": "star"}}).overlay.nodes
    8
    """
    raw = plain(data)
    top = keys("")
    known = [*top, *dict.fromkeys(section.partition(".")[0] for section in SECTIONS)]
    made: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in known:
            raise ScenarioError(
                "unknown key", path=name, given=_shortened(value), remedy=nearest(name, known)
            )
        if name in top:
            made[name] = _value(top[name], value, name)
    for section in SECTIONS:
        if section in ("host", "nodes.NAME", "live", "live.peers.NAME"):
            continue
        values = _section(raw.get(section, {}), section, section)
        made[section] = _fill(values, section) if section in CHOICES else values
    made["nodes"] = _named(raw.get("nodes", {}), "nodes")
    made["host"] = _section(raw["host"], "host", "host") if "host" in raw else None
    made["live"] = _live(raw["live"]) if "live" in raw else None
    scenario = msgspec.convert(made, Scenario)
    check(scenario)
    return scenario


def _named(data: object, path: str) -> dict[str, Any]:
    """Check a table that holds a table for each of some nodes."""
    if not isinstance(data, dict):
        raise ScenarioError(
            "must be a table",
            path=path,
            given=_shortened(data),
            remedy=f"write [{path}.NAME] above its keys",
        )
    return {name: _section(own, f"{path}.NAME", f"{path}.{name}") for name, own in data.items()}


def _live(data: object) -> dict[str, Any]:
    peers: object = {}
    if isinstance(data, dict) and "peers" in data:
        data, peers = {**data}, data["peers"]
        del data["peers"]
    return {**_section(data, "live", "live"), "peers": _named(peers, "live.peers")}


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """Write a scenario as nested plain values; absent optional keys are left out.

    ``from_dict(to_dict(scenario)) == scenario`` for every scenario that was loaded.

    >>> to_dict(from_dict({}))["overlay"]
    {'topology': 'ring', 'nodes': 8}
    """
    built: dict[str, Any] = _without_none(msgspec.to_builtins(scenario))
    return built


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
