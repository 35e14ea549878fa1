"""The folder of this user for model files that dmoa puts together, and what their bytes hash to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from dmoa.errors import ScenarioError

_BLOCK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Give the folder for model files; it need not exist yet.

    ``$XDG_CACHE_HOME/dmoa/models`` or ``~/.cache/dmoa/models``, on macOS
    ``~/Library/Caches/dmoa/models``.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        base = Path(given)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "dmoa" / "models"


def make_once(name: str, make: Callable[[Path], None]) -> Path:
    """Give a file of the cache folder; make it first if it is not there.

    Several processes may ask at the same time: one makes it, under another name, and the file
    appears whole or not at all.

    Args:
        name: Name of the file.
        make: Writes the file to the path it is given.

    Raises:
        ScenarioError: The folder cannot be written.
    """
    folder = cache_folder()
    file = folder / name
    if file.is_file():
        return file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock"):
            if not file.is_file():
                with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as aside:
                    make(Path(aside) / name)
                    (Path(aside) / name).replace(file)
    except OSError as error:
        raise ScenarioError(
            f"the model cannot be put together in {folder} ({error.strerror or error})",
            path="model",
            remedy="make room there, or set XDG_CACHE_HOME to a folder that you may write",
        ) from error
    return file


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Hashed(msgspec.Struct, frozen=True):
    path: str
    size_bytes: int
    modified_ns: int
    sha256: str


def sha256_of(path: Path) -> str:
    """Hash a file; a file whose size and time of change are known is not read again."""
    path = path.resolve()
    facts = path.stat()
    note = cache_folder() / "sha256" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    with suppress(OSError, msgspec.DecodeError):
        known = msgspec.json.decode(note.read_bytes(), type=_Hashed)
        if (known.path, known.size_bytes, known.modified_ns) == (
            str(path),
            facts.st_size,
            facts.st_mtime_ns,
        ):
            return known.sha256
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    found = _Hashed(str(path), facts.st_size, facts.st_mtime_ns, digest.hexdigest())
    # Without a place for the note the file is read again at the next start: slow, not wrong.
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        aside = note.with_suffix(f".{os.getpid()}")
        aside.write_bytes(msgspec.json.encode(found))
        aside.replace(note)
    return found.sha256


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with the hash that the configuration gives.

    Raises:
        ScenarioError: They differ, or what is expected is no SHA-256.
    """
    if re.fullmatch(r"[0-9a-fA-F]{64}", expected) is None:
        raise ScenarioError(
            "must be the 64 hexadecimal digits of a SHA-256", path="sha256", given=expected
        )
    found = sha256_of(path)
    if found != expected.lower():
        raise ScenarioError(
            f"the model file {path} hashes to {found}, not to what is expected",
            path="sha256",
            given=expected,
            remedy="fetch the file again, or correct sha256 if you trust this file",
        )
