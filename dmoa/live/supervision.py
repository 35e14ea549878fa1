"""The supervisor at work: signals, the clock and real processes around its policy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from dmoa.errors import ScenarioError
from dmoa.live import pid_files
from dmoa.live.cluster import Cluster
from dmoa.live.processes import Command, node_command, start_node, start_with_lock
from dmoa.live.supervisor import NodeReport, Policy, Supervisor, log_end

#: Between two looks at the nodes, s.
LOOK_S = 0.1
#: A first signal asks to stop, a second one kills.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = logging.getLogger(__name__)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor leaves in ``supervisor.json`` for other commands."""

    supervisor: int
    nodes: list[NodeReport]


Beside = Callable[[Supervisor], Awaitable[None]]


def take_cluster(cluster: Cluster) -> int:
    """Become the one supervisor of a cluster; gives the descriptor of its locked pid file.

    Raises:
        ScenarioError: It has a supervisor already.
    """
    lock = pid_files.take(cluster.pid_file)
    if lock is not None:
        return lock
    other = pid_files.holder(cluster.pid_file)
    pid = f" (pid {other.pid})" if other is not None and other.pid is not None else ""
    raise ScenarioError(
        f"the cluster runs already{pid}",
        path=str(cluster.folder),
        remedy="see it with `dmoa status`, stop it with `dmoa down`, or give another --dir",
    )


def run(
    cluster: Cluster,
    lock: int,
    *,
    say: Callable[[str], None],
    beside: Beside | None = None,
    policy: Policy | None = None,
    command: Command = node_command,
) -> bool:
    """Start the nodes of a cluster and look after them until a signal stops it.

    Args:
        cluster: Whose nodes.
        lock: What `take_cluster` gave; it is given back in the end.
        say: Called with every line that a user should read.
        beside: What is done meanwhile, such as waiting until all are ready.
        policy: When to start a node again.
        command: Gives the command line of a node.

    Returns:
        Whether it was stopped; False if all nodes were given up.
    """
    supervisor = Supervisor(
        cluster.nodes,
        spawn=lambda node: start_node(node, command),
        now=time.monotonic,
        say=say,
        policy=policy,
    )
    pid_files.write_pid(lock, os.getpid())
    try:
        return asyncio.run(_run(cluster, supervisor, beside))
    finally:
        cluster.report_file.unlink(missing_ok=True)
        pid_files.release(lock)


def detach(cluster: Cluster, lock: int, arguments: list[str]) -> None:
    """Leave a supervisor behind that goes on without this process and its terminal.

    Raises:
        ScenarioError: It cannot be started.
    """
    command = [sys.executable, "-m", "dmoa", *arguments, "--lock-fd", str(lock)]
    try:
        process = start_with_lock(command, lock, cluster.log_file)
    except OSError as error:
        raise ScenarioError(
            f"the supervisor cannot be started ({error.strerror})", path=str(cluster.folder)
        ) from error
    finally:
        os.close(lock)
    # It is to outlive this process, which therefore never asks how it ended.
    process.returncode = 0


def read_report(cluster: Cluster) -> list[NodeReport]:
    """Read how the supervisor sees its nodes; empty if it has not said so, or none runs."""
    if pid_files.holder(cluster.pid_file) is None:
        return []
    try:
        data = cluster.report_file.read_bytes()
        return msgspec.json.decode(data, type=Report).nodes
    except (OSError, msgspec.DecodeError):
        return []


def lost_nodes(reports: list[NodeReport]) -> dict[str, str]:
    """Say which nodes will not come back by themselves, and why."""
    return {
        report.name: f"given up: it {report.reason}"
        for report in reports
        if report.state == "given up"
    }


def lost_with_supervisor(cluster: Cluster) -> dict[str, str]:
    """Say which nodes a detached supervisor has given up.

    Raises:
        ScenarioError: The supervisor itself has ended.
    """
    reports = read_report(cluster)
    if pid_files.holder(cluster.pid_file) is None:
        raise ScenarioError(
            f"the supervisor has ended{log_end(cluster.log_file)}",
            path=str(cluster.folder),
            remedy="mend the cause and run `dmoa up` again",
        )
    return lost_nodes(reports)


async def _run(cluster: Cluster, supervisor: Supervisor, beside: Beside | None) -> bool:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if supervisor.stopping:
            supervisor.kill()
        else:
            supervisor.stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    task: asyncio.Future[None] | None = None
    written: list[NodeReport] = []
    try:
        while not supervisor.over:
            supervisor.check()
            if supervisor.report() != written:
                written = supervisor.report()
                _write_report(cluster.report_file, written)
            if task is None and beside is not None:
                task = asyncio.ensure_future(beside(supervisor))
            if task is not None and task.done() and _failed(task):
                supervisor.stop()
            if task is not None and supervisor.stopping:
                task.cancel()
            await asyncio.sleep(LOOK_S)
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return supervisor.stopping
    finally:
        # Whatever went wrong here: no node is left behind without having been told to leave.
        supervisor.stop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _failed(task: asyncio.Future[None]) -> bool:
    return not task.cancelled() and task.exception() is not None


def _write_report(path: Path, nodes: list[NodeReport]) -> None:
    """Renew the report in one step; a full disk does not stop the supervisor."""
    data = msgspec.json.encode(Report(supervisor=os.getpid(), nodes=nodes))
    new = path.with_suffix(".json.new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        _log.warning("%s cannot be written: %s", path, error)
