"""What a node says of itself: one handler for all loggers, plain lines or JSON, never unbounded.

A node under a supervisor writes into a file, into which its standard output and standard error go
as well: what a library or the interpreter prints there is kept too. When the file has reached its
limit it becomes ``node.log.1``, and both streams move on to the new one.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

from dmoa.errors import ScenarioError

Format = Literal["plain", "json"]
FORMATS: tuple[Format, ...] = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")

#: Size at which a log begins a new part, and the number of parts that are kept besides.
PART_BYTES = 5_000_000
PARTS_KEPT = 3
#: A longer message is cut.
MESSAGE_CHARACTERS_MAX = 8_000

#: What every record of `logging` has; the rest was given by ``extra``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    *,
    form: Format = "plain",
    level: str = "info",
    node: str = "",
    file: Path | None = None,
    part_bytes: int = PART_BYTES,
    parts_kept: int = PARTS_KEPT,
) -> logging.Handler:
    """Give all loggers of this process their one handler.

    Other packages are heard from warnings on; ``dmoa`` from ``level`` on.

    Args:
        form: Plain lines, or one JSON object a line.
        level: One of `LEVELS`.
        node: Name of the node, written into every line of JSON.
        file: Where to write; standard error if it is None.
        part_bytes: Size at which a new part begins, bytes.
        parts_kept: Older parts that are kept.

    Raises:
        ScenarioError: The file cannot be written.
    """
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = PartsHandler(file, part_bytes=part_bytes, parts_kept=parts_kept)
        except OSError as error:
            raise ScenarioError(
                f"the log cannot be written ({error.strerror})",
                path=str(file),
                remedy="make its folder writable, or leave the log to standard error",
            ) from error
    handler.setFormatter(JsonLines(node) if form == "json" else PlainLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("dmoa").setLevel(level.upper())
    logging.captureWarnings(capture=True)
    return handler


class PlainLines(logging.Formatter):
    r"""A line: time in UTC, level, logger, message, then what was given besides as name=value.

    >>> record = logging.makeLogRecord(
    ...     {"name": "dmoa.x", "levelname": "INFO", "msg": "a\nb", "created": 0.0, "peer": "2"}
    ... )
    >>> PlainLines().format(record)
    '1970-01-01T00:00:00.000Z INFO dmoa.x: a\\nb peer=2'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; what a peer sent cannot begin a line of its own."""
        given = "".join(f" {name}={value}" for name, value in _given(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {_message(record)}{given}"
        return "\n".join([_one_line(line), *_story(self, record)])


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, node, message, what was given besides."""

    def __init__(self, node: str = "") -> None:
        super().__init__()
        self._node = {"node": node} if node else {}

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        data: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._node,
            "message": _message(record),
            **_given(record),
        }
        story = _story(self, record)
        if story:
            data["exception"] = "\n".join(story)
        return json.dumps(data, default=str)


class PartsHandler(RotatingFileHandler):
    """Writes into a file of limited size and takes standard output and error with it."""

    def __init__(self, file: Path, *, part_bytes: int, parts_kept: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file, maxBytes=part_bytes, backupCount=parts_kept, encoding="utf-8")

    def doRollover(self) -> None:  # noqa: N802 - the name is the standard library's
        """Begin a new part; streams that went into the old one go into the new one."""
        followers = [number for number in (1, 2) if self._goes_here(number)]
        super().doRollover()
        for number in followers:
            if self.stream is not None:
                os.dup2(self.stream.fileno(), number)

    def _goes_here(self, number: int) -> bool:
        try:
            return os.path.samestat(os.fstat(number), Path(self.baseFilename).stat())
        except OSError:
            return False


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if len(text) > MESSAGE_CHARACTERS_MAX:
        return f"{text[:MESSAGE_CHARACTERS_MAX]}… ({len(text)} characters)"
    return text


def _given(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _one_line(text: str) -> str:
    """Escape what would end a line or steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _story(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info:
        parts += formatter.formatException(record.exc_info).splitlines()
    if record.stack_info:
        parts += formatter.formatStack(record.stack_info).splitlines()
    return [f"  {_one_line(line)}" for line in parts]
