"""A running node: the driver with its transport, engine and journal, as its clients see it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal

from dmoa.core import (
    Content,
    DrainStarted,
    Node,
    Options,
    PeerFound,
    PeerLost,
    PromptArrived,
)
from dmoa.errors import ScenarioError
from dmoa.live.admission import Admission
from dmoa.live.clock import RunClock
from dmoa.live.door import (
    NodeStatus,
    PeerView,
    Progress,
    PromptCounts,
    PromptView,
    Refused,
    Ticket,
)
from dmoa.live.driver import Driver
from dmoa.live.engines.base import Embedding, Engine, TokenScore
from dmoa.live.follower import Follower
from dmoa.live.journal import Journal
from dmoa.live.prompts import PromptStory, prompt_id, prompt_number
from dmoa.live.readings import Readings
from dmoa.live.recorder import Recorder
from dmoa.live.services import Services
from dmoa.live.transport import PeerAddress, Transport
from dmoa.scenario import Setup

_LOG = logging.getLogger(__name__)

DRAIN_S = 10.0


class RunningNode:
    """One live node; implements `dmoa.live.door.Door`.

    Args:
        setup: The cluster's scenario, resolved.
        node: This node of the core, as built by `dmoa.scenario.build_nodes`.
        number: Its index in ``setup.names``.
        engine: Its language model.
        journal: Where its promises are kept.
        recorder: Where its trace goes.
        clock: Of the run.
        peers: Addresses of all nodes that it may ask or that may ask it.
        max_tokens: Length of a response where the client does not say.
        truncate: Whether a prompt longer than the context is cut by the engine, not refused.
        fatal: Called with the bug that ends the node.
    """

    def __init__(
        self,
        setup: Setup,
        node: Node,
        number: int,
        *,
        engine: Engine,
        journal: Journal,
        recorder: Recorder,
        clock: RunClock,
        peers: Mapping[str, PeerAddress],
        max_tokens: int,
        truncate: bool,
        fatal: Callable[[BaseException], None],
        check: Callable[[Node], None] | None = None,
    ) -> None:
        self.name, self.model = node.name, engine.model
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self._setup, self._node, self._number = setup, node, number
        self._engine, self._journal, self._recorder = engine, journal, recorder
        self._clock, self._peers = clock, dict(peers)
        self._admission = Admission(setup, number, engine, truncate=truncate)
        self._asks = frozenset(setup.names[peer] for peer in setup.peers[number])
        self._lost = set(self._asks)
        self._met = asyncio.Event()
        if not self._lost:
            self._met.set()
        self._follower = Follower(node, number, clock, recorder)
        self._wire: Transport | None = None
        self._driver = Driver(
            node,
            clock=clock,
            wire=self,
            safe=journal,
            audience=self._follower,
            fatal=fatal,
            check=check,
        )
        self._services = Services(
            engine,
            slots=setup.slots[number],
            max_tokens=max_tokens,
            ended=self._driver.hear,
            wrote=self._follower.wrote,
            scored=self._follower.scored,
        )
        self._readings = Readings(engine, self.name)
        self._driver.serving = self._services
        # Nobody is reachable before the first word has come from there.
        for peer in sorted(self._asks):
            self._driver.hear(PeerLost(peer))

    # --- its two sides ------------------------------------------------------------------------

    def send(self, to: str, message: object) -> bool:
        """Put a message on the wire."""
        return self._wire is not None and self._wire.send(to, message)  # type: ignore[arg-type] # only messages of the core come here

    def attach(self, wire: Transport) -> None:
        """Take the transport into use; its callbacks are `received` and `peer_changed`."""
        self._wire = wire

    @property
    def received(self) -> Callable[..., None]:
        """Hear a message from a peer."""
        return self._driver.receive

    def peer_changed(self, peer: str, here: bool) -> None:  # noqa: FBT001 - the transport's callback
        """Hear that a peer was found or lost."""
        _LOG.info("peer %s is %s", peer, "here" if here else "gone")
        if peer not in self._asks:
            return
        if here and peer in self._lost:
            self._lost.discard(peer)
            self._driver.hear(PeerFound(peer))
            if not self._lost:
                self._met.set()
        elif not here and peer not in self._lost:
            self._lost.add(peer)
            self._driver.hear(PeerLost(peer))

    async def meet(self, wait_s: float) -> None:
        """Wait until every peer that it asks is here, for at most ``wait_s``.

        A node that began at once would answer its first prompts without them.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._met.wait(), wait_s)

    def resume(self) -> int:
        """Take up the prompts that were accepted before a crash; say how many."""
        unfinished = self._journal.unfinished()
        for event in unfinished:
            layers, proposers = self._admission.shape(event.plan)
            entry = self._journal.find(event.prompt)
            accepted_s = entry.accepted_s if entry is not None else self._clock.unix_s(0.0)
            story = PromptStory(
                number=event.prompt,
                layers=layers,
                proposers=proposers,
                accepted_s=accepted_s,
                prompt_tokens=event.content.tokens,
                began_s=accepted_s - self._clock.unix_s(0.0),
            )
            self._follower.prompts.open(story)
            self._driver.hear(event)
        self.state = "ready"
        return len(unfinished)

    async def drain(self, wait_s: float = DRAIN_S) -> bool:
        """Accept nothing new and end what is here, for at most ``wait_s``; say if all ended.

        What has not ended is taken up at the next start.
        """
        self.state = "draining"
        self._driver.hear(DrainStarted())
        try:
            await asyncio.wait_for(self._follower.idle(), wait_s)
        except TimeoutError:
            return False
        return True

    def flush(self) -> None:
        """Write what the trace still holds back."""
        self._recorder.flush()

    def close(self) -> None:
        """Stop hearing, serving and recording. The journal is closed by whoever opened it."""
        self._driver.close()
        self._readings.close()
        self._services.close()
        self._recorder.close()

    # --- the door -----------------------------------------------------------------------------

    async def submit(
        self,
        question: str,
        options: Options,
        *,
        layers: int | None = None,
        proposers: int | None = None,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Ticket:
        """Accept a prompt durably (see `dmoa.live.door.Door.submit`)."""
        tokens = await self._admission.measure(question, options)
        plan = self._admission.plan(layers, proposers)
        # Nothing waits between this look and the acceptance, so a key never has two prompts.
        if idempotency_key is not None:
            known = self._journal.prompt_of_key(idempotency_key)
            if known is not None:
                return self._ticket(known)
        self._check_ready()
        if self._driver.journal_fails:
            raise Refused(
                f"the journal of node {self.name} cannot be written (see its log)",
                queue_length=0,
                retry_after_s=30.0,
            )
        number, now = self._journal.next_prompt(), self._clock.now()
        spec = self._setup.scenario.plan
        wait_s = timeout_s if timeout_s is not None else spec.prompt_deadline_s
        event = PromptArrived(
            number,
            Content(tokens, question),
            options,
            plan,
            None if wait_s is None else now + wait_s,
        )
        shape = self._admission.shape(plan)
        self._follower.opening[number] = PromptStory(
            number=number,
            layers=shape[0],
            proposers=shape[1],
            accepted_s=self._clock.unix_s(now),
            prompt_tokens=tokens,
            began_s=now,
        )
        self._driver.arrive(event, idempotency_key)
        refusal = self._follower.refusals.pop(number, None)
        if refusal is not None:
            self._follower.opening.pop(number, None)
            wait = (refusal.queue_length + 1) * self._node.mean_service_time_s
            raise Refused(
                f"node {self.name}: {refusal.reason}",
                queue_length=refusal.queue_length,
                retry_after_s=max(1.0, wait),
            )
        if self._follower.opening.pop(number, None) is not None:
            raise Refused(
                f"the journal of node {self.name} cannot be written (see its log)",
                queue_length=0,
                retry_after_s=30.0,
            )
        return Ticket(id=prompt_id(number), layers=shape[0], proposers=shape[1])

    def find(self, prompt_id: str) -> PromptView | None:  # the door's word for it
        """Look a prompt up, under way or ended; None if it is unknown or was forgotten."""
        number = prompt_number(prompt_id)
        if number is None:
            return None
        story = self._follower.prompts.find(number)
        return story.view() if story is not None else self._remembered(number)

    async def watch(self, prompt_id: str) -> AsyncIterator[Progress]:
        """Follow a prompt: what has happened so far, then what happens, until it has ended."""
        number = prompt_number(prompt_id)
        story = None if number is None else self._follower.prompts.find(number)
        if story is not None:
            async for progress in story.watch():
                yield progress
            return
        view = self.find(prompt_id)
        if view is not None:
            yield view.end()

    def status(self) -> NodeStatus:
        """Say how the node is."""
        node, follower = self._node, self._follower
        waiting, serving, _, unfinished = node.counts()
        wire = self._wire
        connected = wire.connected() if wire is not None else frozenset()
        counters = dict(wire.counters) if wire is not None else {}
        counters["inbox_dropped"] = self._driver.dropped
        plan = self._setup.scenario.plan
        return NodeStatus(
            name=self.name,
            pid=os.getpid(),
            state=self.state,
            engine=self._engine.kind,
            model=self.model,
            incarnation=self._journal.incarnation,
            uptime_s=self._clock.now(),
            queue_length=waiting,
            serving=serving,
            unfinished=unfinished,
            utilization=follower.utilization(self._setup.slots[self._number]),
            mean_service_time_s=node.mean_service_time_s if follower.served else None,
            arrival_rate_hz=follower.arrival_rate_hz(),
            prompts=PromptCounts(**self._journal.counts()),
            peers=[
                PeerView(
                    name=peer,
                    connected=peer in connected,
                    address=address.address,
                    asks=peer in self._asks,
                )
                for peer, address in sorted(self._peers.items())
            ],
            counters=dict(sorted(counters.items())),
            ignored=dict(sorted(node.ignored.items())),
            layers=plan.layers,
            proposers=plan.proposers,
            notes=list(self._engine.notes),
            capabilities=self._engine.capabilities,
        )

    async def score(
        self, texts: Sequence[str | Sequence[int]], *, top: int
    ) -> list[tuple[TokenScore, ...]]:
        """Tell the log-probabilities of texts (see `dmoa.live.door.Door.score`)."""
        self._check_ready()
        return await self._readings.score(texts, top=top)

    async def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Turn texts into vectors (see `dmoa.live.door.Door.embed`)."""
        self._check_ready()
        return await self._readings.embed(texts)

    async def ready(self) -> str:
        """Say why the node cannot answer now; empty if it can."""
        if self.state != "ready":
            return f"node {self.name} is {self.state}"
        if self._driver.journal_fails:
            return "its journal cannot be written"
        return ""

    def _check_ready(self) -> None:
        if self.state != "ready":
            raise Refused(f"node {self.name} is {self.state}", queue_length=0, retry_after_s=5.0)

    def _ticket(self, number: int) -> Ticket:
        view = self.find(prompt_id(number))
        if view is None:
            raise ScenarioError("this prompt was forgotten", path="Idempotency-Key", given=number)
        return Ticket(id=view.id, layers=view.layers, proposers=view.proposers)

    def _remembered(self, number: int) -> PromptView | None:
        """Show a prompt as the journal knows it: without its proposals."""
        entry = self._journal.find(number)
        if entry is None:
            return None
        layers, proposers = self._admission.shape(entry.arrival.plan)
        content = entry.content
        ended_s = entry.ended_s
        return PromptView(
            id=prompt_id(number),
            state="waiting" if entry.state == "accepted" else entry.state,
            layers=layers,
            proposers=proposers,
            accepted_s=entry.accepted_s,
            ended_s=ended_s,
            sojourn_time_s=None if ended_s is None else ended_s - entry.accepted_s,
            answer="" if content is None else content.text or "",
            reason=entry.reason,
            cut=content is not None and content.cut,
            prompt_tokens=entry.arrival.content.tokens,
            answer_tokens=0 if content is None else content.tokens,
        )
