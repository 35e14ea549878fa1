"""M = 0: every node is one queue, M/M/1, M/D/1, M/G/1 or M/M/c, whose means are known exactly."""

from __future__ import annotations

from math import factorial

import pytest

from dmoa.theory import mg1
from tests.sim.runs import MEASURES, misses, run, scenario, windows

# Service, its coefficient of variation, arrival rate. Low and high load for M/M/1.
SINGLE = [
    pytest.param({"distribution": "exponential"}, 1.0, 0.5, id="M/M/1-0.5"),
    pytest.param({"distribution": "exponential"}, 1.0, 0.8, id="M/M/1-0.8"),
    pytest.param({"distribution": "deterministic"}, 0.0, 0.8, id="M/D/1"),
    pytest.param({"distribution": "gamma", "cv": 0.5}, 0.5, 0.7, id="M/G/1-gamma-0.5"),
    pytest.param({"distribution": "gamma", "cv": 1.5}, 1.5, 0.6, id="M/G/1-gamma-1.5"),
    pytest.param({"distribution": "lognormal", "cv": 1.5}, 1.5, 0.6, id="M/G/1-lognormal-1.5"),
]
MULTIPLE = [(2, 0.5), (2, 0.8), (5, 0.8)]
HORIZON_S = 5000.0
COMPARISONS = (len(SINGLE) + len(MULTIPLE)) * len(MEASURES)


def measured(arrival_rate_hz: float, slots: int = 1, **values: object) -> dict[str, list[float]]:
    made = scenario(
        arrivals__arrival_rate_hz=arrival_rate_hz,
        run__horizon_s=HORIZON_S / slots,
        run__replications=20,
        station__slots=slots,
        **values,
    )
    rows = [one.summary() for one in windows(run(made))]
    return {name: [row[name] for row in rows] for name in MEASURES}


@pytest.mark.slow
@pytest.mark.parametrize(("service", "cv", "rate"), SINGLE)
def test_pollaczek_khinchine_holds_for_a_node_that_answers_alone(service, cv, rate):
    queue = mg1(rate, 1.0, cv)
    exact = {measure: getattr(queue, measure) for measure in MEASURES}
    missed = misses(measured(rate, service=service), exact, comparisons=COMPARISONS, precision=0.25)
    assert missed == {}


def erlang_c(servers: int, offered: float) -> float:
    """Give the chance that a task waits in M/M/c."""
    last = offered**servers / factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**busy / factorial(busy) for busy in range(servers)) + last)


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "utilization"), MULTIPLE)
def test_erlang_c_holds_for_a_node_with_several_slots(slots: int, utilization: float):
    rate = slots * utilization
    waiting_time_s = erlang_c(slots, rate) / (slots - rate)
    exact = {
        "queue_length": rate * waiting_time_s,
        "number_in_system": rate * (waiting_time_s + 1),
        "utilization": utilization,
        "waiting_time_s": waiting_time_s,
        "sojourn_time_s": waiting_time_s + 1,
    }
    missed = misses(measured(rate, slots), exact, comparisons=COMPARISONS, precision=0.25)
    assert missed == {}
