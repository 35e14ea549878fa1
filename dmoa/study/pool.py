"""A process pool for replications and sweep points, and the same loop without one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection
from types import ModuleType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Yield every item with its result, as they finish; with one worker in this process.

    ``work`` is a function of a module of dmoa. Not more than two items per worker are in flight,
    so that closing the iterator (Ctrl-C) abandons little.

    >>> sorted(run_all(abs, [-2, 1], workers=1))
    [(-2, 2), (1, 1)]
    """
    if workers <= 1:
        for item in items:
            yield item, work(item)
        return
    context = multiprocessing.get_context("spawn")
    # Nothing is ever sent: its end is the message, and a parent that is killed ends it too.
    receiver, sender = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_end_with_parent, initargs=(receiver,)
    )
    pending: dict[Future[Result], Item] = {}
    queue = iter(items)
    try:
        while True:
            with _blank_main(), _ctrl_c_held():
                for item in islice(queue, 2 * workers - len(pending)):
                    pending[pool.submit(work, item)] = item
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    except BaseException:
        sender.close()  # nobody wants the results of what is in flight
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        sender.close()
        receiver.close()


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
