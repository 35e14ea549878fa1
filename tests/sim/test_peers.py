"""The benchmark of engines, in seconds: it has its figures, and would find a wrong network."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ALWAYS_THERE = ["heapq", "simpy-callbacks", "simpy-processes", "dmoa"]


class Helpers(NamedTuple):
    checks: ModuleType
    engines: ModuleType
    heap: ModuleType
    network: ModuleType


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Helpers:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return Helpers(*(import_module(f"_peers.{name}") for name in Helpers._fields))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARKS / "peers.py", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_engines_that_are_always_there_agree_and_have_a_speed():
    options = ["--quick", "--json", "--nodes", "10", "--repeats", "2"]
    done = run(*options, "--engines", ",".join(ALWAYS_THERE))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["facts"]["simpy"]
    assert list(told["results"]) == ["single", "layered"]
    for by_nodes in told["results"].values():
        (cell,) = by_nodes.values()
        assert list(cell) == ALWAYS_THERE
        for one in cell.values():
            assert one["note"] == ""
            assert 0 < one["lowest"] <= one["events_per_s"] <= one["highest"]
            assert one["check"]["runs"] == 10
        assert cell[told["baseline"]]["ratio_to_baseline"] == 1


def test_without_peers_the_table_says_how_to_get_them():
    done = run("--quick", "--nodes", "10", "--models", "layered", "--engines", "ciw")
    assert done.returncode == 0, done.stderr
    assert "Ciw: no fork whose parts join again" in done.stdout


@pytest.mark.parametrize(
    "options", [["--engines", "magic"], ["--nodes", "4"], ["--nodes", "ten"], ["--repeats", "0"]]
)
def test_bad_options_are_told(options):
    done = run(*options)
    assert done.returncode == 2
    assert repr(options[1]) in done.stderr


def test_a_package_that_is_missing_is_named(helpers, monkeypatch):
    absent = helpers.engines.Engine("Absent", "absent.run", "no_such_package")
    monkeypatch.setitem(helpers.engines.ENGINES, "absent", absent)
    with pytest.raises(helpers.network.UnavailableError, match="pip install no_such_package"):
        helpers.engines.function_of("absent", check=False)


def test_theory_from_an_empty_network_tends_to_mm1(helpers):
    network = helpers.network.Network(0, 10)
    expected = helpers.checks.mm1_from_empty(network, 20_000.0)
    assert expected.waiting.mean == pytest.approx(0.49 / 0.3, rel=0.01)
    assert expected.events.mean == pytest.approx(network.event_rate_hz * 20_000, rel=0.001)
    # Almost nobody is there yet after a moment: λt arrivals, each still in service.
    moment = helpers.checks.mm1_from_empty(network, 0.001)
    assert moment.waiting.mean < 1e-6
    assert moment.events.mean == pytest.approx(network.nodes * 0.7 * 0.001, rel=0.01)


@pytest.mark.parametrize("layers", [0, 2])
def test_another_network_would_be_found(helpers, layers):
    network = helpers.network.Network(0, 10)
    runs = [
        helpers.heap.run(network._replace(layers=layers), 1000.0, seed) for seed in range(1, 11)
    ]
    found = helpers.checks.seen(runs)
    expected = helpers.checks.mm1_from_empty(network, 1000.0)
    assert bool(helpers.checks.disagreement(found, expected)) == (layers != 0)
