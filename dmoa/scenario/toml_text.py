"""Values written as TOML, so that what `dmoa check` prints can be saved and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(data: Mapping[str, Any]) -> str:
    """Write nested plain values as TOML; reading it back gives the same values.

    >>> print(to_toml({"name": "ring", "nodes": {"a b": {"slots": 2}}}))
    name = "ring"
    <BLANKLINE>
    [nodes."a b"]
    slots = 2
    """
    return "\n".join(_lines(data, ())).strip()


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and values:
        yield ""
        yield f"[{'.'.join(toml_key(step) for step in path)}]"
    for key, value in values.items():
        yield f"{toml_key(key)} = {toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))


def toml_key(key: str) -> str:
    """Write a key, in quotes where it needs them.

    >>> toml_key("ring"), toml_key("a b")
    ('ring', '"a b"')
    """
    return key if _BARE.fullmatch(key) else toml_value(key)


def toml_value(value: object) -> str:
    """Write a text, a number, a truth value or a list of them.

    >>> toml_value("λ"), toml_value([1.5, True])
    ('"λ"', '[1.5, true]')
    """
    # JSON's texts, numbers and lists are TOML's, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
