"""The house style of all figures: colours that everybody can tell apart, thin lines, no frame.

Nothing here touches matplotlib's global state: a figure is made with its own canvas, and each
artist is told its style, so that figures drawn into a user's own axes keep the user's settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito, "Color Universal Design" (2008), darkest hues first.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
YELLOW = "#F0E442"
BLACK = "#000000"

CURVES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Colours of curves, in order; yellow is too light for a thin line on white."""

INK = "#222222"
MUTED = "#8A8A8A"
FAINT = "#D0D0D0"

TITLE_PT, LABEL_PT, TICK_PT, NOTE_PT = 10.0, 9.0, 8.0, 7.5
LINE_PT, THIN_PT = 1.5, 0.7
_LEGEND_IN = 4.9

THEORY_DASHES = (0, (4, 2))
"""Theory is dashed in every figure, measurement solid."""

THEOREM1_DOTS = (0, (1, 1.5))
"""Theorem 1's limit is dotted where it is another than λ*."""

VERDICTS = {"stable": ("o", True), "unstable": ("x", True), "undetermined": ("o", False)}
"""The marker of each verdict, and whether it is filled."""


def axes_for(ax: Axes | None, width_in: float = 6.4, height_in: float = 4.0) -> Axes:
    """Give the axes to draw into: those given, or a new figure's own, with an Agg canvas.

    Args:
        ax: the caller's axes, or None.
        width_in: width of a new figure in inches.
        height_in: its height.

    >>> axes_for(None).figure.canvas.__class__.__name__
    'FigureCanvasAgg'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: it takes long
    from matplotlib.figure import Figure

    if ax is None:
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
    ax.tick_params(labelsize=TICK_PT, width=THIN_PT, length=3, color=MUTED, labelcolor=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_linewidth(THIN_PT)
        spine.set_color(MUTED)
    return ax


def label(ax: Axes, *, title: str = "", x: str = "", y: str = "", below: str = "") -> None:
    """Write the title, set to the left, lines below it, and the axes' labels with their units."""
    pad = 8 + 10 * len(below.splitlines()) if below else None
    ax.set_title(title, loc="left", fontsize=TITLE_PT, color=INK, pad=pad)
    if below:
        ax.annotate(
            below,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 5),
            textcoords="offset points",
            va="bottom" if "\n" in below else "baseline",
            fontsize=TICK_PT,
            color=INK,
        )
    ax.set_xlabel(x, fontsize=LABEL_PT, color=INK)
    ax.set_ylabel(y, fontsize=LABEL_PT, color=INK)


def legend_below(ax: Axes, columns: int = 3, **options: Any) -> None:
    """Put the legend below the axes, where it hides nothing; in narrow ones with fewer columns."""
    from matplotlib.transforms import ScaledTranslation

    # A legend wider than its axes would take the place of their neighbours.
    width_in = ax.get_window_extent().width / ax.figure.dpi
    columns = max(1, int(columns * min(1.0, width_in / _LEGEND_IN)))
    # A distance in points, below the axis' label, however high the figure is.
    below = ScaledTranslation(-0.05, -0.42, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        frameon=False,
        ncols=columns,
        fontsize=NOTE_PT,
        labelcolor=INK,
        handlelength=1.8,
        columnspacing=1.4,
        borderaxespad=0,
        **options,
    )


def readable_on(red: float, green: float, blue: float) -> str:
    """Choose white or dark ink for text on a ground of this colour, parts from 0 to 1.

    >>> readable_on(0, 0, 0.5), readable_on(1, 1, 0)
    ('white', '#222222')
    """
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK


def say_nothing_to_draw(ax: Axes, reason: str) -> Axes:
    """Write why a figure is empty into its middle: better than to fail after a long run."""
    ax.text(
        0.5,
        0.5,
        reason,
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=LABEL_PT,
        color=MUTED,
    )
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def number(value: float) -> str:
    """Write a number with three significant digits, without an exponent where it is short.

    >>> number(0.14285), number(20), number(1234.5), number(2.5e6)
    ('0.143', '20', '1,234', '2.5e+06')
    """
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}"
