"""Exact and approximate theory: loads, limits, best weights, waiting and sojourn times.

Pure functions on numbers and numpy arrays; an overlay is its 0/1 adjacency matrix, dense or of
scipy.sparse: then memory and time grow with the edges, not with the square of the nodes. What each
formula assumes, and whether it is proven, stands in its docstring and in ``docs/theory.md``.
scipy is imported only for sparse matrices, and when a linear program is solved.
"""

from __future__ import annotations

from dmoa.theory.bound import (
    Sufficiency,
    sufficient,
    sufficient_at_full_batch,
    theorem1_critical_rate_hz,
)
from dmoa.theory.forkjoin import (
    expected_maximum_s,
    flatto_hahn_s,
    harmonic,
    independent_maximum_s,
    nelson_tantawi_s,
    varma_makowski_s,
)
from dmoa.theory.load import (
    bottleneck,
    critical_rate_hz,
    offered_load,
    task_rate_hz,
    tasks_per_prompt,
    uniform_inclusion,
)
from dmoa.theory.overload import growth_rate_hz
from dmoa.theory.queues import (
    NodeMeans,
    QueueMeans,
    md1,
    mg1,
    mg1_waiting_time_s,
    mm1,
    node_means,
)
from dmoa.theory.sharing import host_load, speedup_queue
from dmoa.theory.sojourn import (
    join_buffer_responses,
    join_buffer_time_s,
    sojourn_time_s,
    sojourn_time_unequal_s,
    sojourn_times_s,
)
from dmoa.theory.weights import BestWeights, best_inclusion, best_weights

__all__ = [
    "BestWeights",
    "NodeMeans",
    "QueueMeans",
    "Sufficiency",
    "best_inclusion",
    "best_weights",
    "bottleneck",
    "critical_rate_hz",
    "expected_maximum_s",
    "flatto_hahn_s",
    "growth_rate_hz",
    "harmonic",
    "host_load",
    "independent_maximum_s",
    "join_buffer_responses",
    "join_buffer_time_s",
    "md1",
    "mg1",
    "mg1_waiting_time_s",
    "mm1",
    "nelson_tantawi_s",
    "node_means",
    "offered_load",
    "sojourn_time_s",
    "sojourn_time_unequal_s",
    "sojourn_times_s",
    "speedup_queue",
    "sufficient",
    "sufficient_at_full_batch",
    "task_rate_hz",
    "tasks_per_prompt",
    "theorem1_critical_rate_hz",
    "uniform_inclusion",
    "varma_makowski_s",
]
