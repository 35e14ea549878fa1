"""One step of a benchmark in a process of its own, so that its peak of memory is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def in_a_process(script: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Take one step of a script, which hears of it by its hidden option; give what it found."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, "--run", json.dumps(asked)], capture_output=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
