"""One small simulation for all figures."""

from __future__ import annotations

import pytest

from dmoa import study
from dmoa.scenario import load


@pytest.fixture(scope="session")
def ring():
    """A stable ring of 8 nodes, two replications, links that take time."""
    short = ["run.horizon_s=300", "run.replications=2", "run.seed=3", "links.delay_s=0.2"]
    return study.simulate(load("ring", short), workers=1)


@pytest.fixture(scope="session")
def star():
    """A star of 8 nodes whose hub has nearly twice the load that it can carry."""
    short = ["overlay.topology=star", "run.horizon_s=300", "run.replications=1"]
    return study.simulate(load("ring", short), workers=1)
