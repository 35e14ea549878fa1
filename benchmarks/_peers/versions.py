"""What was measured, and where: versions, machine, load."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _peers.calendar_queue import FLAGS, compiler
from _peers.network import UnavailableError

PACKAGES = ("dmoa", "simpy", "numpy", "numba", "cimba", "salabim", "ciw")


def versions() -> dict[str, str]:
    """Name everything that a figure depends on."""
    found = {"Python": f"{platform.python_version()} ({platform.python_compiler()})"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["C"] = c_compiler()
    found["machine"] = f"{platform.machine()}, {processor()}, {os.cpu_count()} cores"
    found["system"] = f"{platform.system()} {platform.release()}"
    return found


def c_compiler() -> str:
    """Name the C compiler and its flags, or say that there is none."""
    try:
        command = compiler()
    except UnavailableError as error:
        return str(error)
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return " ".join([told.stdout.partition("\n")[0], *FLAGS])


def processor() -> str:
    """Name the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def load() -> float | None:
    """Tell how many processes were running in the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
