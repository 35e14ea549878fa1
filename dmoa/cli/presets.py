"""`dmoa presets`: the scenarios that come with dmoa."""

from __future__ import annotations

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, print_json


@rich_click.command("presets")
@options.json_option
def command(*, as_json: bool) -> None:
    """List the scenarios that come with dmoa.

    Every command that takes a SCENARIO takes the name of a preset. `dmoa check NAME` prints one.
    """
    from dmoa.scenario import presets  # the help page does without it

    found = presets()
    if as_json:
        listed = [{"name": name, "description": text} for name, text in found.items()]
        print_json({"presets": listed})
        return
    from dmoa.cli import tables

    table = tables.plain_table("preset", "description", left=2)
    for name, text in found.items():
        table.add_row(name, text)
    console().print(table)
