"""Clusters whose nodes are small scripts: they do what a test needs and know nothing of dmoa."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dmoa.live import pid_files
from dmoa.live.cluster import Cluster, ClusterNode, read_cluster

Found = TypeVar("Found")

#: No wait of a test takes longer unless something is broken, s.
DEADLINE_S = 30.0

#: Leaves at SIGTERM, as a node does.
OBEDIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("here", flush=True)
while True:
    time.sleep(60)
"""
#: Does not hear SIGTERM.
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
while True:
    time.sleep(60)
"""


def make_folder(folder: Path, names: Sequence[str] = ("0", "1")) -> Path:
    """Write the least that makes a folder a cluster."""
    peers = "".join(f'[live.peers.{name}]\naddress = "tcp://127.0.0.1:1"\n' for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cluster.toml").write_text(peers, encoding="utf-8")
    for position, name in enumerate(names):
        place = folder / "nodes" / name
        place.mkdir(parents=True)
        (place / "node.toml").write_text(
            f'name = "{name}"\nlisten = "127.0.0.1:{7401 + position}"\n'
            f'gateway_listen = "127.0.0.1:{8401 + position}"\n',
            encoding="utf-8",
        )
    return folder


def make_cluster(folder: Path, names: Sequence[str] = ("0", "1")) -> Cluster:
    """Make a cluster of small scripts."""
    return read_cluster(make_folder(folder, names))


def script(text: str) -> Callable[[ClusterNode, int], list[str]]:
    """Give the command line of a node that runs a script."""
    return lambda node, lock: [sys.executable, "-S", "-c", text, node.name, str(lock)]


def wait_for(find: Callable[[], Found | None], what: str) -> Found:
    """Wait until something is found; fail after the deadline, saying what was waited for."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        found = find()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {DEADLINE_S:g} s for {what}")


def pid_of(path: Path) -> int | None:
    """Give the id of the process that holds a pid file, once it is written."""
    found = pid_files.holder(path)
    return found.pid if found is not None else None


def is_free(path: Path) -> bool:
    """Whether nobody holds a pid file."""
    return pid_files.holder(path) is None


def says(path: Path, text: str) -> bool:
    """Whether a log holds a text."""
    return path.exists() and text in path.read_text(encoding="utf-8")
