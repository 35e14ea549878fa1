"""The compiler: numba where it is installed, and what is told about it.

Only the outermost function of the kernel is compiled for others to call, and its code contains all
others', so one file in numba's cache holds everything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba

#: Nothing is allocated within the kernel, so no references are counted: that would be most of it.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}

#: Python calls the kernel alone. What lets it call a part takes longer to compile than the part.
_WITHIN: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Compile a part of the kernel into the place where it is used."""
    compiled: Function = numba.njit(forceinline=True, **_WITHIN)(function)
    return compiled


def pasted(function: Function) -> Function:
    """Paste a part of the kernel into its one place before anything is compiled.

    What is inlined is optimised again in every function around it, so the outermost parts, which
    hold all others, compile faster like this.
    """
    compiled: Function = numba.njit(inline="always", **_WITHIN)(function)
    return compiled


def apart(function: Function) -> Function:
    """Compile a part of the kernel that is not worth being copied to every place of its use."""
    compiled: Function = numba.njit(**_WITHIN)(function)
    return compiled


def compiled(function: Function) -> Function:
    """Compile the kernel itself, and keep it on disk for the next process.

    numba would look only whether the file of this one function has changed, so every version of
    the kernel's files gets a folder of its own.
    """
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        kernel: Function = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # no folder can be written
        kernel = numba.njit(**_OPTIONS)(function)
    finally:
        config.CACHE_DIR = before
    return kernel


def cache_folder() -> Path:
    """Tell where the kernel of this version is kept once it is compiled."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    given = os.environ.get("NUMBA_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given or Path(home) / "dmoa" / "compiled") / version


def is_cached(*, totals: bool) -> bool:
    """Say whether the kernel of this version was compiled before, for totals or for columns."""
    return _mark(totals=totals).exists()


def note_cached(*, totals: bool) -> None:
    """Note that the kernel of this version is compiled for totals, or for columns."""
    with suppress(OSError):  # no folder can be written: it is compiled each time
        _mark(totals=totals).touch()


def _mark(*, totals: bool) -> Path:
    return cache_folder() / ("totals" if totals else "columns")
