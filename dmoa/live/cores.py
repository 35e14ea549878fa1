"""How many processors there are for this process."""

from __future__ import annotations

import os


def cores() -> int:
    """Count the cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
