"""The one definition of every measure, over an observation window, for both worlds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmoa.trace.meter import (
    ANSWERED,
    EXPIRED,
    FAILED,
    REFUSED,
    SERVED,
    Floats,
    Ints,
    Links,
    Prompts,
    Tasks,
    Track,
)
from dmoa.trace.windows import checked_window, held_s, per_node

Count = Literal["waiting", "serving", "joining", "unfinished"]
"""The counts of a node's state that a time series may show."""


@dataclass(frozen=True, eq=False)
class Measures:
    """What happened in a window of a run, per node as arrays (n,), and per prompt and task.

    ``queue_length`` Lq, ``number_in_system`` L (own prompts unfinished), ``tasks_present``
    (waiting and served), ``join_buffer`` (responses held) and ``utilization`` ρ (busy slots by
    slots) are exact time averages; ``throughput_hz`` X counts the node's own prompts answered
    in the window per second. ``sojourn_time_s`` W is the mean over prompts answered in the
    window, ``waiting_time_s`` Wq over tasks started in it and ``service_time_s`` over tasks
    served in it; nan where there are none. ``arrived``, ``answered``, ``failed``, ``expired`` and
    ``refused`` count prompts to which that happened in the window, ``unfinished`` those present at
    its end.
    """

    start_s: float
    end_s: float
    queue_length: Floats
    number_in_system: Floats
    tasks_present: Floats
    join_buffer: Floats
    utilization: Floats
    throughput_hz: Floats
    sojourn_time_s: float
    waiting_time_s: float
    service_time_s: float
    arrived: int
    answered: int
    failed: int
    expired: int
    refused: int
    unfinished: int

    def summary(self) -> dict[str, float]:
        """Give the seven overall numbers.

        Those of nodes are means over the nodes, so that they compare with the arrival rate per
        node; those of prompts and tasks are means over prompts and tasks.
        """
        return {
            "queue_length": float(self.queue_length.mean()),
            "number_in_system": float(self.number_in_system.mean()),
            "utilization": float(self.utilization.mean()),
            "sojourn_time_s": self.sojourn_time_s,
            "waiting_time_s": self.waiting_time_s,
            "throughput_hz": float(self.throughput_hz.mean()),
            "join_buffer": float(self.join_buffer.mean()),
        }


def measure(
    track: Track, start_s: float = 0.0, end_s: float | None = None, slots: ArrayLike = 1
) -> Measures:
    """Measure a run over the window from ``start_s`` to ``end_s`` (default: the run's end).

    Args:
        track: the run.
        start_s: where the window starts, in seconds; the warm-up lies before it.
        end_s: where it ends.
        slots: tasks that each node serves at once, one number or (n,).

    Raises:
        ScenarioError: the window is empty or reaches beyond the run.
    """
    start_s, end_s = checked_window(track, start_s, end_s)
    span = end_s - start_s
    steps, prompts, tasks = track.steps, track.prompts, track.tasks
    n = len(track.names)
    weights = held_s(track, start_s, end_s) / span

    def average(column: Ints) -> Floats:
        return per_node(track, steps.node, weights * column)

    queue_length, serving = average(steps.waiting), average(steps.serving)
    ended = (prompts.ended_s >= start_s) & (prompts.ended_s <= end_s)
    answered = ended & (prompts.outcome == ANSWERED)
    started = (tasks.started_s >= start_s) & (tasks.started_s <= end_s)
    served = (tasks.ended_s >= start_s) & (tasks.ended_s <= end_s) & (tasks.outcome == SERVED)
    arrived = (prompts.arrived_s >= start_s) & (prompts.arrived_s <= end_s)
    return Measures(
        start_s=start_s,
        end_s=end_s,
        queue_length=queue_length,
        number_in_system=average(steps.unfinished),
        tasks_present=queue_length + serving,
        join_buffer=average(steps.joining),
        utilization=serving / np.asarray(slots, float),
        throughput_hz=np.bincount(prompts.origin[answered], minlength=n) / span,
        sojourn_time_s=_mean(sojourn_time_s(prompts)[answered]),
        waiting_time_s=_mean(waiting_time_s(tasks)[started]),
        service_time_s=_mean(service_time_s(tasks)[served]),
        arrived=int(arrived.sum()),
        answered=int(answered.sum()),
        failed=int((ended & (prompts.outcome == FAILED)).sum()),
        expired=int((ended & (prompts.outcome == EXPIRED)).sum()),
        refused=int((ended & (prompts.outcome == REFUSED)).sum()),
        unfinished=int(((prompts.arrived_s <= end_s) & ~(prompts.ended_s <= end_s)).sum()),
    )


