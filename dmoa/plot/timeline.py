"""One prompt through its layers: where its time went."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
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


def prompt_timeline(
    track: Track, origin: str | None = None, prompt: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one prompt as a chart of its tasks: waiting light, service dark, links thin.

    Each row is a task at its server; layers follow each other downwards, the last row is the
    aggregation. A diamond marks where a layer was joined, by the response that came last. Links
    back to the origin are drawn where the track holds them (``Meter(..., links=True)``).

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
    _draw(ax, track, stages, begun_s, int(prompts.origin[row]))
    return ax


def _choose(track: Track, origin: str | None, prompt: int | None) -> int | None:
    """Find the prompt's row: the one asked for, or the one with the median sojourn time."""
    prompts = track.prompts
    fits = np.full(len(prompts.number), fill_value=True)
    if origin is not None:
        if origin not in track.names:
            raise ScenarioError(
                "there is no such node", path="origin", given=origin,
                remedy=f"give one of {', '.join(track.names[:8])}",
            )
        fits &= prompts.origin == track.names.index(origin)
    if prompt is not None:
        fits &= prompts.number == prompt
    if not fits.any():
        if origin is None and prompt is None:
            return None
        raise ScenarioError(
            "the run has no such prompt", path="prompt", given=(origin, prompt),
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
    begun = [float(tasks.queued_s[group].min()) for group in groups]
    return [
        _Stage(group, start, joined)
        for group, start, joined in zip(groups, begun, [*begun[1:], end_s], strict=True)
    ]


def _draw(ax: Axes, track: Track, stages: list[_Stage], arrived_s: float, origin: int) -> None:
    tasks, names, labels = track.tasks, track.names, []
    top = 0
    for stage in stages:
        last = stage is stages[-1]
        # A track does not know the plan: a single task of the origin at the end is its answer.
        alone = last and len(stage.tasks) == 1 and int(tasks.server[stage.tasks[0]]) == origin
        for place, task in enumerate(stage.tasks.tolist(), start=top):
            _draw_task(ax, track, task, place, stage.begun_s, arrived_s,
                       _AGGREGATION if alone else _SERVICE)
            server = int(tasks.server[task])
            labels.append(f"{names[server]} (origin)" if server == origin else names[server])
        middle = top + (len(stage.tasks) - 1) / 2
        text = "aggregation" if alone else f"layer {int(tasks.stage[stage.tasks[0]]) + 1}"
        ax.annotate(text, (1, middle), xycoords=("axes fraction", "data"), xytext=(6, 0),
                    textcoords="offset points", va="center", fontsize=style.NOTE_PT,
                    color=_AGGREGATION if alone else style.INK, annotation_clip=False)
        straggler = top + int(np.argmax(np.nan_to_num(tasks.ended_s[stage.tasks], nan=-1.0)))
        joined_s = stage.joined_s - arrived_s
        ax.plot(joined_s, straggler, "D", ms=4.5, color=style.VERMILION, mec="white", mew=0.6,
                zorder=5, clip_on=False)
        top += len(stage.tasks)
        if not last:
            ax.axhline(top - 0.5, color=style.FAINT, lw=style.THIN_PT, zorder=0)
            ax.axvline(joined_s, color=style.VERMILION, lw=style.THIN_PT, ls=(0, (1, 2)), zorder=1)
    ax.set_ylim(top - 0.4, -0.6)
    ax.set_xlim(0, (stages[-1].joined_s - arrived_s) * 1.01)
    if len(labels) <= _LABELLED_ROWS_MAX:
        ax.set_yticks(range(len(labels)), labels, fontsize=style.NOTE_PT)
    else:
        ax.set_yticks([])
    ax.tick_params(axis="y", length=0)
    _add_legend(ax)


def _draw_task(
    ax: Axes, track: Track, task: int, place: int, begun_s: float, arrived_s: float, colour: str
) -> None:
    tasks = track.tasks
    queued_s, started_s = float(tasks.queued_s[task]), float(tasks.started_s[task])
    ended_s = float(tasks.ended_s[task])
    until_s = track.end_s if isnan(ended_s) else ended_s
    served = int(tasks.outcome[task]) == SERVED
    ax.barh(place, started_s - queued_s, left=queued_s - arrived_s, height=0.62, color=_WAITING,
            lw=0, zorder=2)
    ax.barh(place, until_s - started_s, left=started_s - arrived_s, height=0.62,
            color=colour if served else style.MUTED, lw=0, zorder=2)
    thin = {"color": style.INK, "lw": 1.0, "zorder": 3, "solid_capstyle": "butt"}
    if queued_s > begun_s:
        ax.plot([begun_s - arrived_s, queued_s - arrived_s], [place, place], **thin)  # type: ignore[arg-type]  # a style
    back_s = _received_s(track, task, ended_s)
    if back_s is not None and back_s > ended_s:
        ax.plot([ended_s - arrived_s, back_s - arrived_s], [place, place], **thin)  # type: ignore[arg-type]  # a style


def _received_s(track: Track, task: int, ended_s: float) -> float | None:
    """Find when the origin received a task's response: it was sent in the instant it was made."""
    links, tasks = track.links, track.tasks
    if links is None:
        return None
    sent = np.flatnonzero(
        (links.sent_s == ended_s)
        & (links.sender == tasks.server[task])
        & (links.receiver == tasks.origin[task])
    )
    return float(links.received_s[sent[0]]) if len(sent) else None


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
