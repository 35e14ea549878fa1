"""A run of which only totals are kept: what its measures need, and no entry for each step.

Memory grows with the nodes, not with the length of the run. The first half of the run is its
warm-up and the second is measured, if the run is stationary: two moments are enough for that, the
middle and the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmoa.errors import InvariantError
from dmoa.trace.little import TOLERANCE
from dmoa.trace.meter import Floats, Ints
from dmoa.trace.metrics import Measures


@dataclass(frozen=True, eq=False)
class Moment:
    """Totals from 0 to ``time_s``.

    Per node (n,): the time integrals of its counts and of having a queue at all, the tasks present
    just now, and its prompts answered. Over all nodes: how many prompts arrived, were answered and
    refused and how many tasks were started and served, the sums of their times, and the time that
    the prompts and waiting tasks that are present have spent so far.
    """

    time_s: float
    waiting_s: Floats
    serving_s: Floats
    joining_s: Floats
    unfinished_s: Floats
    busy_s: Floats
    present: Ints
    unfinished: int
    answered_at: Ints
    arrived: int
    answered: int
    refused: int
    started: int
    served: int
    sojourn_s: float
    waited_s: float
    service_s: float
    pending_sojourn_s: float
    pending_waited_s: float


@dataclass(frozen=True, eq=False)
class Totals:
    """All that the measures need of one run over the ``names``, from 0 to ``end_s`` seconds.

    ``unfinished`` are the time averages of the prompts present per node in each cell of an even
    grid. ``ramp_s`` is about how long a prompt would take alone.
    """

    names: tuple[str, ...]
    middle: Moment
    end: Moment
    unfinished: Floats
    ramp_s: float

    @property
    def end_s(self) -> float:
        """When the run ended."""
        return self.end.time_s

    def little(self) -> float:
        """Check Little's law over the whole run; give the largest relative difference.

        Raises:
            InvariantError: it does not hold: a bug.
        """
        end = self.end
        sides = {
            "prompts": (end.unfinished_s.sum(), end.sojourn_s + end.pending_sojourn_s),
            "waiting tasks": (end.waiting_s.sum(), end.waited_s + end.pending_waited_s),
        }
        worst = 0.0
        for what, (counted, spent) in sides.items():
            gap = abs(counted - spent) / max(counted, spent, TOLERANCE * end.time_s)
            if gap > TOLERANCE:
                raise InvariantError(
                    f"Little's law does not hold for the {what}: the counts integrate to"
                    f" {counted:.9g} s, the stays sum to {spent:.9g} s"
                )
            worst = max(worst, float(gap))
        return worst

    def measure(self, start_s: float, slots: Ints) -> Measures:
        """Measure the second half of the run, or with ``start_s`` 0 the whole."""
        end, start = self.end, self.middle if start_s > 0 else None
        span_s = end.time_s - (start.time_s if start else 0.0)

        def per_node(name: str) -> Floats:
            before = getattr(start, name) if start else 0.0
            averages: Floats = (getattr(end, name) - before) / span_s
            return averages

        def passed(name: str) -> int:
            return int(getattr(end, name) - (getattr(start, name) if start else 0))

        def mean(total: str, count: str) -> float:
            sums = getattr(end, total) - (getattr(start, total) if start else 0.0)
            return sums / passed(count) if passed(count) else float("nan")

        queue_length, serving = per_node("waiting_s"), per_node("serving_s")
        return Measures(
            start_s=end.time_s - span_s,
            end_s=end.time_s,
            queue_length=queue_length,
            number_in_system=per_node("unfinished_s"),
            tasks_present=queue_length + serving,
            join_buffer=per_node("joining_s"),
            utilization=serving / np.asarray(slots, float),
            throughput_hz=per_node("answered_at"),
            sojourn_time_s=mean("sojourn_s", "answered"),
            waiting_time_s=mean("waited_s", "started"),
            service_time_s=mean("service_s", "served"),
            arrived=passed("arrived"),
            answered=passed("answered"),
            failed=0,
            expired=0,
            refused=passed("refused"),
            unfinished=end.unfinished,
        )
