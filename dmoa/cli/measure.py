"""`dmoa measure`: what happened in a run, simulated or live, by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, duration, number, print_json

if TYPE_CHECKING:
    from dmoa.study import MeasuredResult


@rich_click.command("measure")
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True)
@click.option(
    "--whole", is_flag=True, help="Measure from the beginning, not from the end of the warm-up."
)
@options.json_option
def command(traces: tuple[str, ...], *, whole: bool, as_json: bool) -> None:
    """Measure runs: each TRACE is a file of `dmoa simulate --trace`, or a cluster's folder.

    Several are taken as replications of one scenario. A verdict needs several: one run cannot
    tell drift from chance.
    """
    from dmoa import study  # the help page does without it

    result = study.measure_traces(traces, whole=whole)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)


def _print(result: MeasuredResult) -> None:
    from dmoa.cli import tables  # the help page does without rich's tables
    from dmoa.cli.simulation_page import measures_table

    out = console()
    out.print(f"{result.verdict.status.upper()}: {result.verdict.reason}")
    out.print(measures_table(result.summary))
    nodes = tables.plain_table("node", "utilization", "queue length")
    for index in tables.busiest([node.utilization for node in result.nodes]):
        node = result.nodes[index]
        nodes.add_row(node.node, number(node.utilization), number(node.queue_length))
    out.print(nodes)
    if more := tables.more_nodes(len(result.nodes)):
        out.print(more)
    counts = ", ".join(f"{count:,} {name}" for name, count in result.prompts.items() if count)
    out.print(
        f"{len(result.traces)} × {duration(result.duration_s)} ({result.engine}), measured from"
        f" {duration(result.warmup_s)}; prompts: {counts or 'none'};"
        f" {number(result.tasks_per_prompt)} tasks per prompt",
        style="dim",
    )
