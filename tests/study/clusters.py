"""Real Dask clusters on loopback: a scheduler and workers as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("--no-dashboard", "--host", "127.0.0.1")
WORKER = ("-m", "distributed.cli.dask_worker")
OF_ANOTHER_VERSION = (
    "-c",
    """
import dmoa
dmoa.__version__ = "99.0"
from distributed.cli.dask_worker import main
main()
""",
)


class Cluster:
    """The processes; their logs are files in the folder."""

    def __init__(self, port: int, folder: Path) -> None:
        self.address, self._port, self._folder = f"tcp://127.0.0.1:{port}", port, folder
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen:
        self.scheduler = self._start("-m", "distributed.cli.dask_scheduler", "--no-show",
                                     "--port", str(self._port), *QUIET)  # fmt: skip
        return self.scheduler

    def add_worker(self, program: tuple[str, ...] = WORKER) -> None:
        self.workers.append(
            self._start(
                *program, self.address, "--nthreads", "1", "--nworkers", "1", "--no-nanny",
                "--local-directory", str(self._folder), *QUIET,
            )
        )  # fmt: skip

    def _start(self, *arguments: str) -> subprocess.Popen:
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                # A unit lost is a unit tried again once; who dies over it twice, is to blame.
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
                },
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextmanager
def running(port: int, folder: Path, *programs: tuple[str, ...]) -> Iterator[Cluster]:
    """Give a cluster that is there, with a worker for each program."""
    from distributed import Client

    cluster = Cluster(port, folder)
    try:
        for program in programs:
            cluster.add_worker(program)
        with Client(cluster.address, timeout=60, set_as_default=False) as client:
            if programs:
                client.wait_for_workers(len(programs), timeout=60)
        yield cluster
    finally:
        cluster.stop()
