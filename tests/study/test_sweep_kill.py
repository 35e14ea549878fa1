"""Sweeps that are ended from outside: nothing that was finished is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import load
from dmoa.study import sweeps
from dmoa.study.store import Outcome, read_store
from dmoa.study.sweeps import Task, run_point, sweep
from tests.study.sweeping import finished_at

RING = load("ring", ["run.horizon_s=20", "run.replications=2"])
GRID = {"run.seed": [1, 2, 3, 4]}
HERE = Path(__file__).resolve().parent
START = "import sys; import test_sweep_kill as this; this.start(sys.argv[1])"


def only_the_first(task: Task) -> Outcome:
    """Simulate the first point; never finish another."""
    if task.point.position > 0:
        threading.Event().wait()
    return run_point(task)


def start(store: str) -> None:
    """Sweep as the command line does, in a process of its own; say when a point is finished."""
    vars(sweeps)["run_point"] = only_the_first
    try:
        sweep(RING, GRID, store=store, workers=2, progress=lambda done, *_: say(done))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


@contextmanager
def running(store: Path) -> Iterator[subprocess.Popen]:
    """Give a sweep that has finished one point and will finish no other."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, store],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = [process.stdout.readline() for _ in range(2)]
        if said != ["0\n", "1\n"]:
            with_workers(process, signal.SIGKILL)
            pytest.fail(process.stderr.read())
        yield process
    finally:
        with_workers(process, signal.SIGKILL)
        process.communicate()


def with_workers(process: subprocess.Popen, number: signal.Signals) -> None:
    """Signal a sweep and its workers, as a terminal does."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_ended_sweep_goes_on_where_it_was(tmp_path, monkeypatch, number, code):
    store = tmp_path / "sweep.db"
    with running(store) as process:
        with_workers(process, number)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert said == ("interrupted\n" if number == signal.SIGINT else "")
    assert "Traceback" not in errors
    assert [row["run.seed"] for row in read_store(store).rows] == [1]
    before = finished_at(store)

    ran: list[int] = []

    def count(task: Task) -> Outcome:
        ran.append(task.point.values["run.seed"])
        return run_point(task)

    monkeypatch.setattr(sweeps, "run_point", count)
    result = sweep(RING, GRID, store=store, workers=1)
    assert ran == [2, 3, 4]
    assert (result.finished, result.resumed) == (4, 1)
    assert before.items() <= finished_at(store).items()
    monkeypatch.undo()
    uninterrupted = sweep(RING, GRID, store=tmp_path / "other.db", workers=1)
    assert result.points == uninterrupted.points


def test_a_running_sweep_can_be_read_but_not_joined(tmp_path):
    store = tmp_path / "sweep.db"
    with running(store):
        assert [row["status"] for row in read_store(store).rows] == ["finished"]
        with pytest.raises(ScenarioError, match="another process is writing to it"):
            sweep(RING, GRID, store=store, workers=1)
        assert len(read_store(store).rows) == 1


def test_ctrl_c_in_this_process_closes_the_store(tmp_path, monkeypatch):
    def interrupt(task: Task) -> Outcome:
        if task.point.position == 2:
            raise KeyboardInterrupt
        return run_point(task)

    monkeypatch.setattr(sweeps, "run_point", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep(RING, GRID, store=tmp_path / "sweep.db", workers=1)
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.db"]
    assert len(read_store(tmp_path / "sweep.db").rows) == 2
