"""Networks whose means are known exactly, and what Ciw, an independent simulator, measures."""

from __future__ import annotations

from itertools import pairwise

import ciw
import numpy as np
import pytest

from dmoa.theory import mm1
from dmoa.trace import estimate
from tests.sim.runs import misses, run, scenario, windows


def feedback(layers: int, utilization: float, **values: object):
    """Measure nodes whose prompts visit them M + 1 times in a row: k = 0."""
    made = scenario(
        plan__layers=layers,
        arrivals__arrival_rate_hz=utilization / (layers + 1),
        **{"run__horizon_s": 5000, "run__replications": 20, **values},
    )
    return windows(run(made))


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("utilization", [0.5, 0.8])
def test_product_form_holds_where_every_node_proposes_alone(layers: int, utilization: float):
    queue = mm1(utilization, 1.0)
    measured = feedback(layers, utilization)
    exact = {
        "tasks_present": queue.number_in_system,
        "queue_length": queue.queue_length,
        "waiting_time_s": queue.waiting_time_s,
        "sojourn_time_s": (layers + 1) * queue.sojourn_time_s,
        "utilization": utilization,
    }
    values = {name: [float(np.mean(getattr(one, name))) for one in measured] for name in exact}
    assert misses(values, exact, comparisons=6 * len(exact), precision=0.3) == {}


def test_product_form_holds_for_the_distribution_of_the_tasks_present():
    # At ρ = 1/2, a node holds j tasks with chance (1/2)^(j + 1).
    made = scenario(
        plan__layers=1, arrivals__arrival_rate_hz=0.25, run__horizon_s=2000, run__replications=20
    )
    shares = []
    for track in run(made).tracks:
        share = np.zeros(4)
        for node in range(2):
            own = track.steps.node == node
            times = np.append(track.steps.time_s[own], track.end_s)
            present = (track.steps.waiting + track.steps.serving)[own]
            held = np.bincount(present, np.diff(times), minlength=4)[:4]
            held[0] += times[0]
            share += held / track.end_s / 2
        shares.append(share)
    values = {str(count): column.tolist() for count, column in enumerate(np.transpose(shares))}
    exact = {str(count): 0.5 ** (count + 1) for count in range(4)}
    assert misses(values, exact, comparisons=4, precision=0.15) == {}


# --- Ciw ------------------------------------------------------------------------------------

SERVICES = {
    "deterministic": ciw.dists.Deterministic(1.0),
    "exponential": ciw.dists.Exponential(1.0),
    "gamma": ciw.dists.Gamma(4.0, 0.25),
}


def by_ciw(visits: int, rate_hz: float, service: str, slots: int, horizon_s: float, seed: int):
    """Simulate two nodes with Ciw: mean wait of a visit, and mean time from first to last."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate_hz)] * 2,
        service_distributions=[SERVICES[service]] * 2,
        number_of_servers=[slots] * 2,
        routing=ciw.routing.ProcessBased(
            lambda customer, _simulation: [customer.starting_node] * (visits - 1)
        ),
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(horizon_s)
    records = sorted(simulation.get_all_records(), key=lambda r: (r.id_number, r.arrival_date))
    waits = [record.waiting_time for record in records if record.arrival_date > horizon_s / 10]
    sojourns = [
        records[first + visits - 1].exit_date - records[first].arrival_date
        for first in firsts(records)
        if first + visits <= len(records)
        and records[first + visits - 1].id_number == records[first].id_number
        and records[first].arrival_date > horizon_s / 10
    ]
    return float(np.mean(waits)), float(np.mean(sojourns))


def firsts(records) -> list[int]:
    """Find where each customer's records start."""
    changes = [row for row, (a, b) in enumerate(pairwise(records), 1) if a.id_number != b.id_number]
    return [0, *changes]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "service", "slots", "utilization"),
    [
        (0, "exponential", 1, 0.7),
        (0, "gamma", 2, 0.7),
        (1, "deterministic", 1, 0.8),
        (2, "deterministic", 2, 0.7),
        (2, "gamma", 1, 0.6),
    ],
)
def test_ciw_agrees_where_it_can_model_the_case(layers, service, slots, utilization):
    """Without forks a prompt is a customer who visits its node M + 1 times.

    No formula is known for most of these. Two 95 % intervals of equal width that do not even
    touch differ by 2.8 standard errors, so one pair in 180 would by chance.
    """
    visits, horizon_s = layers + 1, 4000.0 / slots
    ours = feedback(
        layers,
        utilization * slots,
        run__horizon_s=horizon_s,
        run__replications=10,
        station__slots=slots,
        service={"distribution": service, **({"cv": 0.5} if service == "gamma" else {})},
    )
    rate_hz = utilization * slots / visits
    theirs = [by_ciw(visits, rate_hz, service, slots, horizon_s, seed) for seed in range(1, 11)]
    for name, values in zip(
        ("waiting_time_s", "sojourn_time_s"), zip(*theirs, strict=True), strict=True
    ):
        own, other = estimate([getattr(one, name) for one in ours]), estimate(values)
        assert own.low <= other.high, (name, own, other)
        assert other.low <= own.high, (name, own, other)
        assert own.relative_half_width < 0.2
