"""The machines that nodes run on: how much computing each busy node gets, and what ends next.

A host has a clock of its own, which runs slower the more of its nodes are busy. On that clock every
node computes at its own pace, whatever the others do, so a change at one node touches no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any, ClassVar

import msgspec

from dmoa.core import Content, TaskId
from dmoa.scenario import Setup
from dmoa.scenario.recurring import Recurring
from dmoa.scenario.station_schema import CHUNK_TOKENS
from dmoa.sim.processor import Memory, Pace, Processor

Serve = Callable[[int, TaskId, Content], tuple[float, Content]]
"""(server, task, content) -> (service time alone, s; response)."""


class Turn(msgspec.Struct):
    """The time at which something ends on a host: all of an event that SimPy's kernel looks at."""

    callbacks: Any
    host: int
    version: int
    at_s: float

    _ok: ClassVar[bool] = True


class Host:
    """One machine and the processors of its nodes.

    Args:
        share: how many busy nodes it serves at full speed, cores by threads.
    """

    __slots__ = (
        "_busy", "_clock", "_ends", "_next", "_rate", "_seen_s", "_share", "_versions", "changed",
        "version",
    )  # fmt: skip

    def __init__(self, share: float) -> None:
        self._share = share
        #: The clock's time at `_seen_s` seconds, and its rate since.
        self._clock = self._seen_s = 0.0
        self._rate = min(1.0, share)
        self._busy: set[int] = set()
        #: When something ends at a node, by the clock; an entry with an old version is void.
        self._ends: list[tuple[float, int, int]] = []
        self._versions: dict[int, int] = {}
        self._next: tuple[float, int, int, float] | None = None
        self.changed: dict[int, Processor] = {}
        #: Of the turn that counts: one that was scheduled before a change does not.
        self.version = 0

    def clock(self, now_s: float) -> float:
        """Give the clock's time."""
        return self._clock + (now_s - self._seen_s) * self._rate

    def end(self) -> tuple[int, float]:
        """Take what ends next, for which its turn has come; give the node and the clock's time."""
        ends, node, _ = heappop(self._ends)
        self._next = None
        return node, ends

    def settle(self, now_s: float) -> tuple[int, float] | None:
        """Fix all speeds from now on; tell the node where something ends next, and the delay, s.

        None if nothing will end, or the turn that is scheduled is still right.
        """
        clock = self.clock(now_s)
        for node, processor in self.changed.items():
            ends = processor.settle(clock)
            version = self._versions[node] = self._versions.get(node, 0) + 1
            if ends < inf:
                heappush(self._ends, (ends, node, version))
            if processor.busy:
                self._busy.add(node)
            else:
                self._busy.discard(node)
        self.changed.clear()
        rate = min(1.0, self._share / max(1, len(self._busy)))
        if rate != self._rate:
            self._clock, self._seen_s, self._rate = clock, now_s, rate
        while self._ends and self._versions[self._ends[0][1]] != self._ends[0][2]:
            heappop(self._ends)
        if not self._ends:
            self._next = None
            self.version += 1
            return None
        following = (*self._ends[0], rate)
        if following == self._next:
            return None
        self._next = following
        self.version += 1
        return following[1], max(0.0, following[0] - clock) / rate


