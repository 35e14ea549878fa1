"""The offered load a_i: what every node is measured to be busy with, on any overlay."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from dmoa.study import SimulationResult, at_rate, bound, prepare
from dmoa.trace import estimate
from tests.sim.runs import run, scenario, windows

GRAPHS = {
    "star": nx.star_graph(7),
    "grid": nx.grid_2d_graph(4, 4),
    "scale-free": nx.barabasi_albert_graph(16, 2, seed=1),
    "one-way": nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2), (2, 3), (3, 0)]),
}

LOAD = 0.7
"""Load of the bottleneck: low enough for the work still in its queue at the end to be little."""

TOKENS = {
    "service": {
        "distribution": "tokens",
        "base_s": 0.2,
        "input_token_s": 0.001,
        "output_token_s": 0.004,
    },
    "tokens": {"prompt_tokens": 150, "response_tokens": 100, "distribution": "gamma", "cv": 0.8},
}

DIFFERENT = {
    "nodes": {
        "0": {"speed": 4.0, "slots": 3},
        "1": {"service_time_s": 2.0, "arrival_rate_hz": 0.0},
        "2": {"arrival_rate_hz": 1.5},
    }
}
WEIGHTED = {"plan.selection": "weighted", "plan.weights": "best"}

CASES = [
    ("star", "uniform choice", {}),
    ("star", "best weights", WEIGHTED),
    ("star", "two slots", {"station.slots": 2}),
    ("star", "deterministic service", {"service.distribution": "deterministic"}),
    ("grid", "uniform choice", {}),
    ("grid", "best weights", WEIGHTED),
    ("one-way", "uniform choice", {}),
    ("one-way", "more proposers than neighbours", {"plan.proposers": 3}),
    ("scale-free", "uniform choice", {}),
    ("scale-free", "best weights", WEIGHTED),
    ("scale-free", "two layers", {"plan.layers": 2, "plan.proposers": 1}),
    ("scale-free", "by tokens", TOKENS),
    ("scale-free", "links", {"links": {"delay_s": 2.0, "distribution": "exponential"}}),
    ("scale-free", "nodes that differ", DIFFERENT),
    ("scale-free", "nodes that differ, by tokens", {**TOKENS, "nodes": {"0": {"speed": 3.0}}}),
]
COMPARISONS = sum(len(GRAPHS[overlay]) for overlay, _, _ in CASES)


def loaded(overlay: str, values: dict) -> SimulationResult:
    """Simulate with the bottleneck's load at `LOAD`, for 800 mean service times."""
    made = scenario(**{"plan": {"layers": 1, "proposers": 2}, "run.replications": 20, **values})
    setup = prepare(made, GRAPHS[overlay])
    horizon_s = 800 * float(np.mean(setup.service_time_s))
    return run(at_rate(setup, LOAD * bound(setup).critical_rate_hz, horizon_s))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "values"),
    [pytest.param(overlay, values, id=f"{overlay}: {name}") for overlay, name, values in CASES],
)
def test_every_node_is_as_busy_as_its_offered_load(overlay: str, values: dict):
    """The general bound's a_i, by linearity of the means: exact on any overlay.

    All intervals of this test, over nodes and cases, cover together with 95 % (Bonferroni).
    """
    result = loaded(overlay, values)
    load = np.array(result.theory.offered_load) / result.setup.slots
    assert load.max() == pytest.approx(LOAD)
    utilization = np.array([one.utilization for one in windows(result)])
    for node, name in enumerate(result.setup.names):
        measured = estimate(utilization[:, node], 1 - 0.05 / COMPARISONS)
        assert measured.low <= load[node] <= measured.high, f"node {name}"
        assert measured.high - measured.low < 0.2


@pytest.mark.slow
def test_theorem_1_underestimates_the_load_of_a_hub():
    """Where nodes are asked more often than they ask, (k + 1) M + 1 tasks a prompt are too few."""
    result = loaded("star", {})
    theorem1_load = result.theory.arrival_rate_hz / result.theory.theorem1_critical_rate_hz
    hub = estimate([float(one.utilization[0]) for one in windows(result)])
    assert hub.low > 2 * theorem1_load
