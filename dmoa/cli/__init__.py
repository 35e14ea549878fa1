"""The command line: parse, call a study or a figure, print. One file per command."""

from dmoa.cli.app import main

__all__ = ["main"]
