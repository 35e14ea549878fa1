"""Help is quick, complete and in step with what the commands do."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dmoa.cli.app import COMMANDS
from dmoa.cli.options import KEYS
from dmoa.scenario import paths
from dmoa.scenario.choices import CHOICES
from tests.cli.conftest import Run

HEAVY = {"matplotlib", "networkx", "numpy", "pandas", "scipy", "simpy"}


@pytest.mark.parametrize("arguments", ["--help", "simulate --help", "plot heatmap --help"])
def test_help_loads_nothing_heavy(arguments: str) -> None:
    script = (
        "import sys\nfrom dmoa.cli import main\n"
        f"try:\n    main({arguments.split()!r})\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "Usage:" in result.stdout
    assert HEAVY & set(result.stderr.split()) == set()


def test_using_one_command_does_not_import_the_others() -> None:
    script = (
        "import sys\nfrom dmoa.cli import main\n"
        "try:\n    main(['presets', '--json'])\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name for name in COMMANDS if f"dmoa.cli.{name}" in result.stderr.split()}
    assert loaded == {"presets"}


def test_the_first_page_names_every_command(dmoa: Run) -> None:
    result = dmoa("--help")
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f" {name} " not in result.stdout] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(dmoa: Run, name: str) -> None:
    result = dmoa(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: dmoa {name}" in result.stdout.replace("main", "dmoa")


def test_the_version_is_that_of_the_project(dmoa: Run, root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert dmoa("--version").stdout == f"dmoa {project['version']}\n"


def test_every_shared_option_stands_for_a_key_of_the_scenario() -> None:
    assert [key.path for key in KEYS if key.path not in paths()] == []


def test_the_help_of_service_names_all_distributions() -> None:
    (service,) = (key for key in KEYS if key.flag == "--service")
    assert [name for name in CHOICES["service"][1] if name not in service.help] == []


def test_an_unknown_command_is_refused_with_the_nearest_one(dmoa: Run) -> None:
    result = dmoa("simulat")
    assert result.exit_code == 2
    assert "did you mean 'simulate'?" in result.stderr
    assert result.stdout == ""


def test_a_command_like_nothing_known_is_refused_with_the_list(dmoa: Run) -> None:
    result = dmoa("xyzzy")
    assert result.exit_code == 2
    assert "did you mean" not in result.stderr
    assert "known are: simulate, bound" in result.stderr


def test_an_unknown_option_points_to_the_help(dmoa: Run) -> None:
    result = dmoa("bound", "--arival-rate", "1")
    assert result.exit_code == 2
    assert "--arrival-rate" in result.stderr
    assert "bound --help" in result.stderr


def test_no_command_shows_the_first_page(dmoa: Run) -> None:
    result = dmoa()
    assert result.exit_code == 2
    assert " simulate " in result.stdout + result.stderr
