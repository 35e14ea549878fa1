"""`dmoa logs`: what the nodes of a local cluster said."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import click
import rich_click

from dmoa.cli.cluster_options import dir_option

#: Between two looks at the files, s.
LOOK_S = 0.2
LINES_MAX = 100_000


@rich_click.command("logs")
@dir_option
@rich_click.option("--node", metavar="NAME", help="Of this node alone.")
@rich_click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@rich_click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, LINES_MAX),
    default=20,
    metavar="N",
    help="Last lines of each log; by default 20.",
)
def command(folder: Path, *, node: str | None, follow: bool, lines: int) -> None:
    """Print the last lines of the nodes' logs, and of the supervisor's, in order of time.

    The files are DIR/nodes/NAME/node.log and DIR/supervisor.log; older parts stand beside them.
    """
    from dmoa.live.cluster import read_cluster  # the help page does without them
    from dmoa.live.tails import Follower, last_lines, merged

    cluster = read_cluster(folder)
    if node is None:
        files = {f"node {found.name}": found.log_file for found in cluster.nodes}
        files["supervisor"] = cluster.log_file
    else:
        files = {f"node {node}": cluster.node(node).log_file}
    # Made before the last lines are read: nothing is missed between the two.
    followers = {name: Follower(file) for name, file in files.items()} if follow else {}
    width = max(map(len, files)) if node is None else 0
    _write(merged((name, last_lines(file, lines)) for name, file in files.items()), width)
    if not followers and not any(file.exists() for file in files.values()):
        click.echo("no node has written a log yet; `dmoa up` starts them", err=True)
    # Ctrl-C is how following ends.
    with contextlib.suppress(KeyboardInterrupt):
        while followers:
            _write(merged((name, found.lines()) for name, found in followers.items()), width)
            time.sleep(LOOK_S)


def _write(lines: list[tuple[str, str]], width: int) -> None:
    """Write lines, each after the name of its log where there are several."""
    for name, line in lines:
        sys.stdout.write(f"{name:<{width}} | {line}\n" if width else f"{line}\n")
    if lines:
        sys.stdout.flush()
