"""Nodes whose tasks share a processor, and nodes that share a machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks
from dmoa.theory.queues import QueueMeans

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray

_SLOTS_MAX = 1_000_000


def speedup_queue(arrival_rate_hz: float, service_time_s: float, speedup: ArrayLike) -> QueueMeans:
    """Return the means of a queue whose c slots share a processor: M/M/1 with rates μ_n.

    With n tasks in service they are served at the total rate μ_n = speedup(n) / E[S], and with
    more than c present at μ_c. A birth-death process: p_n = p_0 Π_{i ≤ n} Λ / μ_min(i, c). Speedups
    of 1, 2, ..., c give M/M/c. Exact for Poisson arrivals, exponential service and first come,
    first served: a node with M = 0; and, with Λ = (M + 1) λ, for the number of tasks at a node
    with k = 0 and equal exponential service (product form).

    Args:
        arrival_rate_hz: Λ > 0 tasks per second.
        service_time_s: E[S] > 0 of one task alone, in seconds.
        speedup: total speeds > 0 with 1, 2, ..., c tasks in service relative to one alone, (c,).

    Returns:
        The means; the utilization is that of the slots. All but it are infinite where Λ ≥ μ_c.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: L. Kleinrock, Queueing Systems I, 1975, section 3.1.

    >>> speedup_queue(1.0, 1.0, [1.0, 2.0]).number_in_system
    1.3333333333333333
    """
    rate = checks.scalar(arrival_rate_hz, "arrival_rate_hz")
    mean = checks.scalar(service_time_s, "service_time_s")
    speeds = checks.signed(np.atleast_1d(checks.numbers(speedup, "speedup")), "speedup", zero=False)
    if speeds.ndim != 1 or not 1 <= speeds.size <= _SLOTS_MAX:
        raise ScenarioError(
            "has the wrong shape",
            path="speedup",
            given=speeds.shape,
            remedy=f"give 1 to {_SLOTS_MAX:,} total speeds, one for each number of tasks",
        )
    slots = speeds.size
    growth = rate * mean / speeds
    last = float(growth[-1])
    if last >= 1:
        return QueueMeans(1.0, math.inf, math.inf, math.inf, math.inf)
    # In logarithms, and relative to the largest: the products may leave the range of numbers.
    logs = np.concatenate(([0.0], np.cumsum(np.log(growth))))
    weights = np.exp(logs - logs.max())
    present = np.arange(slots + 1)
    full = weights[-1] / (1 - last)
    waiting = full * last / (1 - last)
    total = weights[:-1].sum() + full
    queue_length = float(waiting / total)
    serving = float(((present * weights)[:-1].sum() + slots * full) / total)
    return QueueMeans(
        utilization=serving / slots,
        queue_length=queue_length,
        number_in_system=queue_length + serving,
        waiting_time_s=queue_length / rate,
        sojourn_time_s=(queue_length + serving) / rate,
    )


def host_load(load: ArrayLike, host: ArrayLike, cores: float, threads: float = 1.0) -> FloatArray:
    """Return what the nodes of each host need of it, threads · Σ a_i / cores; 1 is its limit.

    A busy node computes with ``threads`` threads, at full speed while the busy nodes of its host
    want no more than its cores, and else at its equal share of them. So a host does at most
    cores / threads seconds of work per second. That is necessary for stability, together with
    every a_i below 1; it is not enough, because a node that is always busy gets no more than its
    share even where others leave cores idle at times.

    Args:
        load: a, (n,), what each node needs of its own capacity, 1 being all of it.
        host: index of each node's host, (n,), from 0 on.
        cores: > 0, how many threads compute at full speed on a host.
        threads: > 0, threads of a busy node.

    Returns:
        (h,), by host.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> host_load([0.5, 0.5, 0.25], [0, 0, 1], cores=2.0)
    array([0.5  , 0.125])
    """
    loads = checks.vector(load, "load", zero=True)
    hosts = checks.per_node(host, loads.size, "host", zero=True)
    places = hosts.astype(np.int64)
    checks.refuse(
        hosts, (places != hosts) | (hosts >= loads.size), "host", "is no index", "count from 0"
    )
    share = checks.scalar(cores, "cores") / checks.scalar(threads, "threads")
    needed: FloatArray = np.bincount(places, loads) / share
    return needed
