"""Running plans: fork tasks, join responses, augment, next stage, answer.

One `Coordinator` per node follows the node's own prompts. It never waits: every call hears one
thing and appends what to do to ``actions``.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from dmoa.core.actions import Action, Answer, Fail, Refuse, Send, SetTimer
from dmoa.core.augment import Template, augment
from dmoa.core.events import TimerId
from dmoa.core.messages import Content, Task, TaskId, task_position
from dmoa.core.plan import Peers, Plan
from dmoa.core.recent import Recent
from dmoa.core.selection import Selection
from dmoa.core.station import Station
from dmoa.errors import ScenarioError

REMEMBERED = 4096
"""How many ended prompts, and how many tasks heard from peers, a node remembers at least."""

MISSED: Final = Content(0, "")
"""Stands where a response will never come. Compared by identity, never read."""


class Gathering(msgspec.Struct):
    """The responses to one forked stage, by slot, until the stages that read it have them.

    ``expected`` responses can still come or are here, ``held`` are here, ``unread`` stages have
    not read them yet. After its deadline it is ``overdue``; once enough are here it is ``joined``.
    """

    assigned: list[str]
    responses: list[Content | None]
    expected: int
    unread: int
    held: int = 0
    joined: bool = False
    overdue: bool = False


class Flight(msgspec.Struct):
    """One prompt of this node between its arrival and its end."""

    content: Content
    gatherings: list[Gathering | None]


class Coordinator:
    """Runs the plans of one node's own prompts.

    ``joining`` counts the responses held for siblings that are still awaited (the join buffer);
    ``ignored`` counts what was dropped: duplicate, late, stranger.
    """

    __slots__ = (
        "_key", "_places", "_readers", "_recent", "_roots", "_selection", "_station", "_template",
        "flights", "ignored", "joining", "name", "plan",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        plan: Plan,
        selection: Selection,
        key: int,
        station: Station,
        template: Template,
        ignored: Counter[str],
    ) -> None:
        self.name, self.plan, self.ignored = name, plan, ignored
        self.flights: dict[int, Flight] = {}
        self.joining = 0
        self._selection, self._station, self._template = selection, station, template
        self._key = key
        self._readers = plan.readers()
        self._roots = [i for i, stage in enumerate(plan.stages) if not stage.reads]
        self._places = plan.places()
        self._recent = Recent(REMEMBERED)
        for index, stage in enumerate(plan.stages):
            # Tried once here, a selection that cannot serve the plan is the user's error; found
            # in a step, it would be a crash.
            asked = [
                selection.choose(placement.count, key, 0)
                for placement in stage.placements
                if isinstance(placement, Peers)
            ]
            if len(asked) == len(stage.placements) and not any(asked):
                raise ScenarioError(
                    f"node {name} has no peers, and this stage asks only peers",
                    path=f"plan.stages[{index}].placements",
                    given=stage.placements,
                    remedy="place one of its tasks at the origin, or give the node a peer",
                )

    def arrive(self, prompt: int, content: Content, now: float, actions: list[Action]) -> None:
        """Accept a new prompt and fork its first stages, or refuse it."""
        if prompt in self.flights or not self._recent.add(prompt):
            self.ignored["duplicate"] += 1
            return
        if not self._station.has_room(self._places):
            actions.append(Refuse(prompt, len(self._station.queue)))
            return
        self._station.reserved += self._places
        self.flights[prompt] = Flight(content, [None] * len(self.plan.stages))
        for stage in self._roots:
            self._fork(prompt, stage, content, now, actions)

    def respond(
        self,
        task: TaskId,
        sender: str,
        content: Content,
        now: float,
        actions: list[Action],
    ) -> None:
        """Join a response, from a peer or from this node itself."""
        gathering = self._awaited(task, sender)
        if gathering is None:
            return
        gathering.responses[task.slot] = content
        gathering.held += 1
        self.joining += 1
        if gathering.held == gathering.expected or gathering.overdue:
            self._join(task.prompt, task.stage, gathering, now, actions)

    def miss(
        self, task: TaskId, sender: str, reason: str, now: float, actions: list[Action]
    ) -> None:
        """Give up a response that will not come: its proposer refused or failed."""
        gathering = self._awaited(task, sender)
        if gathering is None:
            return
        gathering.responses[task.slot] = MISSED
        gathering.expected -= 1
        if gathering.expected == 0:
            self._end(task.prompt, actions)
            actions.append(Fail(task.prompt, reason))
        elif gathering.held == gathering.expected or gathering.overdue:
            self._join(task.prompt, task.stage, gathering, now, actions)

    def expire(self, timer: TimerId, now: float, actions: list[Action]) -> None:
        """Hear that a stage's join deadline passed: from now on a quorum is enough."""
        flight = self.flights.get(timer.prompt)
        gathering = flight.gatherings[timer.stage] if flight else None
        if gathering is not None and not gathering.joined:
            gathering.overdue = True
            self._join(timer.prompt, timer.stage, gathering, now, actions)

    def _awaited(self, task: TaskId, sender: str) -> Gathering | None:
        """Find where a response belongs; None, and counted, if nobody waits for it."""
        flight = self.flights.get(task.prompt)
        if flight is None:
            self.ignored["late"] += 1
            return None
        stage, slot = task.stage, task.slot
        gathering = flight.gatherings[stage] if stage < len(flight.gatherings) else None
        if (
            gathering is None
            or slot >= len(gathering.assigned)
            or gathering.assigned[slot] != sender
            or task.origin != self.name
            or task.attempt != 0
        ):
            self.ignored["stranger"] += 1
        elif gathering.joined:
            self.ignored["late"] += 1
        elif gathering.responses[slot] is not None:
            self.ignored["duplicate"] += 1
        else:
            return gathering
        return None

    def _fork(
        self, prompt: int, stage: int, content: Content, now: float, actions: list[Action]
    ) -> None:
        """Place a stage's tasks: on this node's station, and with freshly chosen peers."""
        spec = self.plan.stages[stage]
        name = self.name
        assigned: list[str] = []
        for placement in spec.placements:
            if type(placement) is Peers:
                position = task_position(prompt, stage, len(assigned))
                assigned += self._selection.choose(placement.count, self._key, position)
            else:
                assigned.append(name)
        gatherings = self.flights[prompt].gatherings
        gatherings[stage] = Gathering(
            assigned, [None] * len(assigned), len(assigned), len(self._readers[stage])
        )
        for slot, to in enumerate(assigned):
            task = TaskId(name, prompt, stage, slot)
            if to == name:
                self._station.enqueue(task, content, now)
            else:
                actions.append(Send(to, Task(task, content)))
        if spec.join.deadline_s is not None:
            actions.append(SetTimer(TimerId(prompt, stage), now + spec.join.deadline_s))

    def _join(
        self,
        prompt: int,
        stage: int,
        gathering: Gathering,
        now: float,
        actions: list[Action],
    ) -> None:
        """Join a stage if it has enough responses, then fork the stages that can go on."""
        if gathering.held < gathering.expected:
            if gathering.held < min(self.plan.stages[stage].join.quorum, gathering.expected):
                return
            self._withdraw(prompt, stage, gathering, actions)
        gathering.joined = True
        readers = self._readers[stage]
        if not readers:
            self._end(prompt, actions)
            actions += [Answer(prompt, answer) for answer in gathering.responses if answer]
            return
        flight = self.flights[prompt]
        for reader in readers:
            gathered = [flight.gatherings[read] for read in self.plan.stages[reader].reads]
            if all(one is not None and one.joined for one in gathered):
                content = self._read(flight, [one for one in gathered if one is not None])
                self._fork(prompt, reader, content, now, actions)

    def _read(self, flight: Flight, gathered: list[Gathering]) -> Content:
        """Augment the prompt with joined responses, in slot order, and let go of them."""
        responses = []
        for one in gathered:
            responses += [r for r in one.responses if r is not None and r is not MISSED]
            one.unread -= 1
            if one.unread == 0:
                self.joining -= one.held
                one.held = 0
        return augment(flight.content, responses, self._template)

    def _withdraw(
        self, prompt: int, stage: int, gathering: Gathering, actions: list[Action]
    ) -> None:
        """Stop this node's own tasks of a stage that was joined without them."""
        for slot, to in enumerate(gathering.assigned):
            if to == self.name and gathering.responses[slot] is None:
                self._station.withdraw(TaskId(self.name, prompt, stage, slot), actions)

    def _end(self, prompt: int, actions: list[Action]) -> None:
        """Forget a prompt; give back its places and what it held in the join buffer."""
        flight = self.flights.pop(prompt)
        self._station.reserved -= self._places
        for stage, gathering in enumerate(flight.gatherings):
            if gathering is not None:
                self.joining -= gathering.held
                if not gathering.joined:
                    self._withdraw(prompt, stage, gathering, actions)
