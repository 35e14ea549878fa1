"""The live driver: real time for one node of the core.

It carries out what the node asks for: a message goes onto the wire, a task to the engine's
thread, a record into the journal before anything after it happens. It decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, assert_never

from dmoa.core import (
    Action,
    Answer,
    CancelService,
    Event,
    Expire,
    Fail,
    Message,
    MessageReceived,
    Node,
    Persist,
    Prefill,
    PromptArrived,
    Refuse,
    Send,
    SetTimer,
    StartService,
    TaskId,
    TimerFired,
)
from dmoa.errors import InvariantError, ScenarioError
from dmoa.live.clock import RunClock

_LOG = logging.getLogger(__name__)

INBOX_MAX = 10_000
"""Messages that may wait to be heard; more are dropped and counted, as a network may do."""
RETRY_JOURNAL_S = 1.0


class Wire(Protocol):
    """What carries messages; `dmoa.live.transport.Transport` is one."""

    def send(self, to: str, message: Message) -> bool:
        """Send without waiting; tell whether there was room."""
        ...


class Serving(Protocol):
    """What serves tasks; `dmoa.live.services.Services` is one."""

    def start(self, action: StartService) -> None:
        """Begin to serve a task."""
        ...

    def prefill(self, action: Prefill) -> None:
        """Let the beginning of a task be read while nothing is served."""
        ...

    def cancel(self, task: TaskId) -> None:
        """Stop a task, served or read ahead; its end is not told."""
        ...


class Safe(Protocol):
    """What keeps promises; `dmoa.live.journal.Journal` is one."""

    def persist(
        self,
        record: PromptArrived | Answer | Fail | Expire,
        *,
        idempotency_key: str | None = None,
    ) -> bool:
        """Write a record; durable once it returns. Tell whether it counts."""
        ...


class Audience(Protocol):
    """Who follows the node: its users' prompts, the trace."""

    def stepped(self, now: float, event: Event, actions: list[Action], *, heard: bool) -> None:
        """See a step before its actions are carried out; ``heard``: the node did not ignore it."""
        ...

    def accepted(self, event: PromptArrived) -> None:
        """See that a prompt's acceptance is durable."""
        ...

    def ended(self, end: Answer | Fail | Expire | Refuse) -> None:
        """See how a prompt ended; durable, and told once."""
        ...


class Driver:
    """Drives one node of the core by the clock, in one event loop.

    Args:
        node: As built by `dmoa.scenario.build_nodes`.
        clock: Of the run.
        wire: Where messages go.
        safe: Where promises are kept.
        audience: Who follows.
        check: Called with the node after each step (`dmoa.core.invariants.check` in tests).
        fatal: Called with the error that ends the node: a bug of its own.

    ``serving`` is set before the first event: it needs the driver's own `hear`.
    """

    serving: Serving

    def __init__(
        self,
        node: Node,
        *,
        clock: RunClock,
        wire: Wire,
        safe: Safe,
        audience: Audience,
        fatal: Callable[[BaseException], None],
        check: Callable[[Node], None] | None = None,
    ) -> None:
        self.node = node
        self.dropped = 0
        self._clock, self._wire, self._safe, self._audience = clock, wire, safe, audience
        self._fatal, self._check = fatal, check
        self._inbox: deque[Event] = deque()
        self._stepping = False
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}
        self._undurable: dict[int, Answer | Fail | Expire] = {}
        self._silent: set[int] = set()
        self._keys: dict[int, str] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def journal_fails(self) -> bool:
        """Whether the end of a prompt waits to be written."""
        return bool(self._undurable)

    def receive(self, sender: str, message: Message) -> None:
        """Hear a message from a peer that the transport has identified."""
        if len(self._inbox) >= INBOX_MAX:
            self.dropped += 1
            return
        self.hear(MessageReceived(sender, message))

    def arrive(self, event: PromptArrived, idempotency_key: str | None = None) -> None:
        """Hear a prompt of this node's own user; its fate so far is known when this returns.

        Raises:
            ScenarioError: The journal cannot be written, so the prompt was not accepted.
        """
        if idempotency_key is not None:
            self._keys[event.prompt] = idempotency_key
        self.hear(event)
        self._keys.pop(event.prompt, None)

    def hear(self, event: Event) -> None:
        """Let the node hear an event, and carry out what it asks for.

        What is heard meanwhile waits in the inbox, so a step is never entered twice.
        """
        if self._closed:
            return
        self._inbox.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inbox:
                self._step(self._inbox.popleft())
        except InvariantError as error:
            self.close()
            self._fatal(error)
        finally:
            self._stepping = False

    def close(self) -> None:
        """Stop all timers; nothing is heard any more."""
        self._closed = True
        self._inbox.clear()
        for handles in self._timers.values():
            for handle in handles:
                handle.cancel()
        self._timers.clear()
        if self._retry is not None:
            self._retry.cancel()

    def _step(self, event: Event) -> None:
        node, now = self.node, self._clock.now()
        ignored = node.ignored.total()
        actions = node.step(event, now)
        if self._check is not None:
            self._check(node)
        self._audience.stepped(now, event, actions, heard=node.ignored.total() == ignored)
        for action in actions:
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Send(to, message):
                self._wire.send(to, message)
            case StartService():
                self.serving.start(action)
            case Persist(record):
                if isinstance(record, PromptArrived):
                    self._promise(record)
                else:
                    self._persist_end(record)
            case Answer() | Fail() | Expire():
                self._tell(action)
            case SetTimer(timer, at_s):
                delay_s = max(0.0, at_s - self._clock.now())
                loop = asyncio.get_running_loop()
                handle = loop.call_later(delay_s, self.hear, TimerFired(timer))
                self._timers.setdefault(timer.prompt, []).append(handle)
            case Prefill():
                self.serving.prefill(action)
            case CancelService(task):
                self.serving.cancel(task)
            case Refuse():
                self._audience.ended(action)
            case _:
                assert_never(action)

    def _promise(self, event: PromptArrived) -> None:
        """Accept a prompt durably; where that fails, nobody was promised anything."""
        try:
            self._safe.persist(event, idempotency_key=self._keys.get(event.prompt))
        except ScenarioError as error:
            _LOG.error("prompt %d was not accepted: %s", event.prompt, error)
            self._silent.add(event.prompt)
        else:
            self._audience.accepted(event)

    def _persist_end(self, end: Answer | Fail | Expire) -> None:
        if end.prompt in self._silent:
            return
        try:
            if not self._safe.persist(end):
                self._silent.add(end.prompt)  # it has ended before, and was told so
        except ScenarioError as error:
            _LOG.error("prompt %d has ended, but: %s; trying again", end.prompt, error)
            self._undurable[end.prompt] = end
            self._schedule_retry()

    def _tell(self, end: Answer | Fail | Expire) -> None:
        for handle in self._timers.pop(end.prompt, ()):
            handle.cancel()
        if end.prompt in self._silent:
            self._silent.remove(end.prompt)
        elif end.prompt not in self._undurable:
            self._audience.ended(end)

    def _schedule_retry(self) -> None:
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RETRY_JOURNAL_S, self._persist_again)

    def _persist_again(self) -> None:
        """Write the ends that could not be written; whoever could not be told is told now."""
        self._retry = None
        for prompt, end in list(self._undurable.items()):
            try:
                self._safe.persist(end)
            except ScenarioError:
                self._schedule_retry()
                return
            del self._undurable[prompt]
            self._audience.ended(end)
