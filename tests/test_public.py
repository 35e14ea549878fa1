"""The public surface: names, errors, versions and what an import costs."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import dmoa
import dmoa.errors

PACKAGES = [
    "dmoa",
    *(f"dmoa.{module.name}" for module in pkgutil.iter_modules(dmoa.__path__) if module.ispkg),
]
PROMISED = {
    "DmoaError",
    "EngineError",
    "InvariantError",
    "PeerError",
    "Scenario",
    "ScenarioError",
    "UnstableError",
    "capacity",
    "load",
    "load_sweep",
    "replay",
    "simulate",
    "sweep",
}
HEAVY = {"matplotlib", "networkx", "pandas", "scipy"}


def by_kind_then_name(name: str) -> tuple[int, str]:
    """Order constants, then classes, then functions: the order that ruff keeps too."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def defined_in(package: ModuleType) -> set[str]:
    """Give the public names that a package binds and that were written below it."""
    return {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith(package.__name__)
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_listed_in_order_and_exist(name: str) -> None:
    package = importlib.import_module(name)
    names = list(package.__all__)
    assert names == sorted(set(names), key=by_kind_then_name)
    assert [entry for entry in names if not hasattr(package, entry)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_listed(name: str) -> None:
    package = importlib.import_module(name)
    assert defined_in(package) - set(package.__all__) == set()


def test_the_package_exports_what_the_documentation_promises() -> None:
    assert set(importlib.import_module("dmoa").__all__) >= PROMISED


def test_the_error_tree_drawn_is_the_tree_of_classes() -> None:
    drawn = [
        line.removeprefix("    ")
        for line in (dmoa.errors.__doc__ or "").splitlines()
        if re.match(r"    [│├└D]", line)
    ]
    assert drawn == ["DmoaError", *branches(dmoa.errors.DmoaError)]


def branches(parent: type) -> list[str]:
    """Draw the classes of `dmoa.errors` below one of them."""
    children = [
        value
        for value in vars(dmoa.errors).values()
        if inspect.isclass(value) and value.__base__ is parent
    ]
    lines = []
    for child in children:
        last = child is children[-1]
        lines.append(("└─ " if last else "├─ ") + child.__name__)
        lines += [("   " if last else "│  ") + line for line in branches(child)]
    return lines


@pytest.mark.parametrize("name", ["dmoa", "dmoa.cli"])
def test_an_import_loads_nothing_heavy(name: str) -> None:
    script = f"import sys, {name}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(result.stdout.split()) == set()


def test_one_version_everywhere(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.escape(project["version"])
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^version: {version}$", citation, re.MULTILINE)
    assert re.search(rf"^## \[?{version}\b", changelog, re.MULTILINE)


def test_types_are_published(root: Path) -> None:
    assert (root / "dmoa" / "py.typed").is_file()


def test_an_unstable_error_crosses_a_process_boundary_whole():
    error = dmoa.errors.UnstableError("too long", node="7", queue_length=9)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (again.problem, again.node, again.queue_length) == ("too long", "7", 9)
    assert str(again) == str(error)
