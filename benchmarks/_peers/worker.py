"""A process for each engine: what one needs, or breaks, touches no other, and it can be stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from _peers.engines import function_of
from _peers.network import Network, Run, UnavailableError


class Worker:
    """Runs one engine in a process of its own, begun with the first run."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._folder = tempfile.TemporaryDirectory(prefix="dmoa-peers-")
        self._complaints = Path(self._folder.name, "stderr.txt")
        told = (name, other, self._complaints)
        self._process = context.Process(target=work, args=told, daemon=True)
        self._process.start()
        other.close()

    def run(
        self, network: Network, horizon_s: float, seed: int, *, check: bool, limit_s: float
    ) -> Run:
        """Run once, building included in the limit.

        Raises:
            UnavailableError: it cannot, it takes too long, or its process ended.
        """
        self._pipe.send((network, horizon_s, seed, check))
        if not self._pipe.poll(limit_s):
            self.close()
            raise UnavailableError(f"skipped: a run takes longer than {limit_s:.0f} s")
        try:
            found = self._pipe.recv()
        except EOFError:
            raise UnavailableError(self._end()) from None
        if isinstance(found, Run):
            return found
        raise UnavailableError(found)

    def _end(self) -> str:
        """Say how the process ended, and what it complained of last."""
        self._process.join()
        lines = self._complaints.read_text("utf-8", "replace").split("\n")
        last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
        return f"its process ended with exit code {self._process.exitcode}: {last[:200]}"

    def close(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._folder.cleanup()


def work(name: str, pipe: Connection, complaints: Path) -> None:
    """Run what is asked for, until nobody asks any more."""
    # Who started it stops it. To ignore the signal would make programs that it starts ignore it.
    signal.signal(signal.SIGINT, lambda *_: None)
    tempfile.tempdir = str(complaints.parent)  # cleared by who started it
    with complaints.open("wb") as file:
        os.dup2(file.fileno(), 2)  # libraries in C write there too
    while True:
        try:
            network, horizon_s, seed, check = pipe.recv()
        except EOFError:
            return
        try:
            answer: Run | str = function_of(name, check=check)(network, horizon_s, seed)
        except UnavailableError as error:
            answer = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, only this engine has no figure
            answer = f"failed: {type(error).__name__}: {error}"
        pipe.send(answer)
