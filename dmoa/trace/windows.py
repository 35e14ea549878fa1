"""Observation windows: how long each recorded state held within one."""

from __future__ import annotations

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.trace.meter import Floats, Ints, Track


def checked_window(track: Track, start_s: float, end_s: float | None) -> tuple[float, float]:
    """Check an observation window; without an end it lasts as long as the run.

    Raises:
        ScenarioError: it is empty or reaches beyond the run.
    """
    end_s = track.end_s if end_s is None else end_s
    if not 0 <= start_s < end_s <= track.end_s:
        raise ScenarioError(
            f"must be a window within the run, from 0 to {track.end_s:g} s",
            path="window",
            given=(start_s, end_s),
            remedy="start it earlier, end it later, or run longer",
        )
    return float(start_s), float(end_s)


def held_s(track: Track, start_s: float, end_s: float) -> Floats:
    """Tell how long each step's state held within the window (s,), in seconds."""
    return overlap_s(track.steps.time_s, track.until_s, start_s, end_s)


def overlap_s(since: Floats, until: Floats, start_s: float, end_s: float) -> Floats:
    """Tell how much of each span from ``since`` to ``until`` lies within the window."""
    return np.clip(until, start_s, end_s) - np.clip(since, start_s, end_s)


def per_node(track: Track, node: Ints, amounts: Floats) -> Floats:
    """Sum amounts by the node each belongs to (n,)."""
    # numpy's types call every bincount an integer; with weights it is not.
    return np.bincount(node, amounts, len(track.names)).astype(np.float64, copy=False)
