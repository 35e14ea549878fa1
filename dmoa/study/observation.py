"""What is seen in runs, simulated or live: measures in a common window, verdict, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dmoa.trace import (
    ANSWERED,
    EXPIRED,
    FAILED,
    REFUSED,
    UNFINISHED,
    Estimate,
    Measures,
    Totals,
    Track,
    Verdict,
    estimate,
    judge,
    little,
    measure,
    warm_up,
)
from dmoa.trace.meter import Ints

OUTCOMES = {
    "answered": ANSWERED,
    "failed": FAILED,
    "expired": EXPIRED,
    "refused": REFUSED,
    "unfinished": UNFINISHED,
}


@dataclass(frozen=True, eq=False)
class Observation:
    """Runs of one scenario, observed from ``warmup_s`` on.

    ``finite``: prompts stopped arriving, so there is no steady state and runs are measured whole.
    ``stopped``: the limit that ended a run early, if one did.
    """

    tracks: tuple[Track | Totals, ...]
    finite: bool
    stopped: str | None
    warmup_s: float
    stationary: bool
    measures: list[Measures]
    summary: dict[str, Estimate]

    def verdict(self) -> Verdict:
        """Judge whether the queues stayed bounded."""
        arrivals_end_s = None
        if self.finite:
            ends = [
                float(track.prompts.arrived_s.max(initial=0.0))
                for track in self.tracks
                if isinstance(track, Track)
            ]
            arrivals_end_s = max(ends)
        found = judge(self.tracks, arrivals_end_s)
        if self.stopped is None:
            return found
        return replace(found, status="unstable", reason=self.stopped, horizon_needed_s=None)


def observe(
    tracks: Sequence[Track | Totals],
    slots: Sequence[int],
    *,
    finite: bool,
    stopped: str | None = None,
) -> Observation:
    """Measure runs in their common window; Little's law is checked in each.

    Raises:
        InvariantError: Little's law does not hold: a bug.
    """
    warmup_s, stationary = (0.0, False) if stopped or finite else warm_up(tracks)
    measures = []
    for track in tracks:
        if isinstance(track, Totals):
            track.little()
        else:
            little(track, warmup_s)
        measures.append(measured(track, warmup_s, np.array(slots)))
    rows = [one.summary() for one in measures]
    summary = {name: estimate([row[name] for row in rows]) for name in rows[0]}
    return Observation(tuple(tracks), finite, stopped, warmup_s, stationary, measures, summary)


def measured(track: Track | Totals, start_s: float, slots: Ints) -> Measures:
    """Measure a run from ``start_s`` to its end, whatever was kept of it."""
    if isinstance(track, Totals):
        return track.measure(start_s, slots)
    return measure(track, start_s, slots=slots)


def count_prompts(tracks: Sequence[Track | Totals]) -> dict[str, int]:
    """Count prompts by how they ended, over all runs and the whole of each."""
    counts = Counter[str]()
    for track in tracks:
        if isinstance(track, Totals):
            end = track.end
            names = ("arrived", "answered", "refused", "unfinished")
            counts.update({name: int(getattr(end, name)) for name in names})
        else:
            outcome = track.prompts.outcome
            counts["arrived"] += len(outcome)
            counts.update({name: int((outcome == code).sum()) for name, code in OUTCOMES.items()})
    return {name: counts[name] for name in ("arrived", *OUTCOMES)}
