"""One prompt through its layers: where its time went."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.trace import ANSWERED, SERVED, sojourn_time_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.trace.meter import Ints, Track

ROWS_MAX = 2000
_LABELLED_ROWS_MAX = 60
_WAITING, _SERVICE, _AGGREGATION = "#BFD9EA", style.BLUE, style.GREEN


@dataclass(frozen=True)
class _Stage:
    """One layer, or the aggregation: its tasks as rows of the track, and when it was joined."""

    tasks: Ints
    begun_s: float
    joined_s: float
    aggregates: bool


def prompt_timeline(
    track: Track, origin: str | None = None, prompt: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one prompt as a chart of its tasks: waiting light, service dark, links thin.

    Each row is a task at its server; layers follow each other downwards, the last row is the
    aggregation. A diamond marks where a layer was joined, at the task whose response came last.
    Links back to the origin are drawn where the track holds them (``Meter(..., links=True)``).

    Args:
        track: one run.
        origin: name of the node where the prompt arrived.
        prompt: its number there. Without origin and prompt, the answered prompt with the median
            sojourn time; with one of them, the median among those that fit.
        ax: where to draw; None: a new figure.

    Raises:
        ScenarioError: there is no such prompt.
    """
    row = _choose(track, origin, prompt)
    if row is None:
        ax = style.axes_for(ax)
        return style.say_nothing_to_draw(ax, "the run has no prompt")
    prompts = track.prompts
    end_s = float(prompts.ended_s[row])
    stages = _stages(track, row, track.end_s if isnan(end_s) else end_s)
    rows = sum(len(stage.tasks) for stage in stages)
    ax = style.axes_for(ax, 7.2, float(np.clip(1.3 + 0.24 * rows, 2.4, 11)))
    begun_s = float(prompts.arrived_s[row])
    name = track.names[int(prompts.origin[row])]
    ending = "unfinished" if isnan(end_s) else f"sojourn time {style.number(end_s - begun_s)} s"
    style.label(
        ax,
        title=f"Prompt {int(prompts.number[row])} of node {name}, {ending}",
        x="time since its arrival (s)",
        y="task at node",
    )
    if not 0 < rows <= ROWS_MAX:
        many = "none of its tasks was started" if not rows else f"{rows:,} tasks are too many"
        return style.say_nothing_to_draw(ax, many)
    _draw(ax, track, stages, begun_s)
    return ax


