"""The workers of a Dask cluster as a pool: ``pip install "dmoa[dask]"``.

The scheduler knows which worker is alive and gives the units of a lost one to another. Everything
else stays with the process that sweeps: what is to be done, what is finished, and the store.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Self

from dmoa import __version__
from dmoa.errors import ScenarioError
from dmoa.study.units import UNITS_PER_WORKER, Item, PoolError, Result, Units, work_through

if TYPE_CHECKING:
    from distributed import Client, Future

ANSWER_S = 15.0
"""How long a scheduler may take to answer, or to come back, s."""

WORKERS_S = 300.0
"""How long a cluster may be without any worker, s."""

LOOK_S = 5.0
"""After so long without a result the scheduler is asked whether it is still there, s."""

PACKAGES = ("numpy", "scipy", "networkx", "numba")
"""What else draws random numbers or computes measures; where it is, numba keeps only totals of very
long runs, whose measures are not those of single steps."""

_LOGS = ("distributed", "distributed.client")


@cache
def versions() -> dict[str, str]:
    """Give what a result depends on beside its scenario: programs, and the kind of processor.

    Python's second number counts (3.12 adds floats in another way than 3.11), its third does not.

    >>> sorted(versions())
    ['dmoa', 'networkx', 'numba', 'numpy', 'processor', 'python', 'scipy']
    """
    found = {
        "dmoa": __version__,
        "python": ".".join(map(str, sys.version_info[:2])),
        "processor": platform.machine(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def differences(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Say where the versions of a worker are not ours; an empty text where they are.

    >>> differences({"dmoa": "0.1.0", "numpy": "2.0"}, {"dmoa": "0.2.0", "numpy": "2.0"})
    'dmoa 0.1.0 there and 0.2.0 here'
    """
    return ", ".join(
        f"{name} {theirs.get(name, 'none')} there and {here} here"
        for name, here in ours.items()
        if theirs.get(name) != here
    )


def work_on_worker(ours: dict[str, str], packed: bytes) -> bytes:
    """Work through a unit on a worker of the cluster.

    The versions come first: what another version has packed may not even be read.

    Raises:
        ScenarioError: this worker would give other results than the process that sweeps.
    """
    from distributed import get_worker

    differ = differences(versions(), ours)
    if differ:
        raise _refused([f"{get_worker().address} ({differ})"])
    work, unit = pickle.loads(packed)  # noqa: S301 - from the process that sweeps
    return pickle.dumps(work_through(work, unit))


