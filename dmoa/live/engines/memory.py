"""How much memory this machine, or this container, has and can still give."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dmoa.errors import ScenarioError
from dmoa.live.gguf import Gguf
from dmoa.live.machine import Machine

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> tuple[int | None, int | None]:
    """Give what this process could have at most, and what is available of it; None is unknown."""
    total, available = Machine().memory_bytes()
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit = int(_CGROUP.read_text("ascii"))
        total = limit if total is None else min(limit, total)
    return total, available


def check_room(facts: Gguf, *, cells: int, context_tokens: int, slots: int) -> None:
    """Refuse a model that would drive this machine out of its memory.

    Weights are mapped from their file and shared between processes, so they must only fit; keys
    and values are each process's own.

    Args:
        facts: The model's.
        cells: Tokens of all tasks in service.
        context_tokens: Tokens of one of them at most.
        slots: How many tasks there are to be.

    Raises:
        ScenarioError: With what is needed, what is there, and what would fit.
    """
    weights_bytes, cache_bytes = facts.size_bytes, facts.cache_bytes(cells)
    total, available = memory_bytes()
    room = min(
        (total - weights_bytes if total is not None else cache_bytes),
        (available if available is not None else cache_bytes),
    )
    if cache_bytes <= room:
        return
    fitting = max(0, room) // max(1, facts.cache_bytes(context_tokens))
    if cells > context_tokens and fitting:
        many = "1 slot" if fitting == 1 else f"{fitting} slots"
        path, given, fits = "station.slots", slots, f"{many} of this context would fit: set"
        remedy = f"{fits} station.slots or station.cache_tokens lower, or a smaller context_tokens"
    else:
        path, given = "context_tokens", context_tokens
        remedy = "set a smaller context_tokens, choose a smaller model, or end other programs"
    raise ScenarioError(
        f"not enough memory: the weights take {_mib(weights_bytes)} and a cache of {cells:,} "
        f"tokens {_mib(cache_bytes)}; this machine has {_mib(total)}, of which {_mib(available)} "
        "are available",
        path=path,
        given=given,
        remedy=remedy,
    )


def _mib(size: int | None) -> str:
    return "an unknown part" if size is None else f"{size / 2**20:,.0f} MiB"
