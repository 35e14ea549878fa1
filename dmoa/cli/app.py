"""The group of all commands: imported when they are used, and guarded against tracebacks."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
import rich_click

from dmoa.cli.failures import exit_code_of

#: The commands, in the order of the help page; each is `command` in the module of its name.
COMMANDS = (
    "simulate",
    "bound",
    "capacity",
    "sweep",
    "plot",
    "topology",
    "check",
    "presets",
    "measure",
    "replay",
    "export",
    "init",
    "keys",
    "up",
    "down",
    "node",
    "ask",
    "chat",
    "status",
    "logs",
    "models",
    "calibrate",
    "doctor",
)


class Commands(rich_click.RichGroup):
    """A group that imports a command's module when the command is used.

    Its `main` is the one place where errors become a message and an exit code.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"dmoa.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line, or suggest the nearest one."""
        if self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise click.UsageError(
                f"there is no command {args[0]!r}; {guess}known are: {', '.join(COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)

    # click declares overloads on whether `main` exits; this group's always does.
    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> None:
        """Run a command line and exit with its code (see `dmoa.cli.failures`)."""
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(exit_code_of(lambda: self._run(arguments, prog_name, extra)))

    def _run(self, arguments: list[str], prog_name: str | None, extra: dict[str, Any]) -> Any:
        # The arguments are the context's object: who is interrupted says how to go on.
        extra = {"obj": arguments, **extra, "standalone_mode": False}
        return super().main(args=arguments, prog_name=prog_name, **extra)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 it was not reached (a trace did not replay, a node is not there, "
    "a prompt was not answered, output was lost), 2 bad input, 3 a declared limit stopped the run, "
    "70 a bug of dmoa, 130 interrupted.",
)
@click.version_option(package_name="dmoa", message="dmoa %(version)s")
def main() -> None:
    """Simulate Distributed Mixture-of-Agents, see whether its queues stay bounded, and run it.

    Start with: dmoa simulate --topology ring, or dmoa up for real nodes
    """
