"""The two networks that every engine simulates, and what a run of one tells."""

from __future__ import annotations

from typing import NamedTuple

UTILIZATION = 0.7
NODES_MIN, NODES_MAX = 5, 1_000_000
"""On the ring of fewer nodes the nearest four would not be four."""
PAIRS = ((-2, -1), (-2, 1), (-2, 2), (-1, 1), (-1, 2), (1, 2))
"""Where the two neighbours stand that a layer asks: all pairs of the four, equally likely."""


class Network(NamedTuple):
    """``nodes`` stations with Poisson arrivals, exponential service of mean 1 s, one slot each.

    ``layers`` 0 is the model "single": each prompt is one task at its own node (M/M/1).
    ``layers`` 2 is the model "layered": two layers of three tasks, at the origin and at two
    of its four nearest neighbours on a ring, then one more at the origin.
    """

    layers: int
    nodes: int

    @property
    def tasks(self) -> int:
        """Tasks per prompt."""
        return 3 * self.layers + 1

    @property
    def arrival_rate_hz(self) -> float:
        """Prompts per second at each node; service takes a second on average."""
        return UTILIZATION / self.tasks

    @property
    def event_rate_hz(self) -> float:
        """Events per second of the whole network: arrivals of prompts, and service completions."""
        return self.nodes * self.arrival_rate_hz * (1 + self.tasks)


MODELS = {"single": 0, "layered": 2}


class Run(NamedTuple):
    """What a run from an empty network tells.

    ``waiting`` is the time average of the tasks that wait at a node, without those in service,
    over the whole run and all nodes; nan where it was not measured. ``seconds`` is the processor
    time that the engine took, building the network excluded: on an idle machine the clock's, and
    nearly the same on one that does other things as well.
    """

    events: int
    seconds: float
    waiting: float


class UnavailableError(Exception):
    """Why an engine has no figure here."""
