"""Names of nodes in a drawing: into the nodes where they fit, else beside them without clashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmoa.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmoa.trace.meter import Floats

Box = tuple[float, float, float, float]

_WIDTH = 0.6
"""Width of a character by the font's size, about."""

_FONT_MIN = 5.0
_BESIDE_PT = 7.0
_GAP_PT = 5.0
"""From a node to its name: room for the ring of a bottleneck."""

_UNIT_PT = 400.0
"""Points to a unit of the layout, about: labels are placed before the figure has its size."""


def font_inside(names: Sequence[str], diameter_pt: float) -> float | None:
    """Give the size of the font with which all names fit into their nodes, if there is one.

    >>> font_inside(["10", "11"], 20.0), font_inside(["Berlin"], 10.0)
    (9.0, None)
    """
    longest = max(map(len, names))
    fits = min(0.9 * diameter_pt / (_WIDTH * longest), style.LABEL_PT)
    return fits if fits >= _FONT_MIN else None


def write_inside(
    ax: Axes, names: Sequence[str], places: Floats, inks: Sequence[str], font: float
) -> None:
    """Write each name into its node, in an ink that can be read on the node's colour."""
    for name, place, ink in zip(names, places, inks, strict=True):
        ax.annotate(name, place, ha="center", va="center", fontsize=font, color=ink, zorder=5)


def write_beside(
    ax: Axes, names: Sequence[str], places: Floats, shown: Iterable[int], diameter_pt: float
) -> None:
    """Write names below, above or beside their nodes, wherever they hide least."""
    from matplotlib.patheffects import withStroke

    points = places * _UNIT_PT
    half = diameter_pt / 2
    taken: list[Box] = [(x - half, y - half, x + half, y + half) for x, y in points]
    for node in shown:
        wide, high = _WIDTH * _BESIDE_PT * len(names[node]), 1.2 * _BESIDE_PT
        sides = [
            (0, -1),
            (0, 1),
            (1, 0),
            (-1, 0),
            (0.8, -0.8),
            (-0.8, -0.8),
            (0.8, 0.8),
            (-0.8, 0.8),
        ]
        boxes = []
        for right, up in sides:
            x = points[node, 0] + right * (half + _GAP_PT + wide / 2)
            y = points[node, 1] + up * (half + _GAP_PT + high / 2)
            boxes.append((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2))
        costs = [sum(_shared(box, other) for other in taken) for box in boxes]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        right, up = sides[best]
        ax.annotate(
            names[node],
            places[node],
            xytext=(right * (half + _GAP_PT), up * (half + _GAP_PT)),
            textcoords="offset points",
            fontsize=_BESIDE_PT,
            color=style.INK,
            zorder=5,
            ha=("right", "center", "left")[int(np.sign(right)) + 1],
            va=("top", "center", "bottom")[int(np.sign(up)) + 1],
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )


def _shared(one: Box, other: Box) -> float:
    """Give the area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)
