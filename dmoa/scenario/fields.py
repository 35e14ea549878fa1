"""The schema seen as a list of keys: type, range, unit, default and meaning of each.

Error messages and the reference table of ``docs/scenario.md`` are both written from it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import msgspec
from msgspec import inspect

from dmoa.scenario import live_schema, schema, station_schema
from dmoa.scenario.choices import CHOICES, GENERATED, OPTIONAL, REQUIRED, bound_keys, takers
from dmoa.scenario.schema import SEED_MAX


class Key(NamedTuple):
    """One key of the schema: where it is, what it may be and what it means."""

    section: str
    name: str
    type: object
    expected: str
    unit: str
    default: object
    description: str

    @property
    def path(self) -> str:
        """Dotted path, with NAME for a node's name."""
        return f"{self.section}.{self.name}" if self.section else self.name


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "overlay": schema.Overlay,
    "plan": schema.Plan,
    "arrivals": schema.Arrivals,
    "tokens": schema.Tokens,
    "service": station_schema.Service,
    "station": station_schema.Station,
    "host": station_schema.Host,
    "links": schema.Links,
    "nodes.NAME": schema.NodeValues,
    "run": schema.Run,
    "live": live_schema.Live,
    "live.peers.NAME": live_schema.LivePeer,
}


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"above {kind.gt}" if kind.gt is not None else f"from {kind.ge:,.10g}"
    if kind.lt is not None:
        return f"{low} {'to' if kind.gt is None else 'and'} below {kind.lt}"
    top = "2^63 - 1" if kind.le == SEED_MAX else f"{kind.le:,.10g}"
    return f"{low} and at most {top}" if kind.gt is not None else f"{low} to {top}"


def expectation(kind: inspect.Type) -> str:
    """Say in words what a value of this type may be."""
    match kind:
        case inspect.Metadata():
            words = expectation(kind.type)
        case inspect.UnionType():
            kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            words = " or ".join(expectation(one) for one in kinds)
        case inspect.BoolType():
            words = "true or false"
        case inspect.IntType():
            words = f"a whole number {_range(kind)}"
        case inspect.FloatType():
            words = f"a number {_range(kind)}"
        case inspect.LiteralType():
            words = " or ".join(repr(value) for value in kind.values)
        case inspect.ListType():
            words = f"a list of at most {kind.max_length:,}, each {expectation(kind.item_type)}"
        case inspect.DictType():
            words = "a table {node = {peer = probability}}"
        case _:
            words = f"a text of at most {getattr(kind, 'max_length', 0):,} characters"
    return words


def _metadata(kind: inspect.Type) -> inspect.Metadata | None:
    """Find what is said of a key; nothing is said of a table."""
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((part for part in parts if isinstance(part, inspect.Metadata)), None)


@cache
def keys(section: str) -> dict[str, Key]:
    """Keys of a section by name, without its tables; ``""`` is the top level.

    >>> keys("links")["loss"].expected
    'a number from 0 to below 1'
    """
    return keys_of(SECTIONS[section] if section else schema.Scenario, section)


def keys_of(struct: type[msgspec.Struct], section: str = "") -> dict[str, Key]:
    """Keys of a record by name, without its tables.

    >>> list(keys_of(schema.Links, "links"))
    ['delay_s', 'distribution', 'cv', 'loss']
    """
    described = cast("inspect.StructType", inspect.type_info(struct))
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    found = {}
    for field in described.fields:
        about = _metadata(field.type)
        if about is None:
            continue
        extra, schema_extra = about.extra or {}, about.extra_json_schema or {}
        found[field.name] = Key(
            section,
            field.name,
            types[field.name],
            expectation(field.type),
            str(extra["unit"]),
            REQUIRED if field.required else field.default,
            str(schema_extra["description"]),
        )
    return found


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "must be given"
    if key.section not in CHOICES or key.name not in bound_keys(key.section):
        if isinstance(key.default, bool):
            return f"`{str(key.default).lower()}`"
        return "" if key.default is None else f"`{key.default}`" if key.default != "" else "empty"
    values = CHOICES[key.section][1]
    shown = dict.fromkeys(values[choice][key.name] for choice in takers(key.section, key.name))
    if REQUIRED in shown:
        return "must be given"
    return " or ".join(f"`{value}`" for value in shown if value is not OPTIONAL)


def _belongs(key: Key) -> str:
    if key.section not in CHOICES or key.name not in bound_keys(key.section):
        return ""
    choices = takers(key.section, key.name)
    return "generated overlays" if len(choices) == len(GENERATED) else ", ".join(choices)


def reference() -> str:
    """Write the schema as one Markdown table per section, for ``docs/scenario.md``.

    >>> "| `loss` | chance that a message is lost |" in reference()
    True
    """
    lines: list[str] = []
    for section in ("", *SECTIONS):
        lines += [f"### `[{section}]`" if section else "### Top level", ""]
        lines += [
            "| key | meaning | expected | unit | default | belongs to |",
            "|---|---|---|---|---|---|",
        ]
        lines += [f"{_row(key)} {_belongs(key)} |" for key in keys(section).values()]
        lines.append("")
    return "\n".join(lines)


def key_table(struct: type[msgspec.Struct]) -> str:
    """Write the keys of one record as a Markdown table.

    >>> print(key_table(station_schema.Station))
    | key | meaning | expected | unit | default |
    |---|---|---|---|---|
    | `slots` | tasks that a node serves at once | a whole number from 1 to 1,000,000 | tasks ...
    """
    lines = ["| key | meaning | expected | unit | default |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(key) for key in keys_of(struct).values())])


def _row(key: Key) -> str:
    cells = (f"`{key.name}`", key.description, key.expected, key.unit, _default(key))
    return f"| {' | '.join(cells)} |"
