"""Running plans: fork tasks, join responses, augment, next stage, answer.

One `Coordinator` per node follows the node's own prompts. It never waits: every call hears one
thing and appends what to do to ``actions``.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from dmoa.core.actions import Action, Answer, Expire, Fail, Persist, Refuse, Send, SetTimer
from dmoa.core.augment import Template, augment, beginning
from dmoa.core.events import WHOLE_PROMPT, PromptArrived, TimerId
from dmoa.core.expectation import Expectations
from dmoa.core.flight import MISSED, Flight, Gathering, outline
from dmoa.core.messages import Content, Task, TaskId, Withdrawal
from dmoa.core.plan import ATTEMPTS_MAX, Join, Peers, Plan
from dmoa.core.recent import Recent
from dmoa.core.replacement import replacement
from dmoa.core.selection import Selection, check_placements
from dmoa.core.station import Station
from dmoa.errors import ScenarioError

REMEMBERED: Final = 4096
"""How many ended prompts, and how many tasks heard from peers, a node remembers at least."""


class Coordinator:
    """Runs the plans of one node's own prompts.

    ``joining`` counts the responses held for siblings that are still awaited (the join buffer);
    ``ignored`` counts what was dropped: duplicate, late, stranger. ``absent`` are the peers that
    cannot be reached. With ``overlap`` responses are read in the order in which they come, and the
    language model is told how the task will begin that reads them.
    """

    __slots__ = (
        "_expectations", "_key", "_outline", "_overlap", "_present", "_recent", "_selection",
        "_station", "_template", "absent", "flights", "ignored", "joining", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        plan: Plan,
        selection: Selection,
        key: int,
        station: Station,
        expectations: Expectations,
        template: Template,
        overlap: bool,
        ignored: Counter[str],
    ) -> None:
        self.name, self.ignored = name, ignored
        self.flights: dict[int, Flight] = {}
        self.joining = 0
        self._selection = self._present = selection
        self.absent: set[str] = set()
        self._station, self._expectations, self._template = station, expectations, template
        self._key, self._overlap = key, overlap
        self._outline = outline(plan, len(selection.peers))
        self._recent = Recent(REMEMBERED)
        check_placements(name, plan, selection, key)

    def arrive(self, event: PromptArrived, now: float, actions: list[Action]) -> None:
        """Accept a new prompt and fork its first stages, or refuse it."""
        prompt, station = event.prompt, self._station
        if prompt in self.flights or not self._recent.add(prompt):
            self.ignored["duplicate"] += 1
            return
        course, reason = self._outline, None
        if event.plan is not None:
            course = outline(event.plan, len(self._selection.peers))
            reason = self._misfit(event.plan)
        resumed = event.attempt > 0
        reason = reason or station.objection(course.tasks)
        if reason is not None:
            if resumed:
                # It was accepted, so it is not refused any more: it ends.
                self._tell(Fail(prompt, reason), actions)
            else:
                actions.append(Refuse(prompt, len(station.queue), reason))
            return
        deadline_s = event.deadline_s
        if deadline_s is None and course.deadline_s is not None:
            # Persisted with it, so that a crash does not give the prompt more time.
            deadline_s = now + course.deadline_s
            event = msgspec.structs.replace(event, deadline_s=deadline_s)
        if not resumed:
            actions.append(Persist(event))
        if deadline_s is not None:
            if deadline_s <= now:
                self._tell(Expire(prompt), actions)
                return
            actions.append(SetTimer(TimerId(prompt, WHOLE_PROMPT), deadline_s))
        station.reserved += course.tasks
        self.flights[prompt] = flight = Flight(
            prompt,
            event.content,
            course,
            [None] * len(course.stages),
            event.options,
            deadline_s,
            event.attempt * ATTEMPTS_MAX,
        )
        for stage in course.roots:
            if prompt in self.flights:
                self._fork(flight, stage, event.content, now, actions)

    def _misfit(self, plan: Plan) -> str | None:
        """Say why this node's selection cannot serve a plan; None if it can."""
        try:
            check_placements(self.name, plan, self._selection, self._key)
        except ScenarioError as error:
            return str(error)
        return None

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
        arrived = gathering.arrived
        if arrived is not None:
            arrived.append(content)
        if gathering.held == gathering.expected or gathering.overdue:
            self._join(task.prompt, task.stage, gathering, now, actions)
        if arrived is not None and not gathering.joined:
            self._read_ahead(self.flights[task.prompt], task.stage, arrived, actions)

    def miss(
        self, task: TaskId, sender: str, reason: str, now: float, actions: list[Action]
    ) -> None:
        """Replace a proposer that refused, failed or was lost, or give up its response."""
        gathering = self._awaited(task, sender)
        if gathering is None or self._replace(task, gathering, actions):
            return
        gathering.responses[task.slot] = MISSED
        gathering.expected -= 1
        if gathering.expected == 0:
            self._end(task.prompt, actions)
            self._tell(Fail(task.prompt, reason), actions)
        elif gathering.held == gathering.expected or gathering.overdue:
            self._join(task.prompt, task.stage, gathering, now, actions)

    def expire(self, timer: TimerId, now: float, actions: list[Action]) -> None:
        """Hear that a deadline passed: the prompt's, or a stage's: then a quorum is enough."""
        flight = self.flights.get(timer.prompt)
        if flight is None:
            return
        if timer.stage == WHOLE_PROMPT:
            self._end(timer.prompt, actions)
            self._tell(Expire(timer.prompt), actions)
            return
        gathering = flight.gatherings[timer.stage]
        if gathering is None or gathering.joined or timer.turn != gathering.turn:
            return
        gathering.overdue = True
        self._join(timer.prompt, timer.stage, gathering, now, actions)
        if not gathering.joined:
            self._replace_late(flight, timer.stage, gathering, now, actions)

    def lose(self, peer: str, now: float, actions: list[Action]) -> None:
        """Hear that a peer cannot be reached: whatever it owed is asked of others."""
        self.absent.add(peer)
        self._present = self._selection.without(self.absent)
        owed = [
            TaskId(self.name, prompt, stage, slot, flight.attempt_of(gathering, slot))
            for prompt, flight in self.flights.items()
            for stage, gathering in enumerate(flight.gatherings)
            if gathering is not None and not gathering.joined
            for slot, to in enumerate(gathering.assigned)
            if to == peer and gathering.responses[slot] is None
        ]
        for task in owed:
            # What one of them brings about may have ended the prompt or joined the stage.
            flight = self.flights.get(task.prompt)
            gathering = flight.gatherings[task.stage] if flight is not None else None
            if gathering is not None and not gathering.joined:
                self.miss(task, peer, f"{peer} cannot be reached", now, actions)

    def find(self, peer: str) -> None:
        """Hear that a peer can be reached again."""
        self.absent.discard(peer)
        self._present = self._selection.without(self.absent) if self.absent else self._selection

    def _awaited(self, task: TaskId, sender: str) -> Gathering | None:
        """Find where a response belongs; None, and counted, if nobody waits for it."""
        flight = self.flights.get(task.prompt)
        if flight is None:
            self.ignored["late"] += 1
            return None
        stage, slot = task.stage, task.slot
        gathering = flight.gatherings[stage] if stage < len(flight.gatherings) else None
        if gathering is None or slot >= len(gathering.assigned) or task.origin != self.name:
            self.ignored["stranger"] += 1
        # As `Flight.attempt_of` has it; inlined, because most events pass here.
        elif task.attempt != (
            flight.attempt if gathering.attempts is None else gathering.attempts[slot]
        ):
            self.ignored["late"] += 1
        elif gathering.assigned[slot] != sender:
            self.ignored["stranger"] += 1
        elif gathering.joined:
            self.ignored["late"] += 1
        elif gathering.responses[slot] is not None:
            self.ignored["duplicate"] += 1
        else:
            return gathering
        return None

    def _fork(
        self, flight: Flight, stage: int, content: Content, now: float, actions: list[Action]
    ) -> None:
        """Place a stage's tasks: on this node's station, and with freshly chosen peers."""
        spec, prompt = flight.outline.stages[stage], flight.prompt
        name = self.name
        assigned: list[str] = []
        for placement in spec.placements:
            if type(placement) is Peers:
                position = (prompt << 10 | stage) << 20 | len(assigned)  # inlined task_position
                assigned += self._present.choose(placement.count, self._key, position)
            else:
                assigned.append(name)
        if not assigned:
            self._end(prompt, actions)
            self._tell(Fail(prompt, "no peer can be reached"), actions)
            return
        flight.gatherings[stage] = gathering = Gathering(
            content,
            assigned,
            [None] * len(assigned),
            len(assigned),
            len(flight.outline.readers[stage]),
        )
        attempt, deadline_s, options = flight.attempt, flight.deadline_s, flight.options_of(stage)
        for slot, to in enumerate(assigned):
            task = TaskId(name, prompt, stage, slot, attempt)
            if to == name:
                self._station.enqueue(task, content, now, options)
            else:
                actions.append(Send(to, Task(task, content, deadline_s, options)))
        join = spec.join
        if join.deadline_s is not None or join.patience is not None:
            self._set_timer(prompt, stage, gathering, join, now, actions)
        if self._overlap:
            gathering.arrived = []
            self._read_ahead(flight, stage, gathering.arrived, actions)

    def _reader(self, flight: Flight, stage: int) -> TaskId | None:
        """Name this node's task whose beginning can be read while a stage is under way."""
        reader, prompt = flight.outline.next[stage], flight.prompt
        return None if reader is None else TaskId(self.name, prompt, reader, 0, flight.attempt)

    def _read_ahead(
        self, flight: Flight, stage: int, arrived: list[Content], actions: list[Action]
    ) -> None:
        """Say how the task will begin that reads a stage's responses, if it is this node's own."""
        task = self._reader(flight, stage)
        if task is not None:
            known = beginning(flight.content, arrived, self._template)
            self._station.prefill(task, known, flight.options_of(task.stage), actions)

    def _set_timer(
        self,
        prompt: int,
        stage: int,
        gathering: Gathering,
        join: Join,
        now: float,
        actions: list[Action],
    ) -> None:
        """Set a stage's deadline: as given, or by what those asked are expected to take."""
        wait_s = join.deadline_s
        if wait_s is None:
            awaited = gathering.awaited()
            own_s = 0.0
            if self.name in awaited:
                own_s = (1 + self._station.ahead()) * self._expectations.mean_service_time_s
            peers = [to for to in awaited if to != self.name]
            wait_s = (join.patience or 0.0) * max(own_s, self._expectations.sojourn_s(peers))
        actions.append(SetTimer(TimerId(prompt, stage, gathering.turn), now + wait_s))

    def _replace(self, task: TaskId, gathering: Gathering, actions: list[Action]) -> bool:
        """Give a task to a peer that was not tried yet; tell whether there was one."""
        flight = self.flights[task.prompt]
        send = replacement(task, flight, gathering, self._present, self._key)
        if send is None:
            return False
        actions.append(send)
        return True

    def _replace_late(
        self, flight: Flight, stage: int, gathering: Gathering, now: float, actions: list[Action]
    ) -> None:
        """Replace the peers that are late in a stage without a quorum, and wait once more."""
        prompt, replaced = flight.prompt, False
        for slot, old in enumerate(gathering.assigned):
            if gathering.responses[slot] is None:
                attempt = flight.attempt_of(gathering, slot)
                task = TaskId(self.name, prompt, stage, slot, attempt)
                if self._replace(task, gathering, actions):
                    actions.append(Send(old, Withdrawal(task)))
                    replaced = True
        if replaced:
            gathering.turn += 1
            join = flight.outline.stages[stage].join
            self._set_timer(prompt, stage, gathering, join, now, actions)

    def _join(
        self,
        prompt: int,
        stage: int,
        gathering: Gathering,
        now: float,
        actions: list[Action],
    ) -> None:
        """Join a stage if it has enough responses, then fork the stages that can go on."""
        flight = self.flights[prompt]
        course = flight.outline
        if gathering.held < gathering.expected:
            if gathering.held < min(course.stages[stage].join.quorum, gathering.expected):
                return
            self._withdraw(flight, stage, gathering, actions)
        gathering.joined = True
        readers = course.readers[stage]
        if not readers:
            self._end(prompt, actions)
            for answer in filter(None, gathering.responses):
                end = Answer(prompt, answer)
                actions += (Persist(end), end)
            return
        for reader in readers:
            reads = course.stages[reader].reads
            gathered = [g for g in map(flight.gatherings.__getitem__, reads) if g and g.joined]
            if len(gathered) == len(reads):
                content = self._read(flight, gathered)
                self._fork(flight, reader, content, now, actions)
                if prompt not in self.flights:
                    return

    def _read(self, flight: Flight, gathered: list[Gathering]) -> Content:
        """Augment the prompt with responses, by slot or with overlap as they came; let them go."""
        responses = []
        for one in gathered:
            by_slot = [r for r in one.responses if r is not None and r is not MISSED]
            responses += one.arrived or by_slot
            one.unread -= 1
            if one.unread == 0:
                self.joining -= one.held
                one.held = 0
        return augment(flight.content, responses, self._template)

    def _withdraw(
        self, flight: Flight, stage: int, gathering: Gathering, actions: list[Action]
    ) -> None:
        """Stop the tasks of a stage that nobody waits for any more, here and at peers."""
        for slot, to in enumerate(gathering.assigned):
            if gathering.responses[slot] is None:
                attempt = flight.attempt_of(gathering, slot)
                task = TaskId(self.name, flight.prompt, stage, slot, attempt)
                if to == self.name:
                    self._station.withdraw(task, actions)
                elif to not in self.absent:
                    actions.append(Send(to, Withdrawal(task)))

    def _end(self, prompt: int, actions: list[Action]) -> None:
        """Forget a prompt; give back its places and what it held in the join buffer."""
        flight = self.flights.pop(prompt)
        self._station.reserved -= flight.outline.tasks
        for stage, gathering in enumerate(flight.gatherings):
            if gathering is not None:
                self.joining -= gathering.held
                if not gathering.joined:
                    self._withdraw(flight, stage, gathering, actions)
                    reader = self._reader(flight, stage) if self._overlap else None
                    if reader is not None:
                        self._station.withdraw(reader, actions)

    def _tell(self, end: Fail | Expire, actions: list[Action]) -> None:
        """Make the end of a prompt durable, then tell its user."""
        actions += (Persist(end), end)
