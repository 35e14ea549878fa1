"""Calendar queues in C, `calendar.c` and `tuned_calendar.c`, compiled if there is a compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from _peers.network import Network, Run, UnavailableError

FLAGS = ("-O3", "-march=native", "-std=c11", "-lm")


def compiler() -> str:
    """Find a C compiler: $CC, else the first of the usual names."""
    found = (shutil.which(name) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"))
    chosen = next(filter(None, found), None)
    if chosen is None:
        raise UnavailableError("no C compiler: looked for $CC, cc, gcc and clang")
    return chosen


@cache
def program(source: str) -> Path:
    """Compile a program, once for each worker, in whose temporary folder it stays."""
    made = Path(tempfile.mkdtemp()) / "calendar"
    file = str(Path(__file__).with_name(source))
    optimize, machine, standard, *libraries = FLAGS
    command = [compiler(), optimize, machine, standard, "-o", str(made), file, *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        # Not every compiler knows the machine it runs on.
        command.remove(machine)
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UnavailableError(f"{compiler()} cannot compile it: {done.stderr.strip()[-200:]}")
    return made


def same(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate as the compiled engine does."""
    return run("calendar.c", network, horizon_s, seed)


def tuned(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate with nothing but what the two networks and their mean queue need."""
    return run("tuned_calendar.c", network, horizon_s, seed)


def run(source: str, network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon, in a process of its own."""
    command = [str(program(source)), *map(str, (network.layers, network.nodes, horizon_s, seed))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    seen = json.loads(done.stdout)
    return Run(seen["events"], seen["seconds"], seen["waiting"])
