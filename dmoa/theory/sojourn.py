"""How long a prompt takes, and how many responses wait for their siblings meanwhile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks
from dmoa.theory.forkjoin import (
    SUBSETS_OF_MAX,
    harmonic,
    independent_maximum_s,
    sojourn_alone_s,
    subsets,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray, Matrix

# Sums over sets of peers that are held at once: 8 MB of them.
_SUMS_MAX = 2**20


def sojourn_time_s(
    layers: int, proposers: int, service_time_s: float, task_rate_hz: float
) -> float:
    """Return the mean sojourn time of a prompt, T ≈ (M H_{k+1} + 1) / (μ - Λ).

    Treats the k + 1 queues of a layer as independent M/M/1 queues. Exact for k = 0 (product form);
    else an approximation: on a complete overlay, for ρ ≤ 0.8, simulation is within 7 % of it for
    k = 1, 4 % for k = 2 and 3 % for k = 3. Equal nodes, exponential service, one slot, no link
    delay.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        service_time_s: mean 1/μ > 0 in seconds.
        task_rate_hz: Λ ≥ 0 tasks per second at each node, ((k + 1) M + 1) λ for equal nodes.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ.

    Raises:
        ScenarioError: if an argument is out of range.

    >>> sojourn_time_s(layers=2, proposers=1, service_time_s=1.0, task_rate_hz=0.5)
    8.0
    """
    layer = independent_maximum_s(
        checks.proposer_count(proposers) + 1, service_time_s, task_rate_hz
    )
    alone = sojourn_alone_s(service_time_s, task_rate_hz)
    # Without the condition, M = 0 in overload would be 0 times infinity.
    return layers * layer + alone if checks.layer_count(layers) else alone


def sojourn_time_unequal_s(
    layers: int,
    proposers: int,
    origin_spare_rate_hz: float,
    peer_spare_rates_hz: ArrayLike,
) -> float:
    """Return the mean sojourn time of a prompt whose origin and peers differ, M E[max] + W_A.

    The origin asks min(k, d) of its d peers, chosen uniformly in every layer; the expectation of
    the slowest is taken over the choice too: E[max] = Σ_S (-1)^(s + 1) P(S is asked) / Σ_{i in S}
    (μ_i - Λ_i) over all nonempty sets S of the origin and its peers, s their size. Same
    approximation as ``sojourn_time_s``: independent M/M/1 queues, exponential service, one slot,
    no link delay.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        origin_spare_rate_hz: μ - Λ of the origin; zero or below means saturated.
        peer_spare_rates_hz: μ_i - Λ_i of the origin's neighbours, (d,), d from 0 to 19.

    Returns:
        Seconds; ``math.inf`` if a node that takes part is saturated.

    Raises:
        ScenarioError: if an argument is out of range or there are too many neighbours.

    The slowest of two equal nodes takes 1.5 times as long as one, twice over, and the aggregation:

    >>> round(sojourn_time_unequal_s(2, 1, 0.5, [0.5, 0.5, 0.5]), 6)
    8.0
    """
    depth, asked = checks.layer_count(layers), checks.proposer_count(proposers)
    own = checks.number(origin_spare_rate_hz, "origin_spare_rate_hz")
    peers = checks.few(
        peer_spare_rates_hz, "peer_spare_rates_hz", at_least=0, at_most=SUBSETS_OF_MAX - 1
    )
    return float(_unequal_s(depth, asked, own[np.newaxis], peers[np.newaxis])[0])


def sojourn_times_s(
    layers: int, proposers: int, spare_rate_hz: ArrayLike, adjacency: Matrix
) -> FloatArray:
    """Return the mean sojourn time of the prompts of each origin, as ``sojourn_time_unequal_s``.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        spare_rate_hz: μ_i - Λ_i of each node, (n,); zero or below means saturated.
        adjacency: (n, n), 0 and 1, zero diagonal, origins in rows, dense or of scipy.sparse; a node
            has 19 neighbours at most.

    Returns:
        (n,), seconds; ``math.inf`` where a node that takes part is saturated.

    Raises:
        ScenarioError: if an argument is out of range or a node has too many neighbours.

    >>> sojourn_times_s(1, 1, [0.5, 0.25, 0.5], [[0, 1, 0], [1, 0, 1], [0, 1, 0]]).round(3)
    array([6.667, 8.667, 6.667])
    """
    depth, asked = checks.layer_count(layers), checks.proposer_count(proposers)
    overlay = checks.overlay(adjacency)
    spare = checks.numbers(spare_rate_hz, "spare_rate_hz")
    degrees = overlay.sent(overlay.value).astype(np.int64)
    if spare.shape != degrees.shape or degrees.max() >= SUBSETS_OF_MAX:
        raise ScenarioError(
            "has the wrong shape",
            path="spare_rate_hz",
            given=spare.shape,
            remedy=f"give one number per node, shape ({overlay.nodes},), and nodes of at most "
            f"{SUBSETS_OF_MAX - 1} neighbours",
        )
    offsets = np.cumsum(degrees) - degrees
    times = np.empty(overlay.nodes)
    for degree in np.unique(degrees).tolist():
        alike = np.flatnonzero(degrees == degree)
        for block in np.array_split(alike, -(-len(alike) * 2**degree // _SUMS_MAX)):
            peers = overlay.server[offsets[block, np.newaxis] + np.arange(degree)]
            times[block] = _unequal_s(depth, asked, spare[block], spare[peers])
    return times


def _unequal_s(depth: int, asked: int, own: FloatArray, peers: FloatArray) -> FloatArray:
    """Compute the sojourn times (b,) of origins with as many peers each, (b, d)."""
    degree = peers.shape[1]
    asked = min(asked, degree)
    forks = depth > 0 and asked > 0
    saturated = (own <= 0) | (forks & (peers <= 0).any(axis=1))
    safe = np.where(saturated, 1.0, own)
    if not forks:
        return np.where(saturated, math.inf, (depth + 1) / safe)
    total, members = subsets(np.where(saturated[:, np.newaxis], 1.0, peers))
    chance = _chance_all_asked(degree, asked)[members.astype(np.intp)]
    sign = (-1.0) ** members
    # Sets of peers alone, then the same sets with the origin, which always proposes.
    slowest = np.sum((-sign * chance)[1:] / total[:, 1:], axis=1)
    slowest += np.sum(sign * chance / (total + safe[:, np.newaxis]), axis=1)
    return np.where(saturated, math.inf, depth * slowest + 1 / safe)


def join_buffer_time_s(proposers: int, service_time_s: float, task_rate_hz: float) -> float:
    """Return how long a response waits for its siblings on average, (H_{k+1} - 1) / (μ - Λ).

    The mean of the slowest of k + 1 independent M/M/1 queues less the mean of one; the same
    approximation, and conditions, as ``sojourn_time_s``.

    Args:
        proposers: k ≥ 0.
        service_time_s: mean 1/μ > 0 in seconds.
        task_rate_hz: Λ ≥ 0 tasks per second at each node.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ and k ≥ 1.

    Raises:
        ScenarioError: if an argument is out of range.

    >>> join_buffer_time_s(proposers=1, service_time_s=1.0, task_rate_hz=0.5)
    1.0
    """
    peers = checks.proposer_count(proposers)
    alone = sojourn_alone_s(service_time_s, task_rate_hz)
    return (harmonic(peers + 1) - 1) * alone if peers else 0.0


def join_buffer_responses(
    arrival_rate_hz: float, layers: int, proposers: int, service_time_s: float, task_rate_hz: float
) -> float:
    """Return the mean number of responses in a node's join buffer, λ M (k + 1) times their wait.

    Little's law for the responses to the node's own prompts; exact given the wait, which is that
    of ``join_buffer_time_s``.

    Args:
        arrival_rate_hz: λ > 0 prompts per second at the node.
        layers: M ≥ 0.
        proposers: k ≥ 0.
        service_time_s: mean 1/μ > 0 in seconds.
        task_rate_hz: Λ ≥ 0 tasks per second at each node.

    Returns:
        Responses; ``math.inf`` where Λ ≥ μ, M ≥ 1 and k ≥ 1.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: J. D. C. Little, "A proof for the queuing formula L = λW", Operations Research 9, 1961.

    >>> join_buffer_responses(0.1, layers=2, proposers=1, service_time_s=1.0, task_rate_hz=0.5)
    0.4
    """
    rate = checks.scalar(arrival_rate_hz, "arrival_rate_hz")
    depth = checks.layer_count(layers)
    wait = join_buffer_time_s(proposers, service_time_s, task_rate_hz)
    return rate * depth * (proposers + 1) * wait if depth else 0.0


def _chance_all_asked(peers: int, asked: int) -> FloatArray:
    """Return the chance that a given set of 0, 1, … peers is among those asked, (peers + 1,)."""
    ways = math.comb(peers, asked)
    return np.array(
        [
            math.comb(peers - size, asked - size) / ways if size <= asked else 0.0
            for size in range(peers + 1)
        ]
    )
