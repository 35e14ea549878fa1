"""The door of a node that is still starting: it says so, and lets in once the node is there."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence

from dmoa.core import Options
from dmoa.live.door import Door, NodeStatus, Progress, PromptCounts, PromptView, Refused, Ticket
from dmoa.live.engines.base import Embedding, TokenScore
from dmoa.live.journal import Journal

RETRY_S = 2.0


class FrontDoor:
    """Stands for a node before its model is loaded; `dmoa.live.door.Door` otherwise."""

    def __init__(self, name: str, model: str, engine: str, journal: Journal) -> None:
        self.name, self.model = name, model
        self._engine, self._journal = engine, journal
        self._began_s = time.monotonic()
        self._node: Door | None = None
        #: Why the node cannot answer yet.
        self.waiting_for = f"node {name} is loading its model {model}"

    def open(self, node: Door) -> None:
        """Let clients through to the node."""
        self.model = node.model
        self._node = node

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
        """Accept a prompt durably, or refuse it while the node starts."""
        return await self._opened().submit(
            question,
            options,
            layers=layers,
            proposers=proposers,
            timeout_s=timeout_s,
            idempotency_key=idempotency_key,
        )

    def find(self, prompt_id: str) -> PromptView | None:
        """Look a prompt up."""
        return None if self._node is None else self._node.find(prompt_id)

    async def watch(self, prompt_id: str) -> AsyncIterator[Progress]:
        """Follow a prompt."""
        if self._node is not None:
            async for progress in self._node.watch(prompt_id):
                yield progress

    def status(self) -> NodeStatus:
        """Say how the node is."""
        if self._node is not None:
            return self._node.status()
        return NodeStatus(
            name=self.name,
            pid=os.getpid(),
            state="starting",
            engine=self._engine,
            model=self.model,
            incarnation=self._journal.incarnation,
            uptime_s=time.monotonic() - self._began_s,
            queue_length=0,
            serving=0,
            unfinished=0,
            utilization=0.0,
            mean_service_time_s=None,
            arrival_rate_hz=0.0,
            prompts=PromptCounts(**self._journal.counts()),
            peers=[],
            counters={},
            ignored={},
            layers=0,
            proposers=0,
        )

    async def score(
        self, texts: Sequence[str | Sequence[int]], *, top: int
    ) -> list[tuple[TokenScore, ...]]:
        """Tell the log-probabilities of texts, or refuse to while the node starts."""
        return await self._opened().score(texts, top=top)

    async def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Turn texts into vectors, or refuse to while the node starts."""
        return await self._opened().embed(texts)

    async def ready(self) -> str:
        """Say why the node cannot answer now; empty if it can."""
        if self._node is not None:
            return await self._node.ready()
        return self.waiting_for

    def _opened(self) -> Door:
        if self._node is None:
            raise Refused(self.waiting_for, queue_length=0, retry_after_s=RETRY_S)
        return self._node
