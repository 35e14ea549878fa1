"""Where in a TOML file a key stands, so that an error can name file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.scenario.text_files import read_text

BYTES_MAX = 10_000_000
_HEADER = re.compile(r"\s*\[{1,2}(?P<steps>[^#]*?)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*(?P<steps>(?:[A-Za-z0-9_\-\s.]|"[^"]*"|'[^']*')+?)\s*=""")
_STEP = re.compile(r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s."']+))\s*""")


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """Read a TOML file: its text and its values.

    Raises:
        ScenarioError: It cannot be read, or is no TOML; with file, line and column.
    """
    text = read_text(file, path="file", bytes_max=BYTES_MAX)
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScenarioError(
            f"is not valid TOML: {error}",
            path=str(file),
            remedy="texts stand in quotes, tables begin with [name] on a line of its own",
        ) from None


def line_of(text: str, path: str) -> int | None:
    r"""Find the line of a dotted path, from 1: of the key itself, else of the nearest table above.

    >>> line_of("[live]\nmodel = 'x'\n[live.peers.3]\n", "live.model")
    2
    >>> line_of("[live]\nmodel = 'x'\n[live.peers.3]\n", "live.peers.3.address")
    3
    """
    wanted = re.sub(r"\[\d+\]", "", path)
    best, best_length = None, 0
    for number, (_, here) in enumerate(places(text), 1):
        if here and (wanted == here or wanted.startswith(f"{here}.")) and len(here) > best_length:
            best, best_length = number, len(here)
    return best


def places(text: str) -> Iterator[tuple[bool, str]]:
    r"""Tell of each line whether it begins a table, and the dotted path of its table or key.

    The path is empty where a line has neither.

    >>> list(places("[live]\nmodel = 'x'\n"))
    [(True, 'live'), (False, 'live.model')]
    """
    table: list[str] = []
    for line in text.splitlines():
        header = _HEADER.match(line)
        key = None if header else _KEY.match(line)
        if header is not None:
            table = _steps(header["steps"])
            yield True, ".".join(table)
        else:
            yield False, "" if key is None else ".".join(table + _steps(key["steps"]))


def _steps(text: str) -> list[str]:
    found = _STEP.finditer(text)
    return [step["double"] or step["single"] or step["bare"] or "" for step in found]


@contextmanager
def locating(file: Path, text: str) -> Iterator[None]:
    """Say of an error in which file and, where it can be found, in which line it is."""
    try:
        yield
    except ScenarioError as error:
        path = f"{place_of(file, text, error.path)}: {error.path}"
        if error.given is None:
            raise ScenarioError(error.problem, path=path, remedy=error.remedy) from None
        raise ScenarioError(
            error.problem, path=path, given=error.given, remedy=error.remedy
        ) from None


def place_of(file: Path, text: str, path: str) -> str:
    """Write the place of a key: ``FILE:LINE``, or the file alone.

    >>> place_of(Path("cluster.toml"), "name = 'ring'", "name")
    'cluster.toml:1'
    """
    line = line_of(text, path)
    return str(file) if line is None else f"{file}:{line}"
