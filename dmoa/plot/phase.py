"""Phase diagrams: where in the plane of arrival rate and another value queues stay bounded."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.plot.cells import (
    FAILED,
    SAME,
    Cell,
    Place,
    by_row,
    differs,
    edges,
    in_order,
    limit_of,
    range_of_means,
    read_cells,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure


PANELS_MAX = 12
ROW_LABELS_MAX = 24

# From this ratio of the largest to the smallest rate on, equal factors are equally wide.
_LOG_RATIO = 5
_COLOURS = "cividis"
_MARK_PT = 5.5
_MARK_SHARE = 0.55
_MARKERS = {**style.VERDICTS, FAILED: ("_", True)}
_NAMES = {
    "overlay.nodes": "nodes n",
    "plan.layers": "layers M",
    "plan.proposers": "proposers k",
}


class _Scale(NamedTuple):
    """What all panels share: the ends of the rate's axis, whether it is logarithmic, the colours.

    ``relative``: rates are shares of λ*.
    """

    low: float
    high: float
    log: bool
    relative: bool
    norm: LogNorm


def phase_diagram(
    points: Any,
    y: str,
    ax: Axes | None = None,
    *,
    relative: bool = False,
) -> Axes:
    """Draw a phase diagram: verdict and mean queue length Lq over arrival rate λ and another key.

    Each cell is one point of a sweep, coloured by its mean queue length per node in tasks. Filled
    points were found stable, crosses unstable, open ones undetermined. The critical rate λ* of each
    row is dashed, Theorem 1's limit dotted where it says otherwise. Rows may have rates of their
    own.

    Args:
        points: a DataFrame of `dmoa.load_sweep`, or records with ``arrivals.arrival_rate_hz`` in
            prompts per second and node, ``queue_length_mean`` in tasks (or ``queue_length``
            {mean}), ``verdict``, ``critical_rate_hz`` and ``theorem1_critical_rate_hz``.
        y: the key of the rows, such as ``plan.proposers``. Numbers are sorted; other values keep
            their order.
        ax: where to draw; None: a new figure.
        relative: whether to draw λ / λ* in the place of λ; points that failed are then left out.

    Raises:
        ScenarioError: there are no points or more than 10,000, one lacks a value, or two stand in
            one place.

    >>> row = {"arrivals.arrival_rate_hz": 0.1, "plan.layers": 1, "queue_length_mean": 0.3}
    >>> phase_diagram([row], "plan.layers").get_ylabel()
    'layers M'
    """
    cells = read_cells(points, y, None, relative=relative)
    rows = in_order(cell.row for cell in cells)
    ax = style.axes_for(ax, 6.8, 2.2 + 0.3 * min(len(rows), ROW_LABELS_MAX))
    scale = _scale(cells, relative=relative)
    _draw(ax, cells, rows, scale)
    style.label(ax, title="Where queues stay bounded", x=_x_label(scale), y=_name(y))
    _add_bar(ax.figure, [ax], scale)
    style.legend_below(ax, columns=5, handles=_entries(cells, scale))
    return ax


def phase_panels(
    points: Any,
    y: str,
    panel: str,
    *,
    relative: bool = False,
    columns: int | None = None,
) -> Figure:
    """Draw a phase diagram for each value of a third key, with one scale of rates and of colours.

    Args:
        points: as for `phase_diagram`.
        y: the key of the rows.
        panel: the key of the panels, at most 12 values; each has rows of its own.
        relative: whether to draw λ / λ* in the place of λ.
        columns: panels side by side; None: one up to three panels, then two or three.

    Raises:
        ScenarioError: as for `phase_diagram`, or there are too many panels.

    >>> rows = [
    ...     {
    ...         "arrivals.arrival_rate_hz": 0.1,
    ...         "plan.layers": layers,
    ...         "overlay.nodes": nodes,
    ...         "queue_length_mean": 0.3,
    ...     }
    ...     for layers in (1, 2)
    ...     for nodes in (8, 16)
    ... ]
    >>> [ax.get_title("left") for ax in phase_panels(rows, "overlay.nodes", "plan.layers").axes[:2]]
    ['layers M = 1', 'layers M = 2']
    """
    cells = read_cells(points, y, panel, relative=relative)
    panels = in_order(cell.panel for cell in cells)
    if len(panels) > PANELS_MAX:
        raise ScenarioError(
            f"a figure has at most {PANELS_MAX} panels",
            path="panel",
            given=f"{panel} with {len(panels)} values",
            remedy="choose points, or make the other key the one of the panels",
        )
    scale = _scale(cells, relative=relative)
    columns = columns or ceil(len(panels) / 3)
    grid = [[cell for cell in cells if cell.panel == own] for own in panels]
    rows = [in_order(cell.row for cell in own) for own in grid]
    figure, axes = _panels(len(panels), columns, max(map(len, rows)))
    for place, (ax, own, own_rows) in enumerate(zip(axes, grid, rows, strict=True)):
        _draw(ax, own, own_rows, scale)
        lowest = place + columns >= len(panels)
        shared = place % columns and own_rows == rows[place - 1]
        style.label(
            ax,
            title=f"{_name(panel)} = {_written(panels[place])}",
            x=_x_label(scale) if lowest else "",
            y="" if shared else _name(y),
        )
        ax.tick_params(labelleft=not shared, labelbottom=lowest)
    _add_bar(figure, axes, scale)
    figure.legend(
        handles=_entries(cells, scale),
        loc="outside lower left",
        frameon=False,
        ncols=5,
        fontsize=style.NOTE_PT,
        labelcolor=style.INK,
        handlelength=1.8,
        columnspacing=1.4,
    )
    return figure


def _panels(count: int, columns: int, rows: int) -> tuple[Figure, list[Axes]]:
    """Make a figure with so many axes, for so many rows of cells each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: it takes long
    from matplotlib.figure import Figure

    lines = ceil(count / columns)
    width_in = 6.8 if columns == 1 else 1.4 + 2.6 * columns
    height_in = 0.9 + lines * (0.55 + 0.27 * min(max(rows, 3), ROW_LABELS_MAX))
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(lines, columns, place + 1) for place in range(count)]
    return figure, [style.axes_for(ax) for ax in axes]


