"""The processes of a local cluster: started in groups of their own, found again, stopped.

Every node's process inherits the lock on its pid file, so that it is found for as long as it
lives, whatever became of the supervisor that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dmoa.errors import ScenarioError
from dmoa.live import pid_files
from dmoa.live.cluster import ClusterNode
from dmoa.live.supervisor import Process

Command = Callable[[ClusterNode, int], Sequence[str]]
"""Gives the command line of a node; the number is the descriptor of its locked pid file."""

StopResult = Literal["not running", "stopped", "killed"]

#: Between two looks at processes that are to end, s.
LOOK_S = 0.05
#: What is waited for a process that was killed: the system needs a moment, s.
KILLED_S = 5.0
#: How a process is stopped: the signal, how long it is waited for (None: the grace), the result.
_STEPS: tuple[tuple[int, float | None, StopResult], ...] = (
    (signal.SIGTERM, None, "stopped"),
    (signal.SIGKILL, KILLED_S, "killed"),
)


class Started:
    """A child of this process."""

    adopted = False

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its id, which is also that of its group."""
        return self._process.pid

    def ended(self) -> int | None:
        """Give its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        """Signal it; with SIGKILL its whole group."""
        if self._process.poll() is None:
            _signal(self._process.pid, number)


class Found:
    """A process that another one started: known by the lock that it holds."""

    adopted = True

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file

    @property
    def pid(self) -> int | None:
        """Its id; None when it has ended, or as long as its starter has not written it."""
        holder = pid_files.holder(self._pid_file)
        return holder.pid if holder is not None else None

    def ended(self) -> str | None:
        """Say that it ended, which is all that can be known; None while it runs."""
        if pid_files.holder(self._pid_file) is not None:
            return None
        return "its exit code is not known, another supervisor started it"

    def send_signal(self, number: int) -> None:
        """Signal it; with SIGKILL its whole group."""
        pid = self.pid
        if pid is not None:
            _signal(pid, number)


def node_command(node: ClusterNode, lock: int) -> list[str]:
    """Give the command line that runs a node of a local cluster."""
    arguments = ["node", str(node.config_file), "--log-file", str(node.log_file)]
    return [sys.executable, "-m", "dmoa", *arguments, "--lock-fd", str(lock)]


def start_node(node: ClusterNode, command: Command = node_command) -> Process:
    """Start a node's process, or find the one that runs already.

    Raises:
        OSError: It cannot be started.
    """
    try:
        lock = pid_files.take(node.pid_file)
    except ScenarioError as error:
        raise OSError(str(error)) from error
    if lock is None:
        return Found(node.pid_file)
    try:
        process = start_with_lock(command(node, lock), lock, node.log_file)
    except OSError:
        pid_files.release(lock)
        raise
    os.close(lock)
    return Started(process)


def start_with_lock(command: Sequence[str], lock: int, log_file: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that inherits a lock and prints into a log.

    Raises:
        OSError: It cannot be started.
    """
    with log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
        )
    pid_files.write_pid(lock, process.pid)
    return process


def stop_holders(
    files: Sequence[Path], *, grace_s: float, groups: bool = True
) -> dict[Path, StopResult]:
    """Stop the processes that hold pid files, all at once, and wait until they are gone.

    Args:
        files: The pid files; those that nobody holds are ``"not running"``.
        grace_s: How long they may take to leave before they are killed, s.
        groups: Whether the children of what is killed are killed as well.

    Raises:
        ScenarioError: One does not end, even killed.
    """
    left = [file for file in files if pid_files.holder(file) is not None]
    results: dict[Path, StopResult] = dict.fromkeys(files, "not running")
    for number, wait_s, word in _STEPS:
        gone = _signal_and_wait(left, number, grace_s if wait_s is None else wait_s, groups=groups)
        results.update(dict.fromkeys(gone, word))
        left = [file for file in left if file not in gone]
    if left:
        raise ScenarioError(
            "the process that holds this file does not end",
            path=str(left[0]),
            remedy=f"find it with `lsof {left[0]}`",
        )
    return results


def _signal_and_wait(
    files: Sequence[Path], number: int, wait_s: float, *, groups: bool
) -> list[Path]:
    """Signal the holders of pid files, each once; give the files that are free in the end."""
    end_s = time.monotonic() + wait_s
    signalled: dict[Path, int] = {}
    left = list(files)
    while True:
        holders = {file: pid_files.holder(file) for file in left}
        left = [file for file in left if holders[file] is not None]
        for file in left:
            holder = holders[file]
            if holder is not None and holder.pid is not None and file not in signalled:
                _signal(holder.pid, number, group=groups)
                signalled[file] = holder.pid
        if not left or time.monotonic() >= end_s:
            return [file for file in files if file not in left]
        time.sleep(LOOK_S)


def _signal(pid: int, number: int, *, group: bool = True) -> None:
    """Signal a process; nothing happens if it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL and group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)
        os.kill(pid, number)
        if number == signal.SIGTERM:
            # A process that was stopped hears it only once it goes on.
            os.kill(pid, signal.SIGCONT)
