"""`dmoa up`, `dmoa node` and `dmoa down`: a cluster starts, survives and stops."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmoa.live import pid_files
from dmoa.live.cluster import Cluster, read_cluster
from dmoa.live.init import GATEWAY_OFFSET, init_cluster
from dmoa.live.processes import start_node, stop_holders
from tests.cli.conftest import Run
from tests.live.clusters import (
    DEADLINE_S,
    DEAF,
    OBEDIENT,
    is_free,
    make_cluster,
    pid_of,
    says,
    script,
    wait_for,
)

COUNT = 2


def free_base_port() -> int:
    """Find a port that is free, with its followers and their doors."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port + GATEWAY_OFFSET + COUNT < 65536 and all(
            is_port_free(port + step + offset)
            for step in range(COUNT)
            for offset in (0, GATEWAY_OFFSET)
        ):
            return port
    raise AssertionError("no free ports")


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(*arguments: str, timeout_s: float = 2 * DEADLINE_S) -> subprocess.CompletedProcess[str]:
    """Run a command line as a process of its own: who supervises needs its own signals."""
    return subprocess.run(
        [sys.executable, "-m", "dmoa", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def make(folder: Path) -> Cluster:
    values = {"overlay.nodes": COUNT, "overlay.topology": "path", "plan.proposers": 1}
    init_cluster(folder, values, engine="scripted", base_port=free_base_port())
    return read_cluster(folder)


@pytest.fixture
def folder(workdir: Path) -> Iterator[Path]:
    """Give the default folder; whatever a test leaves running in it is killed."""
    found = workdir / "dmoa-cluster"
    yield found
    stop_holders([found / "supervisor.pid"], grace_s=0, groups=False)
    stop_holders(sorted(found.glob("nodes/*/pid")), grace_s=0)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=10) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except OSError:
        return False


# --- real nodes -----------------------------------------------------------------------------


def test_a_cluster_is_made_left_behind_repaired_and_stopped(folder: Path) -> None:
    options = ["--dir", str(folder), "--topology", "path", "--nodes", str(COUNT), "--proposers"]
    options += ["1", "--engine", "scripted", "--base-port", str(free_base_port())]
    started = run("up", *options, "--detach", "--json")
    assert started.returncode == 0, started.stderr
    found: dict[str, Any] = json.loads(started.stdout)
    assert found["ready"]
    assert found["detached"]
    assert [node["state"] for node in found["nodes"]] == ["ready"] * COUNT
    assert [node["engine"] for node in found["nodes"]] == ["scripted"] * COUNT
    cluster = read_cluster(folder)
    assert pid_of(cluster.pid_file) == found["supervisor"]
    assert [pid_of(node.pid_file) for node in cluster.nodes] == [
        node["pid"] for node in found["nodes"]
    ]

    again = run("up", "--dir", str(folder))
    assert again.returncode == 2
    assert f"runs already (pid {found['supervisor']})" in again.stderr

    victim = cluster.nodes[0]
    os.kill(found["nodes"][0]["pid"], signal.SIGKILL)
    wait_for(
        lambda: pid_of(victim.pid_file) not in (None, found["nodes"][0]["pid"]), "a new process"
    )
    wait_for(lambda: is_ready(victim.url), "the new process to be ready")
    assert pid_of(cluster.nodes[1].pid_file) == found["nodes"][1]["pid"]

    stopped = run("down", "--dir", str(folder), "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout) == {
        "supervisor": "stopped",
        "nodes": [{"name": "0", "result": "stopped"}, {"name": "1", "result": "stopped"}],
    }
    assert all(is_free(file) for file in [cluster.pid_file, *(n.pid_file for n in cluster.nodes)])
    said = run("logs", "--dir", str(folder), "--lines", "100").stdout
    assert "died after" in said
    assert "(SIGKILL); starting it again in 0.5 s" in said
    assert "Traceback" not in said


def test_in_the_foreground_an_interrupt_stops_all(folder: Path) -> None:
    cluster = make(folder)
    command = [sys.executable, "-m", "dmoa", "up", "--dir", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: all(is_ready(node.url) for node in cluster.nodes), "all to be ready")
        assert process.stdout is not None
        page: list[str] = []
        while not page or not page[-1].startswith("Stop:"):
            page.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert "Ctrl-C" in page[-1]
    assert any("dmoa ask" in line and "Why is the sky blue?" in line for line in page)
    assert "All nodes are stopped." in errors
    assert all(is_free(node.pid_file) for node in cluster.nodes)


def test_a_node_that_cannot_run_is_given_up_and_the_others_go_on(folder: Path) -> None:
    cluster = make(folder)
    (cluster.nodes[0].folder / "journal.sqlite").write_bytes(b"this is no journal" * 1000)
    result = run("up", "--dir", str(folder), "--detach")
    assert result.returncode == 1
    assert "node 0 is not ready: given up" in result.stdout
    assert "dmoa logs" in result.stdout
    assert is_ready(cluster.nodes[1].url)
    assert run("down", "--dir", str(folder)).returncode == 0
    assert "journal.sqlite" in cluster.nodes[0].log_file.read_text(encoding="utf-8")


def test_a_node_by_itself_runs_once_and_leaves_when_told(folder: Path) -> None:
    node = make(folder).nodes[0]
    command = [sys.executable, "-m", "dmoa", "node", str(node.config_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: is_ready(node.url), "the node to be ready")
        assert pid_of(node.pid_file) == process.pid
        second = run("node", str(node.config_file))
        assert second.returncode == 2
        assert f"runs already (pid {process.pid})" in second.stderr
        process.terminate()
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    assert "ready; Ctrl-C lets it leave" in said
    assert is_free(node.pid_file)


# --- before anything starts -----------------------------------------------------------------


def test_options_that_contradict_the_files_are_refused(dmoa: Run, folder: Path) -> None:
    make(folder)
    result = dmoa("up", "--topology", "path", "--nodes", "3", "--engine", "llama")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "there is a cluster already, and it differs" in said
    assert "--dir" in said
    assert is_free(folder / "supervisor.pid")


def test_a_wrong_file_is_told_at_once(dmoa: Run, folder: Path) -> None:
    node = make(folder).nodes[1]
    node.key_file.chmod(0o644)
    result = dmoa("up", "--topology", "path", "--nodes", "2")
    assert result.exit_code == 2
    assert f"chmod 600 {node.key_file}" in result.stderr
    assert is_free(folder / "supervisor.pid")


def test_a_port_of_somebody_else_is_told_at_once(dmoa: Run, folder: Path) -> None:
    node = make(folder).nodes[1]
    port = int(node.gateway_listen.rpartition(":")[2])
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen(1)
        result = dmoa("up")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert f"127.0.0.1:{port} is in use by another process" in said
    assert f"lsof -nP -iTCP:{port}" in said
    assert is_free(folder / "supervisor.pid")


def test_a_file_that_is_not_there(dmoa: Run) -> None:
    result = dmoa("node", "nodes/0/node.toml")
    assert result.exit_code == 2
    assert "dmoa init" in result.stderr


def test_a_lock_that_nobody_passed_on(dmoa: Run, folder: Path) -> None:
    node = make(folder).nodes[0]
    result = dmoa("node", str(node.config_file), "--lock-fd", "9999")
    assert result.exit_code == 2
    assert "for supervisors" in result.stderr


# --- down -----------------------------------------------------------------------------------


def test_nothing_runs(dmoa: Run, folder: Path) -> None:
    make_cluster(folder)
    result = dmoa("down")
    assert (result.exit_code, result.stdout) == (0, "Nothing was running.\n")


def test_no_cluster(dmoa: Run) -> None:
    result = dmoa("down", "--dir", "nowhere")
    assert result.exit_code == 2
    assert "no cluster in this folder" in result.stderr


def test_what_a_killed_supervisor_left_is_stopped(dmoa: Run, folder: Path) -> None:
    first, second = make_cluster(folder).nodes
    left = [start_node(first, script(OBEDIENT)), start_node(second, script(DEAF))]
    for node in (first, second):
        wait_for(functools.partial(says, node.log_file, "here"), f"node {node.name}")
    # The files may have become unreadable meanwhile: what runs is stopped all the same.
    (folder / "cluster.toml").write_text("[", encoding="utf-8")
    result = dmoa("down", "--grace", "0.3")
    assert result.exit_code == 0
    assert "nodes that it left behind were stopped" in result.stdout
    assert "node 0: stopped" in result.stdout
    assert "node 1: killed" in result.stdout
    wait_for(lambda: None not in [node.ended() for node in left], "their ends")


def test_a_supervisor_that_does_not_hear_is_killed_and_its_nodes_are_stopped(
    dmoa: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmoa.cli import down

    monkeypatch.setattr(down, "MARGIN_S", 0.3)
    cluster = make_cluster(folder)
    lock = pid_files.take(cluster.pid_file)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", DEAF], pass_fds=(lock,), stdout=subprocess.PIPE
    ) as supervisor:
        pid_files.write_pid(lock, supervisor.pid)
        os.close(lock)
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        node = start_node(cluster.nodes[0], script(OBEDIENT))
        wait_for(lambda: says(cluster.nodes[0].log_file, "here"), "node 0")
        result = dmoa("down", "--grace", "0.3")
    assert "supervisor: killed" in result.stdout
    wait_for(lambda: node.ended() is not None, "its end")