def sojourn_time_s(prompts: Prompts) -> Floats:
    """Give each prompt's sojourn time W (p,): arrival to answer; nan while unfinished."""
    return prompts.ended_s - prompts.arrived_s


def waiting_time_s(tasks: Tasks) -> Floats:
    """Give each started task's waiting time Wq (t,): joining the queue to start of service."""
    return tasks.started_s - tasks.queued_s


def service_time_s(tasks: Tasks) -> Floats:
    """Give each started task's service time S (t,); nan while it is served."""
    return tasks.ended_s - tasks.started_s


def link_delay_s(links: Links) -> Floats:
    """Give each received message's delay d (m,): sending to receipt."""
    return links.received_s - links.sent_s


def prompt_waiting_time_s(track: Track) -> Floats:
    """Give each prompt's total waiting time (p,): summed over its tasks that were started."""
    waits = waiting_time_s(track.tasks)
    total = np.bincount(prompt_rows(track), waits, len(track.prompts.number))
    return total.astype(np.float64, copy=False)


def layer_times_s(track: Track) -> Floats:
    """Give each prompt's time per stage (p, stages); nan for stages it did not complete.

    A stage lasts from the moment its first task joined a queue to that of the next stage, the
    last one to the prompt's end. The origin's own task joins its queue in the instant of the
    fork, so this is exact wherever the origin is one of the stage's proposers, as in the paper.
    """
    tasks, prompts = track.tasks, track.prompts
    stages = int(tasks.stage.max(initial=-1)) + 1
    begun = np.full((len(prompts.number), stages + 1), np.inf)
    np.minimum.at(begun, (prompt_rows(track), tasks.stage), tasks.queued_s)
    if stages:
        answered = prompts.outcome == ANSWERED
        begun[answered, stages] = prompts.ended_s[answered]
    begun[np.isinf(begun)] = np.nan
    return np.diff(begun, axis=1)


def series(track: Track, count: Count, grid_s: ArrayLike, node: int | None = None) -> Floats:
    """Average a count exactly over each interval of a grid of times.

    Args:
        track: the run.
        count: which state: waiting, serving, joining or unfinished.
        grid_s: increasing times (g + 1,) in seconds, within the run.
        node: one node's count, or None for the mean over the nodes.

    Returns:
        The time averages (g,).
    """
    grid = np.asarray(grid_s, float)
    total_s = _integral(track, count, grid, node)
    return np.diff(total_s) / np.diff(grid)


def _integral(track: Track, count: Count, grid: Floats, node: int | None) -> Floats:
    """Integrate a count from 0 to each time of a grid."""
    steps = track.steps
    values = getattr(steps, count)
    order = track.order
    jumps = np.diff(values[order], prepend=0)
    first = np.diff(steps.node[order], prepend=-1) != 0
    jumps[first] = values[order][first]
    moved = np.empty_like(jumps)
    moved[order] = jumps
    times = steps.time_s
    if node is not None:
        chosen = steps.node == node
        times, moved = times[chosen], moved[chosen]
    level = np.concatenate(([0], np.cumsum(moved)))
    since = np.concatenate(([0.0], times))
    area = np.concatenate(([0.0], np.cumsum(level[:-1] * np.diff(since))))
    at = np.searchsorted(times, grid, side="right")
    whole = area[at] + level[at] * (grid - since[at])
    return whole if node is not None else whole / len(track.names)


def prompt_rows(track: Track, chosen: NDArray[np.bool_] | None = None) -> Ints:
    """Find for each task, or each of those that are chosen, the row of its prompt."""
    prompts, tasks = track.prompts, track.tasks
    numbers = np.unique(prompts.number)
    n = len(track.names)
    keys = np.searchsorted(numbers, prompts.number) * n + prompts.origin
    order = np.argsort(keys)
    number, origin = tasks.prompt, tasks.origin
    if chosen is not None:
        number, origin = number[chosen], origin[chosen]
    wanted = np.searchsorted(numbers, number) * n + origin
    return order[np.searchsorted(keys, wanted, sorter=order)]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
