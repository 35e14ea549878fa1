"""A live overlay in one process: real sockets, real journals, engines without a model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from dmoa import __version__
from dmoa.core.invariants import check
from dmoa.live.allowlist import PeerAddress
from dmoa.live.clock import RunClock
from dmoa.live.engines.base import Engine
from dmoa.live.engines.scripted import Scripted
from dmoa.live.journal import Journal
from dmoa.live.keys import make_keys
from dmoa.live.limits import TransportLimits
from dmoa.live.recorder import Recorder
from dmoa.live.running import RunningNode
from dmoa.live.transport import Transport
from dmoa.scenario import Setup, build_nodes, run_key
from dmoa.scenario.nodes import replay_facts
from dmoa.trace import Header, TraceWriter
from tests.live.wires import free_port, until

BYTES_MAX = 64 << 20
QUICK = TransportLimits(heartbeat_s=0.1, heartbeat_timeout_s=1.0)


class LiveOverlay:
    """The running nodes of a scenario, by name, and how to stop and start each."""

    def __init__(
        self, setup: Setup, folder: Path, engine: Callable[[int], Engine] | None = None
    ) -> None:
        self.setup, self.folder = setup, folder
        self.engine = engine or (lambda _: Scripted())
        self.nodes: dict[str, RunningNode] = {}
        self.wires: dict[str, Transport] = {}
        self.journals: dict[str, Journal] = {}
        self.bugs: list[BaseException] = []
        self.keys = {name: make_keys() for name in setup.names}
        self.addresses = {
            name: PeerAddress(f"tcp://127.0.0.1:{free_port()}", self.keys[name].public)
            for name in setup.names
        }

    def trace(self, name: str) -> Path:
        """Give the file of a node's present trace."""
        return self.folder / f"{name}.{self.journals[name].incarnation}.trace"

    async def start(self, name: str) -> RunningNode:
        """Start a node, and take up what it had accepted."""
        setup, number = self.setup, self.setup.names.index(name)
        journal = Journal.open(self.folder / f"{name}.sqlite", durability="process")
        self.journals[name] = journal
        clock = RunClock(journal.opened_s)
        header = Header(
            engine="live",
            seed=setup.scenario.run.seed,
            replication=0,
            dmoa=__version__,
            began_s=journal.opened_s,
            node=number,
            **replay_facts(setup),
        )
        node = RunningNode(
            setup,
            build_nodes(setup, run_key(setup.scenario.run.seed, 0))[number],
            number,
            engine=self.engine(number),
            journal=journal,
            recorder=Recorder(TraceWriter(self.trace(name), header, in_place=True), BYTES_MAX),
            clock=clock,
            peers={other: self.addresses[other] for other in setup.names if other != name},
            max_tokens=64,
            truncate=False,
            fatal=self.bugs.append,
            check=check,
        )
        wire = Transport(
            name=name,
            keys=self.keys[name],
            listen=self.addresses[name].address,
            peers={other: self.addresses[other] for other in setup.names if other != name},
            incarnation=journal.incarnation,
            limits=QUICK,
            now=clock.now,
            on_message=node.received,
            on_peer=node.peer_changed,
        )
        node.attach(wire)
        await wire.start()
        self.nodes[name], self.wires[name] = node, wire
        node.resume()
        return node

    async def stop(self, name: str) -> None:
        """Stop a node without a word to its prompts."""
        await self.wires.pop(name).close()
        self.nodes.pop(name).close()
        self.journals.pop(name).close()

    async def connect(self) -> None:
        """Wait until everybody hears everybody."""
        others = len(self.setup.names) - 1
        await until(lambda: all(len(wire.connected()) == others for wire in self.wires.values()))


@contextlib.asynccontextmanager
async def live_overlay(
    setup: Setup, folder: Path, engine: Callable[[int], Engine] | None = None
) -> AsyncIterator[LiveOverlay]:
    """Start all nodes of a scenario, connected; stop them, and see that none had a bug."""
    overlay = LiveOverlay(setup, folder, engine)
    try:
        for name in setup.names:
            await overlay.start(name)
        await overlay.connect()
        yield overlay
    finally:
        for name in list(overlay.nodes):
            await overlay.stop(name)
    assert not overlay.bugs
