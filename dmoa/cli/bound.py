"""`dmoa bound`: what theory says of a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, number, print_json

if TYPE_CHECKING:
    from dmoa.scenario import Scenario, Setup
    from dmoa.study import Bound


@rich_click.command("bound")
@options.scenario_options
@options.json_option
def command(scenario: Scenario, *, as_json: bool) -> None:
    """Compute offered loads and the critical rate λ*, without simulating.

    SCENARIO is a preset or a TOML file. The critical rate of this overlay stands beside that of
    Theorem 1, which holds on complete overlays, and beside that of the best weights.
    """
    from dmoa import study  # the help page does without it

    setup = study.prepare(scenario)
    limit = study.bound(setup)
    if as_json:
        print_json(limit.to_dict())
    else:
        _show(setup, limit)


def _show(setup: Setup, limit: Bound) -> None:
    from dmoa.cli import tables

    out = console()
    out.print(tables.title(setup), style="bold", soft_wrap=True)
    out.print(tables.limits_table(limit))
    out.print(tables.why(setup, limit))
    out.print(limit.sufficient.text)
    table = tables.plain_table("node", "offered load", "slots", "waiting time (approx.)")
    for node in tables.busiest(limit.offered_load):
        waiting = "–" if limit.waiting_time_s is None else f"{number(limit.waiting_time_s[node])} s"
        table.add_row(
            limit.nodes[node], number(limit.offered_load[node]), str(setup.slots[node]), waiting
        )
    out.print(table)
    if more := tables.more_nodes(len(limit.nodes)):
        out.print(more)
    tables.print_notes(out, limit.notes)
