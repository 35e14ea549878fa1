"""Progress is for terminals, and never on standard output."""

from __future__ import annotations

import pytest

from dmoa.cli import output
from tests.cli.conftest import SHORT, Run

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": "1"}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PROGRESS_AFTER_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_terminal_sees_how_far_a_simulation_is(dmoa: Run) -> None:
    result = dmoa("simulate", "ring", *SHORT, "--json", **TERMINAL)
    assert result.exit_code == 0
    assert "replications" in result.stderr
    assert result.stdout.startswith("{")


@pytest.mark.usefixtures("at_once")
def test_a_terminal_sees_how_far_a_sweep_is(dmoa: Run) -> None:
    result = dmoa("sweep", "ring", *SHORT, "--grid", "plan.layers=0,1", "--workers", "1",
                  "--json", **TERMINAL)  # fmt: skip
    assert "points" in result.stderr
    assert result.stdout.startswith("{")


def test_a_short_run_shows_no_bar(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PROGRESS_AFTER_S", 1000.0)
    result = dmoa("simulate", "ring", *SHORT, "--json", **TERMINAL)
    assert "replications" not in result.stderr


def test_a_terminal_sees_every_rate_that_capacity_tries(dmoa: Run) -> None:
    result = dmoa("capacity", "complete", "--layers", "0", "--proposers", "0", "--nodes", "2",
                  "--horizon", "1000", "--replications", "5", "--width", "0.5", "--json",
                  **TERMINAL)  # fmt: skip
    assert "prompts/s: unstable" in result.stderr
    assert result.stdout.startswith("{")
