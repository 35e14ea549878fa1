"""Progress is for terminals, and never on standard output."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import pytest

from dmoa import study
from dmoa.cli import output
from dmoa.study.sweeps import Progress
from tests.cli.conftest import SHORT, Run

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": "1"}


class NoDelay:
    """A timer that is due at once."""

    def __init__(self, _: float, action: Callable[[], None]) -> None:
        self.start = action

    def cancel(self) -> None: ...

    def join(self) -> None: ...


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "threading", SimpleNamespace(Timer=NoDelay))


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


@pytest.mark.usefixtures("at_once")
def test_a_terminal_sees_the_time_that_a_sweep_tells_is_left(
    dmoa: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, progress: Progress, **__: object) -> None:
        progress(2, 10, None)
        progress(3, 10, 124.3)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "sweep", interrupted)
    result = dmoa("sweep", "ring", "--grid", "plan.layers=0,1", "--json", **TERMINAL)
    assert "3/10" in result.stderr
    assert "2 min 5 s left" in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("at_once")
def test_what_nobody_tells_is_estimated_from_steps_however_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)
    clock_s = count(step=100.0)
    monkeypatch.setattr("rich.console.monotonic", lambda: next(clock_s))
    with output.progress_bar("replications") as progress:
        assert progress is not None
        for done in range(3):
            progress(done, 10)
    told = capsys.readouterr()
    assert " left" in told.err
    assert told.out == ""


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
