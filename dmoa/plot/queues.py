"""Queue lengths over time: which node's queue grows, and how fast theory lets it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from dmoa.plot import style
from dmoa.plot.loads import asked_hz, bottlenecks
from dmoa.trace import series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.study import SimulationResult
    from dmoa.trace.meter import Floats, Track

CELLS = 300
"""The run is drawn as time averages over this many intervals."""

LINES_MAX = 12
"""Up to this many nodes have a line each; more are drawn as bands of quantiles."""

_LABEL_GAP = 0.045


def queue_length_over_time(
    result_or_track: SimulationResult | Track, ax: Axes | None = None
) -> Axes:
    """Draw each node's queue length Lq over time, in one run, the bottleneck highlighted.

    Each line is an exact time average over 300 intervals. Of a `SimulationResult` the first
    replication is drawn, with its warm-up, and at the bottleneck what theory says: below the
    limit the mean of the waiting queue (Pollaczek-Khinchine, an approximation), beyond it the
    growth of the tasks owed to the node, which its queue approaches from below. Of a `Track`
    alone, the node with the longest queue is highlighted.

    Args:
        result_or_track: what `dmoa.simulate` returned, or the columns of one run.
        ax: where to draw; None: a new figure.

    >>> from dmoa.trace import Meter
    >>> queue_length_over_time(Meter(["a", "b"]).track(10.0)).get_ylabel()
    'queue length Lq (tasks)'
    """
    result = None if hasattr(result_or_track, "steps") else result_or_track
    track: Track = result_or_track if result is None else result.tracks[0]  # type: ignore[assignment]  # told apart by what they have
    ax = style.axes_for(ax, 6.8, 3.8)
    style.label(ax, title="Queue length of each node", x="time t (s)", y="queue length Lq (tasks)")
    if not track.end_s > 0:
        return style.say_nothing_to_draw(ax, "the run ended as it began")
    grid_s = np.linspace(0.0, track.end_s, CELLS + 1)
    queues = _queue_lengths(track, grid_s)
    if result is None:
        node, text = int(np.argmax(queues.mean(axis=1))), "longest queue"
    else:
        tied = bottlenecks(result.setup, result.theory.offered_load)
        node = tied[0]
        text = "bottleneck" if len(tied) == 1 else f"one of {len(tied)} equal bottlenecks"
    middle_s = (grid_s[1:] + grid_s[:-1]) / 2
    if len(queues) > LINES_MAX:
        _draw_bands(ax, middle_s, queues)
    else:
        for other in range(len(queues)):
            if other != node:
                ax.plot(middle_s, queues[other], color=style.MUTED, lw=style.THIN_PT, alpha=0.75)
    name = track.names[node]
    ax.plot(
        middle_s,
        queues[node],
        color=style.BLUE,
        lw=style.LINE_PT,
        zorder=3,
        label=f"node {name}, {text}",
    )
    ax.set_xlim(0, track.end_s)
    ax.set_ylim(0, max(float(queues.max()) * 1.08, 1.0))
    if result is not None:
        _draw_theory(ax, result, node)
        _mark_warmup(ax, result.warmup_s)
    if len(queues) <= LINES_MAX:
        _label_ends(ax, track.names, queues, node)
    style.legend_below(ax)
    return ax


def _queue_lengths(track: Track, grid_s: Floats) -> Floats:
    """Average each node's queue over each interval of the grid (n, g)."""
    steps, order = track.steps, track.order
    ends = np.searchsorted(steps.node[order], np.arange(len(track.names) + 1))
    rows = []
    for node in range(len(track.names)):
        # Each node's own steps, cut out once: the cost is that of one pass over all.
        own = order[ends[node] : ends[node + 1]]
        columns = {
            field.name: getattr(steps, field.name)[own] for field in dataclasses.fields(steps)
        }
        alone = dataclasses.replace(track, steps=dataclasses.replace(steps, **columns))
        rows.append(series(alone, "waiting", grid_s, node))
    return np.array(rows)


def _draw_bands(ax: Axes, middle_s: Floats, queues: Floats) -> None:
    """Draw where half and nine tenths of the nodes lie, and the median node."""
    low, first, median, third, high = np.quantile(queues, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    n = len(queues)
    ax.fill_between(
        middle_s,
        low,
        high,
        color=style.MUTED,
        alpha=0.25,
        lw=0,
        label=f"5 to 95 % of the {n} nodes",
    )
    ax.fill_between(middle_s, first, third, color=style.MUTED, alpha=0.4, lw=0, label="25 to 75 %")
    ax.plot(middle_s, median, color=style.INK, lw=style.THIN_PT, label="median")


def _draw_theory(ax: Axes, result: SimulationResult, node: int) -> None:
    """Draw the bottleneck's mean queue below the limit, its growth beyond."""
    setup, theory = result.setup, result.theory
    saturation = theory.saturation[node]
    rate_hz, end_s = asked_hz(setup, node), result.tracks[0].end_s
    dashed = {"color": style.VERMILION, "ls": style.THEORY_DASHES, "lw": 1.2, "zorder": 4}
    if saturation > 1:
        growth_hz = rate_hz * (1 - 1 / saturation)
        ax.plot(
            [0, end_s],
            [0, growth_hz * end_s],
            **dashed,  # type: ignore[arg-type]  # a style
            label=f"theory: tasks owed to it, + {style.number(growth_hz)}/s",
        )
    elif saturation < 1 and theory.waiting_time_s is not None:
        mean = rate_hz * theory.waiting_time_s[node]
        ax.axhline(
            mean,
            **dashed,  # type: ignore[arg-type]  # a style
            label=f"theory: mean {style.number(mean)} (approximation)",
        )


def _mark_warmup(ax: Axes, warmup_s: float) -> None:
    if warmup_s > 0:
        ax.axvline(
            warmup_s,
            color=style.INK,
            lw=1,
            ls=(0, (1, 2)),
            zorder=4,
            label=f"end of the warm-up, {style.number(warmup_s)} s",
        )


def _label_ends(ax: Axes, names: tuple[str, ...], queues: Floats, first: int) -> None:
    """Write names where lines end; lines that end together share one, the bottleneck's first."""
    heights = queues[:, -1] / ax.get_ylim()[1]
    groups: list[list[int]] = [[first]]
    for node in sorted(range(len(names)), key=lambda one: -heights[one]):
        if node != first:
            near = [own for own in groups if abs(heights[own[0]] - heights[node]) < _LABEL_GAP]
            near[-1].append(node) if near else groups.append([node])
    for own in groups:
        more = f" and {len(own) - 1} more" if len(own) > 1 else ""
        ax.annotate(
            names[own[0]] + more,
            (1, heights[own[0]]),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.NOTE_PT,
            color=style.BLUE if own[0] == first else style.MUTED,
            fontweight="bold" if own[0] == first else "normal",
        )
