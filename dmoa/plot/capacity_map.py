"""The critical rate over plans: what another layer or another proposer costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.plot.loads import overlay_name
from dmoa.study import bound, prepare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.scenario import Scenario, Setup
    from dmoa.trace.meter import Floats

CELLS_MAX = 400
_SAME = 1e-3


def critical_rate_map(
    setup_or_scenario: Setup | Scenario,
    layers: Sequence[int],
    proposers: Sequence[int],
    ax: Axes | None = None,
) -> Axes:
    """Draw the critical rate λ* over layers M and proposers k, as a heat map with its numbers.

    Where Theorem 1 says otherwise its limit stands below in brackets. The scenario's own plan is
    framed.

    Args:
        setup_or_scenario: everything but the plan's layers and proposers.
        layers: the M to draw, each ≥ 0.
        proposers: the k to draw, each ≥ 0; at most 400 cells.
        ax: where to draw; None: a new figure.

    Raises:
        ScenarioError: there are no cells or too many, or a plan does not fit the scenario.

    >>> from dmoa.scenario import load
    >>> ax = critical_rate_map(load("ring"), layers=[1, 2], proposers=[1, 2])
    >>> [text.get_text() for text in ax.texts]
    ['0.333', '0.25', '0.2', '0.143', "framed: the scenario's own plan"]
    """
    layers, proposers = sorted(set(layers)), sorted(set(proposers))
    cells = len(layers) * len(proposers)
    if not 0 < cells <= CELLS_MAX:
        raise ScenarioError(
            f"a map has 1 to {CELLS_MAX} cells",
            path="layers x proposers",
            given=cells,
            remedy="give the values of M and of k to compare",
        )
    setup = prepare(setup_or_scenario)
    own, theorem1 = _limits(setup, layers, proposers)
    ax = style.axes_for(ax, 2.2 + 0.72 * len(proposers), 1.5 + 0.5 * len(layers))
    _draw_cells(ax, own, theorem1)
    plan = setup.scenario.plan
    framed = plan.layers in layers and plan.proposers in proposers
    differs = bool((np.abs(theorem1 - own) > _SAME * own).any())
    notes = ["in brackets: Theorem 1, where it differs"] * differs
    notes += ["framed: the scenario's own plan"] * framed
    style.label(
        ax,
        title=f"Critical rate λ*, {overlay_name(setup)}, {len(setup.names)} nodes",
        x="proposers k",
        y="layers M",
        below="\n".join(notes),
    )
    ax.set_xticks(range(len(proposers)), [str(k) for k in proposers])
    ax.set_yticks(range(len(layers)), [str(m) for m in layers])
    ax.tick_params(length=0)
    if framed:
        _frame(ax, proposers.index(plan.proposers), layers.index(plan.layers))
    return ax


def _limits(setup: Setup, layers: Sequence[int], proposers: Sequence[int]) -> tuple[Floats, Floats]:
    """Compute λ* and Theorem 1's limit of each plan, (M, k)."""
    graph, own = setup.graph(), setup.scenario
    rows = []
    for depth in layers:
        for width in proposers:
            plan = msgspec.structs.replace(own.plan, layers=depth, proposers=width)
            limit = bound(msgspec.structs.replace(own, plan=plan), graph)
            rows.append((limit.critical_rate_hz, limit.theorem1_critical_rate_hz))
    values = np.array(rows).reshape(len(layers), len(proposers), 2)
    return values[..., 0], values[..., 1]


def _draw_cells(ax: Axes, own: Floats, theorem1: Floats) -> None:
    from matplotlib.colors import LogNorm

    low, high = float(own.min()), float(own.max())
    # A map of equal values has no range of its own.
    norm = LogNorm(low, high) if high > low * (1 + _SAME) else LogNorm(low / 2, high * 2)
    image = ax.imshow(own, cmap="cividis", norm=norm, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(own):
        text, bound1 = style.number(value), float(theorem1[row, column])
        if abs(bound1 - value) > _SAME * value:
            text += f"\n({style.number(bound1)})"
        red, green, blue, _ = image.cmap(norm(value))
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=style.NOTE_PT,
            color=style.readable_on(red, green, blue),
            linespacing=1.1,
        )
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("λ* (prompts/s per node)", fontsize=style.LABEL_PT)
    ticks = sorted({low, (low * high) ** 0.5, high})
    bar.set_ticks(ticks, labels=[style.number(tick) for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=style.TICK_PT, length=2)
    bar.outline.set_visible(False)


def _frame(ax: Axes, column: int, row: int) -> None:
    """Frame the cell of the scenario's own plan."""
    from matplotlib.patches import Rectangle

    corner = (column - 0.5, row - 0.5)
    ax.add_patch(
        Rectangle(corner, 1, 1, fill=False, ec=style.VERMILION, lw=2, clip_on=False, zorder=3)
    )
