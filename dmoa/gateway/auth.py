"""Who may use the door: Bearer keys, and without keys only this machine itself."""

from __future__ import annotations

import hmac
import ipaddress
import os
import stat
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

from dmoa.errors import ScenarioError
from dmoa.gateway.errors import ApiError

KEY_CHARACTERS_MIN, KEYS_MAX, FILE_BYTES_MAX = 16, 1000, 1 << 20


def read_keys(path: Path) -> tuple[str, ...]:
    """Read a file of API keys: one a line, with `#` for comments.

    Raises:
        ScenarioError: The file is missing, readable by others, or holds no key or a bad one.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ScenarioError(
                    "API keys must be readable by their owner alone",
                    path=str(path),
                    given=f"mode {mode:04o}",
                    remedy=f"run: chmod 600 {path}",
                )
            content = file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise ScenarioError(
            f"the file of API keys cannot be read ({error.strerror})",
            path=str(path),
            remedy="give a file with one key a line, readable by you alone",
        ) from None
    keys = tuple(_keys(path, content))
    if not keys or len(keys) > KEYS_MAX:
        raise ScenarioError(
            f"expected 1 to {KEYS_MAX} API keys, one a line",
            path=str(path),
            given=len(keys),
            remedy="`openssl rand -hex 32` makes a good one",
        )
    return keys


def _keys(path: Path, content: bytes) -> list[str]:
    keys = []
    for number, line in enumerate(content.decode("ascii", errors="replace").splitlines(), 1):
        key = line.partition("#")[0].strip()
        if not key:
            continue
        # The key itself is never shown, also not in an error.
        if len(key) < KEY_CHARACTERS_MIN or not all("!" <= letter <= "~" for letter in key):
            raise ScenarioError(
                f"an API key is at least {KEY_CHARACTERS_MIN} characters of ASCII without spaces",
                path=f"{path}, line {number}",
                remedy="`openssl rand -hex 32` makes a good one",
            )
        keys.append(key)
    return keys


class Guard:
    """Decides whether a request may come in.

    With keys, a request needs one of them. Without, it has to name this machine as its host, and
    a page that sends it has to come from this door: otherwise any page in a browser could ask.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @property
    def needs_key(self) -> bool:
        """Whether keys are configured."""
        return bool(self._digests)

    def check(self, headers: Headers) -> None:
        """Let a request pass, or raise the `ApiError` to answer with."""
        if self._digests:
            self._check_key(headers.get("authorization", ""))
        else:
            _check_host(headers)

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip())
        # All are compared, each in constant time: the time tells nothing of any key.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            problem = "this API key is not known here" if authorization else "an API key is needed"
            raise ApiError(
                401,
                f"{problem}; send the header `Authorization: Bearer KEY`",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", errors="replace")).digest()


def _check_host(headers: Headers) -> None:
    host = headers.get("host", "")
    if not is_loopback(_split(f"//{host}").hostname or ""):
        raise ApiError(
            403,
            f"without API keys this door serves its own machine alone, not the host {host!r}; "
            "configure api_keys_file, or use http://127.0.0.1",
            code="foreign_host",
        )
    origin = headers.get("origin")
    if origin is not None and _split(origin).netloc != host:
        raise ApiError(
            403,
            f"pages of {origin!r} may not use this door without an API key",
            code="foreign_origin",
        )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its loopback name or address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "edge-7")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
