"""One queue in front of one server: M/M/1, M/D/1, M/G/1, and each node as an M/G/1 queue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks
from dmoa.theory.edges import PerTask
from dmoa.theory.load import class_load

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray, Matrix, Quantity


@dataclass(frozen=True)
class QueueMeans:
    """Long-run means of one queue; all but the utilization are infinite where ρ ≥ 1."""

    utilization: float
    queue_length: float
    number_in_system: float
    waiting_time_s: float
    sojourn_time_s: float


@dataclass(frozen=True)
class NodeMeans:
    """Long-run means of every node, each (n,); infinite where a_i ≥ 1, except the first two."""

    task_rate_hz: FloatArray
    utilization: FloatArray
    queue_length: FloatArray
    number_in_system: FloatArray
    waiting_time_s: FloatArray
    sojourn_time_s: FloatArray


def mg1_waiting_time_s(
    arrival_rate_hz: float, service_time_s: float, second_moment_s2: float
) -> float:
    """Return the mean wait Wq = Λ E[S²] / (2 (1 - ρ)) in an M/G/1 queue, ρ = Λ E[S].

    Exact for Poisson arrivals, independent service times, one slot and first come, first served.

    Args:
        arrival_rate_hz: Λ > 0 tasks per second.
        service_time_s: E[S] > 0 in seconds.
        second_moment_s2: E[S²] ≥ E[S]² in seconds squared.

    Returns:
        Seconds, without the service; ``math.inf`` where ρ ≥ 1.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: Pollaczek 1930, Khinchine 1932.

    >>> mg1_waiting_time_s(arrival_rate_hz=0.5, service_time_s=1.0, second_moment_s2=2.0)
    1.0
    """
    rate = checks.scalar(arrival_rate_hz, "arrival_rate_hz")
    mean = checks.scalar(service_time_s, "service_time_s")
    second = checks.scalar(second_moment_s2, "second_moment_s2")
    # A deterministic service time may miss E[S]² by rounding.
    if second < mean * mean * (1 - 1e-12):
        raise ScenarioError(
            "is below the square of the mean",
            path="second_moment_s2",
            given=second,
            remedy=f"give E[S²] = E[S]² (1 + cv²), at least {mean * mean:g}",
        )
    return _pollaczek_khinchine(rate, mean, second)


def mg1(arrival_rate_hz: float, service_time_s: float, cv: float) -> QueueMeans:
    """Return the means of an M/G/1 queue: Wq by Pollaczek and Khinchine, Lq and L by Little.

    Exact for Poisson arrivals, independent service times, one slot and first come, first served.
    A node with M = 0 is such a queue.

    Args:
        arrival_rate_hz: Λ > 0 tasks per second.
        service_time_s: E[S] > 0 in seconds.
        cv: coefficient of variation of S ≥ 0: standard deviation over mean.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: Pollaczek 1930, Khinchine 1932; Little 1961.

    >>> mg1(arrival_rate_hz=0.5, service_time_s=1.0, cv=0.5).waiting_time_s
    0.625
    """
    rate = checks.scalar(arrival_rate_hz, "arrival_rate_hz")
    mean = checks.scalar(service_time_s, "service_time_s")
    variation = checks.scalar(cv, "cv", zero=True)
    waiting = _pollaczek_khinchine(rate, mean, mean**2 * (1 + variation**2))
    return QueueMeans(
        utilization=min(rate * mean, 1.0),
        queue_length=rate * waiting,
        number_in_system=rate * (waiting + mean),
        waiting_time_s=waiting,
        sojourn_time_s=waiting + mean,
    )


def mm1(arrival_rate_hz: float, service_time_s: float) -> QueueMeans:
    """Return the means of an M/M/1 queue: L = ρ / (1 - ρ), W = 1 / (μ - Λ).

    Exact for a node with M = 0 and exponential service; and, with Λ = (M + 1) λ, for the number
    of tasks at a node with k = 0 and equal exponential service (product form).

    Args:
        arrival_rate_hz: Λ > 0 tasks per second.
        service_time_s: E[S] = 1/μ > 0 in seconds.

    Raises:
        ScenarioError: if an argument is out of range.

    >>> mm1(arrival_rate_hz=0.5, service_time_s=1.0).number_in_system
    1.0
    """
    return mg1(arrival_rate_hz, service_time_s, cv=1.0)


def md1(arrival_rate_hz: float, service_time_s: float) -> QueueMeans:
    """Return the means of an M/D/1 queue: it waits half as long as M/M/1.

    Exact for a node with M = 0 and deterministic service.

    Args:
        arrival_rate_hz: Λ > 0 tasks per second.
        service_time_s: S > 0 in seconds.

    Raises:
        ScenarioError: if an argument is out of range.

    >>> md1(arrival_rate_hz=0.5, service_time_s=1.0).waiting_time_s
    0.5
    """
    return mg1(arrival_rate_hz, service_time_s, cv=0.0)


def node_means(
    arrival_rate_hz: ArrayLike,
    inclusion: Matrix,
    service_time_s: Quantity,
    layers: int,
    cv: Quantity = 1.0,
) -> NodeMeans:
    """Return every node's means as if it were an M/G/1 queue of its mixture of task classes.

    Wq_i = Σ_c Λ_ci E[S_ci²] / (2 (1 - a_i)) over the classes c of tasks at node i. Exact for
    M = 0 with Poisson arrivals; an approximation for M ≥ 1, where tasks do not arrive as a
    Poisson process. One slot per node.

    Args:
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,); not all 0.
        inclusion: p, (n, n), dense or of scipy.sparse, origins in rows, entries from 0 to 1, zero
            diagonal.
        service_time_s: mean service times in seconds, in any shape that ``offered_load`` takes.
        layers: M ≥ 0.
        cv: coefficient of variation ≥ 0 of the service time within a class, in any shape that
            ``offered_load`` takes for service times.

    Returns:
        Means per node; a node that is given no tasks has zeros.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> ring = [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    >>> means = node_means(0.1, np.array(ring) / 2, service_time_s=1.0, layers=2)
    >>> means.utilization, means.waiting_time_s
    (array([0.5, 0.5, 0.5, 0.5]), array([1., 1., 1., 1.]))
    """
    chances = checks.inclusion_matrix(inclusion)
    nodes, stages = chances.nodes, checks.layer_count(layers)
    rates = checks.arrival_rates(arrival_rate_hz, nodes)
    mean = checks.by_class(service_time_s, chances, stages, "service_time_s")
    variation = checks.by_class(cv, chances, stages, "cv", zero=True)
    second = PerTask(_second_moment(mean.own, variation.own), None)
    if mean.asked is not None or variation.asked is not None:
        asked = _second_moment(mean.on(chances), variation.on(chances))
        second = second._replace(asked=asked)
    load = class_load(rates, chances, mean)
    tasks = class_load(rates, chances, PerTask(np.ones((stages + 1, nodes)), None))
    spare = np.maximum(1 - load, 0)
    with np.errstate(divide="ignore"):
        waiting = class_load(rates, chances, second) / (2 * spare)
    service = load / np.where(tasks > 0, tasks, 1)
    return NodeMeans(
        task_rate_hz=tasks,
        utilization=np.minimum(load, 1),
        queue_length=tasks * waiting,
        number_in_system=tasks * (waiting + service),
        waiting_time_s=waiting,
        sojourn_time_s=waiting + service,
    )


def _second_moment(mean: FloatArray, cv: FloatArray) -> FloatArray:
    second: FloatArray = mean * mean * (1 + cv * cv)
    return second


def _pollaczek_khinchine(rate: float, mean: float, second: float) -> float:
    utilization = rate * mean
    return rate * second / (2 * (1 - utilization)) if utilization < 1 else math.inf
