"""What can be seen of the machine that dmoa runs on, on Linux and macOS."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Literal

#: No question to the system takes longer, s.
_ANSWER_S = 3.0
_MEMORY_FILE = Path("/proc/meminfo")


class Machine:
    """Answers to the questions of `dmoa.live.doctor`; tests put another one in its place."""

    @property
    def macos(self) -> bool:
        """Whether this is macOS."""
        return sys.platform == "darwin"

    def python(self) -> str:
        """Name the Python that runs."""
        return f"{sys.version.split()[0]} ({sys.executable})"

    def program(self, *names: str) -> str | None:
        """Find the first of some programs; macOS has a compiler only with its tools installed."""
        for name in names:
            path = shutil.which(name)
            if path is not None and not (self.macos and _is_placeholder(path)):
                return path
        return None

    def version(self, module: str, package: str) -> str | None:
        """Give the version of a package if its module can be found."""
        if importlib.util.find_spec(module) is None:
            return None
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "of unknown version"

    def import_error(self, module: str) -> str:
        """Import a module in a process of its own; give the last line of its error, or nothing."""
        run = _run([sys.executable, "-c", f"import {module}"], 60.0)
        if run is None:
            return "importing it takes more than a minute"
        lines = run.stderr.strip().splitlines()
        return "" if run.returncode == 0 else (lines[-1] if lines else f"exit {run.returncode}")

    def memory_bytes(self) -> tuple[int | None, int | None]:
        """Give the memory in all, and what is available; None where the system does not say."""
        total = _sysconf("SC_PHYS_PAGES", "SC_PAGE_SIZE")
        try:
            lines = _MEMORY_FILE.read_text(encoding="ascii").splitlines()
        except OSError:
            return total, None
        values = dict(line.split(":", 1) for line in lines if ":" in line)
        available = values.get("MemAvailable", "").split()
        return total, int(available[0]) * 1024 if available else None

    def disk_free_bytes(self, folder: Path) -> int | None:
        """Give the free space where a folder is or will be."""
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            return None

    def port_problem(self, host: str, port: int) -> str:
        """Say why an address cannot be listened at; empty if it can."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # As servers do: what a process left behind a moment ago is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "in use by another process"
            return (error.strerror or str(error)).lower()
        return ""

    def clocks(self) -> tuple[float, float]:
        """Give the wall clock and by how much it left the monotonic one in a moment, s."""
        wall, steady = time.time(), time.monotonic()
        time.sleep(0.05)
        end = time.time()
        return end, abs((end - wall) - (time.monotonic() - steady))

    def clock_synchronized(self) -> Literal["yes", "no", "unknown"]:
        """Ask whether the wall clock is kept in time by a server."""
        program = shutil.which("timedatectl")
        if program is None:
            return "unknown"
        run = _run([program, "show", "--property=NTPSynchronized", "--value"], _ANSWER_S)
        said = "" if run is None else run.stdout.strip()
        return "yes" if said == "yes" else "no" if said == "no" else "unknown"


def _is_placeholder(path: str) -> bool:
    """Whether a program of macOS only offers to install the real one."""
    if not path.startswith("/usr/bin/"):
        return False
    tools = _run(["/usr/bin/xcode-select", "-p"], _ANSWER_S)
    return tools is None or tools.returncode != 0


def _sysconf(*names: str) -> int | None:
    try:
        values = [os.sysconf(name) for name in names]
    except (ValueError, OSError):
        return None
    product = 1
    for value in values:
        product *= value
    return product if all(value > 0 for value in values) else None


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    """Run a program that only answers a question; None if it cannot or does not."""
    try:
        return subprocess.run(  # noqa: S603 - fixed commands
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
