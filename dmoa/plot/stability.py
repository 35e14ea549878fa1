"""Stability curves: how queues grow as the arrival rate nears the limit."""

from __future__ import annotations

from itertools import cycle, groupby
from math import inf, isclose, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from dmoa.plot import style
from dmoa.plot.points import Point, read_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From this ratio of the largest to the smallest mean on, a linear axis hides the small ones.
_LOG_RATIO = 30
_SAME = 1e-3
_NEAR = 0.05
_WIDER_MAX = 3
_STRIP, _STRIP_ALPHA = 0.022, 0.45

Plan = tuple[int, int]


def stability_curves(points: Any, ax: Axes | None = None) -> Axes:
    """Draw mean queue length Lq against arrival rate λ per node, one curve per plan (M, k).

    Bars are 95 % intervals of the means. A dashed line stands at each critical rate λ*, a dotted
    one at Theorem 1's where it says otherwise. The ground is grey where all plans are unstable; a
    strip at the top, in the curve's colour, where that plan is, if they differ. Filled points were
    found stable, crosses unstable, open ones undetermined.

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
    drawn = list(curves.items())
    for position, (plan, own) in enumerate(drawn):
        # Where curves lie on each other, the lower ones are wider and look out.
        above = sum(_coincide(own, other) for _, other in drawn[position + 1 :])
        _draw_curve(ax, own, colours[plan], min(above, _WIDER_MAX))
    limits = {plan: own[0] for plan, own in curves.items()}
    _draw_limits(ax, limits, colours)
    strips = _shade_unstable(ax, limits, colours)
    style.label(
        ax,
        title="Queues against arrival rate",
        x="arrival rate λ per node (prompts/s)",
        y="mean queue length Lq per node (tasks)",
    )
    _add_legend(ax, limits, colours, found, strips=strips)
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
        ax.set_ylim(min(positive) / 2, max(positive) * 4)
    else:
        ax.set_ylim(0, max([*positive, 1e-9]) * 1.25)


def _coincide(one: list[Point], other: list[Point]) -> bool:
    """Tell whether two curves can hardly be told apart."""
    return len(one) == len(other) and all(
        a.arrival_rate_hz == b.arrival_rate_hz and isclose(a.mean, b.mean, rel_tol=_NEAR)
        for a, b in zip(one, other, strict=True)
    )


def _draw_curve(ax: Axes, own: list[Point], colour: str, wider: int) -> None:
    rates = np.array([point.arrival_rate_hz for point in own])
    means = np.array([point.mean for point in own])
    low = np.array([point.low for point in own])
    high = np.array([point.high for point in own])
    ax.plot(rates, means, color=colour, lw=style.LINE_PT + 1.2 * wider, zorder=2)
    bars = np.clip([means - low, high - means], 0, None)
    ax.errorbar(
        rates, means, np.nan_to_num(bars), fmt="none", ecolor=colour, elinewidth=1, capsize=2.5
    )
    for verdict, (marker, filled) in style.VERDICTS.items():
        chosen = [point.verdict == verdict for point in own]
        if any(chosen):
            ax.plot(
                rates[chosen],
                means[chosen],
                marker,
                ls="none",
                ms=5.5 + 1.6 * wider,
                color=colour,
                mfc=colour if filled else "white",
                mew=1.3,
                zorder=3,
            )


def _theorem1_differs(point: Point) -> bool:
    theorem1 = point.theorem1_critical_rate_hz
    return isfinite(theorem1) and not abs(theorem1 - point.critical_rate_hz) <= _SAME * theorem1


def _draw_limits(ax: Axes, plans: dict[Plan, Point], colours: dict[Plan, str]) -> None:
    """Draw each λ*, and Theorem 1's limit where it differs."""
    limits = {plan: point.critical_rate_hz for plan, point in plans.items()}
    for plan, limit in limits.items():
        if isfinite(limit):
            # Equal limits take turns: each line's gaps hold the dashes of the others.
            same = [other for other in limits if abs(limits[other] - limit) <= _SAME * limit]
            turns = (-6 * same.index(plan), (4, 6 * len(same) - 4))
            ax.axvline(limit, color=colours[plan], ls=turns, lw=1.2, zorder=4)
        if _theorem1_differs(plans[plan]):
            theorem1 = plans[plan].theorem1_critical_rate_hz
            ax.axvline(theorem1, color=colours[plan], ls=style.THEOREM1_DOTS, lw=1.2, zorder=4)


def _shade_unstable(ax: Axes, plans: dict[Plan, Point], colours: dict[Plan, str]) -> bool:
    """Shade where all plans are unstable; where they differ, give each a strip at the top.

    Tells whether there are strips.
    """
    right = ax.get_xlim()[1]
    limits = {plan: point.critical_rate_hz for plan, point in plans.items()}
    last = max(limits.values(), key=lambda limit: limit if isfinite(limit) else inf)
    if last < right:
        ax.axvspan(last, right, color=style.INK, alpha=0.13, lw=0, zorder=0)
        # At the foot: the curves leave the figure at the top.
        ax.text(
            0.99,
            0.02,
            "unstable",
            transform=ax.transAxes,
            ha="right",
            va="bottom",
            fontsize=style.NOTE_PT,
            style="italic",
            color=style.INK,
        )
    differ = any(abs(limit - last) > _SAME * last for limit in limits.values())
    seen = [plan for plan, limit in limits.items() if limit < right] if differ else []
    for row, plan in enumerate(seen):
        top = 1 - _STRIP * 1.3 * row
        ax.axvspan(
            limits[plan],
            right,
            ymin=top - _STRIP,
            ymax=top,
            color=colours[plan],
            alpha=_STRIP_ALPHA,
            lw=0,
            zorder=1,
        )
    return bool(seen)


def _add_legend(
    ax: Axes,
    plans: dict[Plan, Point],
    colours: dict[Plan, str],
    found: list[Point],
    *,
    strips: bool,
) -> None:
    from matplotlib.artist import Artist
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Artist] = []
    differ = False
    for (layers, proposers), point in plans.items():
        text, limit = f"M = {layers}, k = {proposers}", point.critical_rate_hz
        if isfinite(limit):
            text += f"\n  λ* = {style.number(limit)}"
        if _theorem1_differs(point):
            differ = True
            text += f", Thm 1: {style.number(point.theorem1_critical_rate_hz)}"
        entries.append(Line2D([], [], color=colours[layers, proposers], lw=2, label=text))
    for verdict, (marker, filled) in style.VERDICTS.items():
        if any(point.verdict == verdict for point in found):
            entries.append(
                Line2D(
                    [],
                    [],
                    ls="none",
                    marker=marker,
                    ms=5.5,
                    color=style.MUTED,
                    mew=1.3,
                    mfc=style.MUTED if filled else "white",
                    label=verdict,
                )
            )
    if any(isfinite(point.critical_rate_hz) for point in found):
        entries.append(
            Line2D(
                [], [], color=style.MUTED, ls=style.THEORY_DASHES, lw=1.1, label="critical rate λ*"
            )
        )
    if differ:
        entries.append(
            Line2D(
                [], [], color=style.MUTED, ls=style.THEOREM1_DOTS, lw=1.1, label="Theorem 1's limit"
            )
        )
    if strips:
        entries.append(Patch(color=style.MUTED, alpha=_STRIP_ALPHA, lw=0, label="beyond λ*"))
    ax.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        fontsize=style.NOTE_PT,
        handlelength=1.8,
        labelcolor=style.INK,
    )