class Hosts:
    """All machines of a run: what nodes ask of them, and what ends.

    Args:
        serve: what each task takes alone, its reading included.
        paces: how fast each node's language model is, (n,).
        input_token_s: time that each node needs to read a token alone, s, (n,).
        places: index of each node's machine, (n,), from 0 on without a gap.
        share: how many busy nodes a machine serves at full speed, cores by threads.
        memories: what each node has read of recent prompts, (n,); None: nodes read all again.
    """

    def __init__(
        self,
        serve: Serve,
        paces: Sequence[Pace],
        input_token_s: Sequence[float],
        *,
        places: Sequence[int] | None = None,
        share: float = inf,
        memories: Sequence[Memory] | None = None,
    ) -> None:
        self._serve, self._input_token_s = serve, input_token_s
        if memories is None:
            self._processors = [Processor(pace) for pace in paces]
        else:
            self._processors = [Processor(*own) for own in zip(paces, memories, strict=True)]
        self._places = range(len(paces)) if places is None else places
        self._hosts = [Host(share) for _ in range(max(self._places) + 1)]
        self._changed: dict[int, Host] = {}

    def start(self, node: int, task: TaskId, content: Content, now_s: float) -> None:
        """Take a task into service at a node."""
        service_s, response = self._serve(node, task, content)
        reading_s = content.tokens * self._input_token_s[node]
        processor, clock = self._change(node, now_s)
        processor.start(task, reading_s, max(0.0, service_s - reading_s), response, clock)

    def prefill(self, node: int, task: TaskId, content: Content, now_s: float) -> None:
        """Read the beginning of the prompt of a task to come, while nothing is in service."""
        processor, clock = self._change(node, now_s)
        processor.prefill(task, content.tokens * self._input_token_s[node], clock)

    def cancel(self, node: int, task: TaskId, now_s: float) -> None:
        """Take a task out of service, or forget what was to be read ahead of it."""
        processor, clock = self._change(node, now_s)
        processor.cancel(task, clock)

    def end(self, turn: Turn) -> tuple[int, TaskId, Content] | None:
        """End what a turn is about; give the task that was served, if it was one, and where."""
        host = self._hosts[turn.host]
        if turn.version != host.version:
            return None
        node, clock = host.end()
        processor = host.changed[node] = self._processors[node]
        self._changed[turn.host] = host
        ended = processor.finish(clock)
        return None if ended is None else (node, *ended)

    def settle(self, now_s: float) -> list[tuple[int, int, int, float]]:
        """Fix all speeds from now on; give the turns to schedule: host, version, node, delay, s."""
        turns = []
        for place, host in self._changed.items():
            following = host.settle(now_s)
            if following is not None:
                turns.append((place, host.version, *following))
        self._changed.clear()
        return turns

    def _change(self, node: int, now_s: float) -> tuple[Processor, float]:
        place = self._places[node]
        host = self._changed[place] = self._hosts[place]
        processor = host.changed[node] = self._processors[node]
        return processor, host.clock(now_s)


def build_hosts(setup: Setup, serve: Serve, prompt_tokens: Sequence[Sequence[int]]) -> Hosts:
    """Build the machines of a scenario.

    Args:
        setup: the resolved scenario.
        serve: what each task takes alone.
        prompt_tokens: for each node how long its prompts so far are; it grows as they arrive.
    """
    station, host = setup.scenario.station, setup.scenario.host
    chunk_tokens = station.chunk_tokens or CHUNK_TOKENS
    speedup = None if station.speedup is None else tuple(station.speedup)
    costs = [setup.token_service(node) for node in range(len(setup.names))]
    paces = [
        Pace(cost.output_token_s, chunk_tokens * cost.input_token_s, speedup) for cost in costs
    ]
    input_token_s = [cost.input_token_s for cost in costs]
    memories = _memories(setup, input_token_s, prompt_tokens) if station.reuse else None
    if setup.hosts is None or host is None:
        return Hosts(serve, paces, input_token_s, memories=memories)
    index = {name: place for place, name in enumerate(dict.fromkeys(setup.hosts))}
    places = [index[name] for name in setup.hosts]
    share = host.cores / host.threads
    return Hosts(serve, paces, input_token_s, places=places, share=share, memories=memories)


def _memories(
    setup: Setup, input_token_s: Sequence[float], prompt_tokens: Sequence[Sequence[int]]
) -> list[Memory]:
    recurring = Recurring.of(setup.scenario.plan)
    index = {name: node for node, name in enumerate(setup.names)}

    def memory(token_s: float, slots: int) -> Memory:
        def recurring_s(task: TaskId) -> float:
            question_tokens = prompt_tokens[index[task.origin]][task.prompt]
            return token_s * recurring.after(task.stage, question_tokens)

        return Memory(recurring_s, slots)

    return [memory(*own) for own in zip(input_token_s, setup.slots, strict=True)]
