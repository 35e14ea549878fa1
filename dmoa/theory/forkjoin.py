"""How long the slowest of K parallel tasks takes: exact where it is known, else approximate."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from dmoa.theory import checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray

SUBSETS_OF_MAX: Final = 20
"""Unequal servers in one maximum: the sum runs over all their subsets, a million here."""
VARMA_MAKOWSKI_MAX: Final = 100


def harmonic(number: int) -> float:
    """Return the harmonic number H_K = 1 + 1/2 + … + 1/K.

    The mean of the largest of K independent exponential times, in units of their mean.

    Args:
        number: K from 0 to 10 001.

    Raises:
        ScenarioError: if K is out of range or not whole.

    >>> harmonic(2), harmonic(0)
    (1.5, 0.0)
    """
    count = checks.whole(number, "number", at_least=0, at_most=checks.PROPOSERS_MAX + 1)
    return math.fsum(1 / term for term in range(1, count + 1))


def independent_maximum_s(tasks: int, service_time_s: float, task_rate_hz: float) -> float:
    """Return H_K / (μ - Λ), the mean time until K tasks on K equal M/M/1 queues have all ended.

    Exact for independent queues in equilibrium; in a network of forks an approximation, and the
    best of the three here where each queue also gets other traffic, which decorrelates them.

    Args:
        tasks: K ≥ 1 parallel tasks, one per node; a layer has K = k + 1.
        service_time_s: mean 1/μ > 0 in seconds, exponential.
        task_rate_hz: Λ ≥ 0 tasks per second at each node.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ.

    Raises:
        ScenarioError: if an argument is out of range.

    >>> independent_maximum_s(tasks=2, service_time_s=1.0, task_rate_hz=0.5)
    3.0
    """
    count = checks.whole(tasks, "tasks", at_least=1, at_most=checks.PROPOSERS_MAX + 1)
    return harmonic(count) * sojourn_alone_s(service_time_s, task_rate_hz)


def flatto_hahn_s(service_time_s: float, task_rate_hz: float) -> float:
    """Return (12 - ρ) / 8 / (μ - Λ), the mean time of a two-way fork and join.

    Exact for Poisson arrivals of forks, two equal exponential servers, one slot each, and nothing
    else arriving at either.

    Args:
        service_time_s: mean 1/μ > 0 in seconds, exponential.
        task_rate_hz: Λ ≥ 0 forks per second, each of which gives every queue one task.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: L. Flatto and S. Hahn, "Two parallel queues created by arrivals with two demands I",
    SIAM J. Applied Mathematics 44(5), 1984; in this form R. Nelson and A. N. Tantawi, 1988.

    >>> flatto_hahn_s(service_time_s=1.0, task_rate_hz=0.5)
    2.875
    """
    alone = sojourn_alone_s(service_time_s, task_rate_hz)
    return (12 - task_rate_hz * service_time_s) / 8 * alone if alone < math.inf else math.inf


def nelson_tantawi_s(tasks: int, service_time_s: float, task_rate_hz: float) -> float:
    """Return the Nelson–Tantawi time of a K-way fork and join.

    [H_K/H_2 + (1 - H_K/H_2) 4ρ/11] (12 - ρ)/8 / (μ - Λ). Exact for K = 2 and within about 5 % for
    K ≤ 32 when all K queues get the same Poisson forks and nothing else.

    Args:
        tasks: K ≥ 2 parallel tasks.
        service_time_s: mean 1/μ > 0 in seconds, exponential.
        task_rate_hz: Λ ≥ 0 forks per second.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: R. Nelson and A. N. Tantawi, "Approximate analysis of fork/join synchronization in
    parallel queues", IEEE Trans. Computers 37(6), 1988.

    >>> nelson_tantawi_s(tasks=2, service_time_s=1.0, task_rate_hz=0.5)
    2.875
    """
    count = checks.whole(tasks, "tasks", at_least=2, at_most=checks.PROPOSERS_MAX + 1)
    ratio = harmonic(count) / harmonic(2)
    pair = flatto_hahn_s(service_time_s, task_rate_hz)
    if pair == math.inf:
        return math.inf
    return (ratio + (1 - ratio) * 4 * task_rate_hz * service_time_s / 11) * pair


def varma_makowski_s(tasks: int, service_time_s: float, task_rate_hz: float) -> float:
    """Return the Varma–Makowski time of a K-way fork and join, [H_K + (A_K - H_K) ρ] / (μ - Λ).

    A_K = Σ_r C(K, r) (-1)^(r-1) Σ_m C(r, m) (m - 1)! / r^(m+1), an interpolation between light
    and heavy traffic. Exact for K = 1 and K = 2 when all K queues get the same Poisson forks and
    nothing else.

    Args:
        tasks: K from 1 to 100 parallel tasks.
        service_time_s: mean 1/μ > 0 in seconds, exponential.
        task_rate_hz: Λ ≥ 0 forks per second.

    Returns:
        Seconds; ``math.inf`` where Λ ≥ μ.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: S. Varma and A. M. Makowski, "Interpolation approximations for symmetric fork-join
    queues", Performance Evaluation 20, 1994.

    >>> varma_makowski_s(tasks=2, service_time_s=1.0, task_rate_hz=0.5)
    2.875
    """
    count = checks.whole(tasks, "tasks", at_least=1, at_most=VARMA_MAKOWSKI_MAX)
    alone = sojourn_alone_s(service_time_s, task_rate_hz)
    if alone == math.inf:
        return math.inf
    light = harmonic(count)
    return (light + (_heavy_traffic(count) - light) * task_rate_hz * service_time_s) * alone


def expected_maximum_s(spare_rate_hz: ArrayLike) -> float:
    """Return the mean maximum of independent exponential times with rates μ_i - Λ_i.

    E[max] = Σ_S (-1)^(s + 1) / Σ_{i in S} (μ_i - Λ_i) over all nonempty sets S, s their size.
    Exact for independent M/M/1 queues in equilibrium, which may be unequal.

    Args:
        spare_rate_hz: μ_i - Λ_i per second, (K,), K from 1 to 20: what a node's service rate
            leaves over; zero or below means a saturated node.

    Returns:
        Seconds; ``math.inf`` if any node is saturated.

    Raises:
        ScenarioError: if the shape does not fit or a number is not finite.

    >>> round(expected_maximum_s([1.0, 0.5]), 6)  # 1 + 2 - 1/1.5
    2.333333
    """
    spare = checks.few(spare_rate_hz, "spare_rate_hz", at_least=1, at_most=SUBSETS_OF_MAX)
    if (spare <= 0).any():
        return math.inf
    total, members = subsets(spare)
    return float(np.sum((-1.0) ** (members[1:] + 1) / total[1:]))


def subsets(spare: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return each subset's sum, (..., 2^K), and size, (2^K,), the empty one first, of (..., K)."""
    total, members = np.zeros((*spare.shape[:-1], 1)), np.zeros(1)
    for column in range(spare.shape[-1]):
        total = np.concatenate([total, total + spare[..., column, np.newaxis]], axis=-1)
        members = np.concatenate([members, members + 1])
    return total, members


def sojourn_alone_s(service_time_s: float, task_rate_hz: float) -> float:
    """Return 1 / (μ - Λ), the mean time of one task in an M/M/1 queue, infinite where Λ ≥ μ."""
    service_rate = 1 / checks.scalar(service_time_s, "service_time_s")
    rate = checks.scalar(task_rate_hz, "task_rate_hz", zero=True)
    return 1 / (service_rate - rate) if rate < service_rate else math.inf


def _heavy_traffic(count: int) -> float:
    # Exact fractions: for large K the alternating binomials cancel every digit of a float.
    return float(
        sum(
            (
                (-1) ** (r - 1)
                * math.comb(count, r)
                * sum(
                    Fraction(math.comb(r, m) * math.factorial(m - 1), r ** (m + 1))
                    for m in range(1, r + 1)
                )
                for r in range(1, count + 1)
            ),
            start=Fraction(0),
        )
    )
