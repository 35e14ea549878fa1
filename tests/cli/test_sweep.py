"""Sweeps from the command line: what is kept, how to go on, what is shown."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dmoa import study
from dmoa.errors import ScenarioError
from dmoa.study import replication
from dmoa.study.store import read_store
from tests.cli.conftest import SHORT, Answer, Run

GRID = ("--grid", "plan.layers=0,1", "--workers", "1", "--store", "s.db")


def test_a_second_call_repeats_nothing(dmoa: Run, answer: Answer) -> None:
    first = dmoa("sweep", "ring", *SHORT, *GRID)
    assert first.exit_code == 0
    assert "2 of 2 points finished; store: s.db" in first.stdout
    again = answer("sweep", "ring", *SHORT, *GRID)
    assert again["resumed"] == 2
    assert "2 of 2 points finished, 2 of them before" in dmoa("sweep", "ring", *SHORT, *GRID).stdout


def test_the_swept_keys_head_the_table(dmoa: Run) -> None:
    page = dmoa("sweep", "ring", *SHORT, *GRID, "--grid", "overlay.nodes=4,5").stdout
    assert page.splitlines()[1].split()[:6] == ["M", "nodes", "verdict", "λ*", "Lq", "W,"]
    assert [line.split()[:2] for line in page.splitlines()[3:7]] == [
        ["0", "4"], ["0", "5"], ["1", "4"], ["1", "5"]
    ]  # fmt: skip


def test_a_store_says_its_plan_even_where_only_the_rate_is_swept(dmoa: Run, workdir: Path) -> None:
    rates = ("--grid", "arrivals.arrival_rate_hz=0.05:0.2:3", "--workers", "1", "--store", "s.db")
    result = dmoa("sweep", "ring", *SHORT, *rates, "--figure", "curve")
    assert result.exit_code == 0
    assert "written: curve.png\nwritten: curve.svg\n" in result.stdout
    assert {row["plan.layers"] for row in read_store("s.db").rows} == {1}
    assert dmoa("plot", "stability", "s.db", "-o", "again.svg").exit_code == 0
    assert "<svg" in (workdir / "again.svg").read_text()


def test_a_long_table_is_cut(dmoa: Run) -> None:
    page = dmoa("sweep", "ring", "--horizon", "5", "--replications", "1", "--layers", "0",
                "--workers", "1", "--grid", "run.seed=1:22:22").stdout  # fmt: skip
    assert "… and 2 more points; --csv FILE or --json gives all" in page


def test_a_point_that_does_not_fit_is_shown_and_the_others_are_kept(dmoa: Run) -> None:
    arguments = ("sweep", "ring", *SHORT, "--set", "nodes.7.slots=2", "--grid",
                 "overlay.nodes=4,8", "--workers", "1", "--store", "s.db")  # fmt: skip
    result = dmoa(*arguments, "--figure", "curve.png")
    assert result.exit_code == 2
    assert "1 of 2 points finished" in result.stdout
    assert "failed: nodes.7: there is no such node" in result.stdout
    assert "written: curve.png" in result.stdout
    assert dmoa(*arguments, "--json").exit_code == 2


def test_an_engine_that_does_not_cover_the_points_is_refused_once(dmoa: Run, workdir: Path) -> None:
    grid = ("--grid", "plan.patience=1,2", "--store", "s.db")
    result = dmoa("sweep", "ring", *SHORT, *grid, "--engine", "compiled")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: plan.patience: the compiled engine does not cover this",
        "use the other engine: --engine simpy",
    ]
    assert not (workdir / "s.db").exists()
    assert dmoa("sweep", "ring", *SHORT, *grid, "--engine", "simpy").exit_code == 0


def test_a_point_that_outgrew_memory_is_shown_as_failed(
    dmoa: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(replication, "_room_bytes", lambda: 2e6)
    result = dmoa("sweep", "ring", "--horizon", "2000", "--replications", "2", "--workers", "1",
                  "--grid", "arrivals.arrival_rate_hz=0.01,2", "--engine", "compiled")  # fmt: skip
    assert result.exit_code == 2
    assert "1 of 2 points finished" in result.stdout
    assert "failed: what the run keeps would need more than 0.0 GiB" in result.stdout


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    dmoa: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "sweep", interrupted)
    result = dmoa("sweep", "ring", "--set", "name=two words", "--grid", "plan.layers=0,1")
    assert result.exit_code == 130
    assert "what is finished is in dmoa-sweep.db" in result.stderr
    assert "  dmoa sweep ring --set 'name=two words' --grid plan.layers=0,1\n" in result.stderr


def test_a_scheduler_that_cannot_be_is_bad_input(dmoa: Run) -> None:
    pytest.importorskip("distributed")
    result = dmoa("sweep", "ring", "--grid", "plan.layers=0,1", "--scheduler", "tcp://nowhere")
    assert result.exit_code == 2
    assert "scheduler: cannot be reached (missing port number" in result.stderr
    assert "docs/cluster.md" in result.stderr


def finished(store: Path) -> int:
    """Count the points that a running sweep has kept so far."""
    with suppress(ScenarioError):
        return len(read_store(store).rows)
    return 0


def test_ctrl_c_in_a_real_terminal_loses_nothing(workdir: Path) -> None:
    store = workdir / "s.db"
    command = [sys.executable, "-m", "dmoa", "sweep", "ring", "--horizon", "1000",
               "--replications", "2", "--grid", "run.seed=1:10:10", "--workers", "2",
               "--store", str(store)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not finished(store):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    kept = finished(store)
    assert 1 <= kept < 10
    resume = shlex.split(err.splitlines()[-1])
    assert resume == ["dmoa", *command[3:]]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert f'"resumed": {kept}' in out
    assert '"finished": 10' in out
