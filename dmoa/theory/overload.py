"""What happens beyond the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmoa.theory import checks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray


def growth_rate_hz(
    task_rate_hz: ArrayLike, service_time_s: ArrayLike, slots: ArrayLike = 1.0
) -> FloatArray:
    """Return Λ_i - slots_i / s_i where it is positive, else 0: growth beyond the limit is linear.

    At the bottleneck, busy all the time, this is the growth of the tasks owed to it, those in its
    queue and those that later layers have yet to send, if service does not depend on the task's
    class. The queue alone grows more slowly when M ≥ 1, since late prompts send their later
    layers late; so do the queues of other overloaded nodes.

    Args:
        task_rate_hz: Λ ≥ 0 tasks per second, (n,), as ``dmoa.theory.task_rate_hz`` returns it.
        service_time_s: mean service time s > 0 in seconds over all tasks of a node, a number or
            (n,).
        slots: tasks served at once, ≥ 1, a number or (n,).

    Returns:
        (n,), tasks per second.

    Raises:
        ScenarioError: if an argument is out of range or the shapes disagree.

    >>> growth_rate_hz([1.5, 0.5], service_time_s=1.0)
    array([0.5, 0. ])
    """
    rates = checks.vector(task_rate_hz, "task_rate_hz", zero=True)
    service = checks.per_node(service_time_s, len(rates), "service_time_s")
    places = checks.slot_counts(slots, len(rates))
    growth: FloatArray = np.maximum(rates - places / service, 0)
    return growth