def _scale(cells: Sequence[Cell], *, relative: bool) -> _Scale:
    from matplotlib.colors import LogNorm

    rates = [cell.x for cell in cells]
    log = max(rates) >= _LOG_RATIO * min(rates)
    low, high = range_of_means(cells)
    if not isfinite(low):  # no queue anywhere: any range shows that
        low, high = 0.1, 1.0
    if high <= low * (1 + SAME):
        low, high = low / 2, low * 2
    ends = [end for own in by_row(cells).values() for end in edges(own, log=log)]
    return _Scale(min(ends), max(ends), log, relative, LogNorm(low, high))


def _draw(ax: Axes, cells: Sequence[Cell], rows: list[Place], scale: _Scale) -> None:
    """Draw the cells of one panel, their verdicts and the limits."""
    if scale.log:
        ax.set_xscale("log")
    ax.set_xlim(scale.low, scale.high)
    ax.set_ylim(-0.5, len(rows) - 0.5)
    for own in by_row(cells).values():
        place = rows.index(own[0].row)
        means = np.ma.masked_invalid(
            [[nan if cell.verdict == FAILED else cell.mean for cell in own]]
        )
        ax.pcolormesh(
            edges(own, log=scale.log),
            [place - 0.5, place + 0.5],
            np.ma.clip(means, scale.norm.vmin, scale.norm.vmax),
            cmap=_COLOURS,
            norm=scale.norm,
            edgecolors="white",
            linewidth=0.5,
        )
    _draw_marks(ax, cells, rows, scale)
    _draw_limit(ax, cells, rows, "theorem1")
    _draw_limit(ax, cells, rows, "limit")
    step = ceil(len(rows) / ROW_LABELS_MAX)
    ax.set_yticks(range(0, len(rows), step), [_written(row) for row in rows[::step]])
    ax.tick_params(axis="y", length=0)
    if scale.log:
        _write_ticks(ax, scale)


def _draw_marks(ax: Axes, cells: Sequence[Cell], rows: list[Place], scale: _Scale) -> None:
    """Draw the verdict of each cell, light on dark ground and dark on light."""
    from matplotlib import colormaps

    colours, lowest = colormaps[_COLOURS], scale.norm.vmin or 0.0
    size_pt = _mark_size(ax, cells, rows, scale)
    groups: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for cell in cells:
        ink = style.INK
        if isfinite(cell.mean) and cell.verdict != FAILED:
            red, green, blue, _ = colours(scale.norm(max(cell.mean, lowest)))
            ink = style.readable_on(red, green, blue)
        groups.setdefault((cell.verdict, ink), []).append((cell.x, rows.index(cell.row)))
    for (verdict, ink), places in groups.items():
        marker, filled = _MARKERS[verdict]
        ax.plot(
            *zip(*places, strict=True),
            marker,
            ls="none",
            color=ink,
            ms=size_pt,
            mew=0.22 * size_pt,
            mfc=ink if filled else "none",
            zorder=6,
        )


