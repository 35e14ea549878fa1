"""The compiler: numba where it is installed, and what is told about it.

Only the outermost function of the kernel is compiled for others to call, and its code contains all
others', so one file in numba's cache holds everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Compile a part of the kernel into the place where it is used."""
    compiled: Function = numba.njit(forceinline=True, error_model="numpy", nogil=True, _nrt=False)(function)
    return compiled


def pasted(function: Function) -> Function:
    """Paste a part of the kernel into its one place before anything is compiled.

    What is compiled is optimised again in every function around it, so a part of its own costs time
    at each level above it.
    """
    compiled: Function = numba.njit(inline="always", error_model="numpy", nogil=True, _nrt=False)(function)
    return compiled


def apart(function: Function) -> Function:
    """Compile a part of the kernel that is not worth being copied to every place of its use."""
    compiled: Function = numba.njit(error_model="numpy", nogil=True, _nrt=False)(function)
    return compiled


def compiled(function: Function) -> Function:
    """Compile the kernel itself, and keep it on disk for the next process."""
    kernel: Function = numba.njit(cache=True, error_model="numpy", nogil=True, _nrt=False)(function)
    return kernel
