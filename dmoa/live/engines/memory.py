"""How much memory this machine, or this container, has and can still give."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dmoa.errors import ScenarioError
from dmoa.live.machine import Machine

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> tuple[int | None, int | None]:
    """Give what this process could have at most, and what is available of it; None is unknown."""
    total, available = Machine().memory_bytes()
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit = int(_CGROUP.read_text("ascii"))
        total = limit if total is None else min(limit, total)
    return total, available


def check_room(weights_bytes: int, cache_bytes: int, *, context_tokens: int) -> None:
    """Refuse a model that would drive this machine out of its memory.

    Weights are mapped from their file and shared between processes, so they must only fit; keys
    and values are each process's own.

    Raises:
        ScenarioError: With what is needed and what is there.
    """
    total, available = memory_bytes()
    short = total is not None and weights_bytes + cache_bytes > total
    full = available is not None and cache_bytes > available
    if not short and not full:
        return
    raise ScenarioError(
        f"not enough memory: the weights take {_mib(weights_bytes)} and a context of "
        f"{context_tokens:,} tokens {_mib(cache_bytes)}; this machine has {_mib(total)}, of which "
        f"{_mib(available)} are available",
        path="context_tokens",
        given=context_tokens,
        remedy="set a smaller context_tokens, choose a smaller model, or end other programs",
    )


def _mib(size: int | None) -> str:
    return "an unknown part" if size is None else f"{size / 2**20:,.0f} MiB"
