"""The pool: the user's script runs once, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dmoa.errors import InvariantError, ScenarioError, UnstableError
from dmoa.scenario import load
from dmoa.study import pool
from dmoa.study.simulation import simulate
from dmoa.study.units import PoolError

SCRIPT = """
import sys
import dmoa
print("the script runs")
made = dmoa.load("ring", ["run.horizon_s=20", "run.replications=3"])
result = dmoa.simulate(made, workers=2)
print(result.replications)
"""

ENDLESS = """
import sys
import dmoa
made = dmoa.load("ring", ["run.horizon_s=1e9", "run.replications=4"])
quick = dmoa.load("ring", ["run.horizon_s=20", "run.replications=4"])
dmoa.simulate(quick, workers=2)
try:
    print("started", flush=True)
    dmoa.simulate(made, workers=int(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


def test_a_script_without_a_guard_is_not_run_again_by_the_workers(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.split("\n") == ["the script runs", "3", ""]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX terminals")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_study_and_its_workers_without_a_traceback(workers: int):
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        # As a terminal does, to the whole group. That pipes close shows that no worker is left.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (out, err, process.returncode) == ("interrupted\n", "", 130)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once(workers: int):
    numbers = list(range(-9, 0))
    assert sorted(pool.run_all(abs, numbers, workers)) == [(n, -n) for n in numbers]


def test_no_items_are_no_work():
    assert list(pool.run_all(abs, [], workers=2)) == []


def fail(which: str) -> None:
    """Raise each error that a worker may have to send back."""
    errors = {
        "scenario": ScenarioError("must be above 0", path="a.b", given=-1, remedy="give 1"),
        "unstable": UnstableError("the limit was reached", node="7", queue_length=9),
        "bug": InvariantError("it broke", ("first", "then")),
    }
    raise errors[which]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("which", "error", "known"),
    [
        ("scenario", ScenarioError, {"path": "a.b", "given": -1, "remedy": "give 1"}),
        ("unstable", UnstableError, {"node": "7", "queue_length": 9}),
        ("bug", InvariantError, {"problem": "it broke", "story": ("first", "then")}),
    ],
)
def test_an_error_in_a_worker_arrives_whole(which: str, error: type, known: dict, workers: int):
    with pytest.raises(error) as caught:
        list(pool.run_all(fail, [which, which], workers))
    assert {name: getattr(caught.value, name) for name in known} == known


def test_processes_serve_more_than_one_call():
    with pool.Processes(2) as processes:
        for items in ([-2, -1], [-5]):
            found = [one for unit in processes.run(abs, items) for one in unit]
            assert sorted(found) == [(item, -item) for item in items]
            assert sorted(pool.run_all(abs, items, processes)) == sorted(found)


def test_a_killed_worker_is_an_error_and_not_a_traceback():
    with pytest.raises(PoolError, match="a worker process was killed"):
        list(pool.run_all(os._exit, [1, 1], workers=2))


def test_a_simulation_uses_the_pool_it_is_given():
    made = load("ring", ["run.horizon_s=20", "run.replications=3"])
    alone = simulate(made, workers=1)
    asked: list[int] = []

    class Recorded(pool.Processes):
        def run(self, work, items):
            found = list(items)
            asked.append(len(found))
            return super().run(work, found)

    with Recorded(2) as processes:
        assert simulate(made, workers=processes).digest == alone.digest
    assert asked == [3]