def _choose(track: Track, origin: str | None, prompt: int | None) -> int | None:
    """Find the prompt's row: the one asked for, or the one with the median sojourn time."""
    prompts = track.prompts
    fits = np.full(len(prompts.number), fill_value=True)
    if origin is not None:
        if origin not in track.names:
            raise ScenarioError(
                "there is no such node",
                path="origin",
                given=origin,
                remedy=f"give one of {', '.join(track.names[:8])}",
            )
        fits &= prompts.origin == track.names.index(origin)
    if prompt is not None:
        fits &= prompts.number == prompt
    if not fits.any():
        if origin is None and prompt is None:
            return None
        raise ScenarioError(
            "the run has no such prompt",
            path="prompt",
            given=(origin, prompt),
            remedy="give a node and the number of a prompt that arrived there, counted from 0",
        )
    answered = np.flatnonzero(fits & (prompts.outcome == ANSWERED))
    if not len(answered):
        return int(np.flatnonzero(fits)[0])
    times_s = sojourn_time_s(prompts)[answered]
    return int(answered[np.argsort(times_s, kind="stable")[(len(answered) - 1) // 2]])


def _stages(track: Track, row: int, end_s: float) -> list[_Stage]:
    """Sort the prompt's tasks by layer; a layer is joined in the instant the next one begins."""
    tasks, prompts = track.tasks, track.prompts
    own = np.flatnonzero(
        (tasks.origin == prompts.origin[row]) & (tasks.prompt == prompts.number[row])
    )
    own = own[np.lexsort((tasks.slot[own], tasks.stage[own]))]
    groups = [own[tasks.stage[own] == stage] for stage in np.unique(tasks.stage[own])]
    times_s = [*(float(tasks.queued_s[group].min()) for group in groups), end_s]
    stages = []
    for position, group in enumerate(groups):
        # A track does not know the plan: the origin's single task at the end is the aggregation.
        first, last = group[0], position == len(groups) - 1
        alone = len(group) == 1 and tasks.server[first] == tasks.origin[first]
        begun_s, joined_s = times_s[position : position + 2]
        stages.append(_Stage(group, begun_s, joined_s, aggregates=last and bool(alone)))
    return stages


def _draw(ax: Axes, track: Track, stages: list[_Stage], arrived_s: float) -> None:
    tasks, labels, top = track.tasks, [], 0
    for stage in stages:
        rows = stage.tasks.tolist()
        for place, task in enumerate(rows, start=top):
            _draw_task(ax, track, stage, task, place, arrived_s)
            mark = " (origin)" if tasks.server[task] == tasks.origin[task] else ""
            labels.append(track.names[int(tasks.server[task])] + mark)
        ax.annotate(
            "aggregation" if stage.aggregates else f"layer {int(tasks.stage[rows[0]]) + 1}",
            (1, top + (len(rows) - 1) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.NOTE_PT,
            color=_AGGREGATION if stage.aggregates else style.INK,
            annotation_clip=False,
        )
        if stage is not stages[-1]:
            straggler = top + int(np.argmax([_received_s(track, task) for task in rows]))
            _draw_join(ax, stage.joined_s - arrived_s, straggler, top + len(rows) - 0.5)
        top += len(rows)
    ax.set_ylim(top - 0.4, -0.6)
    ax.set_xlim(0, (stages[-1].joined_s - arrived_s) * 1.01)
    shown = labels if top <= _LABELLED_ROWS_MAX else []
    ax.set_yticks(range(len(shown)), shown, fontsize=style.NOTE_PT)
    ax.tick_params(axis="y", length=0)
    _add_legend(ax)


def _draw_join(ax: Axes, at_s: float, straggler: int, boundary: float) -> None:
    """Mark where a layer was joined and the next one began."""
    ax.plot(at_s, straggler, "D", ms=4.5, color=style.VERMILION, mec="white", mew=0.6, zorder=5)
    ax.axvline(at_s, color=style.VERMILION, lw=style.THIN_PT, ls=(0, (1, 2)), zorder=1)
    ax.axhline(boundary, color=style.FAINT, lw=style.THIN_PT, zorder=0)


def _draw_task(
    ax: Axes, track: Track, stage: _Stage, task: int, place: int, arrived_s: float
) -> None:
    tasks = track.tasks
    queued_s, started_s = float(tasks.queued_s[task]), float(tasks.started_s[task])
    ended_s, back_s = float(tasks.ended_s[task]), _received_s(track, task)
    until_s = track.end_s if isnan(ended_s) else ended_s
    colour = _AGGREGATION if stage.aggregates else _SERVICE
    if tasks.outcome[task] != SERVED:
        colour = style.MUTED
    for since_s, to_s, shade in ((queued_s, started_s, _WAITING), (started_s, until_s, colour)):
        ax.barh(place, to_s - since_s, 0.62, since_s - arrived_s, color=shade, lw=0, zorder=2)
    for since_s, to_s in ((stage.begun_s, queued_s), (ended_s, back_s)):
        if to_s > since_s:
            ax.plot(
                [since_s - arrived_s, to_s - arrived_s],
                [place, place],
                color=style.INK,
                lw=1.0,
                solid_capstyle="butt",
                zorder=3,
            )


def _received_s(track: Track, task: int) -> float:
    """Find when the origin received a task's response: it was sent in the instant it was made.

    Where the track does not hold it, that instant; -inf for a task that was not served.
    """
    links, tasks = track.links, track.tasks
    ended_s = float(tasks.ended_s[task])
    if tasks.outcome[task] != SERVED:
        return -inf
    if links is None:
        return ended_s
    sent = np.flatnonzero(
        (links.sent_s == ended_s)
        & (links.sender == tasks.server[task])
        & (links.receiver == tasks.origin[task])
    )
    return float(links.received_s[sent[0]]) if len(sent) else ended_s


def _add_legend(ax: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style.legend_below(
        ax,
        columns=5,
        handles=[
            Patch(color=_WAITING, label="waiting"),
            Patch(color=_SERVICE, label="service"),
            Patch(color=_AGGREGATION, label="aggregation"),
            Line2D([], [], color=style.INK, lw=1.0, label="link"),
            Line2D([], [], ls="none", marker="D", ms=4.5, color=style.VERMILION, label="join"),
        ],
    )
