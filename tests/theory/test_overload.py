"""Beyond the limit queues grow linearly."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from dmoa.theory import (
    bottleneck,
    critical_rate_hz,
    growth_rate_hz,
    offered_load,
    task_rate_hz,
    uniform_inclusion,
)
from tests.theory.table import adjacency


def test_growth_starts_at_the_bottleneck_at_the_critical_rate():
    chances = uniform_inclusion(adjacency(nx.star_graph(4)), 1)
    load = offered_load(0.1, chances, 2.0, 1)
    limit = critical_rate_hz(0.1, load)
    below, above = (growth_rate_hz(task_rate_hz(f * limit, chances, 1), 2.0) for f in (0.99, 1.01))
    assert not below.any()
    assert np.flatnonzero(above).tolist() == [bottleneck(load)]
    assert above.max() == pytest.approx(0.01 / 2.0)


def test_growth_is_the_excess_over_what_all_slots_serve():
    growth = growth_rate_hz([3.0, 3.0, 3.0], [1.0, 0.5, 1.0], slots=[1, 1, 4])
    np.testing.assert_allclose(growth, [2.0, 1.0, 0.0])
