"""llama.cpp itself: imported once, its log sent to ours.

Its structures move between releases, so exactly one release of llama-cpp-python is accepted.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import threading
from functools import lru_cache
from typing import Any

from dmoa.errors import ScenarioError

SUPPORTED = "0.3.36"
INSTALL = "pip install 'dmoa[llama]'"
_ERROR = 4

_log = logging.getLogger("dmoa.llama")
_said: list[str] = []
_loading = threading.Lock()
_loaded: list[Any] = []
_kept: list[Any] = []  # what C calls as long as the process lives


def library() -> Any:
    """Import llama.cpp once, its log sent to ours.

    Raises:
        ScenarioError: It is not installed, or another release is.
    """
    with _loading:
        if not _loaded:
            _loaded.append(_import())
        return _loaded[0]


def _import() -> Any:
    try:
        lib = importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise ScenarioError(
            f"the engine llama needs llama-cpp-python ({error})", path="engine", remedy=INSTALL
        ) from error
    if lib.__version__ != SUPPORTED:
        raise ScenarioError(
            f"the engine llama works with llama-cpp-python {SUPPORTED}, whose structures it knows",
            path="engine",
            given=lib.__version__,
            remedy=INSTALL,
        )
    _kept.append(lib.llama_log_callback(_hear))
    lib.llama_log_set(_kept[0], ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


def _hear(level: int, text: bytes, _data: object) -> None:
    line = text.decode("utf-8", "replace").strip()
    if line and level == _ERROR and not _said:
        _said.append(line)
    if line:
        _log.debug("%s", line)


@lru_cache(maxsize=64)
def array_of(kind: Any, length: int) -> Any:
    """Give the class of C's arrays of a length, kept: ctypes makes classes that outlive their use.

    >>> ctypes.sizeof(array_of(ctypes.c_float, 3))
    12
    """
    return kind * length


def listen() -> None:
    """Begin a piece of work: `reason` tells its first error."""
    _said.clear()


def reason() -> str:
    """Give the first error of llama.cpp since its work began: the others follow it."""
    return _said[0][:300] if _said else "llama.cpp gave no reason"
