"""Offered load on any overlay, and the arrival rate at which the first node saturates."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array, sparray

    from dmoa.theory.checks import FloatArray, Matrix, Quantity
    from dmoa.theory.edges import Edges, PerTask

# Loads that differ by less than this are a tie: rounding must not choose the bottleneck.
_TIE = 1e-9


def tasks_per_prompt(layers: int, proposers: int) -> int:
    """Return the number of tasks of one prompt, (k + 1) M + 1.

    Holds for the plan ``layered(M, k)`` at a node with at least k neighbours.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0, peers per layer; the node itself comes on top.

    Raises:
        ScenarioError: if an argument is negative, not whole or too large.

    Source: arXiv 2412.21200, Theorem 1.

    >>> tasks_per_prompt(layers=2, proposers=2)
    7
    """
    return (checks.proposer_count(proposers) + 1) * checks.layer_count(layers) + 1


@overload
def uniform_inclusion(adjacency: sparray, proposers: int) -> csr_array: ...
@overload
def uniform_inclusion(adjacency: ArrayLike, proposers: int) -> FloatArray: ...
def uniform_inclusion(adjacency: Matrix, proposers: int) -> FloatArray | csr_array:
    """Return p[j, i], the chance that origin j asks i in a layer, for the uniform choice.

    That is min(k, d_j) / d_j for each of the d_j neighbours of j, and 0 elsewhere.

    Args:
        adjacency: (n, n), 0 and 1, zero diagonal, origins in rows; dense with n ≤ 5000, or of
            scipy.sparse with n ≤ 1 000 000. A node may be isolated.
        proposers: k ≥ 0; a node with fewer neighbours asks all of them.

    Returns:
        (n, n), origins in rows; sparse if the adjacency is, with an entry for each of its edges.

    Raises:
        ScenarioError: if the matrix is not an overlay or k is not a count.

    >>> uniform_inclusion([[0, 1, 1], [1, 0, 0], [1, 0, 0]], proposers=1)
    array([[0. , 0.5, 0.5],
           [1. , 0. , 0. ],
           [1. , 0. , 0. ]])
    """
    chances: FloatArray | csr_array = uniform_edges(checks.overlay(adjacency), proposers).matrix()
    return chances


def uniform_edges(overlay: Edges, proposers: int) -> Edges:
    """Give the uniform choice on the edges of an overlay."""
    degree = overlay.sent(overlay.value)
    asked = np.minimum(checks.proposer_count(proposers), degree)
    share: FloatArray = asked / np.maximum(degree, 1)
    return overlay._replace(value=share[overlay.origin])


def task_rate_hz(arrival_rate_hz: ArrayLike, inclusion: Matrix, layers: int) -> FloatArray:
    """Return Λ_i = M (λ_i + Σ_j λ_j p_ji) + λ_i, the tasks per second that node i is given.

    Exact, by linearity of expectation, for any overlay, arrivals and service times, while every
    prompt's later layers keep up (that is, below the critical rate).

    Args:
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,); not all 0.
        inclusion: p, (n, n), dense or of scipy.sparse, origins in rows, entries from 0 to 1, zero
            diagonal.
        layers: M ≥ 0.

    Returns:
        (n,), tasks per second.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> task_rate_hz(0.1, [[0, 1], [1, 0]], layers=2)
    array([0.5, 0.5])
    """
    chances = checks.inclusion_matrix(inclusion)
    rates = checks.arrival_rates(arrival_rate_hz, chances.nodes)
    asked = chances.received(rates[chances.origin] * chances.value)
    loads: FloatArray = checks.layer_count(layers) * (rates + asked) + rates
    return loads


def offered_load(
    arrival_rate_hz: ArrayLike, inclusion: Matrix, service_time_s: Quantity, layers: int
) -> FloatArray:
    """Return a_i = Σ_m s_i^(m) (λ_i + Σ_j λ_j p_ji) + s_i^(A) λ_i, the offered load in Erlang.

    Exact, by linearity of expectation, for any overlay, any arrivals with these rates and any
    service times with these means. Every a_i below the node's slots is necessary for stability;
    ``sufficient`` says when it is enough.

    Args:
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,); not all 0.
        inclusion: p, (n, n), dense or of scipy.sparse, origins in rows, entries from 0 to 1, zero
            diagonal.
        service_time_s: mean service times s > 0 in seconds: a number, (n,) by server,
            (M + 1, n) by stage and server, or (M + 1, n, n) by stage, origin and server, for
            service by tokens, where an origin with more responses makes longer prompts; for that,
            M + 1 matrices (n, n) of scipy.sparse will do as well. The last stage is the
            aggregation; of its (n, n) only the diagonal counts.
        layers: M ≥ 0.

    Returns:
        (n,), Erlang; may exceed 1.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    On a star the hub saturates long before Theorem 1 says so:

    >>> star = np.zeros((8, 8))
    >>> star[0, 1:] = star[1:, 0] = 1
    >>> load = offered_load(0.1, uniform_inclusion(star, 1), service_time_s=1.0, layers=1)
    >>> load.round(4)
    array([0.9   , 0.2143, 0.2143, 0.2143, 0.2143, 0.2143, 0.2143, 0.2143])
    """
    chances = checks.inclusion_matrix(inclusion)
    rates = checks.arrival_rates(arrival_rate_hz, chances.nodes)
    stages = checks.layer_count(layers)
    service = checks.by_class(service_time_s, chances, stages, "service_time_s")
    return class_load(rates, chances, service)


def class_load(rates: FloatArray, chances: Edges, per_task: PerTask) -> FloatArray:
    """Return the rate (n,) at which tasks bring a quantity to each server.

    Args:
        rates: λ, (n,).
        chances: p on the edges.
        per_task: the mean quantity per task; service times give the offered load, their second
            moments what waiting depends on.
    """
    proposing, aggregating = per_task.own[:-1].sum(axis=0), per_task.own[-1]
    asking = rates[chances.origin] * chances.value
    if per_task.asked is None:
        spread: FloatArray = proposing * (rates + chances.received(asking)) + aggregating * rates
        return spread
    asked = chances.received(asking * per_task.per_layer_sum(chances))
    load: FloatArray = asked + (proposing + aggregating) * rates
    return load


def critical_rate_hz(arrival_rate_hz: ArrayLike, load: ArrayLike, slots: ArrayLike = 1.0) -> float:
    """Return λ* = λ / max_i (a_i / slots_i), the arrival rate at which a node saturates.

    All rates are scaled together: every λ_i times 1 / max_i (a_i / slots_i) puts the bottleneck
    at its limit. Returned is that factor times the mean of λ over the nodes, which is λ* itself
    where all nodes have the same rate.

    Args:
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,), the rates that
            ``load`` was computed for; not all 0.
        load: a, (n,), offered loads in Erlang, not all 0.
        slots: tasks served at once, ≥ 1, a number or (n,).

    Returns:
        Prompts per second and node.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> star = np.zeros((8, 8))
    >>> star[0, 1:] = star[1:, 0] = 1
    >>> load = offered_load(0.05, uniform_inclusion(star, 1), service_time_s=1.0, layers=1)
    >>> round(critical_rate_hz(0.05, load), 4)
    0.1111
    """
    saturation = _saturation(load, slots)
    rates = checks.arrival_rates(arrival_rate_hz, len(saturation))
    return float(rates.mean() / saturation.max())


def bottleneck(load: ArrayLike, slots: ArrayLike = 1.0) -> int:
    """Return the node that saturates first, argmax_i a_i / slots_i; the first one of a tie.

    Args:
        load: a, (n,), offered loads in Erlang, not all 0.
        slots: tasks served at once, ≥ 1, a number or (n,).

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> bottleneck([0.2, 0.9, 0.9 + 1e-15])
    1
    """
    saturation = _saturation(load, slots)
    return int(np.argmax(saturation >= saturation.max() * (1 - _TIE)))


def _saturation(load: ArrayLike, slots: ArrayLike) -> FloatArray:
    loads = checks.vector(load, "load", zero=True)
    if not loads.any():
        raise ScenarioError(
            "must be above 0 at some node",
            path="load",
            given=0.0,
            remedy="compute it with offered_load",
        )
    saturation: FloatArray = loads / checks.slot_counts(slots, len(loads))
    return saturation
