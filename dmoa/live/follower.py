"""Follows a node's steps: the stories of its users' prompts, its trace, how busy it is."""

from __future__ import annotations

import asyncio
from collections import deque

from dmoa.core import (
    Action,
    Answer,
    CancelService,
    Event,
    Expire,
    Fail,
    MessageReceived,
    Node,
    PromptArrived,
    Refusal,
    Refuse,
    Response,
    Send,
    ServiceEnded,
    ServiceFailed,
    StartService,
    Task,
    TaskId,
)
from dmoa.live.clock import RunClock
from dmoa.live.door import Ended, Proposal
from dmoa.live.engines.base import TokenScore
from dmoa.live.prompts import Prompts, PromptStory
from dmoa.live.recorder import Recorder

RATE_WINDOW = 64
"""Arrivals over which the arrival rate is measured."""


class Follower:
    """The audience of a driver.

    A prompt's story waits in ``opening`` until its acceptance is durable; a prompt that was not
    accepted leaves its refusal in ``refusals``. Whoever submitted it takes both away.
    """

    def __init__(self, node: Node, number: int, clock: RunClock, recorder: Recorder) -> None:
        self.prompts = Prompts()
        self.opening: dict[int, PromptStory] = {}
        self.refusals: dict[int, Refuse] = {}
        self.served = 0
        self.busy_s = 0.0
        self._node, self._number, self._clock, self._recorder = node, number, clock, recorder
        self._arrived_s: deque[float] = deque(maxlen=RATE_WINDOW)
        self._last_s, self._serving = 0.0, 0
        self._started_s: dict[TaskId, float] = {}
        self._idle = asyncio.Event()

    def stepped(self, now: float, event: Event, actions: list[Action], *, heard: bool) -> None:
        """See a step before its actions are carried out."""
        node = self._node
        waiting, serving, joining, unfinished = counts = node.counts()
        self._recorder.record((now, self._number, event, actions, *counts))
        self.busy_s += self._serving * (now - self._last_s)
        self._last_s, self._serving = now, serving
        if waiting or serving or joining or unfinished:
            self._idle.clear()
        else:
            self._idle.set()
        if heard:
            self._hear(now, event)
        for action in actions:
            self._see(now, action)

    def accepted(self, event: PromptArrived) -> None:
        """See that a prompt's acceptance is durable."""
        story = self.opening.pop(event.prompt, None)
        if story is not None:
            self._arrived_s.append(self._last_s)
            self.prompts.open(story)

    def ended(self, end: Answer | Fail | Expire | Refuse) -> None:
        """See how a prompt ended."""
        if isinstance(end, Refuse):
            self.refusals[end.prompt] = end
            return
        if isinstance(end, Answer):
            content = end.content
            ended = Ended(
                state="answered",
                answer=content.text or "",
                cut=content.cut,
                answer_tokens=content.tokens,
            )
        elif isinstance(end, Fail):
            ended = Ended(state="failed", reason=end.reason)
        else:
            ended = Ended(state="expired", reason="it was not answered before its deadline")
        now = self._clock.now()
        self.prompts.end(end.prompt, ended, now_s=now, unix_s=self._clock.unix_s(now))

    def wrote(self, task: TaskId, text: str) -> None:
        """See a piece of text of a task in service; that of an aggregation is the answer's."""
        if self._writes_answer(task):
            self.prompts.decode(task.prompt, text)

    def scored(self, task: TaskId, scores: tuple[TokenScore, ...]) -> None:
        """See the log-probabilities of a response; those of an aggregation are the answer's."""
        if self._writes_answer(task):
            self.prompts.score(task.prompt, scores)

    def _writes_answer(self, task: TaskId) -> bool:
        story = self.prompts.waiting.get(task.prompt)
        own = task.origin == self._node.name
        return own and story is not None and task.stage == story.layers

    def arrival_rate_hz(self) -> float:
        """Measure the arrival rate of this node's own prompts over the last of them."""
        if len(self._arrived_s) < 2:
            return 0.0
        span_s = self._clock.now() - self._arrived_s[0]
        return (len(self._arrived_s) - 1) / span_s if span_s > 0 else 0.0

    def utilization(self, slots: int) -> float:
        """Measure ρ: the busy share of the slots since the run began."""
        now = self._clock.now()
        busy_s = self.busy_s + self._serving * (now - self._last_s)
        return min(1.0, busy_s / slots / now) if now > 0 else 0.0

    async def idle(self) -> None:
        """Wait until the node has nothing to do."""
        if any(self._node.counts()):
            await self._idle.wait()

    def _hear(self, now: float, event: Event) -> None:
        """Note what became of a task of one of this node's own prompts."""
        name = self._node.name
        if isinstance(event, MessageReceived):
            message = event.message
            if isinstance(message, Response):
                report = message.report
                self._propose(
                    message.id,
                    event.sender,
                    text=message.content.text or "",
                    tokens=message.content.tokens,
                    cut=message.content.cut,
                    model=report.model if report is not None else "",
                    service_time_s=report.service_time_s if report is not None else 0.0,
                )
            elif isinstance(message, Refusal):
                self._propose(message.id, event.sender, missing=message.reason)
        elif isinstance(event, ServiceEnded):
            self.served += 1
            service_time_s = now - self._started_s.pop(event.task, now)
            if event.task.origin == name:
                self._propose(
                    event.task,
                    name,
                    text=event.content.text or "",
                    tokens=event.content.tokens,
                    cut=event.content.cut,
                    model=event.model,
                    service_time_s=service_time_s,
                )
        elif isinstance(event, ServiceFailed):
            self._started_s.pop(event.task, None)
            if event.task.origin == name:
                self._propose(event.task, name, missing=event.reason)

    def _propose(
        self,
        task: TaskId,
        node: str,
        *,
        text: str = "",
        tokens: int = 0,
        cut: bool = False,
        model: str = "",
        service_time_s: float = 0.0,
        missing: str = "",
    ) -> None:
        proposal = Proposal(
            layer=task.stage + 1,
            node=node,
            model=model,
            text=text,
            tokens=tokens,
            cut=cut,
            service_time_s=service_time_s,
            missing=missing,
        )
        self.prompts.propose(task.prompt, proposal)

    def _see(self, now: float, action: Action) -> None:
        """Note which layer a prompt is in, and when tasks start."""
        task = None
        if isinstance(action, StartService):
            task = action.task
            self._started_s[task] = now
        elif isinstance(action, CancelService):
            self._started_s.pop(action.task, None)
        elif isinstance(action, Send) and isinstance(action.message, Task):
            task = action.message.id
        if task is not None and task.origin == self._node.name:
            self.prompts.advance(task.prompt, task.stage + 1)
