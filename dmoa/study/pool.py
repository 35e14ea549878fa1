"""Processes of this machine for replications and sweep points, and the same loop without them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Self

from dmoa.study.units import (
    UNITS_PER_WORKER,
    Item,
    Pool,
    PoolError,
    Result,
    Units,
    work_through,
)


def run_all(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | Pool
) -> Iterator[tuple[Item, Result]]:
    """Yield every item with its result, as they finish.

    Closing the iterator (Ctrl-C) abandons what is in flight in processes of its own.

    Args:
        work: a function of a module of dmoa.
        items: what to work on.
        workers: processes to use, or a pool that there is.

    Raises:
        PoolError: a worker was killed.

    >>> sorted(run_all(abs, [-2, 1], workers=1))
    [(-2, 2), (1, 1)]
    """
    if isinstance(workers, Pool):
        for unit in workers.run(work, items):
            yield from unit
        return
    with Processes(workers) as pool:
        for unit in pool.run(work, items):
            yield from unit


class Processes:
    """A pool of processes, started where they are needed: a single item is done in this one.

    >>> with Processes(1) as pool:
    ...     list(pool.run(abs, [-1]))
    [[(-1, 1)]]
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Self:
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            # Nothing is ever sent: its end is the message, and a parent that is killed ends it too.
            self._receiver, self._sender = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=_end_with_parent,
                initargs=(self._receiver,),
            )
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self.workers > 1:
            if error is not None:
                self._sender.close()  # nobody wants the results of what is in flight
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._sender.close()
            self._receiver.close()

    def run(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[list[tuple[Item, Result]]]:
        """Give every item with its result, a unit at a time, in the order in which they finish.

        Raises:
            PoolError: a worker was killed.
        """
        waiting = [*items]
        units = Units(waiting, self.workers)
        if self.workers <= 1 or len(waiting) <= 1:
            while unit := units.take():
                yield units.settle(unit, work_through(work, unit))
            return
        pending: dict[Future[list[Result]], list[Item]] = {}
        try:
            while self._submit(work, units, pending):
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield units.settle(pending.pop(future), future.result())
        except BrokenExecutor:
            raise PoolError(
                "a worker process was killed, perhaps for want of memory; try fewer workers"
            ) from None

    def _submit(
        self,
        work: Callable[[Item], Result],
        units: Units[Item],
        pending: dict[Future[list[Result]], list[Item]],
    ) -> bool:
        """Keep every worker busy; tell whether anything is in flight."""
        with _blank_main(), _ctrl_c_held():
            while len(pending) < UNITS_PER_WORKER * self.workers and (unit := units.take()):
                pending[self._executor.submit(work_through, work, unit)] = unit
        return bool(pending)


def _end_with_parent(receiver: Connection) -> None:
    """End a worker quietly on Ctrl-C, and as soon as its parent abandons it or is killed."""

    def watch() -> None:
        with suppress(EOFError):
            receiver.recv_bytes()
        os._exit(130)

    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _blank_main() -> Iterator[None]:
    """Keep spawned workers from running the user's script again.

    A spawned process first imports the parent's ``__main__``, so a script that calls `simulate`
    outside of ``if __name__ == "__main__"`` would start itself over in every worker. The workers
    need nothing from it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Keep spawned workers from hearing Ctrl-C before `_end_with_parent` answers it.

    They inherit what is blocked; without it, one that is still importing would print a traceback.
    Ctrl-C reaches this process when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
