"""How much memory this machine, or this container, has and can still give."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dmoa.errors import ScenarioError

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMINFO = Path("/proc/meminfo")


def total_bytes() -> int:
    """Give what this process could have at most."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        return min(physical, int(_CGROUP.read_text("ascii")))
    return physical


def available_bytes() -> int:
    """Give what could be used without pushing others out; all, where the system does not say."""
    with suppress(OSError, ValueError):
        for line in _MEMINFO.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) * 1024, total_bytes())
    return total_bytes()


def check_room(weights_bytes: int, cache_bytes: int, *, context_tokens: int) -> None:
    """Refuse a model that would drive this machine out of its memory.

    Weights are mapped from their file and shared between processes, so they must only fit; keys
    and values are each process's own.

    Raises:
        ScenarioError: With what is needed and what is there.
    """
    total, available = total_bytes(), available_bytes()
    if weights_bytes + cache_bytes <= total and cache_bytes <= available:
        return
    raise ScenarioError(
        f"not enough memory: the weights take {_mib(weights_bytes)} and a context of "
        f"{context_tokens:,} tokens {_mib(cache_bytes)}, this machine has {_mib(total)}, of which "
        f"{_mib(available)} are available",
        path="context_tokens",
        given=context_tokens,
        remedy="set a smaller context_tokens, choose a smaller model, or end other programs",
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
