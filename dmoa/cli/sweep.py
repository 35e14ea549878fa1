"""`dmoa sweep`: every point of a grid, on all cores or on a cluster, resumable."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.failures import BAD_INPUT, INTERRUPTED
from dmoa.cli.output import console, error_console, number, print_json, progress_bar, tell

if TYPE_CHECKING:
    from rich.console import Console

    from dmoa.scenario import Scenario
    from dmoa.study import SweepResult

STORE = "dmoa-sweep.db"
ROWS_SHOWN_MAX = 20
HEADINGS = {"plan.layers": "M", "plan.proposers": "k", "arrivals.arrival_rate_hz": "λ"}


@rich_click.command("sweep")
@options.scenario_options
@rich_click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="Values of a key: v1,v2,… or start:stop:count, with :log after it if they shall lie equal "
    "factors apart; repeatable, all combinations are simulated.",
)
@rich_click.option(
    "--store",
    default=STORE,
    show_default=True,
    metavar="FILE",
    help="Keeps what is finished; the same sweep with the same file goes on where it stopped.",
)
@rich_click.option("--csv", metavar="FILE", help="Write the points as CSV.")
@rich_click.option(
    "--figure", metavar="FILE", help="Draw stability curves: .png, .svg, without ending both."
)
@options.engine_option
@options.workers_option
@rich_click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Dask scheduler whose workers simulate the points, such as tcp://host:8786; it needs "
    "`pip install 'dmoa[dask]'` on all machines.",
)
@options.json_option
@click.pass_context
def command(
    ctx: click.Context,
    scenario: Scenario,
    *,
    grids: tuple[str, ...],
    store: str,
    csv: str | None,
    figure: str | None,
    engine: str,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Simulate every point of a grid, on all cores or on a cluster.

    Points are kept as they finish: after Ctrl-C or a kill, the same command goes on with what is
    missing. A point that does not fit its overlay is reported with its error, and the exit
    code is then 2.

    Example: dmoa sweep ring --grid arrivals.arrival_rate_hz=0.02:0.24:12 --grid plan.proposers=1,2
    """
    from dmoa import study  # the help page does without it

    if figure is not None:
        from dmoa.plot import check_writable

        check_writable(figure)
    grid = study.parse_grids(grids)
    try:
        with progress_bar("points") as progress:
            result = study.sweep(
                scenario,
                grid,
                store=store,
                engine=engine,
                workers=workers,
                scheduler=scheduler,
                progress=progress,
                tell=tell,
            )
    except KeyboardInterrupt:
        _say_how_to_resume(store, ctx.obj)
        ctx.exit(INTERRUPTED)
    written: list[Path] = []
    if csv is not None:
        study.export_csv(store, csv)
        written.append(Path(csv))
    if figure is not None:
        from dmoa.cli.figures import draw_stability

        written += draw_stability(store, figure)
    if as_json:
        print_json({**result.to_dict(), "written": [str(file) for file in written]})
    else:
        _show(result, list(grid), written)
    if result.failed:
        ctx.exit(BAD_INPUT)


def _say_how_to_resume(store: str, arguments: list[str]) -> None:
    err = error_console()
    err.print(f"interrupted; what is finished is in {store}. To go on:", style="yellow")
    err.print(f"  {shlex.join(['dmoa', *arguments])}", soft_wrap=True)


def _show(result: SweepResult, swept: list[str], written: list[Path]) -> None:
    from dmoa.cli import tables

    out = console()
    table = tables.plain_table(
        *(HEADINGS.get(path, path.rpartition(".")[2]) for path in swept),
        "verdict",
        "λ*",
        "Lq",
        "W, s",
        left=0,
    )
    for row in result.points[:ROWS_SHOWN_MAX]:
        table.add_row(*_cells(row, swept))
    out.print(table)
    hidden = len(result.points) - ROWS_SHOWN_MAX
    if hidden > 0:
        out.print(f"… and {hidden:,} more points; --csv FILE or --json gives all")
    resumed = f", {result.resumed} of them before" if result.resumed else ""
    out.print(
        f"{result.finished} of {result.total} points finished{resumed}; store: {result.path}",
        soft_wrap=True,
    )
    _show_failures(out, [row for row in result.points if row["status"] == "failed"])
    for file in written:
        out.print(f"written: {file}", soft_wrap=True)


def _cells(row: dict[str, Any], swept: list[str]) -> list[str]:
    from dmoa.cli.tables import shown

    return [
        *(shown(row[path]) for path in swept),
        row.get("verdict") or row["status"],
        number(row.get("critical_rate_hz")),
        number(row.get("queue_length_mean")),
        number(row.get("sojourn_time_s_mean")),
    ]


def _show_failures(out: Console, failed: list[dict[str, Any]]) -> None:
    for row in failed[:ROWS_SHOWN_MAX]:
        out.print(f"failed: {row['error']}", style="red", soft_wrap=True)