class Cluster:
    """A Dask cluster, as long as the context lasts; what is in flight at its end is dropped.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``; for ``tls://`` the
            certificates come from Dask's own configuration.

    Raises:
        ScenarioError: Dask is not installed, nobody answers at the address, or a worker has
            another version of what results depend on.
        PoolError: no worker came.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.workers = 1
        self._looked_s = 0.0
        self._seen_s = time.monotonic()
        self._pending: dict[Future[bytes], list[Any]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            self._client = stack.enter_context(_connected(self.address))
            self._check(self._await_workers())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._pending.clear()
        self._stack.close()

    def run(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[list[tuple[Item, Result]]]:
        """Give every item with its result, a unit at a time, in the order in which they finish.

        Raises:
            PoolError: the scheduler was lost, no worker was left, or several were lost over the
                same unit.
            ScenarioError: a worker that came later has another version.
        """
        units = Units(items, self.workers)
        while self._submit(work, units):
            for future in self._ended():
                packed = self._result(future)
                if packed is not None:
                    results: list[Result] = pickle.loads(packed)  # noqa: S301 - our workers'
                    yield units.settle(self._pending.pop(future), results)
            if any(future.cancelled() for future in self._pending):
                self._rejoin()
                for unit in self._pending.values():
                    units.give_back(unit)
                self._pending.clear()

    def _submit(self, work: Callable[[Item], Result], units: Units[Item]) -> bool:
        """Keep every worker busy; tell whether anything is in flight."""
        if self._client.status != "running":
            self._rejoin()
        while len(self._pending) < UNITS_PER_WORKER * self.workers and (unit := units.take()):
            packed = pickle.dumps((work, unit))
            # Pure calls are known by their arguments: the same one again would be the old one.
            future = self._client.submit(work_on_worker, versions(), packed, pure=False)
            self._pending[future] = unit
        return bool(self._pending)

    def _ended(self) -> list[Future[bytes]]:
        """Wait until something has ended, for a while; give what has."""
        from distributed import CancelledError, wait

        with self._client.as_current(), suppress(TimeoutError, CancelledError):
            wait([*self._pending], timeout=LOOK_S, return_when="FIRST_COMPLETED")
        if time.monotonic() - self._looked_s > LOOK_S:
            self._look()
        return [one for one in self._pending if one.done() and not one.cancelled()]

    def _result(self, future: Future[bytes]) -> bytes | None:
        """Fetch what a worker made of a unit; None if it has to be made again."""
        from distributed import CancelledError, KilledWorker

        try:
            return future.result(timeout=ANSWER_S)
        except (OSError, CancelledError):
            if future.status == "error":
                raise  # that of the work, not of the connection
            return None
        except KilledWorker as error:
            raise PoolError(
                f"{error.allowed_failures + 1} workers were lost over the same points, the last "
                f"was {error.last_worker.address}; perhaps they want memory"
            ) from None

    def _look(self) -> list[str]:
        """Ask the scheduler for the addresses of its workers."""
        try:
            found = _identify(self.address)["workers"]
        except OSError as error:
            raise self._lost(str(error)) from None
        self._looked_s = time.monotonic()
        self.workers = max(1, sum(worker["nthreads"] for worker in found.values()))
        if found:
            self._seen_s = self._looked_s
        elif self._looked_s - self._seen_s > WORKERS_S:
            raise PoolError(f"{self.address} has had no workers for {WORKERS_S:g} s")
        return [*found]

    def _rejoin(self) -> None:
        """Wait for a scheduler that is there again; Dask's client tries to reach it meanwhile."""
        ends_s = time.monotonic() + ANSWER_S
        while self._client.status != "running":
            if self._client.status == "closed" or time.monotonic() > ends_s:
                raise self._lost("the connection broke")
            time.sleep(0.05)
        self._look()

    def _lost(self, reason: str) -> PoolError:
        return PoolError(
            f"the scheduler {self.address} was lost: {reason}, and not mended in {ANSWER_S:g} s"
        )

    def _await_workers(self) -> list[str]:
        if addresses := self._look():
            return addresses
        warnings.warn(
            f"{self.address} has no workers yet; waiting for the first, {WORKERS_S:g} s at most",
            stacklevel=2,
        )
        with suppress(TimeoutError):  # looking says so
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        return self._look()

    def _check(self, addresses: list[str]) -> None:
        """Refuse workers that would give other results, before any work.

        One that comes later, or is too busy to answer now, is asked again with each unit.
        """
        from distributed import wait

        asked = {
            self._client.submit(versions, workers=[address], pure=False): address
            for address in addresses
        }
        with self._client.as_current(), suppress(TimeoutError):
            wait([*asked], timeout=ANSWER_S)
        refused = []
        for future, address in asked.items():
            if future.status == "error":
                refused.append(f"{address} (cannot load dmoa: {future.exception()})")
            elif future.status == "finished" and (
                differ := differences(future.result(), versions())
            ):
                refused.append(f"{address} ({differ})")
        if refused:
            raise _refused(refused)


def _refused(workers: Sequence[str]) -> ScenarioError:
    return ScenarioError(
        f"workers would give other results: {'; '.join(workers)}",
        path="scheduler",
        remedy="install the same on all machines and start these workers again",
    )


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    """Connect to a scheduler.

    Raises:
        ScenarioError: Dask is not installed, or nobody answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ScenarioError(
            "needs Dask, which is not installed",
            path="scheduler",
            given=address,
            remedy='pip install "dmoa[dask]"',
        ) from None
    try:
        # A client that does not get an answer would not end, so the scheduler is asked before.
        kind = _identify(address)["type"]
        problem = f"is a Dask {kind}, not a scheduler" if kind != "Scheduler" else ""
        client = None if problem else Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        problem, client = f"cannot be reached ({error.__cause__ or error})", None
    if client is None:
        raise ScenarioError(
            problem,
            path="scheduler",
            given=address,
            remedy="start one with dask scheduler; see docs/cluster.md",
        )
    try:
        yield client
    finally:
        with suppress(OSError):
            client.close(timeout=ANSWER_S)


def _identify(address: str) -> dict[str, Any]:
    """Ask a scheduler who it is and what workers it has.

    Raises:
        OSError: there was no answer in time.
        RuntimeError, TypeError, ValueError: the address is none, or what it needs or lacks of
            encryption is not what Dask is configured for.
    """
    from distributed import Security, rpc

    async def ask() -> dict[str, Any]:
        arguments = Security().get_connection_args("client")
        async with rpc(address, connection_args=arguments) as scheduler:
            found: dict[str, Any] = await scheduler.identity()
            return found

    def bounded() -> dict[str, Any]:
        return asyncio.run(asyncio.wait_for(ask(), ANSWER_S))

    # In a thread of its own: where this is called, in a notebook, a loop may be running.
    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(bounded).result()
        except TimeoutError:
            raise TimeoutError(f"no answer in {ANSWER_S:g} s") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Dask logs of lost connections: this module says it to the user."""
    logs = {name: logging.getLogger(name) for name in _LOGS}
    before = {name: log.level for name, log in logs.items()}
    for log in logs.values():
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, log in logs.items():
            log.setLevel(before[name])
