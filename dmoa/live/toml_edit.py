"""Changing keys of a TOML file that a person wrote, and leaving everything else as it is."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.live.toml_lines import places
from dmoa.scenario.toml_text import toml_key, toml_value


def edit_toml(
    text: str, values: Mapping[str, object], removed: Collection[str] = (), *, path: str
) -> str:
    r"""Set keys to values, and take others out; comments and the order of lines stay.

    Args:
        text: The file.
        values: What each dotted path is to be; all are keys of tables.
        removed: Paths of keys that are to go.
        path: Where the file is, for the error.

    Raises:
        ScenarioError: It is written in a way that cannot be changed line by line, as with a table
            in braces.

    >>> print(edit_toml("[a]  # one\nb = 1  # two\nc = 3\n", {"a.b": 7, "d.e": "x"}, path="f"))
    [a]  # one
    b = 7  # two
    c = 3
    <BLANKLINE>
    [d]
    e = "x"
    <BLANKLINE>
    """
    lines, wanted = _replaced(text, dict(values), removed)
    edited = "\n".join(_added(lines, wanted)) + "\n"
    expected = _expected(tomllib.loads(text), values, removed)
    try:
        # Lines inside longer texts may look like keys; whatever went wrong shows here.
        done = tomllib.loads(edited) == expected
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        raise ScenarioError(
            f"it is written in a way in which {', '.join(values)} cannot be changed line by line",
            path=path,
            remedy="write its tables with headings, such as [station], or write the values into"
            " a new file and copy them",
        )
    return edited


def _replaced(
    text: str, wanted: dict[str, object], removed: Collection[str]
) -> tuple[list[tuple[str, str]], dict[str, object]]:
    """Replace the keys that there are; give the lines with their tables, and what is left to set.

    Each line comes with the table that it belongs to, or nothing where one may not add behind it.
    """
    lines = text.splitlines()
    found = []
    table, place = "", 0
    marks = list(places(text))
    while place < len(lines):
        begins, here = marks[place]
        length = 1
        if begins:
            table = here
        elif here:
            length = _extent(lines, place)
        if not begins and here in wanted:
            key = lines[place].partition("=")[0].rstrip()
            comment = _comment(lines[place]) if length == 1 else ""
            found.append((f"{key} = {toml_value(wanted.pop(here))}{comment}", table))
        elif begins or here not in removed:
            owner = table if begins or here else ""
            found += [(line, owner) for line in lines[place : place + length]]
        place += length
    return found, wanted


def _extent(lines: list[str], place: int) -> int:
    """Count the lines that a value takes: a list or a text may go on for several."""
    for end in range(place + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[place:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end - place
    return 1


def _comment(line: str) -> str:
    """Give the comment at the end of a line, with the space before it; a text may hold a ``#``."""
    for place, character in enumerate(line):
        if character == "#":
            before = line[:place]
            try:
                tomllib.loads(before)
            except tomllib.TOMLDecodeError:
                continue
            return line[len(before.rstrip()) :]
    return ""


def _added(lines: list[tuple[str, str]], wanted: Mapping[str, object]) -> list[str]:
    """Add keys at the end of their tables, or in new tables at the end."""
    by_table: dict[str, list[str]] = {}
    for path, value in wanted.items():
        table, _, key = path.rpartition(".")
        by_table.setdefault(table, []).append(f"{toml_key(key)} = {toml_value(value)}")
    done: list[str] = []
    last = {table: place for place, (_, table) in enumerate(lines) if table}
    for place, (line, table) in enumerate(lines):
        done.append(line)
        if last.get(table) == place:
            done += by_table.pop(table, [])
    for table, keys in by_table.items():
        done += ["", f"[{table}]", *keys] if done else [f"[{table}]", *keys]
    return done


def _expected(
    data: dict[str, Any], values: Mapping[str, object], removed: Collection[str]
) -> dict[str, Any]:
    """Do the same to the values."""
    for path in (*removed, *values):
        *tables, key = path.split(".")
        table: Any = data
        for step in tables:
            if path in removed:
                table = table.get(step, {}) if isinstance(table, dict) else {}
            else:
                table = table.setdefault(step, {})
        if path in removed:
            table.pop(key, None)
        else:
            table[key] = values[path]
    return data
