"""What the tasks of a prompt cost a node: alone, and with all slots in service."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dmoa.scenario.recurring import Recurring
from dmoa.scenario.setup import Setup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Floats = NDArray[np.float64]
    Times = Floats | tuple[csr_array, ...]


class StageTimes(NamedTuple):
    """Mean times of a task, s.

    They are ``(n,)`` by server, ``(M + 1, n)`` by stage and server, or for each of M + 1 stages a
    sparse matrix ``(n, n)`` by origin and server.

    ``alone_s`` is what it takes alone at its node: its work. ``full_s`` is how long it keeps the
    node from others where all slots are in service, as one of ``servers`` (n,) that each node is
    worth. Where tasks share a processor that is one, on which reading goes no faster than alone
    and writing at the full batch's total speed. Where every slot has its own, it is the slots.
    """

    alone_s: Times
    full_s: Times
    servers: Floats

    def slowest_s(self) -> float:
        """Give the largest mean time of a task by one server, all slots busy, s."""
        if isinstance(self.full_s, tuple):
            return max(float((one.data / self.servers[one.indices]).max()) for one in self.full_s)
        return float((self.full_s / self.servers).max())


def stage_times(setup: Setup, inclusion: Floats | None = None) -> StageTimes:
    """Compute the mean times of a scenario's tasks.

    With ``station.reuse`` a node does not read again what it has read of a prompt. That holds for
    an origin's own later tasks; with ``inclusion`` it is counted for its peers too, who may be
    asked in several layers. As layers choose independently, the chance to have been asked in at
    least one of m of them is 1 - (1 - p)^m.

    Args:
        setup: The resolved scenario.
        inclusion: The chance of each peer to be asked in a layer, in the order of
            ``setup.peers.targets``, ``(edges,)``.

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
        times = _matrices(setup, alone_s)
        return StageTimes(times, times, np.array(setup.slots, float))
    reading_s = setup.stage_reading_time_s()
    writing_s = alone_s - reading_s
    origins, servers = setup.classes()
    if setup.by_tokens and setup.scenario.station.reuse:
        setup.check_stage_times("station.reuse", given=True)
        if reading_s.shape[1] < len(servers):
            reading_s, writing_s = reading_s[:, servers], writing_s[:, servers]
        own = origins == servers
        recurring_s = _recurring_s(setup, own, servers, inclusion)
        reading_s = np.maximum(reading_s - recurring_s, 0.0)
    speed = np.array(setup.full_speed)
    if writing_s.shape[-1] > len(speed):
        speed = speed[servers]
    full_s = reading_s + writing_s / speed
    alone_s = reading_s + writing_s
    return StageTimes(
        _matrices(setup, alone_s), _matrices(setup, full_s), np.ones(len(setup.names))
    )


def _matrices(setup: Setup, times: Floats) -> Times:
    """Put what is given by class of tasks into matrices, as theory takes it."""
    if times.shape[-1] == len(setup.names):
        return times
    import numpy as np
    from scipy.sparse import csr_array

    nodes = len(setup.names)
    offsets = setup.peers.offsets + np.arange(nodes + 1)
    servers = setup.classes()[1]
    return tuple(csr_array((stage, servers, offsets), shape=(nodes, nodes)) for stage in times)


def _recurring_s(
    setup: Setup, own: NDArray[np.bool_], servers: NDArray[np.int64], inclusion: Floats | None
) -> Floats:
    """Give the mean time that need not be read again, s, (M + 1, c) by stage and class."""
    import numpy as np

    plan = setup.scenario.plan
    chances = np.ones(len(own))
    chances[~own] = 0.0 if inclusion is None else inclusion
    recurring = Recurring.of(plan)
    first, later = (recurring.after(stage, setup.prompt_tokens) for stage in (0, 1))
    saved = np.zeros((plan.layers + 1, len(own)))
    for stage in range(1, plan.layers + 1):
        # In one of the layers after the first, or else in the first.
        since = 1 - (1 - chances) ** (stage - 1)
        saved[stage] = later * since + first * (1 - since) * chances
    token_s = (setup.scenario.service.input_token_s or 0.0) / np.array(setup.speed)
    times: Floats = saved * token_s[servers]
    return times
