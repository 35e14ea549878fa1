"""`dmoa logs`: the ends of the nodes' logs, in order of time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.live.clusters import DEADLINE_S, make_folder

FIRST = "2026-01-01T00:00:01.000Z INFO dmoa.x: one"
SECOND = "2026-01-01T00:00:02.000Z INFO dmoa.x: two"
THIRD = "2026-01-01T00:00:03.000Z INFO dmoa.x: three"


@pytest.fixture
def folder(workdir: Path) -> Path:
    found = make_folder(workdir / "dmoa-cluster")
    (found / "nodes" / "0" / "node.log").write_text(f"{FIRST}\n{THIRD}\n", encoding="utf-8")
    (found / "nodes" / "1" / "node.log").write_text(f"{SECOND}\n", encoding="utf-8")
    return found


@pytest.mark.usefixtures("folder")
def test_all_logs_are_put_in_order(dmoa: Run) -> None:
    result = dmoa("logs")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"node 0     | {FIRST}",
        f"node 1     | {SECOND}",
        f"node 0     | {THIRD}",
    ]


@pytest.mark.usefixtures("folder")
def test_one_node_alone_is_printed_as_it_is(dmoa: Run) -> None:
    assert dmoa("logs", "--node", "0", "--lines", "1").stdout == f"{THIRD}\n"


@pytest.mark.usefixtures("folder")
def test_an_unknown_node_is_refused_with_the_known_ones(dmoa: Run) -> None:
    result = dmoa("logs", "--node", "7")
    assert result.exit_code == 2
    assert "known are: 0, 1" in result.stderr


def test_without_a_cluster_it_says_how_to_get_one(dmoa: Run) -> None:
    result = dmoa("logs", "--dir", "nowhere")
    assert result.exit_code == 2
    assert "there is no cluster in this folder" in result.stderr
    assert "dmoa up" in result.stderr


def test_before_the_first_start_there_is_nothing_and_it_says_so(dmoa: Run, workdir: Path) -> None:
    make_folder(workdir / "dmoa-cluster")
    result = dmoa("logs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no node has written a log yet" in result.stderr


def test_following_goes_on_until_it_is_interrupted(folder: Path) -> None:
    command = [sys.executable, "-m", "dmoa", "logs", "--dir", str(folder), "--follow", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        # Only a program that hangs hears of this.
        guard = threading.Timer(DEADLINE_S, process.kill)
        guard.start()
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        with (folder / "nodes" / "1" / "node.log").open("a", encoding="utf-8") as log:
            log.write("news\n")
        lines.append(process.stdout.readline())
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 0
        guard.cancel()
    assert lines == [f"node 1     | {SECOND}\n", f"node 0     | {THIRD}\n", "node 1     | news\n"]
