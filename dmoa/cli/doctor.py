"""`dmoa doctor`: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.cluster_options import dir_option
from dmoa.cli.failures import CHECK_FAILED
from dmoa.cli.output import console, print_json

STYLES = {"ok": "green", "warn": "yellow", "missing": "bold red"}


@rich_click.command("doctor")
@dir_option
@options.json_option
@click.pass_context
def command(ctx: click.Context, folder: Path, *, as_json: bool) -> None:
    """Look for what a live cluster needs on this machine.

    Where something is missing, the line below it is the command that mends it. With a cluster in
    --dir, its models, ports and keys are looked at too. The exit code is 0 if a live cluster could
    run, 1 if not.
    """
    from dmoa.live.doctor import examine  # the help page does without it

    findings = examine(folder)
    well = all(finding.state != "missing" for finding in findings)
    if as_json:
        checks = [
            {
                "check": finding.check,
                "state": finding.state,
                "found": finding.found,
                "remedy": finding.remedy,
            }
            for finding in findings
        ]
        print_json({"ready": well, "checks": checks})
    else:
        page = console()
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            page.print(f"{finding.state:<8}", style=STYLES[finding.state], end="")
            page.print(f"{finding.check:<{width}}  {finding.found}", soft_wrap=True)
            if finding.remedy:
                page.print(f"{'':8}{'':{width}}  {finding.remedy}", style="bold", soft_wrap=True)
        page.print(
            "A live cluster can run here." if well else "A live cluster cannot run here yet."
        )
    if not well:
        ctx.exit(CHECK_FAILED)
