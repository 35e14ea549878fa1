"""Phase diagrams: which cells, marks and lines stand where."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from dmoa import plot as figures
from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.plot.phase import PANELS_MAX

# The data of matplotlib's artists are typed as almost anything.
plot: Any = figures
LAMBDA = "arrivals.arrival_rate_hz"


def point(rate, k, mean=1.0, verdict="stable", limit: float | None = 0.25, **others):
    return {
        LAMBDA: rate,
        "plan.proposers": k,
        "queue_length_mean": mean,
        "verdict": verdict,
        "status": "finished",
        "critical_rate_hz": limit,
        "theorem1_critical_rate_hz": limit,
        **others,
    }


def rows_of(ax):
    """The values of the cells of each row, by its place on the y axis, and their borders."""
    meshes: list[Any] = [one for one in ax.collections if isinstance(one, QuadMesh)]
    return {
        float(mesh.get_coordinates()[:, 0, 1].mean()): (
            mesh.get_array().ravel().tolist(),
            mesh.get_coordinates()[0, :, 0].tolist(),
        )
        for mesh in meshes
    }


def marks(ax):
    """The marks by place: marker and whether they are filled."""
    return {
        (x, y): (line.get_marker(), line.get_markerfacecolor() != "none")
        for line in ax.lines
        if line.get_marker() not in {"None", "", None}
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def steps(ax, linestyle):
    return [
        list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in ax.lines
        if line.get_color() == style.VERMILION and line._unscaled_dash_pattern[1] == linestyle[1]
    ]


def legend(owner):
    return [text.get_text() for text in owner.get_texts()]


def labels(ticks):
    return [text.get_text() for text in ticks]


def test_a_cell_reaches_half_way_to_its_neighbours_and_has_the_mean_of_its_point():
    ax = plot.phase_diagram([point(0.3, 1, 9.0), point(0.1, 1, 0.5), point(0.2, 1, 2.0)],
                            "plan.proposers")  # fmt: skip
    means, borders = rows_of(ax)[0.0]
    assert means == [0.5, 2.0, 9.0]
    assert borders == pytest.approx([0.05, 0.15, 0.25, 0.35])
    assert ax.get_xlim() == pytest.approx((0.05, 0.35))
    assert ax.get_xscale() == "linear"


def test_rates_of_several_magnitudes_are_equally_wide():
    ax = plot.phase_diagram([point(rate, 1) for rate in (0.01, 0.1, 1.0)], "plan.proposers")
    assert ax.get_xscale() == "log"
    widths = np.diff(np.log(rows_of(ax)[0.0][1]))
    assert widths == pytest.approx([widths[0]] * 3)
    assert labels(ax.get_xticklabels()) == ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5",
                                            "1", "2"]  # fmt: skip


def test_rows_are_sorted_and_may_have_rates_of_their_own():
    found = [point(rate, 10) for rate in (0.2, 0.4)] + [point(rate, 2) for rate in (0.1, 0.3)]
    ax = plot.phase_diagram(found, "plan.proposers")
    assert labels(ax.get_yticklabels()) == ["2", "10"]
    assert rows_of(ax)[0.0][1] == pytest.approx([0, 0.2, 0.4])
    assert rows_of(ax)[1.0][1] == pytest.approx([0.1, 0.3, 0.5])


def test_texts_keep_their_order_and_lists_are_written_out():
    found = [point(0.1, value) for value in ("ring", "grid", None, [1.0, 2.5])]
    ax = plot.phase_diagram(found, "plan.proposers")
    assert labels(ax.get_yticklabels()) == ["ring", "grid", "none", "[1.0,2.5]"]


def test_verdicts_have_the_marks_of_stability_curves():
    found = [
        point(0.1, 1, 0.1),
        point(0.2, 1, 2.0, "undetermined"),
        point(0.3, 1, 90.0, "unstable"),
        point(0.4, 1, None, None, None, status="failed"),
    ]
    ax = plot.phase_diagram(found, "plan.proposers")
    assert marks(ax) == {
        (0.1, 0): ("o", True), (0.2, 0): ("o", False), (0.3, 0): ("x", True), (0.4, 0): ("_", True)
    }  # fmt: skip
    said = legend(ax.get_legend())
    assert said == ["stable", "unstable", "undetermined", "failed", "critical rate λ*"]
    # A point that failed has no colour.
    assert rows_of(ax)[0.0][0] == [0.1, 2.0, 90.0, None]


def test_marks_are_light_on_dark_cells_and_dark_on_light_ones():
    ax = plot.phase_diagram([point(0.1, 1, 0.01), point(0.2, 1, 100.0)], "plan.proposers")
    inks = {line.get_xdata()[0]: line.get_color() for line in ax.lines if line.get_marker() == "o"}
    assert inks == {0.1: "white", 0.2: style.INK}


def test_marks_stay_within_narrow_cells():
    def size(count):
        found = [point(0.1 + 0.2 * place / count, 1) for place in range(count)]
        ax = plot.phase_diagram(found, "plan.proposers")
        return next(line.get_markersize() for line in ax.lines if line.get_marker() == "o")

    assert size(5) == pytest.approx(5.5)
    assert size(200) < 2


def test_the_limit_steps_through_the_rows_and_theorem_1_only_where_it_differs():
    found = [point(rate, 1, limit=0.15) for rate in (0.1, 0.2)]
    found += [point(rate, 2, limit=0.12) for rate in (0.1, 0.2)]
    ax = plot.phase_diagram(found, "plan.proposers")
    (own,) = steps(ax, style.THEORY_DASHES)
    assert own == [(0.15, -0.5), (0.15, 0.5), (0.12, 0.5), (0.12, 1.5)]
    assert not steps(ax, style.THEOREM1_DOTS)
    assert "Theorem 1's limit" not in legend(ax.get_legend())

    found[0]["theorem1_critical_rate_hz"] = found[1]["theorem1_critical_rate_hz"] = 0.19
    ax = plot.phase_diagram(found, "plan.proposers")
    (theorem1,) = steps(ax, style.THEOREM1_DOTS)
    assert [x for x, _ in theorem1] == [0.19, 0.19, 0.12, 0.12]
    assert legend(ax.get_legend())[-1] == "Theorem 1's limit"


def test_a_limit_beyond_the_axis_is_not_in_the_legend():
    found = [point(rate, 1, limit=0.15, theorem1_critical_rate_hz=0.9) for rate in (0.1, 0.2)]
    ax = plot.phase_diagram(found, "plan.proposers")
    assert legend(ax.get_legend()) == ["stable", "critical rate λ*"]


@pytest.mark.parametrize("limit", [nan, None])
def test_without_theory_there_is_no_line(limit):
    ax = plot.phase_diagram([point(0.1, 1, limit=limit)], "plan.proposers")
    assert legend(ax.get_legend()) == ["stable"]


def test_relative_rates_are_shares_of_each_points_own_limit():
    found = [point(0.1, 1, limit=0.2), point(0.2, 1, limit=0.2), point(0.05, 2, limit=0.1)]
    found.append(point(0.4, 2, None, None, None, status="failed"))
    ax = plot.phase_diagram(found, "plan.proposers", relative=True)
    assert set(marks(ax)) == {(0.5, 0), (1.0, 0), (0.5, 1)}
    assert {x for x, _ in steps(ax, style.THEORY_DASHES)[0]} == {1.0}
    assert ax.get_xlabel() == "arrival rate λ / critical rate λ*"


def test_queues_of_nothing_do_not_break_the_scale():
    ax = plot.phase_diagram([point(0.1, 1, 0.0), point(0.2, 1, nan)], "plan.proposers")
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "mean queue length Lq\nper node (tasks)"
    assert rows_of(ax)[0.0][0] == [pytest.approx(0.1), None]


def test_a_frame_of_a_sweep_is_drawn_into_given_axes():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([point(0.1, 1), point(0.2, 1, None, None, None, status="failed")])
    _, ax = figure_and_axes()
    assert plot.phase_diagram(frame, "plan.proposers", ax) is ax
    assert marks(ax)[0.2, 0] == ("_", True)


def figure_and_axes():
    from matplotlib.figure import Figure

    figure = Figure()
    return figure, figure.add_subplot()


# --- panels ---------------------------------------------------------------------------------


def plans(layers, proposers=(1, 2)):
    return [
        point(rate, k, mean=10 * rate * k, **{"plan.layers": m})
        for m in layers
        for k in proposers
        for rate in (0.1, 0.2)
    ]


def test_panels_share_their_scales_and_each_has_its_title():
    figure = plot.phase_panels(plans([2, 1]), "plan.proposers", "plan.layers")
    first, second, bar = figure.axes
    assert [ax.get_title("left") for ax in (first, second)] == ["layers M = 1", "layers M = 2"]
    assert first.get_xlim() == second.get_xlim()
    norms = {mesh.norm for ax in (first, second) for mesh in ax.collections}
    assert len(norms) == 1
    assert bar.get_ylim() == pytest.approx((1.0, 4.0))
    assert legend(figure.legends[0]) == ["stable", "critical rate λ*"]


def test_labels_stand_at_the_outer_panels():
    figure = plot.phase_panels(plans(range(4)), "plan.proposers", "plan.layers")
    axes = figure.axes[:4]
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, True, True]
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, False, True, False]


def test_panels_with_rows_of_their_own_say_which():
    found = plans([1]) + plans([2], proposers=(3, 4, 5))
    figure = plot.phase_panels(found, "plan.proposers", "plan.layers", columns=2)
    assert [labels(ax.get_yticklabels()) for ax in figure.axes[:2]] == [["1", "2"], ["3", "4", "5"]]
    assert [ax.get_ylabel() for ax in figure.axes[:2]] == ["proposers k", "proposers k"]


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "points: a phase diagram has 1 to 10,000 points, but 0 was given"),
        ([point(0.1, 1)] * 10_001, "a phase diagram has 1 to 10,000 points, but 10001 was given"),
        ([point(0.1, 1), point(0.1, 1)], "two points have the same place"),
        ([{LAMBDA: 0.1}], r"points\[0\]: lacks plan.proposers"),
        ([point(None, 1)], r"points\[0\]: arrivals.arrival_rate_hz must be a number above 0"),
        ([point(-1.0, 1)], "arrivals.arrival_rate_hz must be a number above 0"),
        ([point(0.1, 1, verdict="fine")], "must be one of stable, unstable, undetermined, but"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(points, said):
    with pytest.raises(ScenarioError, match=said):
        plot.phase_diagram(points, "plan.proposers")


@pytest.mark.parametrize("limit", [None, 0.0, nan])
def test_relative_rates_need_a_limit(limit):
    with pytest.raises(ScenarioError, match="must be a number above 0, and so must λ"):
        plot.phase_diagram([point(0.1, 1, limit=limit)], "plan.proposers", relative=True)


def test_too_many_panels_are_refused():
    with pytest.raises(ScenarioError, match=f"at most {PANELS_MAX} panels"):
        plot.phase_panels(plans(range(PANELS_MAX + 1)), "plan.proposers", "plan.layers")
