"""Little's law, L = X·W, as an exact identity of every recorded run."""

from __future__ import annotations

import numpy as np

from dmoa.errors import InvariantError
from dmoa.trace.meter import UNFINISHED, Floats, Track
from dmoa.trace.windows import checked_window, held_s, overlap_s, per_node

TOLERANCE = 1e-6
"""Largest relative difference between the two sides that rounding can explain."""


def little(track: Track, start_s: float = 0.0, end_s: float | None = None) -> float:
    """Check Little's law on a window and return the largest relative difference between sides.

    In the exact form: the time integral of the number present equals the time that those who
    were present spent inside the window. One side is each node's own count, the other the
    instants of arrival and departure. Checked per node and over all, for prompts and for tasks
    in the queues. Tasks that still wait at the end have not been started, so their arrivals are
    read from the count; where waiting tasks may have left unstarted (``track.withdrew``) the
    queue's law is not checked, because the trace does not say when they had come.

    Raises:
        InvariantError: the sides differ by more than one part in a million.
        ScenarioError: the window is empty or reaches beyond the run.
    """
    start_s, end_s = checked_window(track, start_s, end_s)
    steps, prompts, tasks = track.steps, track.prompts, track.tasks
    held = held_s(track, start_s, end_s)
    left_s = np.where(prompts.outcome == UNFINISHED, track.end_s, prompts.ended_s)
    stayed = overlap_s(prompts.arrived_s, left_s, start_s, end_s)
    counted = per_node(track, steps.node, held * steps.unfinished)
    spent = per_node(track, prompts.origin, stayed)
    worst = _compare(track, "prompts", counted, spent, end_s)

    waits = overlap_s(tasks.queued_s, tasks.started_s, start_s, end_s)
    counted = per_node(track, steps.node, held * steps.waiting)
    spent = per_node(track, tasks.server, waits)
    spent += per_node(track, steps.node, held * _never_started(track))
    kept = ~track.withdrew
    return max(worst, _compare(track, "waiting tasks", counted * kept, spent * kept, end_s))


def _never_started(track: Track) -> Floats:
    """Count at each step the waiting tasks that the run's end found still waiting (s,).

    First come, first served: of all that joined a queue by then, waiting or started, they are
    those beyond the number that were ever started.
    """
    steps, tasks = track.steps, track.tasks
    n = len(track.names)
    span = track.end_s + 1.0
    # One sorted axis for all nodes: each node's times are shifted by its number of spans.
    starts = np.sort(tasks.server * span + tasks.started_s)
    at = steps.node * span + steps.time_s
    before = np.searchsorted(starts, np.arange(n) * span)
    ever = np.bincount(tasks.server, minlength=n)
    # In the order of the nodes, so that the search walks along instead of jumping about.
    started = np.empty(len(at), np.int64)
    started[track.order] = np.searchsorted(starts, at[track.order], side="right")
    started -= before[steps.node]
    left: Floats = np.maximum(0, steps.waiting + started - ever[steps.node])
    return left


def _compare(track: Track, what: str, counted: Floats, spent: Floats, end_s: float) -> float:
    """Compare ∫L dt with the sum of the stays, per node and over all."""
    labels = [*(f"node {name}" for name in track.names), "all nodes"]
    left = np.append(counted, counted.sum())
    right = np.append(spent, spent.sum())
    # The instants have an absolute rounding error in proportion to the run's length.
    scale = np.maximum(np.maximum(left, right), TOLERANCE * end_s)
    gaps = np.abs(left - right) / scale
    worst = int(np.argmax(gaps))
    if gaps[worst] > TOLERANCE:
        raise InvariantError(
            f"Little's law does not hold for the {what} of {labels[worst]}: the count integrates"
            f" to {left[worst]:.9g} s, the stays sum to {right[worst]:.9g} s"
            f" (relative difference {gaps[worst]:.3g})"
        )
    return float(gaps[worst])
