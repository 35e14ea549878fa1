"""Figures of simulations: what they show is what was measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dmoa import plot as figures
from dmoa import study
from dmoa.errors import ScenarioError
from dmoa.plot import style
from dmoa.plot.loads import asked_hz
from dmoa.plot.queues import CELLS
from dmoa.scenario import load
from dmoa.trace import ANSWERED, UNFINISHED, Meter, measure, series, sojourn_time_s

# The data of matplotlib's artists are typed as almost anything.
plot: Any = figures


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


# --- queue length over time -------------------------------------------------------------------


def test_each_node_has_a_line_of_exact_averages(ring):
    ax = plot.queue_length_over_time(ring)
    track = ring.tracks[0]
    lines = [line for line in ax.lines if len(line.get_xdata()) == CELLS]
    assert len(lines) == 8
    highlighted = next(line for line in lines if line.get_label().startswith("node 0"))
    grid_s = np.linspace(0, track.end_s, CELLS + 1)
    assert highlighted.get_ydata() == pytest.approx(series(track, "waiting", grid_s, 0))
    means = sorted(float(np.mean(line.get_ydata())) for line in lines)
    assert means == pytest.approx(sorted(measure(track).queue_length))


def test_below_the_limit_theory_gives_the_mean(ring):
    ax = plot.queue_length_over_time(ring)
    assert "node 0, one of 8 equal bottlenecks" in legend(ax)
    assert "theory: mean 3.2 (approximation)" in legend(ax)  # ρ² / (1 - ρ) at ρ = 0.8


def test_beyond_the_limit_theory_gives_the_growth(star):
    ax = plot.queue_length_over_time(star)
    assert "node 0, bottleneck" in legend(ax)
    assert "theory: tasks owed to it, + 0.8/s" in legend(ax)
    line = next(line for line in ax.lines if line.get_label().startswith("theory"))
    end_s = star.tracks[0].end_s
    assert list(line.get_xdata()) == [0, end_s]
    assert list(line.get_ydata()) == [0, pytest.approx(0.8 * end_s)]


def test_lines_that_end_together_share_a_label(star):
    labels = [text for text in texts(plot.queue_length_over_time(star)) if text]
    assert labels[0] == "0"
    assert sum("more" in label for label in labels) >= 1


def test_every_line_is_named_or_counted_where_it_ends(ring):
    labels = texts(plot.queue_length_over_time(ring))
    more = [int(label.split(" and ")[1].split()[0]) for label in labels if "more" in label]
    assert len(labels) + sum(more) == 8


def test_a_legend_below_narrow_axes_leaves_their_neighbour_its_place(ring):
    page = Figure(figsize=(12, 4), layout="constrained")
    left, right = page.subplots(1, 2)
    plot.queue_length_over_time(dataclasses.replace(ring, warmup_s=30.0), left)
    page.draw_without_rendering()
    legend_end = left.get_legend().get_window_extent().x1
    assert legend_end < right.get_window_extent().x0
    assert left.get_window_extent().width > 0.38 * page.bbox.width


def test_the_warmup_is_marked_where_there_is_one(ring):
    ax = plot.queue_length_over_time(dataclasses.replace(ring, warmup_s=30.0))
    assert "end of the warm-up, 30 s" in legend(ax)
    ax = plot.queue_length_over_time(dataclasses.replace(ring, warmup_s=0.0))
    assert not any("warm-up" in label for label in legend(ax))


def test_many_nodes_are_drawn_as_bands():
    sets = ["overlay.nodes=14", "run.horizon_s=100", "run.replications=1"]
    ax = plot.queue_length_over_time(study.simulate(load("ring", sets), workers=1))
    assert legend(ax)[:3] == ["5 to 95 % of the 14 nodes", "25 to 75 %", "median"]
    assert len([line for line in ax.lines if len(line.get_xdata()) == CELLS]) == 2


def test_without_a_known_mean_no_theory_is_drawn():
    sets = ["station.slots=2", "run.horizon_s=50", "run.replications=1"]
    ax = plot.queue_length_over_time(study.simulate(load("ring", sets), workers=1))
    assert not any("theory" in label for label in legend(ax))


def test_a_track_alone_highlights_its_longest_queue(star):
    assert legend(plot.queue_length_over_time(star.tracks[0])) == ["node 0, longest queue"]


def test_a_run_without_length_says_so():
    ax = plot.queue_length_over_time(Meter(["a", "b"]).track(0.0))
    assert texts(ax) == ["the run ended as it began"]


@pytest.mark.parametrize("topology", ["star", "grid", "karate"])
def test_tasks_reach_a_node_at_the_rate_of_its_load(topology):
    setup = study.prepare(load("ring", [f"overlay.topology={topology}"]))
    rates = [asked_hz(setup, node) for node in range(len(setup.names))]
    assert rates == pytest.approx(study.bound(setup).offered_load)  # service takes 1 s


def test_weighted_choice_counts_in_the_rate_of_tasks():
    sets = ["overlay.topology=karate", "plan.selection=weighted", "plan.weights=best"]
    setup = study.prepare(load("ring", sets))
    rates = [asked_hz(setup, node) for node in range(len(setup.names))]
    assert rates == pytest.approx(study.bound(setup).offered_load)


# --- sojourn times ----------------------------------------------------------------------------


def answered_s(result):
    parts = []
    for track in result.tracks:
        chosen = track.prompts.outcome == ANSWERED
        chosen &= track.prompts.ended_s >= result.warmup_s
        parts.append(sojourn_time_s(track.prompts)[chosen])
    return np.concatenate(parts)


def test_the_curve_is_the_fraction_that_takes_longer(ring):
    ax = plot.sojourn_distribution(ring)
    times_s = answered_s(ring)
    pooled = next(line for line in ax.lines if "prompts of 2 replications" in line.get_label())
    assert f"{len(times_s):,} prompts" in pooled.get_label()
    for at_s, fraction in list(zip(*pooled.get_data(), strict=True))[::20]:
        assert fraction == pytest.approx((times_s >= at_s).mean())
    assert ax.get_yscale() == "log"


def test_percentiles_and_means_are_written(ring):
    ax = plot.sojourn_distribution(ring)
    median, *_, last = np.quantile(answered_s(ring), [0.5, 0.95, 0.99])
    assert f"50 %: {median:.3g} s" in texts(ax)
    assert f"99 %: {last:.3g} s" in texts(ax)
    estimate = ring.summary["sojourn_time_s"]
    assert any(label.startswith(f"mean {estimate.mean:.3g} s (95 %:") for label in legend(ax))
    (band,) = ax.patches
    assert band.get_x() == pytest.approx(estimate.low)
    assert band.get_x() + band.get_width() == pytest.approx(estimate.high)
    assert not any(label.startswith("theory") for label in legend(ax))  # none with link delays


def test_theory_s_mean_is_drawn_where_a_formula_holds(star):
    limit = msgspec.structs.replace(star.theory, sojourn_time_s=7.5)
    stable = dataclasses.replace(star, theory=limit)
    assert "theory: mean 7.5 s (approximation)" in legend(plot.sojourn_distribution(stable))


def test_one_replication_has_no_interval_and_growing_queues_are_said(star):
    ax = plot.sojourn_distribution(star)
    assert not ax.patches
    assert len(legend(ax)) == 2  # nothing of theory beyond the limit
    growing = dataclasses.replace(
        star, verdict=dataclasses.replace(star.verdict, status="unstable")
    )
    assert "the queues grow: a longer run would give longer times" in texts(
        plot.sojourn_distribution(growing)
    )


def test_no_answers_give_an_empty_figure_with_the_reason(ring):
    late = dataclasses.replace(ring, warmup_s=1e9)
    assert texts(plot.sojourn_distribution(late)) == ["no prompt was answered after the warm-up"]


# --- one prompt -------------------------------------------------------------------------------


def bars(ax):
    return [
        (bar.get_x(), bar.get_width()) for bar in ax.patches if abs(bar.get_height() - 0.62) < 1e-9
    ]


def test_every_task_has_its_waiting_and_its_service(ring):
    track = ring.tracks[0]
    ax = plot.prompt_timeline(track, origin="3", prompt=5)
    tasks = track.tasks
    own = (tasks.origin == 3) & (tasks.prompt == 5)
    widths = [width for _, width in bars(ax)]
    assert sum(widths[::2]) == pytest.approx((tasks.started_s - tasks.queued_s)[own].sum())
    assert sum(widths[1::2]) == pytest.approx((tasks.ended_s - tasks.started_s)[own].sum())
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert rows[::3] == ["3 (origin)", "3 (origin)"]
    assert set(rows[1:3]) == {"2", "4"}
    assert [text for text in texts(ax) if text] == ["layer 1", "aggregation"]


def test_the_join_is_marked_where_the_next_layer_begins(ring):
    track = ring.tracks[0]
    ax = plot.prompt_timeline(track, origin="3", prompt=5)
    (diamond,) = (line for line in ax.lines if line.get_marker() == "D")
    tasks = track.tasks
    last = (tasks.origin == 3) & (tasks.prompt == 5) & (tasks.stage == 1)
    row = (track.prompts.origin == 3) & (track.prompts.number == 5)
    assert diamond.get_xdata()[0] == pytest.approx(
        float(tasks.queued_s[last][0] - track.prompts.arrived_s[row][0])
    )


def test_the_prompt_chosen_by_itself_has_the_median_sojourn_time(ring):
    track = ring.tracks[0]
    times_s = sojourn_time_s(track.prompts)
    median_s = np.quantile(times_s[track.prompts.outcome == ANSWERED], 0.5, method="lower")
    title = plot.prompt_timeline(track).get_title(loc="left")
    assert title.endswith(f"sojourn time {median_s:.3g} s")


def test_a_node_alone_gives_one_of_its_prompts(ring):
    title = plot.prompt_timeline(ring.tracks[0], origin="6").get_title(loc="left")
    assert "of node 6" in title


def test_unfinished_prompts_are_drawn_until_the_end(star):
    track = star.tracks[0]
    row = int(np.flatnonzero(track.prompts.outcome != ANSWERED)[0])
    origin = track.names[int(track.prompts.origin[row])]
    ax = plot.prompt_timeline(track, origin, int(track.prompts.number[row]))
    assert ax.get_title(loc="left").endswith("unfinished")


def test_a_task_that_is_still_served_is_grey_and_reaches_to_the_end(star):
    track = star.tracks[0]
    task = int(np.flatnonzero(track.tasks.outcome == UNFINISHED)[0])
    origin = track.names[int(track.tasks.origin[task])]
    number = int(track.tasks.prompt[task])
    ax = plot.prompt_timeline(track, origin, number)
    row = (track.prompts.origin == track.tasks.origin[task]) & (track.prompts.number == number)
    arrived_s = float(track.prompts.arrived_s[row][0])
    grey = [bar for bar in ax.patches if to_hex(bar.get_facecolor()).upper() == style.MUTED]
    ends = [bar.get_x() + bar.get_width() for bar in grey]
    assert ends == [pytest.approx(track.end_s - arrived_s)] * len(ends)
    assert ends


def test_long_plans_leave_the_names_out():
    sets = [
        "plan.layers=25",
        "arrivals.arrival_rate_hz=0.001",
        "run.horizon_s=3000",
        "run.replications=1",
    ]
    track = study.simulate(load("ring", sets), workers=1).tracks[0]
    ax = plot.prompt_timeline(track)
    assert len(bars(ax)) == 2 * 76
    assert not ax.get_yticklabels()


def test_strangers_are_refused(ring):
    with pytest.raises(ScenarioError, match="no such node"):
        plot.prompt_timeline(ring.tracks[0], origin="nobody")
    with pytest.raises(ScenarioError, match="no such prompt"):
        plot.prompt_timeline(ring.tracks[0], prompt=10**9)


def test_runs_without_prompts_say_so():
    assert texts(plot.prompt_timeline(Meter(["a", "b"]).track(1.0))) == ["the run has no prompt"]


def test_a_prompt_that_never_started_says_so(star):
    track = star.tracks[0]
    none = dataclasses.replace(
        track.tasks,
        **{
            field.name: getattr(track.tasks, field.name)[:0]
            for field in dataclasses.fields(track.tasks)
        },
    )
    ax = plot.prompt_timeline(dataclasses.replace(track, tasks=none))
    assert "none of its tasks was started" in texts(ax)


# --- critical rates and the standard set ------------------------------------------------------


def test_the_map_holds_the_known_limits_and_frames_the_own_plan():
    scenario = load("ring", ["overlay.topology=star"])
    ax = plot.critical_rate_map(scenario, layers=[2, 1], proposers=[1, 2])
    assert [text for text in texts(ax) if "\n(" in text] == [
        "0.111\n(0.333)",
        "0.111\n(0.25)",
        "0.0588\n(0.2)",
        "0.0588\n(0.143)",
    ]
    notes = "in brackets: Theorem 1, where it differs\nframed: the scenario's own plan"
    assert notes in texts(ax)
    (frame,) = ax.patches
    assert frame.get_xy() == (0.5, -0.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("proposers k", "layers M")


def test_a_map_of_one_value_and_another_plan_is_drawn_too():
    ax = plot.critical_rate_map(study.prepare(load("ring")), layers=[0], proposers=[0, 1])
    assert texts(ax) == ["1", "1"]
    assert not ax.patches


def test_best_weights_are_solved_for_each_plan():
    sets = ["overlay.topology=star", "plan.selection=weighted", "plan.weights=best"]
    ax = plot.critical_rate_map(load("ring", sets), layers=[1, 2], proposers=[1])
    assert [text.split("\n")[0] for text in texts(ax)[:2]] == ["0.111", "0.0588"]


@pytest.mark.parametrize("layers", [[], range(401)])
def test_maps_have_cells_and_not_too_many(layers):
    with pytest.raises(ScenarioError, match="1 to 400 cells"):
        plot.critical_rate_map(load("ring"), layers=layers, proposers=[1])


def test_the_standard_set_is_four_figures_in_two_formats(ring, tmp_path):
    written = plot.standard_figures(ring, tmp_path / "figures")
    stems = ["overlay", "queue-length", "sojourn-time", "prompt-timeline"]
    assert [file.name for file in written] == [s + e for s in stems for e in (".png", ".svg")]
    assert all(file.stat().st_size > 5000 for file in written)


def test_the_standard_set_leaves_out_overlays_that_nobody_could_read(ring, tmp_path, monkeypatch):
    monkeypatch.setattr("dmoa.plot.standard.NODES_MAX", 4)
    assert "overlay.png" not in [file.name for file in plot.standard_figures(ring, tmp_path)]
