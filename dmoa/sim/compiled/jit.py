"""The compiler: numba where it is installed, and what is told about it.

Only the outermost function of the kernel is compiled for others to call, and its code contains all
others', so one file in numba's cache holds everything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba

VERSIONS_MAX = 8
"""Versions of the kernel that are kept on disk, some megabytes each."""
_VERSION = re.compile("[0-9a-f]{16}")

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
    """Tell where this version of the kernel is kept, for this processor and these libraries."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given or Path(home) / "dmoa" / "compiled") / _version()


@cache
def _version() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    machine = (numba.__version__, sys.implementation.cache_tag, llvm.get_host_cpu_name())
    parts = [*(source.read_bytes() for source in sources), repr(machine).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def is_cached(*, totals: bool) -> bool:
    """Say whether the kernel was compiled before, for totals or for columns."""
    return _mark(totals=totals).exists()


def note_cached(*, totals: bool) -> None:
    """Note that the kernel is compiled for totals, or for columns, and forget old versions."""
    mark = _mark(totals=totals)
    with suppress(OSError):  # no folder can be written: it is compiled each time
        if not mark.exists():
            mark.touch()
            _forget_old(mark.parent.parent)


def _mark(*, totals: bool) -> Path:
    return cache_folder() / ("totals" if totals else "columns")


def _forget_old(folder: Path) -> None:
    """Remove all versions of the kernel but the newest."""
    versions = [one for one in folder.iterdir() if one.is_dir() and _VERSION.fullmatch(one.name)]
    versions.sort(key=lambda one: one.stat().st_mtime)
    for old in versions[:-VERSIONS_MAX]:
        shutil.rmtree(old, ignore_errors=True)
        old.with_suffix(".lock").unlink(missing_ok=True)
