"""Print the digests of scenarios of every kind: run in another process by test_determinism."""

from __future__ import annotations

import json
import sys

from dmoa.study import simulate
from tests.sim.kinds import KINDS, karate, kind


def digests() -> dict[str, str | None]:
    """Simulate each kind in this process."""
    found = {name: simulate(kind(name), workers=1).digest for name in KINDS}
    return {**found, "karate": simulate(karate(), workers=1).digest}


if __name__ == "__main__":
    json.dump(digests(), sys.stdout)
