"""`dmoa keys`: the key pairs by which nodes know each other."""

from __future__ import annotations

from pathlib import Path

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, print_json

FILE = click.argument("file", type=click.Path(path_type=Path))


@rich_click.group("keys")
def command() -> None:
    """Make and show the keys by which nodes know each other.

    A node's secret key stays in one file on its machine, which its user alone can read, and is
    never printed. Its public key is its identity and goes into the cluster file of all nodes.
    """


@command.command("new")
@FILE
@options.json_option
def new(file: Path, *, as_json: bool) -> None:
    """Make a key pair and write it into FILE, which must not exist; print the public key."""
    from dmoa.live.keys import make_keys, write_secret  # loads ZeroMQ

    keys = make_keys()
    write_secret(file, keys)
    _show(file, keys.public, as_json=as_json)


@command.command("show")
@FILE
@options.json_option
def show(file: Path, *, as_json: bool) -> None:
    """Print the public key of a secret key file."""
    from dmoa.live.keys import read_secret  # loads ZeroMQ

    _show(file, read_secret(file).public, as_json=as_json)


def _show(file: Path, public: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(file), "public_key": public})
        return
    from dmoa.scenario.toml_text import toml_value  # the help page does without it

    out = console()
    out.print(f"public_key = {toml_value(public)}", soft_wrap=True)
