"""Replay a recorded hour of real prompts, stretched to a day, over the office overlay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _common import Column, begin, panels, share_legend

import dmoa
from dmoa import plot
from dmoa.plot import style
from dmoa.trace import series

FILE = "AzureLLMInferenceTrace_conv.csv"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "azure_llm_trace_conv_2023.csv"
SOURCE = "https://github.com/Azure/AzurePublicDataset, data/AzureLLMInferenceTrace_conv.csv"
HOUR_S = 3600.0
NODES = (
    Column("node", "node"),
    Column("offered_load", "offered load a", ".3f"),
    Column("utilization", "utilization ρ", ".3f"),
    Column("queue_length", "Lq", ".3f"),
)
SUMMARY = (
    Column("measure", "measure"),
    Column("mean", "mean", ".3g"),
    Column("low", "95 % from", ".3g"),
    Column("high", "to", ".3g"),
)


def find_trace(given: str | None) -> Path:
    """Find the recorded prompts: where the command line says, beside run.py, or in shared data."""
    places = [Path(given)] if given else [Path(__file__).resolve().parent / FILE, SHARED]
    for place in places:
        if place.is_file():
            return place
    sys.exit(
        f"The recorded prompts are not at {' or '.join(map(str, places))}.\n"
        f"Get them from {SOURCE} (CC-BY 4.0, 1 MB),\n"
        "and put the file beside run.py or name it with --trace FILE."
    )


def draw_day(result: dmoa.SimulationResult) -> Any:
    """Draw arrivals over the queues of the day: the server's and a bottleneck's in colour."""
    figure, axes = panels(2, 1, 7.2, 5.0)
    track = result.tracks[0]
    quarters_s = np.arange(0.0, track.end_s, HOUR_S / 4)
    hours = (quarters_s[1:] + quarters_s[:-1]) / 2 / HOUR_S
    counts, _ = np.histogram(track.prompts.arrived_s, quarters_s)
    axes[0, 0].stairs(counts, quarters_s / HOUR_S, fill=True, color=style.SKY)
    axes[0, 0].set_ylim(0)
    style.label(axes[0, 0], title="Prompts arriving in the office", y="prompts per 15 minutes")
    queues = [series(track, "waiting", quarters_s, node) for node in range(len(track.names))]
    busiest = track.names.index(result.theory.bottleneck)
    ax = axes[1, 0]
    for node, queue in enumerate(queues):
        chosen = {busiest: style.VERMILION, track.names.index("server"): style.BLUE}.get(node)
        ax.plot(
            hours, queue, color=chosen or style.MUTED, lw=style.LINE_PT if chosen else 0.6,
            zorder=3 if chosen else 1,
            label=track.names[node] + ", a bottleneck" * (node == busiest) if chosen else None,
        )  # fmt: skip
    ax.plot([], [], color=style.MUTED, lw=0.6, label="the other desks")
    ax.set_ylim(0)
    style.label(
        ax, title="Their queues, means over 15 minutes", x="time (h)", y="queue length Lq (tasks)"
    )
    for one in axes.flat:
        one.set_xlim(0, quarters_s[-1] / HOUR_S)
        one.set_xticks(range(0, int(quarters_s[-1] / HOUR_S) + 2, 3))
    share_legend(figure, ax)
    return figure


def main() -> None:
    """Replay the day and draw it."""
    experiment = begin(__file__, trace="CSV of the recorded prompts")
    values: dict[str, Any] = {"arrivals.file": str(find_trace(experiment.arguments.trace))}
    if experiment.quick:
        values |= {"run.replications": 1, "run.horizon_s": 2 * HOUR_S}
    result = dmoa.simulate(experiment.load(values))
    summary = [
        {"measure": name, "mean": one.mean, "low": one.low, "high": one.high}
        for name, one in result.summary.items()
    ]
    nodes = [
        {column.key: getattr(node, column.key) for column in NODES}
        for node in sorted(result.nodes, key=lambda node: -node.utilization)
    ]
    experiment.write_table(SUMMARY, summary, "summary")
    experiment.write_table(NODES, nodes, "nodes")
    experiment.save(draw_day(result), "day")
    experiment.save(plot.sojourn_distribution(result), "sojourn-time")
    experiment.save(plot.overlay(result.setup, result.theory.offered_load), "loads")
    assert result.theory.bottleneck != "server"
    experiment.end()


if __name__ == "__main__":
    main()
