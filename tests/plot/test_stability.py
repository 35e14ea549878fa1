"""Stability curves: which lines and marks stand where."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest
from matplotlib.colors import to_hex

from dmoa import plot as figures
from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.trace import Estimate

# The data of matplotlib's artists are typed as almost anything.
plot: Any = figures


def point(rate, mean, verdict="stable", **others):
    return {
        "layers": 1,
        "proposers": 1,
        "arrival_rate_hz": rate,
        "queue_length": {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean},
        "verdict": verdict,
        "critical_rate_hz": 0.25,
        "theorem1_critical_rate_hz": 0.25,
        **others,
    }


def limits(own, theorem1=None):
    return {"critical_rate_hz": own, "theorem1_critical_rate_hz": theorem1}


def uprights(ax):
    """Where lines from the bottom to the top stand."""
    return {line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_curve_goes_through_its_points_in_order_of_the_rate():
    ax = plot.stability_curves([point(0.2, 4.0), point(0.1, 0.5)])
    curve = ax.lines[0]
    assert list(curve.get_xdata()) == [0.1, 0.2]
    assert list(curve.get_ydata()) == [0.5, 4.0]
    assert ax.get_yscale() == "linear"


def test_the_axis_is_logarithmic_where_small_means_would_vanish():
    ax = plot.stability_curves([point(0.1, 0.1), point(0.2, 40.0)])
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] > 0


def test_the_limit_stands_at_lambda_star_and_theorem_1_only_where_it_differs():
    same = plot.stability_curves([point(0.1, 0.5)])
    assert uprights(same) == {0.25}
    differs = plot.stability_curves([point(0.1, 0.5, **limits(0.11, 0.3333))])
    assert uprights(differs) == {0.11, 0.3333}
    assert legend(differs)[0] == "M = 1, k = 1\n  λ* = 0.11, Thm 1: 0.333"
    assert "Theorem 1's limit" in legend(differs)
    assert "Theorem 1's limit" not in legend(same)


def test_the_ground_is_shaded_from_the_limit_on():
    ax = plot.stability_curves([point(0.1, 0.5), point(0.3, 50.0, "unstable")])
    (shade,) = ax.patches
    assert shade.get_x() == pytest.approx(0.25)
    assert shade.get_x() + shade.get_width() == pytest.approx(ax.get_xlim()[1])
    assert [text.get_text() for text in ax.texts] == ["unstable"]
    assert "beyond λ*" not in legend(ax)


def test_plans_with_different_limits_have_strips_of_their_own_colour():
    ax = plot.stability_curves(
        [point(0.1, 0.5), point(0.3, 9.0), point(0.3, 0.4, layers=0, proposers=0, **limits(1.0))]
    )
    (strip,) = ax.patches  # λ* = 1 lies beyond the axis
    assert strip.get_x() == pytest.approx(0.25)
    assert to_hex(strip.get_facecolor()).upper() == style.VERMILION
    assert "beyond λ*" in legend(ax)
    assert not ax.texts  # no ground on which every plan is unstable


@pytest.mark.parametrize("limit", [5.0, nan, None])
def test_nothing_is_shaded_below_every_limit_or_without_one(limit):
    ax = plot.stability_curves([point(0.1, 0.5, **limits(limit))])
    assert not ax.patches
    assert not ax.texts
    assert ("critical rate λ*" in legend(ax)) == (limit == 5.0)


def test_verdicts_have_marks_of_their_own():
    rows = [point(0.1, 1), point(0.2, 2, "undetermined"), point(0.3, 3, "unstable")]
    marks = {
        tuple(line.get_xdata()): (line.get_marker(), line.get_markerfacecolor())
        for line in plot.stability_curves(rows).lines
        if line.get_marker() in {"o", "x"}
    }
    assert marks[0.1,][0] == marks[0.2,][0] == "o"
    assert marks[0.1,][1] == style.BLUE
    assert marks[0.2,][1] == "white"
    assert marks[0.3,][0] == "x"


def test_intervals_are_drawn_as_bars():
    ax = plot.stability_curves([point(0.1, 10.0), point(0.2, 20.0)])
    (bars,) = ax.containers
    ends = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
    assert ends == [[pytest.approx(9), pytest.approx(11)], [pytest.approx(18), pytest.approx(22)]]


def test_a_curve_under_another_is_wider_so_that_both_are_seen():
    rows = [point(rate, 1.0, proposers=k) for k in (2, 3) for rate in (0.1, 0.2)]
    ax = plot.stability_curves(rows)
    below, above = (line for line in ax.lines if line.get_linestyle() == "-")
    assert below.get_linewidth() > above.get_linewidth()


def test_rows_of_a_sweep_are_read_with_their_own_names():
    pandas = pytest.importorskip("pandas")
    row = {
        "plan.layers": 1,
        "plan.proposers": 2,
        "arrivals.arrival_rate_hz": 0.1,
        "queue_length_mean": 0.5,
        "queue_length_low": 0.4,
        "queue_length_high": 0.6,
        "verdict": "stable",
        "critical_rate_hz": 0.25,
        "theorem1_critical_rate_hz": 0.25,
    }
    ax = plot.stability_curves(pandas.DataFrame([row]))
    assert list(ax.lines[0].get_ydata()) == [0.5]
    assert legend(ax)[0] == "M = 1, k = 2\n  λ* = 0.25"


def test_estimates_are_read_as_well_as_mappings():
    row = {**point(0.1, 0), "queue_length": Estimate(0.5, 0.4, 0.6)}
    assert list(plot.stability_curves([row]).lines[0].get_ydata()) == [0.5]


def test_a_mean_of_zero_does_not_break_the_scale():
    assert plot.stability_curves([point(0.1, 0.0)]).get_ylim()[1] > 0


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "points: stability curves need 1 to 100,000 points, but 0 was given"),
        ([point(0.1, 1), point(0.1, 2)], "two points have the same plan and arrival rate"),
        ([{"layers": 1}], r"points\[0\]: proposers must be a finite number"),
        ([{**point(0.1, 1), "arrival_rate_hz": "fast"}], "arrival_rate_hz must be a finite"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(points, said):
    with pytest.raises(ScenarioError, match=said):
        plot.stability_curves(points)
