"""The overlay: who may ask whom, who is loaded how much, and who saturates first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.plot.layout import place_nodes
from dmoa.plot.loads import bottlenecks, overlay_name, saturation
from dmoa.plot.node_labels import font_inside, write_beside, write_inside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    from dmoa.scenario import Setup
    from dmoa.trace.meter import Floats

NODES_MAX = 2000
_LABELLED_MAX = 40
_MOST_LOADED = 5
_BESIDE_DIAMETER_MAX = 11.0
_DIAMETER_MIN = 1.0
_MARGIN = 0.08
# Nodes are at most this wide, in units of the distance of the two that are nearest to each other.
_FILLED_MAX = 0.85
# Even if nothing is far beyond the limit, the colours beyond it reach this far.
_SCALE_TOP_MIN = 1.5
_BELOW = ("#F3F7FA", "#8FC3E3", "#0072B2", "#00436B")
_BEYOND = ("#F5B183", "#D55E00", "#7A2E00")


def overlay(setup: Setup, load: Sequence[float], ax: Axes | None = None) -> Axes:
    """Draw the overlay, its nodes coloured by offered load a_i, the bottleneck ringed.

    Blue nodes are below the limit, orange ones beyond it: their queues grow. Where nodes serve
    several tasks at once, the colour is the load by slots, a_i / slots_i, and where their tasks
    share a processor the load by that at which the node saturates. Nodes stand where the overlay
    says they are, else where a layout without chance puts them.

    Args:
        setup: a resolved scenario of at most 2000 nodes.
        load: offered loads in Erlang (n,), as in ``bound(setup).offered_load``.
        ax: where to draw; None: a new figure.

    Raises:
        ScenarioError: there are too many nodes, or not one load for each.

    >>> from dmoa import study
    >>> from dmoa.scenario import load
    >>> setup = study.prepare(load("ring"))
    >>> overlay(setup, study.bound(setup).offered_load).get_title(loc="left")
    'ring, 8 nodes: λ = 0.2/s per node, M = 1, k = 2'
    """
    n = len(setup.names)
    if n > NODES_MAX:
        raise ScenarioError(
            f"an overlay is drawn with at most {NODES_MAX} nodes",
            path="overlay.nodes",
            given=n,
            remedy="draw a smaller overlay of the same kind",
        )
    if len(load) != n:
        raise ScenarioError(
            f"must hold one offered load for each of the {n} nodes",
            path="load",
            given=len(load),
            remedy="take it from bound(setup).offered_load",
        )
    places, filled = place_nodes(setup), saturation(setup, load)
    height = float(np.ptp(places[:, 1]))
    ax = style.axes_for(ax, 7.0, float(np.clip(1.6 + 5.0 * height, 2.2, 5.6)))
    diameter = min(float(np.clip(77 / n**0.5, 5, 22)), _widest(ax, places))
    if font_inside(setup.names, diameter) is None:
        diameter = min(diameter, _BESIDE_DIAMETER_MAX)
    tied = bottlenecks(setup, load)
    _draw_edges(ax, setup, places, diameter)
    top = float(filled.max())
    top = max(top, _SCALE_TOP_MIN) if top > 1 else 1.0
    nodes = _draw_nodes(ax, places, filled, diameter, top)
    _draw_labels(ax, setup, places, filled, nodes, diameter)
    _ring_bottlenecks(ax, places, tied, diameter)
    _add_colour_bar(ax, nodes, top, _colour_means(setup))
    plan, rates = setup.scenario.plan, setup.arrival_rate_hz
    mean_hz = style.number(sum(rates) / n)
    style.label(
        ax,
        title=f"{overlay_name(setup)}, {n} nodes: λ = {mean_hz}/s per node, "
        f"M = {plan.layers}, k = {plan.proposers}",
        below=_describe(setup, load, tied),
    )
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_aspect("equal", adjustable="box")
    ax.margins(_MARGIN, _MARGIN if height > 0.1 else 2.0)
    return ax


def _widest(ax: Axes, places: Floats) -> float:
    """Find the diameter in points with which no two nodes touch, before the axes have their size.

    The colour bar narrows the axes, but where they are about as wide as high they are so already.
    """
    from scipy.spatial import KDTree  # imported here: it takes longer than the whole command line

    nearest = float(np.asarray(KDTree(places).query(places, 2)[0])[:, 1].min())
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    extent = np.maximum(np.ptp(places, axis=0), 1e-9) * (1 + 2 * _MARGIN)
    unit_pt = 72 * min(box.width / extent[0], box.height / extent[1])
    return max(float(_FILLED_MAX * nearest * unit_pt), _DIAMETER_MIN)


def _draw_edges(ax: Axes, setup: Setup, places: Floats, diameter: float) -> None:
    from matplotlib.collections import LineCollection

    pairs = {(i, j) for i, own in enumerate(setup.peers) for j in own}
    both = sorted((i, j) for i, j in pairs if (j, i) in pairs and i < j)
    # Many edges are drawn lighter, so that the nodes stay in front.
    shade = float(np.clip(60 / max(len(pairs), 1), 0.07, 0.8))
    ax.add_collection(
        LineCollection(
            [[places[i], places[j]] for i, j in both],
            colors=style.INK,
            linewidths=0.8,
            alpha=shade,
            zorder=1,
        ),
        autolim=False,
    )
    for i, j in sorted((i, j) for i, j in pairs if (j, i) not in pairs):
        ax.annotate(
            "",
            places[j],
            places[i],
            zorder=1,
            arrowprops={
                "arrowstyle": "->",
                "color": style.INK,
                "lw": 0.8,
                "alpha": shade,
                "shrinkA": diameter / 2,
                "shrinkB": diameter / 2,
            },
        )


def _draw_nodes(
    ax: Axes, places: Floats, filled: Floats, diameter: float, top: float
) -> PathCollection:
    colours, norm = _scale(top)
    return ax.scatter(
        places[:, 0],
        places[:, 1],
        s=diameter**2,
        c=filled,
        cmap=colours,
        norm=norm,
        edgecolors=style.INK,
        linewidths=0.6,
        zorder=3,
    )


def _scale(top: float) -> tuple[LinearSegmentedColormap, Normalize]:
    """Make the colours: blue from 0 to 1, orange from 1 up, with a jump at the limit."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm

    if top <= 1:
        return LinearSegmentedColormap.from_list("load", _BELOW), Normalize(0, 1)
    below = [(0.5 * i / (len(_BELOW) - 1), colour) for i, colour in enumerate(_BELOW)]
    beyond = [(0.5 + 0.5 * i / (len(_BEYOND) - 1), colour) for i, colour in enumerate(_BEYOND)]
    colours = LinearSegmentedColormap.from_list("load", below + beyond, N=512)
    return colours, TwoSlopeNorm(1.0, 0.0, top)


