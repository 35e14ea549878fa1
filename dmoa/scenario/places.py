"""Whether a node can ever accept a prompt of its own: admission charges the whole plan."""

from __future__ import annotations

from dmoa.core import layered
from dmoa.errors import ScenarioError
from dmoa.scenario.setup import Setup


def check_places(setup: Setup) -> None:
    """Refuse a queue bound under which a node that has users could accept none of their prompts.

    A prompt takes as many places as its plan has tasks, (k + 1) M + 1 where its node has k peers;
    places are ``queue_max + slots``. In a live cluster every node may have users.

    Raises:
        ScenarioError: With the numbers, and the bound to change.
    """
    plan = layered(setup.scenario.plan.layers, setup.scenario.plan.proposers)
    live = setup.scenario.live is not None
    degrees = setup.peers.lengths().tolist()
    for index, name in enumerate(setup.names):
        queue_max, slots = setup.queue_max[index], setup.slots[index]
        if queue_max is None or not (live or setup.arrival_rate_hz[index] > 0):
            continue
        tasks = plan.tasks(degrees[index])
        if queue_max + slots < tasks:
            own = setup.scenario.nodes.get(name)
            common = own is None or own.queue_max is None
            raise ScenarioError(
                f"leaves node {name} {queue_max + slots} places (with those of its slots), and a"
                f" prompt of its own takes {tasks}, one per task, so it could never accept one",
                path="station.queue_max" if common else f"nodes.{name}.queue_max",
                given=queue_max,
                remedy=f"give at least {tasks - slots}",
            )
