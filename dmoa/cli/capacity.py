"""`dmoa capacity`: the critical rate by simulation, beside that of theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, duration, error_console, number, print_json, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from dmoa.scenario import Scenario, Setup
    from dmoa.study import CapacityResult, RateVerdict


@rich_click.command("capacity")
@options.scenario_options
@rich_click.option(
    "--width",
    type=float,
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Width of the bracket, as a share of its middle.",
)
@options.engine_option
@options.workers_option
@options.json_option
def command(
    scenario: Scenario, *, width: float, engine: str, workers: int | None, as_json: bool
) -> None:
    """Bracket the critical rate by simulation and compare it with theory.

    Rates are simulated until the highest stable and the lowest unstable one are close. The
    arrival rates of the scenario only give the proportions between its nodes.
    """
    from dmoa import study  # the help page does without it

    setup = study.prepare(scenario)
    result = study.capacity(
        setup, width=width, engine=engine, workers=workers, progress=_progress(), tell=tell
    )
    if as_json:
        print_json(result.to_dict())
    else:
        _show(setup, result)


def _progress() -> Callable[[RateVerdict], None] | None:
    """Report each rate as it is decided; nothing where standard error is no terminal."""
    err = error_console()
    if not err.is_terminal:
        return None
    return lambda tried: err.print(
        f"λ = {number(tried.arrival_rate_hz)} prompts/s: {tried.verdict}", style="dim"
    )


def _show(setup: Setup, result: CapacityResult) -> None:
    from dmoa.cli import tables

    out = console()
    out.print(tables.title(setup), style="bold", soft_wrap=True)
    table = tables.plain_table("prompts per second and node", "", "of λ*")
    for label, rate in (
        ("critical rate λ* of theory", result.critical_rate_hz),
        ("highest rate found stable", result.low),
        ("lowest rate found unstable", result.high),
        ("estimate from the bottleneck's utilization", result.estimate),
    ):
        share = "–" if rate is None else f"{100 * rate / result.critical_rate_hz:.1f} %"
        table.add_row(label, number(rate), share)
    out.print(table)
    out.print(_conclusion(result))
    table = tables.plain_table("verdict", "arrival rate λ", "λ / λ*", "horizon")
    for tried in result.verdicts:
        table.add_row(
            tried.verdict,
            number(tried.arrival_rate_hz),
            f"{tried.arrival_rate_hz / result.critical_rate_hz:.3f}",
            duration(tried.horizon_s),
        )
    out.print(table)


def _conclusion(result: CapacityResult) -> str:
    from dmoa.study.capacities import OUT_OF_MEMORY  # the help page does without it

    if result.low is None or result.high is None:
        if any(tried.verdict == OUT_OF_MEMORY for tried in result.verdicts):
            return "The rates tried give no bracket: runs outgrew memory; try a shorter --horizon."
        return "The rates tried give no bracket; a longer --horizon would decide more of them."
    holds = result.low <= result.critical_rate_hz <= result.high
    return f"The bracket {'contains' if holds else 'does NOT contain'} the λ* of theory."
