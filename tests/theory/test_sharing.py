"""Queues whose slots share a processor, and hosts: against other formulas and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dmoa import theory

MEANS = (
    "utilization",
    "queue_length",
    "number_in_system",
    "waiting_time_s",
    "sojourn_time_s",
)


def test_one_slot_is_m_m_1():
    shared, single = theory.speedup_queue(0.7, 1.2, 1.0), theory.mm1(0.7, 1.2)
    for mean in MEANS:
        assert getattr(shared, mean) == pytest.approx(getattr(single, mean))


def test_a_constant_total_speed_is_m_m_1_with_places_to_wait_in_service():
    """The number in the system does not depend on who of those present is served."""
    flat = theory.speedup_queue(0.7, 1.0, [1.0] * 5)
    assert flat.number_in_system == pytest.approx(0.7 / 0.3)
    assert flat.queue_length == pytest.approx(0.7**6 / 0.3)  # Σ_n max(n - 5, 0) p_n


def test_a_linear_speed_up_is_erlang_c():
    offered, slots = 1.6, 2
    waits = 2 * (offered / slots) ** 2 / (1 + offered / slots)  # Erlang C for two servers
    queue = theory.speedup_queue(offered, 1.0, [1.0, 2.0])
    assert queue.waiting_time_s == pytest.approx(waits / (slots - offered))
    assert queue.utilization == pytest.approx(offered / slots)
    assert queue.sojourn_time_s == pytest.approx(queue.waiting_time_s + 1.0)


def test_the_balance_equations_hold_for_any_curve():
    """By the probabilities themselves, up to a number that is hardly ever present."""
    rate, curve = 1.5, [1.0, 1.4, 1.3, 1.8]
    chances = [1.0]
    for present in range(1, 2000):
        chances.append(chances[-1] * rate / curve[min(present, 4) - 1])
    p = np.array(chances) / sum(chances)
    n = np.arange(len(p))
    queue = theory.speedup_queue(rate, 1.0, curve)
    assert queue.number_in_system == pytest.approx(float(n @ p))
    assert queue.queue_length == pytest.approx(float(np.maximum(n - 4, 0) @ p))
    assert queue.utilization == pytest.approx(float(np.minimum(n, 4) @ p) / 4)


@pytest.mark.parametrize("rate", [1.8, 5.0])
def test_beyond_the_speed_at_full_batch_everything_grows(rate: float):
    queue = theory.speedup_queue(rate, 1.0, [1.0, 1.8])
    assert queue.utilization == 1.0
    assert math.isinf(queue.number_in_system)
    assert math.isinf(queue.sojourn_time_s)


def test_many_slots_do_not_leave_the_range_of_numbers():
    queue = theory.speedup_queue(5000.0, 1.0, np.arange(1, 10_001))
    assert queue.number_in_system == pytest.approx(5000.0)


def test_a_host_needs_the_threads_of_its_nodes():
    shares = theory.host_load([0.5, 0.25, 1.0], [0, 1, 0], cores=4, threads=2)
    assert shares.tolist() == [0.75, 0.125]


@pytest.mark.parametrize(
    ("facts", "case", "words"),
    [
        ({}, "conjectured", "all slots busy"),
        ({"layers": 0}, "proven", "necessary and sufficient"),
        ({"service_time_s": [[1.0, 1.0], [2.0, 2.0]]}, "class-dependent", "Bramson 1994"),
        ({"mixed": True}, "necessary", "between λ* with one slot and λ* at full batch"),
        ({"hosts": True, "mixed": True}, "necessary", "cores"),
        ({"memory": True}, "necessary", "memory"),
    ],
)
def test_what_is_known_at_full_batch(facts: dict, case: str, words: str):
    found = theory.sufficient_at_full_batch(**{"layers": 1, "proposers": 2, **facts})
    assert found.case == case
    assert words in found.text
