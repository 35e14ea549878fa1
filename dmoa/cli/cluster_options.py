"""The options by which commands find a cluster and stop its nodes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import rich_click

from dmoa.live.cluster import DEFAULT_FOLDER

__all__ = ["DEFAULT_FOLDER", "dir_argument", "dir_option", "grace_option"]

Function = Callable[..., Any]


def dir_option(function: Function) -> Function:
    """Add ``--dir``; the command gets ``folder``."""
    return rich_click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        metavar="DIR",
        help="Folder of the cluster.",
    )(function)


def dir_argument(folder: Path) -> str:
    """Write ``--dir`` for a command that is shown, with a space before it; empty if not needed.

    >>> dir_argument(Path("dmoa-cluster")), dir_argument(Path("my cluster"))
    ('', " --dir 'my cluster'")
    """
    if folder.absolute() == Path(DEFAULT_FOLDER).absolute():
        return ""
    return f" --dir {shlex.quote(str(folder))}"


def grace_option(function: Function) -> Function:
    """Add ``--grace``; the command gets ``grace_s``."""
    return rich_click.option(
        "--grace",
        "grace_s",
        type=click.FloatRange(0, 3600),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="How long a node may take to leave before it is killed.",
    )(function)
