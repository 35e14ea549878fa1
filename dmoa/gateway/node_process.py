"""The process of one node: everything that runs in it, from its files to its doors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmoa import __version__
from dmoa.core import Options, derive
from dmoa.errors import EngineError, ScenarioError
from dmoa.gateway.app import make_app
from dmoa.gateway.auth import read_keys
from dmoa.gateway.front_door import FrontDoor
from dmoa.gateway.server import serve
from dmoa.live.clock import RunClock
from dmoa.live.config import NodeConfig, read_node
from dmoa.live.engines import make_engine
from dmoa.live.engines.base import Cancellation, Engine
from dmoa.live.journal import Journal
from dmoa.live.recorder import Recorder
from dmoa.live.running import RunningNode
from dmoa.live.transport import Transport
from dmoa.scenario import build_nodes, run_key
from dmoa.scenario.nodes import replay_facts
from dmoa.trace import Header, TraceWriter

_LOG = logging.getLogger(__name__)

FLUSH_S = 0.5
ENGINE_RETRY_S = 5.0
SWITCH_S = 0.0005
TRACES_KEPT = 20
ENGINE = "live"


def run_node(path: Path, *, ready: Callable[[], None] | None = None) -> None:
    """Run a node until it is told to stop: SIGTERM and SIGINT let it leave gracefully.

    Args:
        path: Its node.toml.
        ready: Called once, when it can answer.

    Raises:
        ScenarioError: Its configuration, keys, journal, model or ports are wrong.
        InvariantError: A bug.
    """
    # A thread that computes for Python keeps the others waiting this long; the engine's thread
    # comes back to it for every token.
    sys.setswitchinterval(SWITCH_S)
    config = read_node(path)
    for note in config.notes:
        _LOG.warning("%s", note)
    journal = Journal.open(
        config.journal, durability=config.durability, retention_s=config.retention_s
    )
    try:
        asyncio.run(_Process(config, journal).run(ready))
    finally:
        journal.close()


class _Process:
    """One life of a node: its parts are started one after another, and stopped in reverse."""

    def __init__(self, config: NodeConfig, journal: Journal) -> None:
        self._config, self._journal = config, journal
        self._stop = asyncio.Event()
        self._bug: BaseException | None = None

    async def run(self, ready: Callable[[], None] | None) -> None:
        """Run until a signal or a bug ends it."""
        config = self._config
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        keys = () if config.api_keys_file is None else read_keys(config.api_keys_file)
        front = FrontDoor(config.name, config.engine.model, config.engine.kind, self._journal)
        # The door opens first: while a model loads, whoever asks is told so.
        server = await serve(make_app(front, keys), config.gateway.host, config.gateway.port)
        try:
            key = derive(run_key(config.setup.scenario.run.seed, 0), "engine", config.index)
            loading = asyncio.create_task(asyncio.to_thread(make_engine, config.engine, key=key))
            await self._unless_stopped(loading)
            engine = await loading
            try:
                await self._until_it_answers(engine, front)
                if not self._stop.is_set():
                    await self._serve(engine, front, ready)
            finally:
                engine.close()
        finally:
            await server.stop()
        if self._bug is not None:
            raise self._bug

    def _told_to_stop(self, number: int) -> None:
        _LOG.info("%s: leaving", signal.Signals(number).name)
        self._stop.set()

    def _fatal(self, bug: BaseException) -> None:
        self._bug = bug
        self._stop.set()

    async def _until_it_answers(self, engine: Engine, front: FrontDoor) -> None:
        """Ask the engine for one token until it gives it: only then is the node of use."""
        front.waiting_for = f"node {front.name} waits for the first token of its engine"
        while not self._stop.is_set():
            cancelled = Cancellation()
            asking = asyncio.create_task(
                asyncio.to_thread(
                    engine.generate, "Hello", Options(max_tokens=1), lambda _: None, cancelled
                )
            )
            await self._unless_stopped(asking)
            cancelled.set()
            try:
                await asking
            except EngineError as error:
                front.waiting_for = f"node {front.name} has no answer of its engine: {error}"
                _LOG.warning("the engine does not answer, trying again: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), ENGINE_RETRY_S)
            else:
                return

    async def _unless_stopped(self, work: asyncio.Task[Any]) -> None:
        """Wait for some work, or until the node is told to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _serve(
        self, engine: Engine, front: FrontDoor, ready: Callable[[], None] | None
    ) -> None:
        """Take the node into use, and out of it again."""
        config, journal = self._config, self._journal
        clock = RunClock(journal.opened_s)
        setup = config.setup
        seed = setup.scenario.run.seed
        node = RunningNode(
            setup,
            build_nodes(setup, run_key(seed, 0))[config.index],
            config.index,
            engine=engine,
            journal=journal,
            recorder=self._recorder(seed),
            clock=clock,
            peers=config.peers,
            max_tokens=config.engine.max_tokens,
            truncate=config.engine.truncate,
            fatal=self._fatal,
        )
        wire = Transport(
            name=config.name,
            keys=config.keys,
            listen=config.listen,
            peers=config.peers,
            incarnation=journal.incarnation,
            limits=config.limits,
            now=clock.now,
            on_message=node.received,
            on_peer=node.peer_changed,
        )
        node.attach(wire)
        await wire.start()
        try:
            await node.meet(config.limits.heartbeat_timeout_s)
            resumed = node.resume()
            front.open(node)
            _LOG.info(
                "node %s is ready: %s at %s, incarnation %d, %d prompts taken up again",
                config.name,
                engine.model,
                wire.endpoint,
                journal.incarnation,
                resumed,
            )
            if ready is not None:
                ready()
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), FLUSH_S)
                node.flush()
            if self._bug is None and not await node.drain():
                _LOG.warning("some prompts have not ended; they are taken up at the next start")
        finally:
            await wire.close()
            await asyncio.to_thread(node.close)

    def _recorder(self, seed: int) -> Recorder:
        """Begin the trace of this incarnation, and remove those of long ago."""
        config, journal = self._config, self._journal
        header = Header(
            engine=ENGINE,
            seed=seed,
            replication=0,
            dmoa=__version__,
            began_s=journal.opened_s,
            node=config.index,
            **replay_facts(config.setup),
        )
        folder = config.trace_folder
        try:
            folder.mkdir(exist_ok=True)
            traces = sorted(folder.glob("*.trace"))
            for old in traces[: max(0, len(traces) - TRACES_KEPT + 1)]:
                old.unlink()
        except OSError as error:
            raise ScenarioError(
                f"cannot be written ({error.strerror})",
                path=str(folder),
                remedy="give node.toml a state folder that this user may write into",
            ) from None
        file = folder / f"{journal.incarnation:06d}.trace"
        return Recorder(TraceWriter(file, header, in_place=True), config.trace_bytes_max)
