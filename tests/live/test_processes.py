"""The supervisor with real processes: locks, deaths, and what a dead supervisor leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.live import pid_files
from dmoa.live.cluster import Cluster, ClusterNode
from dmoa.live.processes import node_command, start_node, stop_holders
from dmoa.live.supervision import read_report, take_cluster
from tests.live.clusters import (
    DEAF,
    OBEDIENT,
    is_free,
    make_cluster,
    pid_of,
    says,
    script,
    wait_for,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = make_cluster(tmp_path / "cluster")
    yield found
    stop_holders([node.pid_file for node in found.nodes], grace_s=0)


SUPERVISE = """
import sys
from pathlib import Path
from dmoa.live.cluster import read_cluster
from dmoa.live.supervision import run, take_cluster
from dmoa.live.supervisor import Policy
from tests.live.clusters import script
cluster = read_cluster(Path(sys.argv[1]))
policy = Policy(first_wait_s=0.05, grace_s=float(sys.argv[3]), deaths_max=100)
say = lambda line: print(line, flush=True)
sys.exit(0 if run(cluster, take_cluster(cluster), say=say, policy=policy,
                  command=script(sys.argv[2])) else 1)
"""


@pytest.fixture
def supervise(
    cluster: Cluster, root: Path, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give the function that starts a supervisor as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(text: str = OBEDIENT, grace_s: float = 10.0) -> subprocess.Popen[bytes]:
        with (tmp_path / "said").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISE, str(cluster.folder), text, str(grace_s)],
                stdout=said,
                stderr=said,
                cwd=root,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def pid_now(node: ClusterNode) -> int:
    """Wait until a node says that it is here; give its id."""
    wait_for(lambda: says(node.log_file, "here"), f"node {node.name}")
    return wait_for(lambda: pid_of(node.pid_file), f"the id of node {node.name}")


def pids(cluster: Cluster) -> list[int]:
    """Wait until every node says that it is here; give their ids."""
    return [pid_now(node) for node in cluster.nodes]


def newer_pid(node: ClusterNode, old: int) -> int:
    """Wait until another process runs a node; give its id."""

    def find() -> int | None:
        pid = pid_of(node.pid_file)
        return pid if pid != old else None

    return wait_for(find, f"a new process of node {node.name}")


def test_a_killed_node_comes_back_and_all_are_stopped_in_the_end(
    cluster: Cluster, supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervise()
    first, other = pids(cluster)
    os.kill(first, signal.SIGKILL)
    again = newer_pid(cluster.nodes[0], first)
    wait_for(lambda: says(tmp_path / "said", f"node 0 started again (pid {again})"), "the news")
    assert pid_of(cluster.nodes[1].pid_file) == other
    wait_for(
        lambda: (
            [(r.state, r.restarts) for r in read_report(cluster)]
            == [("running", 1), ("running", 0)]
        ),
        "the report",
    )
    assert stop_holders([cluster.pid_file], grace_s=20) == {cluster.pid_file: "stopped"}
    assert supervisor.wait(20) == 0
    assert all(is_free(node.pid_file) for node in cluster.nodes)
    assert read_report(cluster) == []


def test_a_killed_supervisor_leaves_nodes_that_the_next_one_adopts(
    cluster: Cluster, supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervise()
    before = pids(cluster)
    supervisor.kill()
    supervisor.wait()
    assert is_free(cluster.pid_file)
    assert [pid_of(node.pid_file) for node in cluster.nodes] == before
    second = supervise()
    wait_for(lambda: says(tmp_path / "said", f"node 1 runs already (pid {before[1]})"), "adoption")
    assert [pid_of(node.pid_file) for node in cluster.nodes] == before
    os.kill(before[0], signal.SIGKILL)
    newer_pid(cluster.nodes[0], before[0])
    second.terminate()
    assert second.wait(20) == 0
    assert all(is_free(node.pid_file) for node in cluster.nodes)


def test_nodes_without_a_supervisor_are_stopped(cluster: Cluster) -> None:
    nodes = [start_node(node, script(OBEDIENT)) for node in cluster.nodes]
    pids(cluster)
    files = [node.pid_file for node in cluster.nodes]
    assert stop_holders(files, grace_s=20) == dict.fromkeys(files, "stopped")
    assert stop_holders(files, grace_s=20) == dict.fromkeys(files, "not running")
    wait_for(lambda: None not in [node.ended() for node in nodes], "their ends")


def test_a_node_that_does_not_leave_is_killed(
    cluster: Cluster, supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervise(DEAF, grace_s=0.2)
    pids(cluster)
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert says(tmp_path / "said", "node 1 has not left; killing it")
    assert all(is_free(node.pid_file) for node in cluster.nodes)


def test_a_second_signal_kills_at_once(
    cluster: Cluster, supervise: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervise(DEAF, grace_s=3600)
    pids(cluster)
    supervisor.send_signal(signal.SIGINT)
    # The second is another number, so that the system cannot take both for one.
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert says(tmp_path / "said", "killing it")


def test_a_stopped_process_is_stopped_for_good(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    process = start_node(node, script(OBEDIENT))
    wait_for(lambda: says(node.log_file, "here"), "node 0")
    process.send_signal(signal.SIGSTOP)
    assert stop_holders([node.pid_file], grace_s=20) == {node.pid_file: "stopped"}
    wait_for(lambda: process.ended() is not None, "its end")


def test_a_cluster_has_one_supervisor(cluster: Cluster) -> None:
    lock = take_cluster(cluster)
    pid_files.write_pid(lock, 4711)
    with pytest.raises(ScenarioError, match=r"runs already \(pid 4711\).*dmoa down"):
        take_cluster(cluster)
    pid_files.release(lock)
    pid_files.release(take_cluster(cluster))


def test_an_old_pid_file_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    # The id of a process that lives, this one, written by another that does not.
    path.write_text(f"{os.getpid()}\n", encoding="ascii")
    assert pid_files.holder(path) is None
    assert stop_holders([path, tmp_path / "none"], grace_s=1) == {
        path: "not running",
        tmp_path / "none": "not running",
    }


def test_a_command_that_does_not_exist_leaves_the_node_free(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    with pytest.raises(FileNotFoundError):
        start_node(node, lambda *_: ["/nowhere/at/all"])
    assert is_free(node.pid_file)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(ScenarioError, match="cannot be written"):
        pid_files.take(tmp_path / "file" / "pid")


def test_a_node_is_run_by_this_python(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    command = node_command(node, 7)
    assert command[:4] == [sys.executable, "-m", "dmoa", "node"]
    assert command[4:] == [
        str(node.config_file),
        "--log-file",
        str(node.log_file),
        "--lock-fd",
        "7",
    ]
