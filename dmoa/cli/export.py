"""`dmoa export`: a trace as JSON lines."""

from __future__ import annotations

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, print_json


@rich_click.command("export")
@click.argument("trace", metavar="TRACE")
@click.argument("output", metavar="FILE")
@options.json_option
def command(trace: str, output: str, *, as_json: bool) -> None:
    """Write TRACE, a file of `dmoa simulate --trace`, as JSON lines into FILE.

    The first line is the header, each further line one step of a node: time, node, event,
    actions, and the four counts of the node's state after it.
    """
    from dmoa.trace import export_jsonl  # the help page does without it

    entries = export_jsonl(trace, output)
    if as_json:
        print_json({"trace": trace, "output": output, "entries": entries})
    else:
        console().print(f"{entries:,} entries written to {output}", soft_wrap=True)
