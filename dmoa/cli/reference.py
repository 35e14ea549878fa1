"""The page ``docs/cli.md``, written from the commands themselves.

``python -m dmoa.cli.reference docs/cli.md`` renews it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from dmoa.cli.app import main

_HEAD = """\
# Command line

This page is generated from the commands. Every command explains itself with `--help`, prints one
JSON object with `--json`, and leaves standard output to its result: progress, notes and errors go
to standard error. Colours follow the terminal and `NO_COLOR`.

| exit code | meaning |
|---|---|
| 0 | done; queues that grow are a finding, not a failure |
| 1 | not reached: a trace did not replay, no node is there, no answer came, output was lost |
| 2 | bad input: what was given, what was expected, what to do |
| 3 | a declared limit stopped the run; what was found until then is printed |
| 70 | a bug of dmoa, with its story |
| 130 | interrupted; `sweep` says how to go on |
"""


def reference() -> str:
    """Write the reference of all commands as Markdown.

    >>> "## dmoa simulate" in reference()
    True
    """
    parts = [_HEAD]
    for context in _commands(click.Context(main, info_name="dmoa")):
        parts += _section(context)
    return "\n".join(parts)


def _commands(parent: click.Context) -> Iterator[click.Context]:
    """Walk through the commands, groups before their own."""
    group = cast("click.Group", parent.command)
    for name in group.list_commands(parent):
        # A group has the commands that it lists.
        command = cast("click.Command", group.get_command(parent, name))
        context = click.Context(command, info_name=name, parent=parent)
        yield context
        if isinstance(command, click.Group):
            yield from _commands(context)


def _section(context: click.Context) -> Iterator[str]:
    command, path = context.command, context.command_path
    yield f"## {path}\n"
    yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield " ".join(paragraph.split()) + "\n"
    params = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    rows = [param.get_help_record(context) for param in params if param.name != "help"]
    options = [row for row in rows if row is not None]
    if options:
        yield "| option | meaning |\n|---|---|"
        for names, meaning in options:
            yield f"| `{_cell(names)}` | {_cell(meaning)} |"
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
