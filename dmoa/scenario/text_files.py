"""Reading what the user points at: a text file within a limit, or an error that says why not."""

from __future__ import annotations

from pathlib import Path

from dmoa.errors import ScenarioError


def read_text(file: str | Path, *, path: str, bytes_max: int, remedy: str = "") -> str:
    """Read a UTF-8 file.

    Args:
        file: The file.
        path: Where the user named it, for the error.
        bytes_max: Size above which it is refused, bytes.
        remedy: What to do if there is no such file.

    Raises:
        ScenarioError: It is missing, unreadable, too large or not UTF-8 text.

    >>> read_text("no-such-file", path="overlay.topology", bytes_max=10)
    Traceback (most recent call last):
    dmoa.errors.ScenarioError: overlay.topology: there is no such file, but 'no-such-file' was given
    """
    try:
        with Path(file).open("rb") as handle:
            data = handle.read(bytes_max + 1)
    except FileNotFoundError:
        raise ScenarioError(
            "there is no such file", path=path, given=str(file), remedy=remedy
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(f"cannot be read ({reason})", path=path, given=str(file)) from None
    if len(data) > bytes_max:
        raise ScenarioError(
            f"a file may have at most {bytes_max} bytes",
            path=path,
            given=str(file),
            remedy="give a smaller one",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise ScenarioError(
            f"must be UTF-8 text, which line {line}, column {column} is not",
            path=path,
            given=str(file),
            remedy="save it as UTF-8",
        ) from None
