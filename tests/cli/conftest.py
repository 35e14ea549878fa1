"""The command line, run in this process: exit code, standard output, standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dmoa.cli import main

Run = Callable[..., Result]
Answer = Callable[..., dict[str, Any]]

#: Two short replications: enough to see every part of a page.
SHORT = ("--horizon", "200", "--replications", "2")


@pytest.fixture
def dmoa(workdir: Path) -> Run:  # noqa: ARG001 - commands write into an empty folder
    """Give the function that runs a command line."""

    def run(*arguments: str, **env: str) -> Result:
        return CliRunner(env={"COLUMNS": "80", **env}).invoke(main, list(arguments))

    return run


@pytest.fixture
def answer(dmoa: Run) -> Answer:
    """Give the function that runs a command with ``--json`` and reads its one object."""

    def run(*arguments: str) -> dict[str, Any]:
        result = dmoa(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return run