def _draw_labels(
    ax: Axes, setup: Setup, places: Floats, filled: Floats, nodes: PathCollection, diameter: float
) -> None:
    """Name the nodes; of many whose names do not fit into them, those with the highest loads."""
    names = setup.names
    font = font_inside(names, diameter)
    if font is not None:
        colours = np.asarray(nodes.cmap(np.asarray(nodes.norm(filled))))
        inks = [style.readable_on(*colour[:3]) for colour in colours]
        write_inside(ax, names, places, inks, font)
        return
    by_load = np.argsort(-filled, kind="stable").tolist()
    shown = by_load if len(names) <= _LABELLED_MAX else by_load[:_MOST_LOADED]
    write_beside(ax, names, places, shown, diameter)


def _ring_bottlenecks(ax: Axes, places: Floats, tied: Sequence[int], diameter: float) -> None:
    """Ring the nodes that saturate first; where most do, rings would say nothing."""
    if 2 * len(tied) <= len(places):
        chosen = places[list(tied)]
        ax.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=(diameter + 5) ** 2,
            facecolors="none",
            edgecolors=style.VERMILION,
            linewidths=1.8,
            zorder=4,
        )


def _describe(setup: Setup, load: Sequence[float], tied: Sequence[int]) -> str:
    most = f"offered load a = {style.number(load[tied[0]])}"
    if len(tied) == len(setup.names):
        return f"all nodes equal, {most}"
    if len(tied) == 1:
        return f"bottleneck: node {setup.names[tied[0]]}, {most}"
    return f"{len(tied)} equal bottlenecks, {most}"


def _colour_means(setup: Setup) -> str:
    if setup.shares_processor:
        return "offered load by capacity"
    return f"offered load {'by slots a / slots' if max(setup.slots) > 1 else 'a'} (Erlang)"


def _add_colour_bar(ax: Axes, nodes: PathCollection, top: float, meaning: str) -> None:
    bar = ax.figure.colorbar(nodes, ax=ax, shrink=0.8, pad=0.02, aspect=28)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    if top > 1:
        ticks += [1 + (top - 1) / 2, top]
    bar.set_ticks(ticks, labels=[style.number(tick) for tick in ticks])
    bar.ax.axhline(1.0, color=style.INK, lw=1.6)
    bar.ax.tick_params(labelsize=style.TICK_PT, length=2)
    bar.outline.set_visible(False)
    bar.set_label(meaning, fontsize=style.LABEL_PT, color=style.INK)
