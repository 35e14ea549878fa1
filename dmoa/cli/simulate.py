"""`dmoa simulate`: run a scenario, print its verdict, measures and where the files are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.failures import LIMIT_REACHED
from dmoa.cli.output import print_json, progress_bar, tell

if TYPE_CHECKING:
    from dmoa.scenario import Scenario


@rich_click.command("simulate")
@options.scenario_options
@rich_click.option("--figures", metavar="DIR", help="Write the standard figures into this folder.")
@rich_click.option(
    "--trace",
    metavar="FILE",
    help="Write the trace of replication 0; with {replication} in the name, that of each.",
)
@options.engine_option
@rich_click.option(
    "--totals/--no-totals",
    default=None,
    help="Keep only totals, so that memory does not grow with the length of a run: no digest, no "
    "figures. By default where a gigabyte is not enough.",
)
@options.workers_option
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    scenario: Scenario,
    *,
    figures: str | None,
    trace: str | None,
    engine: str,
    totals: bool | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Simulate a scenario and say whether its queues stay bounded, and why.

    SCENARIO is a preset or a TOML file; options replace its values. Measures are means over
    independent replications with 95 % intervals, beside theory where there is any. Queues that
    grow are a finding, not a failure: the exit code is 0, or 3 where a declared limit
    (run.queue_length_max) stopped the run.
    """
    from dmoa import study  # the help page does without it

    if figures is not None:
        from dmoa.plot import check_writable

        check_writable(figures, folder=True)
    setup = study.prepare(scenario)
    if figures is not None and totals is None:
        totals = False
    with progress_bar("replications") as progress:
        result = study.simulate(
            setup,
            engine=engine,
            totals=totals,
            workers=workers,
            trace=trace,
            progress=progress,
            tell=tell,
        )
    written: list[Path] = []
    if figures is not None:
        from dmoa.plot import standard_figures

        written = standard_figures(result, Path(figures))
    if as_json:
        files = {"figures": [str(file) for file in written], "trace": trace}
        print_json({**result.to_dict(), **files})
    else:
        from dmoa.cli.simulation_page import print_result

        print_result(result, written, trace)
    if result.stopped is not None:
        ctx.exit(LIMIT_REACHED)
