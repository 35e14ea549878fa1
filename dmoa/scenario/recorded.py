"""Measured inputs: recorded prompts (CSV of an LLM service) and recorded service times."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NamedTuple

from dmoa.errors import ScenarioError
from dmoa.scenario.text_files import read_text

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BYTES_MAX = 200_000_000
_TOKENS_MAX = 10_000_000
_DOWNLOAD = (
    "such traces are published as AzureLLMInferenceTrace_conv.csv at "
    "github.com/Azure/AzurePublicDataset; name your copy with arrivals.file"
)


class RecordedPrompt(NamedTuple):
    """One prompt of a trace: when after the first, and how long it and its response were."""

    time_s: float
    prompt_tokens: int
    response_tokens: int


class _Line(NamedTuple):
    file: str
    number: int

    def error(self, problem: str, column: int, given: str) -> ScenarioError:
        return ScenarioError(
            f"{self.file}, line {self.number}, column {column}: {problem}",
            path="arrivals.file",
            given=given[:80],
            remedy=f"expected are {','.join(COLUMNS)}",
        )


def read_prompts(file: str, time_scale: float = 1.0) -> tuple[RecordedPrompt, ...]:
    """Read a recorded trace, in order of time; the first prompt comes at 0 s.

    Args:
        file: CSV with the columns TIMESTAMP (``2023-11-16 18:15:46.6805900``), ContextTokens and
            GeneratedTokens, in any order, at most 200 MB.
        time_scale: Factor on the times; above 1 stretches the trace.

    Raises:
        ScenarioError: The file is missing, empty or malformed; with line and column.

    >>> read_prompts("no-such.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: arrivals.file: there is no such file, but 'no-such.csv' was given...
    """
    text = read_text(file, path="arrivals.file", bytes_max=_BYTES_MAX, remedy=_DOWNLOAD)
    lines = text.splitlines()
    if not lines:
        raise ScenarioError("the file is empty", path="arrivals.file", given=file, remedy=_DOWNLOAD)
    order = _header(lines[0], _Line(file, 1))
    rows = [
        _row(line, order, _Line(file, number))
        for number, line in enumerate(lines[1:], start=2)
        if line.strip()
    ]
    if not rows:
        raise ScenarioError("it has no prompts, only a header", path="arrivals.file", given=file)
    rows.sort(key=lambda row: row[0])
    first = rows[0][0]
    # The clock ticks in units of 100 ns, so differences are exact before they become seconds.
    return tuple(
        RecordedPrompt((ticks - first) / 10_000_000 * time_scale, prompt, response)
        for ticks, prompt, response in rows
    )


def _header(text: str, line: _Line) -> tuple[int, int, int]:
    names = [name.strip() for name in text.split(",")]
    for name in COLUMNS:
        if name not in names:
            raise line.error(f"the header lacks {name}", 1, text)
    time, prompt, response = (names.index(name) for name in COLUMNS)
    return time, prompt, response


def _row(text: str, order: tuple[int, int, int], line: _Line) -> tuple[int, int, int]:
    cells = text.split(",")
    starts = [0]
    for cell in cells:
        starts.append(starts[-1] + len(cell) + 1)
    if len(cells) <= max(order):
        raise line.error("a value is missing", len(text) + 1, text)
    time, prompt, response = order
    try:
        ticks = _ticks(cells[time].strip())
    except ValueError:
        raise line.error("is no time", starts[time] + 1, cells[time]) from None
    tokens = []
    for place in (prompt, response):
        cell = cells[place].strip()
        if not (cell.isascii() and cell.isdigit() and len(cell) <= 9 and int(cell) <= _TOKENS_MAX):
            problem = f"is no number of tokens from 0 to {_TOKENS_MAX:,}"
            raise line.error(problem, starts[place] + 1, cells[place])
        tokens.append(int(cell))
    return ticks, tokens[0], tokens[1]


def _ticks(text: str) -> int:
    """Read a time as units of 100 ns since 1970, whatever the number of digits."""
    whole, _, fraction = text.partition(".")
    if len(whole) != len("2023-11-16 18:15:46"):
        raise ValueError(text)
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(text)
    return int(moment.timestamp()) * 10_000_000 + int(fraction[:7].ljust(7, "0"))


def read_service_times(file: str) -> tuple[float, ...]:
    """Read measured service times, s: one a line, comments after ``#``, at most 200 MB.

    Raises:
        ScenarioError: The file is missing, empty or malformed; with line and column.

    >>> read_service_times("no-such.txt")
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: service.file: there is no such file, but 'no-such.txt' was given
    """
    values = []
    text = read_text(file, path="service.file", bytes_max=_BYTES_MAX)
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            value = float(content)
        except ValueError:
            value = math.nan
        if not 0 < value <= 1e9:
            raise ScenarioError(
                f"{file}, line {number}, column {line.index(content) + 1}: must be a service time, "
                "a number above 0 and at most 1,000,000,000 (s)",
                path="service.file",
                given=content[:80],
            )
        values.append(value)
    if not values:
        raise ScenarioError(
            "it has no service times",
            path="service.file",
            given=file,
            remedy="write one a line, in seconds",
        )
    return tuple(values)
