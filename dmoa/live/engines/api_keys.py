"""The key of an OpenAI-compatible server: where it is kept, and that it is never shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from dmoa.errors import ScenarioError

_BYTES_MAX = 4096


class ApiKey(NamedTuple):
    """A key and where it came from; only the latter may be shown."""

    value: str
    source: str

    def __repr__(self) -> str:
        return f"ApiKey(from {self.source})"


def read_api_key(variable: str | None, file: str | None) -> ApiKey | None:
    """Read the key of a server; None where it needs none.

    Raises:
        ScenarioError: The variable is not set, the file is missing or readable by others, or what
            is there is no key.
    """
    if variable is not None:
        value = os.environ.get(variable)
        if value is None:
            raise ScenarioError(
                "this environment variable is not set",
                path="api_key_env",
                given=variable,
                remedy=f"export {variable}=... before the node starts",
            )
        return _checked(value, f"the environment variable {variable}", "api_key_env")
    if file is not None:
        return _checked(_read(Path(file).expanduser()), f"the file {file}", "api_key_file")
    return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ScenarioError(
                    "others may read this key",
                    path="api_key_file",
                    given=str(path),
                    remedy=f"chmod 600 {path}",
                )
            return file.read(_BYTES_MAX).decode("ascii", "replace")
    except OSError as error:
        raise ScenarioError(
            f"the file of the key cannot be read ({error.strerror})",
            path="api_key_file",
            given=str(path),
            remedy="write the key, and nothing else, into a file of mode 0600",
        ) from error


def _checked(value: str, source: str, path: str) -> ApiKey:
    key = value.strip()
    if re.fullmatch(r"[!-~]+", key) is None:
        raise ScenarioError(
            f"{source} does not hold a key: it is empty, or has spaces or unusual characters",
            path=path,
            remedy="put the key there, and nothing else",
        )
    return ApiKey(key, source)
