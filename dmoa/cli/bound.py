"""`dmoa bound`: what theory says of a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, number, print_json

if TYPE_CHECKING:
    from rich.table import Table

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
    from dmoa.study.bounds import NODES_LISTED_MAX

    out = console()
    out.print(tables.title(setup), style="bold", soft_wrap=True)
    out.print(tables.limits_table(limit))
    out.print(tables.why(limit))
    out.print(limit.sufficient.text)
    shared = ("of capacity",) if setup.shares_processor else ()
    table = tables.plain_table("node", "offered load", "slots", *shared, "waiting time (approx.)")
    for node in tables.busiest(limit.offered_load):
        waiting = "–" if limit.waiting_time_s is None else f"{number(limit.waiting_time_s[node])} s"
        share = (f"{100 * limit.saturation[node]:.0f} %",) if shared else ()
        table.add_row(
            limit.nodes[node],
            number(limit.offered_load[node]),
            str(setup.slots[node]),
            *share,
            waiting,
        )
    out.print(table)
    if limit.hosts:
        out.print(_hosts_table(limit))
    if more := tables.more_nodes(len(limit.nodes), NODES_LISTED_MAX):
        out.print(more)
    tables.print_notes(out, limit.notes)


def _hosts_table(limit: Bound) -> Table:
    from dmoa.cli import tables

    table = tables.plain_table("host", "nodes", "of capacity")
    for host in sorted(limit.hosts, key=lambda one: -one.saturation)[: tables.NODES_SHOWN_MAX]:
        table.add_row(host.name, str(len(host.nodes)), f"{100 * host.saturation:.0f} %")
    return table
