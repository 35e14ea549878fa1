"""Admission: what a prompt must be before the core hears of it."""

from __future__ import annotations

import asyncio
from typing import Literal

from dmoa.core import Join, Options, Peers, Plan, layered
from dmoa.core.flight import outline
from dmoa.errors import ScenarioError
from dmoa.live.engines.base import Engine
from dmoa.scenario import Setup

LAYERS_MAX = 1000

Capability = Literal["grammar", "logprobs", "embeddings"]
LACKING: dict[Capability, str] = {
    "grammar": "follows no grammar",
    "logprobs": "tells no log-probabilities",
    "embeddings": "makes no embeddings",
}
"""What is said of an engine without a capability."""


def require(engine: Engine, capability: Capability, *, node: str, path: str) -> None:
    """See that the engine of a node can do something.

    Raises:
        ScenarioError: It cannot; the message says which engine can.
    """
    if not getattr(engine.capabilities, capability):
        another = "has another model" if engine.kind == "llama" else "has the engine llama"
        raise ScenarioError(
            f"the engine {engine.kind} of node {node} {LACKING[capability]}",
            path=path,
            remedy=f"leave it out, or ask a node that {another}",
        )


class Admission:
    """Measures and refuses what users of one node send.

    Args:
        setup: The cluster's scenario, resolved.
        number: The node's index in ``setup.names``.
        engine: Its language model.
        truncate: Whether a prompt longer than the context is cut by the engine, not refused.
    """

    def __init__(self, setup: Setup, number: int, engine: Engine, *, truncate: bool) -> None:
        self._name, self._spec = setup.names[number], setup.scenario.plan
        self._degree = len(setup.peers[number])
        queue_max = setup.queue_max[number]
        self._places = None if queue_max is None else queue_max + setup.slots[number]
        self._engine, self._truncate = engine, truncate

    async def measure(self, question: str, options: Options) -> int:
        """Count a prompt's tokens.

        Raises:
            ScenarioError: It is empty, longer than the language model can read, or asks for what
                this one cannot do.
        """
        if not question.strip():
            raise ScenarioError(
                "the prompt is empty", path="messages", remedy="ask something in the last message"
            )
        if options.grammar is not None:
            require(self._engine, "grammar", node=self._name, path="grammar")
        if options.logprobs is not None:
            require(self._engine, "logprobs", node=self._name, path="logprobs")
        # Beside the loop: a text of megabytes takes a while.
        tokens = await asyncio.to_thread(self._engine.count_tokens, question, options)
        room = self._engine.context_tokens
        if tokens >= room and not self._truncate:
            raise ScenarioError(
                f"the prompt has {tokens} tokens with its history, and the context of"
                f" {self._engine.model} has {room}, for prompt and answer together",
                path="messages",
                remedy="shorten it, or give the node a larger context_tokens",
            )
        return tokens

    def plan(self, layers: int | None, proposers: int | None) -> Plan | None:
        """Make the plan of one prompt; None where it is the node's own.

        Raises:
            ScenarioError: The overlay, or the node's queue, has no room for it.
        """
        spec = self._spec
        asked = spec.proposers if proposers is None else proposers
        if proposers is not None and not 0 <= proposers <= self._degree:
            raise ScenarioError(
                f"node {self._name} has {self._degree} peers to ask",
                path="proposers",
                given=proposers,
                remedy=f"give 0 to {self._degree}",
            )
        depth = spec.layers if layers is None else layers
        if not 0 <= depth <= LAYERS_MAX:
            raise ScenarioError(f"must be 0 to {LAYERS_MAX} layers", path="layers", given=depth)
        if (depth, asked) == (spec.layers, spec.proposers):
            return None
        join = Join(
            spec.layer_deadline_s,
            min(spec.quorum or 1, asked + 1),
            spec.patience,
            spec.attempts or 1,
        )
        plan = layered(depth, asked, join=join, deadline_s=spec.prompt_deadline_s)
        tasks = outline(plan, self._degree).tasks
        if self._places is not None and tasks > self._places:
            raise ScenarioError(
                f"the prompt would be {tasks} tasks, and node {self._name} has"
                f" {self._places} places",
                path="layers",
                given=depth,
                remedy="give fewer layers or proposers, or raise station.queue_max",
            )
        return plan

    def shape(self, plan: Plan | None) -> tuple[int, int]:
        """Give layers and proposers of a prompt's plan."""
        if plan is None:
            return self._spec.layers, self._spec.proposers
        asked = [p.count for p in plan.stages[0].placements if isinstance(p, Peers)]
        return len(plan.stages) - 1, sum(asked)
