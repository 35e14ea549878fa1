"""What users may see of their prompts: what has happened so far, and what happens next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dmoa.live.door import Ended, LayerJoined, Progress, PromptView, Proposal, State, Token
from dmoa.live.engines.base import TokenScore

REMEMBERED = 1024
"""Ended prompts whose proposals are kept; the journal keeps the ends of all."""
SCORED = 8
"""Ended prompts whose log-probabilities are kept: an answer's may take megabytes."""


class PromptStory(msgspec.Struct, kw_only=True):
    """All that happened to one prompt of this node's own users, in order."""

    number: int
    layers: int
    proposers: int
    accepted_s: float
    prompt_tokens: int
    began_s: float
    state: State = "waiting"
    layer: int = 1
    ended_s: float | None = None
    sojourn_time_s: float | None = None
    scores: tuple[TokenScore, ...] = ()
    happened: list[Progress] = []
    #: Replaced whenever something happens, so that any number of watchers can wait for it.
    more: Any = None

    def tell(self, progress: Progress) -> None:
        """Note what happened and wake whoever watches."""
        self.happened.append(progress)
        if self.more is not None:
            self.more.set()
            self.more = None

    async def watch(self) -> AsyncIterator[Progress]:
        """Give what has happened, then what happens, until the prompt has ended."""
        happened, seen = self.happened, 0
        while True:
            while seen < len(happened):
                progress = happened[seen]
                seen += 1
                yield progress
                if isinstance(progress, Ended):
                    return
            if self.more is None:
                self.more = asyncio.Event()
            await self.more.wait()

    def shorten(self) -> None:
        """Keep the answer in one piece; whoever watches already goes on with the many."""
        kept: list[Progress] = [one for one in self.happened if not isinstance(one, Token)]
        if kept and isinstance(kept[-1], Ended) and kept[-1].answer:
            kept.insert(-1, Token(text=kept[-1].answer))
        self.happened = kept

    def forget_scores(self) -> None:
        """Let go of the log-probabilities of the answer's tokens."""
        self.scores = ()
        self.happened = [
            msgspec.structs.replace(one, scores=()) if isinstance(one, Ended) else one
            for one in self.happened
        ]

    def view(self) -> PromptView:
        """Show the prompt as it is now."""
        end = self.happened[-1] if self.state != "waiting" and self.happened else None
        ended = end if isinstance(end, Ended) else Ended(state="waiting")
        return PromptView(
            id=prompt_id(self.number),
            state=self.state,
            layers=self.layers,
            proposers=self.proposers,
            accepted_s=self.accepted_s,
            ended_s=self.ended_s,
            sojourn_time_s=self.sojourn_time_s,
            answer=ended.answer,
            reason=ended.reason,
            cut=ended.cut,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=ended.answer_tokens,
            proposals=[one for one in self.happened if isinstance(one, Proposal)],
        )


class Prompts:
    """The stories of prompts under way, and of the last that ended."""

    def __init__(self) -> None:
        self.waiting: dict[int, PromptStory] = {}
        self._ended: OrderedDict[int, PromptStory] = OrderedDict()
        self._scored: deque[PromptStory] = deque()

    def open(self, story: PromptStory) -> None:
        """Begin the story of an accepted prompt."""
        self.waiting[story.number] = story

    def find(self, number: int) -> PromptStory | None:
        """Look a story up."""
        return self.waiting.get(number) or self._ended.get(number)

    def propose(self, number: int, proposal: Proposal) -> None:
        """Note what became of one task of a layer."""
        story = self.waiting.get(number)
        if story is not None:
            story.tell(proposal)

    def advance(self, number: int, layer: int) -> None:
        """Note that a layer began, so the ones before are joined."""
        story = self.waiting.get(number)
        while story is not None and story.layer < layer:
            story.tell(LayerJoined(layer=story.layer, layers=story.layers))
            story.layer += 1

    def decode(self, number: int, text: str) -> None:
        """Note a piece of the answer."""
        story = self.waiting.get(number)
        if story is not None:
            story.tell(Token(text=text))

    def score(self, number: int, scores: tuple[TokenScore, ...]) -> None:
        """Note the log-probabilities of the answer's tokens."""
        story = self.waiting.get(number)
        if story is not None:
            story.scores = scores

    def end(self, number: int, ended: Ended, *, now_s: float, unix_s: float) -> None:
        """Note how a prompt ended."""
        story = self.waiting.pop(number, None)
        if story is None:
            return
        story.state, story.ended_s = ended.state, unix_s
        story.sojourn_time_s = now_s - story.began_s
        told = {"prompt_tokens": story.prompt_tokens, "scores": story.scores}
        story.tell(msgspec.structs.replace(ended, **told))
        story.shorten()
        if story.scores:
            self._scored.append(story)
            if len(self._scored) > SCORED:
                self._scored.popleft().forget_scores()
        self._ended[number] = story
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)


def prompt_id(number: int) -> str:
    """Name a prompt for its user.

    >>> prompt_id(7), prompt_number("p7"), prompt_number("7"), prompt_number("p-7")
    ('p7', 7, None, None)
    """
    return f"p{number}"


def prompt_number(identifier: str) -> int | None:
    """Read the name of a prompt; None if it is none."""
    digits = identifier.removeprefix("p")
    if digits == identifier or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        return None
    return int(digits)