def _mark_size(ax: Axes, cells: Sequence[Cell], rows: list[Place], scale: _Scale) -> float:
    """Give a size at which no mark leaves its cell or touches another."""
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi
    narrowest = 1.0
    for own in by_row(cells).values():
        for places in ([cell.x for cell in own], edges(own, log=scale.log)):
            ends = np.array([scale.low, scale.high, *places])
            ends = np.log(ends) if scale.log else ends
            widths = np.diff(ends[2:]) / (ends[1] - ends[0])
            narrowest = min(narrowest, float(widths.min(initial=1.0)))
    room_pt = points * min(narrowest * box.width, box.height / len(rows))
    return float(np.clip(_MARK_SHARE * room_pt, 1.0, _MARK_PT))


def _draw_limit(ax: Axes, cells: Sequence[Cell], rows: list[Place], kind: str) -> None:
    """Draw a limit as a step through all rows."""
    found = {row: own for (_, row), own in by_row(cells).items()}
    if kind == "theorem1" and not any(map(differs, found.values())):
        return
    limits = [limit_of(found[row], kind) for row in rows]
    xs = [limit for limit in limits for _ in range(2)]
    ys = [place + half for place in range(len(rows)) for half in (-0.5, 0.5)]
    # On a light casing the line is seen on every colour.
    ax.plot(xs, ys, color="white", lw=3.2, alpha=0.9, zorder=4)
    ax.plot(xs, ys, color=style.VERMILION, ls=_dashes(kind), lw=1.6, zorder=5)


def _dashes(kind: str) -> Any:
    return style.THEORY_DASHES if kind == "limit" else style.THEOREM1_DOTS


def _write_ticks(ax: Axes, scale: _Scale) -> None:
    """Write 1, 2 and 5 times powers of ten; of a decade or two some more."""
    factors = (1, 2, 5) if scale.high >= 30 * scale.low else (1, 1.5, 2, 3, 5, 7)
    powers = range(int(np.floor(np.log10(scale.low))), int(np.ceil(np.log10(scale.high))) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    shown = [tick for tick in ticks if scale.low <= tick <= scale.high]
    ax.set_xticks(shown, [style.number(tick) for tick in shown])
    ax.minorticks_off()


def _add_bar(figure: Any, axes: Sequence[Axes], scale: _Scale) -> None:
    from matplotlib.cm import ScalarMappable

    mappable = ScalarMappable(norm=scale.norm, cmap=_COLOURS)
    bar = figure.colorbar(mappable, ax=list(axes), pad=0.02)
    bar.set_label("mean queue length Lq\nper node (tasks)", fontsize=style.LABEL_PT)
    low, high = float(scale.norm.vmin or 0.0), float(scale.norm.vmax or 1.0)
    if high < 100 * low:
        ticks = [low, sqrt(low * high), high]
        bar.set_ticks(ticks, labels=[style.number(tick) for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=style.TICK_PT, length=2)
    bar.outline.set_visible(False)


def _entries(cells: Sequence[Cell], scale: _Scale) -> list[Any]:
    """Make the legend: the verdicts that occur, and the limits that were drawn."""
    from matplotlib.lines import Line2D

    ink = style.INK
    found: list[Any] = []
    for verdict, (marker, filled) in _MARKERS.items():
        if any(cell.verdict == verdict for cell in cells):
            found.append(
                Line2D(
                    [],
                    [],
                    ls="none",
                    marker=marker,
                    ms=_MARK_PT,
                    mew=1.2,
                    color=ink,
                    mfc=ink if filled else "none",
                    label=verdict,
                )
            )
    lines = {"limit": "critical rate λ*", "theorem1": "Theorem 1's limit"}
    by_limit = {
        "limit": [cell.limit for cell in cells],
        "theorem1": [limit_of(own, "theorem1") for own in by_row(cells).values() if differs(own)],
    }
    for kind, text in lines.items():
        # A limit beyond the axis is no line that anybody could look for.
        if any(scale.low <= limit <= scale.high for limit in by_limit[kind]):
            found.append(
                Line2D([], [], color=style.VERMILION, ls=_dashes(kind), lw=1.6, label=text)
            )
    return found


def _x_label(scale: _Scale) -> str:
    if scale.relative:
        return "arrival rate λ / critical rate λ*"
    return "arrival rate λ per node (prompts/s)"


def _name(key: str) -> str:
    """Name a key as the field does, or as the scenario does."""
    return _NAMES.get(key, key)


def _written(value: Place) -> str:
    if isinstance(value, float):
        return style.number(value)
    return "none" if value is None else str(value)
