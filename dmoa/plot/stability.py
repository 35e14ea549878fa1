"""Stability curves: how queues grow as the arrival rate nears the limit."""

from __future__ import annotations

from itertools import cycle, groupby
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from dmoa.plot import style
from dmoa.plot.points import Point, read_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From this ratio of the largest to the smallest mean on, a linear axis hides the small ones.
_LOG_RATIO = 30
_SAME = 1e-3
_MARKERS = {"stable": ("o", True), "unstable": ("x", True), "undetermined": ("o", False)}


def stability_curves(points: Any, ax: Axes | None = None) -> Axes:
    """Draw mean queue length Lq against arrival rate λ per node, one curve per plan (M, k).

    Bars are 95 % intervals of the means. A dashed line stands at each critical rate λ*, a dotted
    one at Theorem 1's where it says otherwise; the more plans are unstable, the darker the ground.
    Filled points were found stable, crosses unstable, open ones undetermined.

    Args:
        points: a DataFrame of `dmoa.load_sweep`, or records with ``layers``, ``proposers``,
            ``arrival_rate_hz``, ``queue_length`` {mean, low, high}, ``verdict``,
            ``critical_rate_hz`` and ``theorem1_critical_rate_hz``.
        ax: where to draw; None: a new figure.

    Raises:
        ScenarioError: there are no points, or one lacks a value.

    >>> row = {"layers": 1, "proposers": 2, "arrival_rate_hz": 0.1, "queue_length_mean": 0.3}
    >>> stability_curves([row]).get_xlabel()
    'arrival rate λ per node (prompts/s)'
    """
    found = read_points(points)
    ax = style.axes_for(ax, 7.2, 4.2)
    curves = {
        plan: list(own) for plan, own in groupby(found, lambda one: (one.layers, one.proposers))
    }
    colours = dict(zip(curves, cycle(style.CURVES), strict=False))
    _set_scales(ax, found)
    for plan, own in curves.items():
        _draw_curve(ax, own, colours[plan])
        _draw_limits(ax, own[0], colours[plan])
    _shade_unstable(ax, [own[0].critical_rate_hz for own in curves.values()])
    style.label(
        ax,
        title="Queues against arrival rate",
        x="arrival rate λ per node (prompts/s)",
        y="mean queue length Lq per node (tasks)",
    )
    _add_legend(ax, {plan: own[0] for plan, own in curves.items()}, colours, found)
    return ax


def _set_scales(ax: Axes, found: list[Point]) -> None:
    rates = [point.arrival_rate_hz for point in found]
    limits = [point.critical_rate_hz for point in found if isfinite(point.critical_rate_hz)]
    reach = max(rates) - min(rates) or max(rates)
    # A limit far beyond what was swept would squeeze the curves into a corner.
    near = [limit for limit in limits if limit <= max(rates) + reach]
    ax.set_xlim(min(rates) - 0.05 * reach, max(rates + near) + 0.05 * reach)
    positive = [point.mean for point in found if point.mean > 0]
    if positive and max(positive) >= _LOG_RATIO * min(positive):
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(min(positive) / 2, max(positive) * 3)


def _draw_curve(ax: Axes, own: list[Point], colour: str) -> None:
    rates = np.array([point.arrival_rate_hz for point in own])
    means = np.array([point.mean for point in own])
    low = np.array([point.low for point in own])
    high = np.array([point.high for point in own])
    ax.plot(rates, means, color=colour, lw=style.LINE_PT, zorder=2)
    bars = np.clip([means - low, high - means], 0, None)
    ax.errorbar(
        rates, means, np.nan_to_num(bars), fmt="none", ecolor=colour, elinewidth=1, capsize=2.5
    )
    for verdict, (marker, filled) in _MARKERS.items():
        chosen = [point.verdict == verdict for point in own]
        if any(chosen):
            ax.plot(
                rates[chosen], means[chosen], marker, ls="none", ms=5.5, color=colour,
                mfc=colour if filled else "white", mew=1.3, zorder=3,
            )


def _draw_limits(ax: Axes, point: Point, colour: str) -> None:
    """Draw λ*, and Theorem 1's limit where it differs."""
    limit, theorem1 = point.critical_rate_hz, point.theorem1_critical_rate_hz
    if isfinite(limit):
        ax.axvline(limit, color=colour, ls=style.THEORY_DASHES, lw=1.1, zorder=4)
    if isfinite(theorem1) and not abs(theorem1 - limit) <= _SAME * theorem1:
        ax.axvline(theorem1, color=colour, ls=(0, (1, 1.5)), lw=1.1, zorder=4)


def _shade_unstable(ax: Axes, limits: list[float]) -> None:
    right = ax.get_xlim()[1]
    known = sorted(limit for limit in limits if limit < right)
    for limit in known:
        ax.axvspan(limit, right, color=style.INK, alpha=0.16 / len(known), lw=0, zorder=0)
    if known:
        ax.text(
            0.99, 0.98, "unstable", transform=ax.transAxes, ha="right", va="top",
            fontsize=style.NOTE_PT, style="italic", color=style.INK,
        )


def _add_legend(
    ax: Axes,
    plans: dict[tuple[int, int], Point],
    colours: dict[tuple[int, int], str],
    found: list[Point],
) -> None:
    from matplotlib.lines import Line2D

    entries = []
    differ = False
    for (layers, proposers), point in plans.items():
        text = f"M = {layers}, k = {proposers}"
        limit, theorem1 = point.critical_rate_hz, point.theorem1_critical_rate_hz
        if isfinite(limit):
            text += f"\n  λ* = {style.number(limit)}"
        if isfinite(theorem1) and not abs(theorem1 - limit) <= _SAME * theorem1:
            differ = True
            text += f", Thm 1: {style.number(theorem1)}"
        entries.append(Line2D([], [], color=colours[layers, proposers], lw=2, label=text))
    for verdict in _MARKERS:
        if any(point.verdict == verdict for point in found):
            marker, filled = _MARKERS[verdict]
            entries.append(
                Line2D([], [], ls="none", marker=marker, ms=5.5, color=style.MUTED, mew=1.3,
                       mfc=style.MUTED if filled else "white", label=verdict)
            )
    if any(isfinite(point.critical_rate_hz) for point in found):
        entries.append(Line2D([], [], color=style.MUTED, ls=style.THEORY_DASHES, lw=1.1,
                              label="critical rate λ*"))
    if differ:
        entries.append(Line2D([], [], color=style.MUTED, ls=(0, (1, 1.5)), lw=1.1,
                              label="Theorem 1's limit"))
    ax.legend(handles=entries, loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False,
              fontsize=style.NOTE_PT, handlelength=1.8, labelcolor=style.INK)
