"""How long prompts take: the whole distribution, not only its mean."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from dmoa.plot import style
from dmoa.trace import ANSWERED, sojourn_time_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.study import SimulationResult
    from dmoa.trace.meter import Floats, Track

PERCENTILES = (50, 95, 99)
LEVELS = 400
"""A curve is drawn through this many quantiles at most."""


def sojourn_distribution(result: SimulationResult, ax: Axes | None = None) -> Axes:
    """Draw the fraction of prompts that take longer than t, on a logarithmic scale.

    The thick curve pools all replications, the thin ones are the replications themselves. Points
    mark the 50th, 95th and 99th percentile, the band the 95 % interval of the mean sojourn time
    W, the dashed line theory's approximation of that mean. Prompts answered after the warm-up
    count, as for the measure itself.

    Args:
        result: what `dmoa.simulate` returned.
        ax: where to draw; None: a new figure.
    """
    ax = style.axes_for(ax, 6.4, 3.8)
    growing = result.verdict.status == "unstable"
    style.label(
        ax,
        title="Sojourn time of prompts",
        x="sojourn time t, arrival to answer (s)",
        y="fraction of prompts that take longer",
        below="the queues grow: a longer run would give longer times" * growing,
    )
    single = [_answered_s(track, result.warmup_s) for track in result.tracks]
    pooled = np.sort(np.concatenate(single))
    if not len(pooled):
        return style.say_nothing_to_draw(ax, "no prompt was answered after the warm-up")
    floor = max(1 / len(pooled), 1e-4)
    if len(single) > 1:
        for times_s in single:
            if len(times_s):
                ax.plot(*_curve(np.sort(times_s)), color=style.MUTED, lw=0.5, alpha=0.6, zorder=1)
    ax.plot(
        *_curve(pooled),
        color=style.BLUE,
        lw=style.LINE_PT,
        zorder=3,
        label=f"{len(pooled):,} prompts of {_runs(len(single))}",
    )
    ax.set_yscale("log")
    ax.set_ylim(floor * 0.8, 1.15)
    ax.set_xlim(0, float(np.quantile(pooled, 1 - floor)) * 1.12)
    _draw_means(ax, result)
    _mark_percentiles(ax, pooled)
    ax.legend(loc="upper right", frameon=False, fontsize=style.NOTE_PT, labelcolor=style.INK)
    return ax


def _answered_s(track: Track, warmup_s: float) -> Floats:
    prompts = track.prompts
    chosen = (prompts.outcome == ANSWERED) & (prompts.ended_s >= warmup_s)
    times_s: Floats = sojourn_time_s(prompts)[chosen]
    return times_s


def _curve(ordered_s: Floats) -> tuple[Floats, Floats]:
    """Give points of the curve: times, and the fraction of values above each."""
    count = len(ordered_s)
    # As dense in the tail as in the body, since the scale is logarithmic.
    levels = np.geomspace(1, 1 / count, min(count, LEVELS))
    at = np.clip(np.ceil((1 - levels) * count).astype(int), 0, count - 1)
    return ordered_s[at], 1 - at / count


def _draw_means(ax: Axes, result: SimulationResult) -> None:
    mean, theory_s = result.summary["sojourn_time_s"], result.theory.sojourn_time_s
    text = f"mean {style.number(mean.mean)} s"
    if isfinite(mean.high - mean.low):
        ax.axvspan(mean.low, mean.high, color=style.GREEN, alpha=0.25, lw=0, zorder=0)
        text += f" (95 %: {style.number(mean.low)} to {style.number(mean.high)})"
    ax.axvline(mean.mean, color=style.GREEN, lw=1.1, zorder=2, label=text)
    if theory_s is not None and isfinite(theory_s):
        ax.axvline(
            theory_s,
            color=style.VERMILION,
            ls=style.THEORY_DASHES,
            lw=1.2,
            zorder=4,
            label=f"theory: mean {style.number(theory_s)} s (approximation)",
        )


def _mark_percentiles(ax: Axes, pooled: Floats) -> None:
    from matplotlib.patheffects import withStroke

    for percent in PERCENTILES:
        at_s = float(np.quantile(pooled, percent / 100))
        ax.plot(at_s, 1 - percent / 100, "o", ms=4.5, color=style.BLUE, zorder=5)
        ax.annotate(
            f"{percent} %: {style.number(at_s)} s",
            (at_s, 1 - percent / 100),
            xytext=(7, 4),
            textcoords="offset points",
            fontsize=style.NOTE_PT,
            color=style.INK,
            zorder=5,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _runs(count: int) -> str:
    return "one replication" if count == 1 else f"{count} replications"
