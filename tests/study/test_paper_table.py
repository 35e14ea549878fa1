"""Table I of arXiv 2412.21200: a burst of ten prompts, seven plans, 400 seeds."""

from __future__ import annotations

import numpy as np
import pytest

from dmoa.trace import queue_ref
from tests.sim.runs import run, scenario

# Layers, proposers, mean latency in seconds, its standard deviation over seeds, the authors'
# queue measure, and the exact average of the tasks waiting at a node.
ROWS = [
    (0, 0, 93, 22, 1.04, 0.58),
    (1, 1, 349, 54, 1.91, 1.62),
    (1, 2, 450, 49, 2.97, 2.56),
    (2, 1, 610, 80, 2.24, 2.01),
    (2, 2, 809, 76, 3.79, 3.40),
    (1, 3, 547, 46, 4.20, 3.70),
    (2, 3, 1002, 65, 5.66, 5.17),
]


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "proposers", "latency_s", "spread_s", "queue", "exact"), ROWS)
def test_the_preset_gives_what_a_faithful_simulator_finds(
    layers: int, proposers: int, latency_s: float, spread_s: float, queue: float, exact: float
):
    result = run(scenario("paper-table-1", **{"plan.layers": layers, "plan.proposers": proposers}))
    assert result.replications == 400
    assert result.prompts["answered"] == result.prompts["arrived"] == 4000
    sojourns = [
        float(np.mean(track.prompts.ended_s - track.prompts.arrived_s)) for track in result.tracks
    ]
    assert np.mean(sojourns) == pytest.approx(latency_s, rel=0.03)
    assert result.summary["sojourn_time_s"].mean == pytest.approx(np.mean(sojourns))
    assert np.std(sojourns, ddof=1) == pytest.approx(spread_s, rel=0.2)
    assert np.mean([queue_ref(track) for track in result.tracks]) == pytest.approx(queue, rel=0.1)
    assert result.summary["queue_length"].mean == pytest.approx(exact, rel=0.1)
