"""What a node shows at its door: the words between the live driver and the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

import msgspec

from dmoa.core import Options
from dmoa.live.engines.base import Capabilities, Embedding, TokenScore

State = Literal["waiting", "answered", "failed", "expired"]
"""Where an accepted prompt is: under way, or how it ended."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True, tag="proposal"):
    """One response of one layer; layers count from 1, the aggregation is the last.

    ``text`` is empty where nothing came: then ``missing`` says why.
    """

    layer: int
    node: str
    model: str = ""
    text: str = ""
    tokens: int = 0
    cut: bool = False
    service_time_s: float = 0.0
    missing: str = ""


class LayerJoined(msgspec.Struct, frozen=True, kw_only=True, tag="joined"):
    """A layer has its responses; the next one begins."""

    layer: int
    layers: int


class Token(msgspec.Struct, frozen=True, kw_only=True, tag="token"):
    """A piece of the answer, as the aggregator decodes it."""

    text: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The prompt has ended; ``answer`` where it was answered, else ``reason``.

    ``scores`` are those of the answer's tokens, if the prompt asked for them and they are still
    known.
    """

    state: State
    answer: str = ""
    reason: str = ""
    cut: bool = False
    prompt_tokens: int = 0
    answer_tokens: int = 0
    scores: tuple[TokenScore, ...] = ()


Progress = Proposal | LayerJoined | Token | Ended


class PromptView(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as its user may see it. Proposals are known as long as the process lives."""

    id: str
    state: State
    layers: int
    proposers: int
    accepted_s: float
    ended_s: float | None = None
    sojourn_time_s: float | None = None
    answer: str = ""
    reason: str = ""
    cut: bool = False
    prompt_tokens: int = 0
    answer_tokens: int = 0
    proposals: list[Proposal] = []

    def end(self) -> Ended:
        """Give the end of an ended prompt, as whoever watches it hears it."""
        return Ended(
            state=self.state,
            answer=self.answer,
            reason=self.reason,
            cut=self.cut,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.answer_tokens,
        )


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """A peer as this node sees it."""

    name: str
    connected: bool
    address: str
    asks: bool
    """Whether this node may ask it."""


class PromptCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Prompts of this node's own users, over the life of its journal."""

    accepted: int
    answered: int
    failed: int
    expired: int


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself. Times in seconds, rates per second since it started.

    ``capabilities`` are its engine's, once that is loaded.
    """

    name: str
    pid: int
    state: Literal["starting", "ready", "draining"]
    engine: str
    model: str
    incarnation: int
    uptime_s: float
    queue_length: int
    serving: int
    unfinished: int
    utilization: float
    mean_service_time_s: float | None
    arrival_rate_hz: float
    prompts: PromptCounts
    peers: list[PeerView]
    counters: dict[str, int]
    ignored: dict[str, int]
    layers: int
    proposers: int
    notes: list[str] = []
    capabilities: Capabilities | None = None


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted prompt: it survives a crash of the node and ends exactly once."""

    id: str
    layers: int
    proposers: int


class Refused(Exception):  # noqa: N818 - an answer to the client, not an error of dmoa
    """Something was not accepted: too much waits already, or the node cannot take it now."""

    def __init__(self, reason: str, *, queue_length: int, retry_after_s: float) -> None:
        self.reason, self.queue_length, self.retry_after_s = reason, queue_length, retry_after_s
        super().__init__(reason)


class Door(Protocol):
    """A running node, as the gateway sees it."""

    name: str
    model: str

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
        """Accept a prompt durably.

        ``layers`` 0 asks this node's model alone. ``timeout_s`` is when the user stops waiting.

        Raises:
            ScenarioError: The prompt is empty or too long, or layers and proposers do not fit the
                overlay; ``path`` names the parameter.
            Refused: The queue is full or the node leaves.
        """
        ...

    def find(self, prompt_id: str) -> PromptView | None:
        """Look a prompt up, under way or ended; None if it is unknown or was forgotten."""
        ...

    def watch(self, prompt_id: str) -> AsyncIterator[Progress]:
        """Follow a prompt: what has happened so far, then what happens, until it has ended."""
        ...

    def status(self) -> NodeStatus:
        """Say how the node is."""
        ...

    async def score(
        self, texts: Sequence[str | Sequence[int]], *, top: int
    ) -> list[tuple[TokenScore, ...]]:
        """Tell the log-probabilities of texts by this node's own model.

        Args:
            texts: Texts, or their tokens by number.
            top: How many of the likeliest tokens to tell at each place.

        Returns:
            For each text one for each of its tokens, then one for the likeliest token after it.

        Raises:
            ScenarioError: The engine cannot, or a text is too long.
            Refused: Too many wait already, or the node starts or leaves.
            EngineError: The engine failed.
        """
        ...

    async def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Turn texts into vectors with this node's own model; raises as `score` does."""
        ...

    async def ready(self) -> str:
        """Say why the node cannot answer now; empty if its engine truly answers."""
        ...
