"""What the tasks of a prompt cost a node: alone, and with all slots in service."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dmoa.errors import ScenarioError
from dmoa.scenario.recurring import Recurring
from dmoa.scenario.setup import STAGE_TIMES_MAX, Setup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class StageTimes(NamedTuple):
    """Mean times of a task, s, by stage and server, or by stage, origin and server.

    ``alone_s`` is what it takes alone at its node: its work. ``full_s`` is how long it keeps the
    node from others where all slots are in service, as one of ``servers`` (n,) that each node is
    worth. Where tasks share a processor that is one, on which reading goes no faster than alone
    and writing at the full batch's total speed. Where every slot has its own, it is the slots.
    """

    alone_s: Floats
    full_s: Floats
    servers: Floats


def stage_times(setup: Setup, inclusion: Floats | None = None) -> StageTimes:
    """Compute the mean times of a scenario's tasks.

    With ``station.reuse`` a node does not read again what it has read of a prompt. That holds for
    an origin's own later tasks; with ``inclusion`` it is counted for its peers too, who may be
    asked in several layers. As layers choose independently, the chance to have been asked in at
    least one of m of them is 1 - (1 - p)^m.

    Args:
        setup: The resolved scenario.
        inclusion: p, (n, n), origins in rows: the chance of each node to be asked in a layer.

    Raises:
        ScenarioError: The shapes would be too large.

    >>> from dmoa.scenario import from_dict, resolve
    >>> station = {"slots": 2, "speedup": [1.0, 1.5]}
    >>> times = stage_times(resolve(from_dict({"station": station})))
    >>> float(times.alone_s[0]), round(float(times.full_s[0]), 3), float(times.servers[0])
    (1.0, 0.667, 1.0)
    """
    import numpy as np  # imported here: the command line's help does not need it

    alone_s = setup.stage_service_time_s()
    if not setup.shares_processor:
        return StageTimes(alone_s, alone_s, np.array(setup.slots, float))
    reading_s = setup.stage_reading_time_s()
    writing_s = alone_s - reading_s
    if setup.by_tokens and setup.scenario.station.reuse:
        if reading_s.ndim == 2:
            reading_s, writing_s = reading_s[:, None, :], writing_s[:, None, :]
        reading_s = np.maximum(reading_s - _recurring_s(setup, inclusion), 0.0)
    full_s = reading_s + writing_s / np.array(setup.full_speed)
    return StageTimes(reading_s + writing_s, full_s, np.ones(len(setup.names)))


def _recurring_s(setup: Setup, inclusion: Floats | None) -> Floats:
    """Give the mean time that need not be read again, s, (M + 1, n, n) by stage, origin, server."""
    import numpy as np

    plan, nodes = setup.scenario.plan, len(setup.names)
    if (plan.layers + 1) * nodes**2 > STAGE_TIMES_MAX:
        raise ScenarioError(
            f"what recurs needs {plan.layers + 1} x {nodes} x {nodes} mean times here",
            path="station.reuse",
            given=True,
            remedy="use fewer nodes",
        )
    chances = np.eye(nodes) if inclusion is None else inclusion + np.eye(nodes)
    recurring = Recurring.of(plan)
    first, later = (recurring.after(stage, setup.prompt_tokens) for stage in (0, 1))
    saved = np.zeros((plan.layers + 1, nodes, nodes))
    for stage in range(1, plan.layers + 1):
        # In one of the layers after the first, or else in the first.
        since = 1 - (1 - chances) ** (stage - 1)
        saved[stage] = later * since + first * (1 - since) * chances
    token_s = [setup.token_service(node).input_token_s for node in range(nodes)]
    times: Floats = saved * np.array(token_s)
    return times
