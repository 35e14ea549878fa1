"""`dmoa replay`: does the core still do what a trace says it did?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.failures import CHECK_FAILED
from dmoa.cli.output import console, number, print_json

if TYPE_CHECKING:
    from dmoa.trace import Difference


@rich_click.command("replay")
@click.argument("trace", metavar="TRACE")
@options.json_option
@click.pass_context
def command(ctx: click.Context, trace: str, *, as_json: bool) -> None:
    """Feed TRACE through the core and compare every action.

    TRACE is a file of `dmoa simulate --trace`, or the folder of a cluster.

    The trace holds the scenario; no other file is needed. The exit code is 1 if an action or a
    state differs, as it does with a version of dmoa that behaves otherwise.
    """
    from dmoa import study  # the help page does without it

    report = study.replay(trace)
    if as_json:
        found = report.difference
        print_json(
            {
                "trace": trace,
                "agrees": report.agrees,
                "entries_agreed": report.agreed,
                "difference": None if found is None else _facts(found),
            }
        )
    else:
        out = console()
        agreed = f"{report.agreed:,} steps"
        if report.difference is None:
            out.print(f"{agreed} replayed: all actions and states agree.", style="green")
        else:
            out.print(f"{agreed} agree, then one differs:", style="bold red")
            for line in _lines(report.difference):
                out.print(line, soft_wrap=True)
    if not report.agrees:
        ctx.exit(CHECK_FAILED)


def _facts(found: Difference) -> dict[str, Any]:
    from msgspec import to_builtins  # the help page does without it

    facts: dict[str, Any] = to_builtins(found)
    return facts


def _lines(found: Difference) -> list[str]:
    lines = [f"step {found.entry:,}, at {number(found.time_s)} s, node {found.node}"]
    for side, (actions, counts) in (("recorded", found.recorded), ("replayed", found.replayed)):
        names = ("waiting", "serving", "joining", "unfinished")
        state = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
        lines.append(f"{side}: {state}; {len(actions)} actions")
        lines += [f"  {action}" for action in actions]
    return lines
