"""A node that is played: the gateway under test is real, and so are its clients.

Its texts say `[scripted]`, because no language model wrote them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from dmoa.core.messages import Options
from dmoa.errors import ScenarioError
from dmoa.live.door import (
    Ended,
    LayerJoined,
    NodeStatus,
    PeerView,
    Progress,
    PromptCounts,
    PromptView,
    Proposal,
    Refused,
    Ticket,
    Token,
)
from dmoa.live.engines.base import Capabilities, Embedding, TokenScore

CAPABILITIES = Capabilities(slots=2, grammar=True, logprobs=True, embeddings=True, prefill=True)
ANSWER = "[scripted] Because of Rayleigh scattering."


class FakeDoor:
    """Plays the script it is given, one event after the other.

    A `Pause` in the script waits until the test calls `release`.
    """

    def __init__(self, name: str = "0", model: str = "scripted") -> None:
        self.name, self.model = name, model
        self.layers, self.proposers = 1, 2
        self.events: list[Progress | Pause] = full_script()
        self.asked: list[dict[str, object]] = []
        self.refusal: Exception | None = None
        self.reading: Pause | None = None
        self.dropped = 0
        self.not_ready = ""
        self.state = "ready"
        self.following = 0
        self.tickets: dict[str, Ticket] = {}
        self.keys: dict[str, str] = {}

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
        if self.refusal is not None:
            raise self.refusal
        if idempotency_key is not None and idempotency_key in self.keys:
            return self.tickets[self.keys[idempotency_key]]
        if layers is not None and layers > 3:
            raise ScenarioError("at most 3 layers fit", path="layers", given=layers)
        self.asked.append(
            {
                "question": question,
                "options": options,
                "layers": layers,
                "proposers": proposers,
                "timeout_s": timeout_s,
            }
        )
        ticket = Ticket(
            id=f"{self.name}-{len(self.asked)}",
            layers=self.layers if layers is None else layers,
            proposers=self.proposers if proposers is None else proposers,
        )
        self.tickets[ticket.id] = ticket
        if idempotency_key is not None:
            self.keys[idempotency_key] = ticket.id
        return ticket

    def find(self, prompt_id: str) -> PromptView | None:
        ticket = self.tickets.get(prompt_id)
        if ticket is None:
            return None
        ends = [event for event in self.events if isinstance(event, Ended)]
        end = ends[-1] if ends else Ended(state="waiting")
        return PromptView(
            id=prompt_id,
            state=end.state,
            layers=ticket.layers,
            proposers=ticket.proposers,
            accepted_s=1_700_000_000.0,
            ended_s=1_700_000_004.5,
            sojourn_time_s=4.5,
            answer=end.answer,
            reason=end.reason,
            cut=end.cut,
            prompt_tokens=end.prompt_tokens,
            answer_tokens=end.answer_tokens,
            proposals=[event for event in self.events if isinstance(event, Proposal)],
        )

    async def watch(self, prompt_id: str) -> AsyncIterator[Progress]:
        assert prompt_id in self.tickets
        self.following += 1
        try:
            for event in self.events:
                if isinstance(event, Pause):
                    await event.over.wait()
                else:
                    yield event
        finally:
            self.following -= 1

    async def score(
        self, texts: Sequence[str | Sequence[int]], *, top: int
    ) -> list[tuple[TokenScore, ...]]:
        await self._read("score", texts, top)
        return [_scores(text, top) for text in texts]

    async def embed(self, texts: Sequence[str]) -> list[Embedding]:
        await self._read("embed", texts)
        return [Embedding([0.6, -0.8], len(text.split())) for text in texts]

    async def _read(self, *asked: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append({"reading": asked})
        if self.reading is not None:
            try:
                await self.reading.over.wait()
            except asyncio.CancelledError:
                self.dropped += 1
                raise

    def status(self) -> NodeStatus:
        return status(self.name, model=self.model, state=self.state)

    async def ready(self) -> str:
        if self.not_ready == "hangs":
            await asyncio.Event().wait()
        return self.not_ready


class Pause:
    """A place in a script where the node waits until the test lets it go on."""

    def __init__(self) -> None:
        self.over = asyncio.Event()


def proposal(node: str, text: str = "", **more: object) -> Proposal:
    fields: dict[str, object] = {
        "layer": 1,
        "node": node,
        "model": "scripted",
        "text": text if "missing" in more else text or f"[scripted] proposal of node {node}",
        "tokens": 5,
        "service_time_s": 1.25,
        **more,
    }
    return Proposal(**fields)  # type: ignore[arg-type] # the fields of a proposal, by name


def full_script() -> list[Progress | Pause]:
    return [
        proposal("0"),
        proposal("1", cut=True),
        proposal("3", text="", missing="its queue is full"),
        LayerJoined(layer=1, layers=1),
        Token(text="[scripted] Because"),
        Token(text=" of Rayleigh"),
        Token(text=" scattering."),
        proposal("0", text=ANSWER, layer=2),
        Ended(state="answered", answer=ANSWER, prompt_tokens=120, answer_tokens=5),
    ]


def status(name: str, *, model: str = "scripted", state: str = "ready") -> NodeStatus:
    return NodeStatus(
        name=name,
        pid=4711,
        state=state,  # type: ignore[arg-type] # tests give one of the states
        engine="scripted",
        model=model,
        incarnation=2,
        uptime_s=75.0,
        queue_length=3,
        serving=1,
        unfinished=2,
        utilization=0.42,
        mean_service_time_s=1.234,
        arrival_rate_hz=0.05,
        prompts=PromptCounts(accepted=9, answered=6, failed=1, expired=0),
        peers=[
            PeerView(name="1", connected=True, address="tcp://127.0.0.1:7401", asks=True),
            PeerView(name="3", connected=False, address="tcp://127.0.0.1:7403", asks=True),
        ],
        counters={"sent": 12},
        ignored={},
        layers=1,
        proposers=2,
        capabilities=CAPABILITIES,
    )


def _scores(text: str | Sequence[int], top: int) -> tuple[TokenScore, ...]:
    """Score a text whose tokens are its words, or its numbers; the likeliest after it is `.`."""
    tokens = text.split(" ") if isinstance(text, str) else [f"<{token}>" for token in text]
    words = [f" {token}" if place else token for place, token in enumerate(tokens)]
    likely = tuple((f" top{rank}".encode(), -0.125 - rank) for rank in range(top))
    known = [TokenScore(word.encode(), -2.0, likely) for word in words[1:]]
    end = ((b".", -0.5), *likely[1:])[:top]
    return (TokenScore(words[0].encode(), None), *known, TokenScore(b".", -0.5, end))


def queue_full() -> Refused:
    return Refused("the queue is full", queue_length=64, retry_after_s=2.4)
