"""`dmoa node`: run one node in the foreground."""

from __future__ import annotations

import os
from pathlib import Path

import click
import rich_click

from dmoa.cli.output import error_console
from dmoa.errors import ScenarioError
from dmoa.live.logs import FORMATS, LEVELS, Format


@rich_click.command("node")
@click.argument("config", metavar="NODE_TOML", type=click.Path(path_type=Path))
@rich_click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the log here, in parts of limited size, instead of to standard error.",
)
@rich_click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="plain",
    help="Plain lines, or one JSON object a line.",
)
@rich_click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    help="What is worth a line.",
)
# The descriptor of the node's locked pid file, inherited from a supervisor.
@rich_click.option("--lock-fd", type=click.IntRange(3), hidden=True)
def command(
    config: Path, *, log_file: Path | None, log_format: Format, log_level: str, lock_fd: int | None
) -> None:
    """Run one node in the foreground, as on an edge box of its own.

    NODE_TOML is the file that `dmoa init` wrote for it. SIGTERM and Ctrl-C let it leave: it takes
    no more prompts, finishes what it can and tells its peers. Accepted prompts that are not
    finished by then go on when it starts again.
    """
    import faulthandler  # the help page does without them

    from dmoa.gateway.node_process import run_node
    from dmoa.live import logs

    if not config.is_file():
        raise ScenarioError(
            "there is no such file",
            path=str(config),
            remedy="`dmoa init` writes one for every node, in nodes/NAME/node.toml",
        )
    lock = _take(config) if lock_fd is None else _inherit(lock_fd)
    try:
        logs.configure(
            form=log_format,
            level=log_level,
            node=config.absolute().parent.name,
            file=log_file,
        )
        # A crash inside a library of C leaves its place in the log.
        faulthandler.enable()
        run_node(config, ready=_say_ready if log_file is None else None)
    finally:
        os.close(lock)


def _take(config: Path) -> int:
    """Lock the node's pid file, so that it runs once and `dmoa down` finds it."""
    from dmoa.live import pid_files  # the help page does without it

    path = config.absolute().parent / "pid"
    lock = pid_files.take(path)
    if lock is None:
        other = pid_files.holder(path)
        raise ScenarioError(
            f"this node runs already (pid {other.pid if other else 'unknown'})",
            path=str(config),
            remedy="`dmoa down` stops all nodes of a local cluster",
        )
    pid_files.write_pid(lock, os.getpid())
    return lock


def _inherit(lock: int) -> int:
    try:
        os.set_inheritable(lock, False)  # noqa: FBT003 - the signature is the system's
    except OSError as error:
        raise ScenarioError(
            "is for supervisors: no such file is open", path="--lock-fd", given=lock
        ) from error
    return lock


def _say_ready() -> None:
    error_console().print("ready; Ctrl-C lets it leave", style="green")
