"""Slots that share a processor, nodes that share a host: what is known exactly of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dmoa.study import SimulationResult, bound, prepare
from dmoa.theory import speedup_queue
from tests.sim.runs import MEASURES, misses, run, scenario, windows

FLAT = 200
"""So many slots that nobody waits for one: processor sharing."""

CURVE = [1.0, 1.4, 1.65, 1.8]

SERVICES: list[dict[str, Any]] = [
    {"distribution": "exponential"},
    {"distribution": "deterministic"},
    {"distribution": "gamma", "cv": 2.0},
]


def measured(result: SimulationResult) -> dict[str, list[float]]:
    rows = [one.summary() for one in windows(result)]
    return {name: [row[name] for row in rows] for name in MEASURES}


def simulated(rate: float, **values: Any) -> SimulationResult:
    given = {"run__horizon_s": 5000.0, "run__replications": 20, **values}
    return run(scenario(arrivals__arrival_rate_hz=rate, **given))


def test_slots_with_a_processor_each_are_m_m_c_to_the_last_task():
    """A speed-up of 1, 2, 3 is what three slots have without any: the same prompts, tasks, ends."""
    values = {"station__slots": 3, "run__horizon_s": 500.0, "run__replications": 2}
    plain, shared = (
        simulated(2.4, **values, **more) for more in ({}, {"station__speedup": [1, 2, 3]})
    )
    for one, other in zip(plain.tracks, shared.tracks, strict=True):
        assert np.array_equal(one.tasks.server, other.tasks.server)
        assert np.allclose(one.tasks.started_s, other.tasks.started_s, rtol=0, atol=1e-9)
        assert np.allclose(one.tasks.ended_s, other.tasks.ended_s, atol=1e-9, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES, ids=lambda one: one["distribution"])
def test_processor_sharing_depends_on_the_mean_alone(service: dict[str, Any]):
    """M/G/1-PS: L = ρ / (1 - ρ) and W = 1 / (μ - λ), whatever the distribution (insensitivity)."""
    found = simulated(0.7, service=service, station={"slots": FLAT, "speedup": [1.0] * FLAT})
    exact = {"number_in_system": 0.7 / 0.3, "sojourn_time_s": 1 / 0.3}
    assert misses(measured(found), exact, comparisons=6, precision=0.25) == {}


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, 2], ids=["M = 0", "M = 2, k = 0"])
def test_a_speed_up_makes_a_birth_death_process(layers: int):
    """M/M/1 with rates μ_n: all its means; with k = 0 by product form, of the tasks at a node."""
    rate = 1.5 / (layers + 1)
    plan = {"layers": layers, "proposers": 0}
    found = simulated(rate, plan=plan, station={"slots": len(CURVE), "speedup": CURVE})
    queue = speedup_queue(1.5, 1.0, CURVE)
    exact = {name: getattr(queue, name) for name in MEASURES}
    exact["sojourn_time_s"] *= layers + 1
    exact["number_in_system"] = rate * exact["sojourn_time_s"]
    assert misses(measured(found), exact, comparisons=10, precision=0.25) == {}


@pytest.mark.slow
def test_one_core_for_two_nodes_is_one_server_for_their_tasks():
    """Exponential tasks end at rate μ while any is there: in all M/M/1 with twice the arrivals."""
    found = simulated(0.35, host__cores=1.0)
    numbers = measured(found)["number_in_system"]
    both = {"number_in_system": [2 * number for number in numbers]}
    assert misses(both, {"number_in_system": 0.7 / 0.3}, comparisons=1, precision=0.25) == {}


@pytest.mark.slow
def test_the_limits_of_nodes_and_host_are_not_enough():
    """Three threads for two nodes that want two each, at 0.9 and 0.5: the busier one gets less.

    Always busy, it would get 3/4 while the other is busy, 2/3 of the time, and else all: 0.83.
    """
    made = scenario(
        arrivals__arrival_rate_hz=0.9,
        nodes={"1": {"arrival_rate_hz": 0.5}},
        host={"cores": 3.0, "threads": 2},
        run={"horizon_s": 10_000, "replications": 8},
    )
    limit = bound(made)
    assert limit.offered_load_max == pytest.approx(1.4 / 1.5)
    assert limit.sufficient.case == "necessary"
    assert run(made).verdict.status == "unstable"


def tokens(**values: Any) -> dict[str, Any]:
    """Two nodes that answer alone, by tokens: 1 s of reading and 1 s of writing."""
    return {
        "service": {
            "distribution": "tokens",
            "base_s": 0.2,
            "input_token_s": 0.01,
            "output_token_s": 0.02,
        },
        "tokens": {"prompt_tokens": 100, "response_tokens": 40, "distribution": "exponential"},
        **values,
    }


def test_work_is_conserved_where_batching_gains_nothing():
    """With a total speed of 1 a node is busy exactly as long as its tasks would take alone."""
    values = tokens(
        arrivals={"process": "burst", "prompts": 60, "arrival_rate_hz": 2.0},
        station={"slots": 4, "speedup": [1.0] * 4},
        run={"horizon_s": 1e6, "replications": 1},
    )
    alone, shared = (
        run(scenario(**made)).tracks[0] for made in ({**values, "station": {}}, values)
    )
    for node in range(2):
        own = alone.tasks.server == node
        work_s = float((alone.tasks.ended_s - alone.tasks.started_s)[own].sum())
        steps = shared.steps
        mine = steps.node == node
        since = steps.time_s[mine]
        busy_s = float((np.diff(since) * (steps.serving[mine] > 0)[:-1]).sum())
        assert busy_s == pytest.approx(work_s)


@pytest.mark.slow
def test_a_node_that_reads_and_writes_saturates_between_one_slot_and_full_batch():
    values = tokens(
        station={"slots": 4, "speedup": CURVE}, run={"horizon_s": 20_000, "replications": 6}
    )
    limit = bound(scenario(**values))
    single_hz = limit.single_slot_critical_rate_hz
    assert single_hz is not None
    assert single_hz == pytest.approx(1 / 2)
    assert limit.critical_rate_hz == pytest.approx(1 / (1 + 1 / 1.8))
    low, high = 0.97 * single_hz, 1.03 * limit.critical_rate_hz
    verdicts = [
        run(prepare(scenario(**values, arrivals__arrival_rate_hz=rate))).verdict.status
        for rate in (low, high)
    ]
    assert verdicts == ["stable", "unstable"]
