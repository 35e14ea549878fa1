"""A hostile world around real nodes: it delivers, doubles, loses, ends, fires, crashes at will."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec
from hypothesis import strategies as st

from dmoa.core import (
    Action,
    Answer,
    Content,
    DrainStarted,
    Event,
    Expire,
    Fail,
    Join,
    MessageReceived,
    Node,
    Origin,
    PeerFound,
    PeerLost,
    Peers,
    Persist,
    Plan,
    Prefill,
    PromptArrived,
    Refuse,
    Send,
    ServiceEnded,
    SetTimer,
    Stage,
    StartService,
    Task,
    TaskId,
    Template,
    TimerFired,
    TimerId,
    Uniform,
    Withdrawal,
    derive,
    layered,
)
from dmoa.core.actions import CancelService
from dmoa.core.invariants import check

Prompt = tuple[str, int]
"""A prompt: whose it is, and its number there."""


class World:
    """Nodes and what is under way between them.

    Whatever a node asks for is written down and only carried out when the test says so. What no
    node may ever ask for is refused on the spot. What nodes persist survives their crashes, and
    nothing else of them does; a crash may come in the middle of a step's actions.
    """

    def __init__(self, build: Callable[[], Sequence[Node]]) -> None:
        self.build = build
        self.nodes = {node.name: node for node in build()}
        self.now = 0.0
        self.down: set[str] = set()
        self.incarnation: dict[str, int] = defaultdict(int)
        # What is under way.
        self.in_flight: list[tuple[str, MessageReceived]] = []
        self.services: list[tuple[str, TaskId]] = []
        self.timers: list[tuple[str, TimerId]] = []
        self.notices: dict[str, list[PeerLost | PeerFound]] = {name: [] for name in self.nodes}
        # What happened.
        self.log: list[tuple[str, Event | None, float, list[Action]]] = []
        self.arrived: set[Prompt] = set()
        self.accepted: dict[Prompt, PromptArrived] = {}
        self.ended: dict[Prompt, Answer | Fail | Expire] = {}
        self.told: dict[Prompt, Answer | Fail | Expire | Refuse] = {}
        self.asked: dict[TaskId, str] = {}
        self.dropped: set[TaskId] = set()
        self.started: set[tuple[str, TaskId]] = set()
        self.queued_s: dict[str, float] = defaultdict(float)
        self.ahead: dict[tuple[str, TaskId], Content] = {}

    # --- what nodes ask for ---------------------------------------------------------------

    def hear(self, name: str, event: Event, cut: int | None = None) -> list[Action]:
        """Let a node hear an event, check the node, and write down what it asks for.

        With ``cut`` it crashes after so many of its actions.
        """
        assert name not in self.down
        self.now += 1.0
        actions = self.nodes[name].step(event, self.now)
        check(self.nodes[name])
        self.log.append((name, event, self.now, actions))
        self._check_order(event, actions)
        for action in actions[:cut]:
            self._note(name, action)
        if cut is not None:
            self.crash(name)
        return actions

    def _check_order(self, event: Event, actions: list[Action]) -> None:
        """See that what is promised and what has ended is written down first."""
        for before, action in zip([None, *actions], actions, strict=False):
            if isinstance(action, Answer | Fail | Expire):
                assert before == Persist(action)
        if isinstance(event, PromptArrived) and event.attempt == 0 and actions:
            first = actions[0]
            if isinstance(first, Persist):
                assert isinstance(first.record, PromptArrived)
                due_s = first.record.deadline_s
                assert msgspec.structs.replace(event, deadline_s=due_s) == first.record
                assert event.deadline_s in {None, due_s}
            else:
                assert isinstance(first, Refuse)

    def _note(self, name: str, action: Action) -> None:
        if isinstance(action, Send):
            self._note_send(name, action)
        elif isinstance(action, StartService):
            self._note_start(name, action)
        elif isinstance(action, Prefill):
            self._note_ahead(name, action)
        elif isinstance(action, CancelService):
            if self.ahead.pop((name, action.task), None) is None:
                self.services.remove((name, action.task))
        elif isinstance(action, SetTimer):
            assert action.at_s >= self.now
            self.timers.append((name, action.timer))
        elif isinstance(action, Persist):
            self._note_record(name, action.record)
        else:
            prompt = name, action.prompt
            assert prompt in self.arrived
            assert prompt not in self.told
            refused = isinstance(action, Refuse)
            assert self.ended.get(prompt) == (None if refused else action)
            assert refused == (prompt not in self.accepted)
            self.told[prompt] = action

    def _note_record(self, name: str, record: PromptArrived | Answer | Fail | Expire) -> None:
        prompt = name, record.prompt
        if isinstance(record, PromptArrived):
            assert prompt not in self.accepted
            self.accepted[prompt] = record
        else:
            assert prompt in self.accepted, "ended without having been promised"
            assert prompt not in self.ended, "ended twice"
            self.ended[prompt] = record

    def _note_send(self, name: str, send: Send) -> None:
        message = send.message
        assert send.to != name
        if isinstance(message, Task):
            assert (name, message.id.prompt) not in self.ended
            assert message.id not in self.asked
            self.asked[message.id] = send.to
        elif isinstance(message, Withdrawal):
            assert self.asked[message.id] == send.to
        self.in_flight.append((send.to, MessageReceived(name, message)))

    def _note_start(self, name: str, action: StartService) -> None:
        assert (name, action.task) not in self.started, "served twice"
        assert self.queued_s[name] <= action.queued_s <= self.now, "not first come, first served"
        assert action.task.origin != name or (name, action.task.prompt) not in self.ended
        self._see_longer(self.ahead.pop((name, action.task), None), action.content)
        self.started.add((name, action.task))
        self.queued_s[name] = action.queued_s
        self.services.append((name, action.task))

    def _note_ahead(self, name: str, action: Prefill) -> None:
        task = action.task
        assert task.origin == name
        assert (name, task) not in self.started, "read ahead when it was served"
        assert (name, task.prompt) not in self.ended
        self._see_longer(self.ahead.get((name, task)), action.content)
        self.ahead[name, task] = action.content

    @staticmethod
    def _see_longer(known: Content | None, content: Content) -> None:
        """See that what was read ahead is how the rest begins."""
        if known is not None:
            assert known.tokens <= content.tokens
            assert (content.text or "").startswith(known.text or "")

    # --- what may happen ------------------------------------------------------------------

    def up(self) -> list[str]:
        """Name the nodes that run."""
        return [name for name in self.nodes if name not in self.down]

    def arrive(
        self, name: str, number: int, plan: Plan | None = None, patience_s: float | None = None
    ) -> list[Action]:
        """Let a prompt arrive; its number tells its length."""
        self.arrived.add((name, number))
        deadline_s = None if patience_s is None else self.now + 1.0 + patience_s
        content = Content(number, f"question {number}?")
        ask = PromptArrived(number, content, plan=plan, deadline_s=deadline_s)
        return self.hear(name, ask)

    def deliver(self, index: int, cut: int | None = None) -> None:
        """Deliver one message, unless nobody is there."""
        name, event = self.in_flight.pop(index)
        if name not in self.down:
            self.hear(name, event, cut)

    def double(self, index: int, *, at_once: bool) -> None:
        """Deliver one message, and once more: at once, or whenever it pleases."""
        again = self.in_flight[index]
        self.deliver(index)
        if not at_once:
            self.in_flight.append(again)
        elif again[0] not in self.down:
            self.hear(*again)

    def drop(self, index: int) -> None:
        """Lose one message."""
        message = self.in_flight.pop(index)[1].message
        if not isinstance(message, Withdrawal):
            self.dropped.add(message.id)

    def end(self, index: int, cut: int | None = None) -> None:
        """Let one service end."""
        name, task = self.services.pop(index)
        self.hear(name, ServiceEnded(task, Content(1 + task.slot, f"by {name}")), cut)

    def fire(self, index: int, cut: int | None = None) -> None:
        """Let one timer go off."""
        name, timer = self.timers.pop(index)
        self.hear(name, TimerFired(timer), cut)

    def tell_of_peer(self, index: int, cut: int | None = None) -> None:
        """Let one node hear what became of a peer: of each hearer's notices the first."""
        waiting = [name for name, notices in self.notices.items() if notices]
        name = waiting[index]
        self.hear(name, self.notices[name].pop(0), cut)

    def crash(self, name: str) -> None:
        """End a node: what it had in memory is gone, and so may be what was under way to it."""
        self.down.add(name)
        self.services = [one for one in self.services if one[0] != name]
        self.ahead = {one: known for one, known in self.ahead.items() if one[0] != name}
        self.timers = [one for one in self.timers if one[0] != name]
        self.in_flight = [one for one in self.in_flight if one[0] != name]
        self.notices[name].clear()
        for other in self.up():
            self.notices[other].append(PeerLost(name))

    def restart(self, name: str) -> None:
        """Start a node again: as new, with what it had promised."""
        self.down.remove(name)
        self.incarnation[name] += 1
        self.log.append((name, None, self.now, []))
        self.nodes[name] = next(node for node in self.build() if node.name == name)
        self.started = {one for one in self.started if one[0] != name}
        self.queued_s[name] = 0.0
        for other in self.up():
            if other != name:
                self.notices[other].append(PeerFound(name))
        self.notices[name] = [PeerLost(other) for other in sorted(self.down)]
        for (whose, number), record in list(self.accepted.items()):
            if whose == name and (whose, number) not in self.ended:
                again = msgspec.structs.replace(record, attempt=self.incarnation[name])
                self.hear(name, again)

    def under_way(self) -> int:
        """Count what can go on: messages, services, timers and news of peers."""
        news = sum(bool(notices) for notices in self.notices.values())
        return len(self.in_flight) + len(self.services) + len(self.timers) + news

    def go_on(self, index: int, cut: int | None = None) -> None:
        """Let one of those go on."""
        news = sum(bool(notices) for notices in self.notices.values())
        for count, happen in (
            (len(self.in_flight), self.deliver),
            (len(self.services), self.end),
            (len(self.timers), self.fire),
            (news, self.tell_of_peer),
        ):
            if index < count:
                happen(index, cut)
                return
            index -= count

    def settle(self) -> None:
        """Start what is down, and let everything go on until nothing is under way."""
        for name in sorted(self.down):
            self.restart(name)
        while self.under_way():
            self.go_on(0)

    def start_draining(self, name: str) -> None:
        """Tell a node to leave."""
        assert self.hear(name, DrainStarted()) == []

    # --- what became of it ----------------------------------------------------------------

    def stuck(self) -> set[Prompt]:
        """Give the prompts that can never end, having seen that only lost messages explain it.

        Every stage that such a prompt waits for lacks lost responses alone; the prompt has no
        deadline, and where the stage has one, not even a quorum is there.
        """
        prompts = set()
        for name, node in self.nodes.items():
            for prompt, flight in node._coordinator.flights.items():
                prompts.add((name, prompt))
                assert flight.deadline_s is None
                for stage, gathering in enumerate(flight.gatherings):
                    if gathering is None or gathering.joined:
                        continue
                    missing = {
                        TaskId(name, prompt, stage, slot, flight.attempt_of(gathering, slot))
                        for slot, response in enumerate(gathering.responses)
                        if response is None
                    }
                    assert missing <= self.dropped
                    join = flight.outline.stages[stage].join
                    timed = join.deadline_s is not None or join.patience is not None
                    assert not timed or gathering.held < min(join.quorum, gathering.expected)
        return prompts

    def assert_replay_agrees(self) -> None:
        """See that new nodes, given the same events, ask for the same."""
        nodes = {node.name: node for node in self.build()}
        for name, event, now, actions in self.log:
            if event is None:
                nodes[name] = next(node for node in self.build() if node.name == name)
            else:
                assert nodes[name].step(event, now) == actions


@st.composite
def joins(draw):
    """Draw when a stage's responses are enough."""
    deadline_s, patience = draw(
        st.sampled_from([(None, None), (0.0, None), (5.0, None), (None, 0.5), (None, 3.0)])
    )
    return Join(deadline_s, draw(st.integers(1, 3)), patience, draw(st.integers(1, 3)))


prompt_deadlines_s = st.sampled_from([None, None, 4.0, 40.0])
layered_plans = st.builds(
    layered,
    st.integers(0, 3),
    st.integers(0, 3),
    join=joins(),
    deadline_s=prompt_deadlines_s,
)


@st.composite
def dag_plans(draw):
    """Draw any plan of up to five stages that is allowed."""
    placements = st.lists(
        st.one_of(st.just(Origin()), st.builds(Peers, st.integers(1, 3))), min_size=1, max_size=2
    )
    stages: list[Stage] = []
    unread: set[int] = set()
    for index in range(draw(st.integers(0, 4))):
        reads = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set()
        stages.append(Stage(tuple(draw(placements)), tuple(sorted(reads)), draw(joins())))
        unread = unread - reads | {index}
    more = draw(st.sets(st.integers(0, len(stages) - 1), max_size=1)) if stages else set()
    stages.append(Stage((Origin(),), tuple(sorted(unread | more)), role="aggregate"))
    return Plan(tuple(stages), draw(prompt_deadlines_s))


@st.composite
def overlays(draw, plans):
    """Draw how to build two to five nodes, each with at least one peer, that share a plan."""
    names = "abcde"[: draw(st.integers(2, 5))]
    plan = draw(plans)
    seed = draw(st.integers(0, 3))
    reporting, overlap = draw(st.booleans()), draw(st.booleans())
    template = draw(st.sampled_from([Template(), Template("1 {prompt} 2 {responses} 3", tokens=5)]))
    nodes = [
        {
            "name": name,
            "selection": Uniform(
                sorted(draw(st.sets(st.sampled_from(names.replace(name, "")), min_size=1)))
            ),
            "slots": draw(st.integers(1, 3)),
            "queue_max": draw(st.one_of(st.none(), st.integers(0, 16))),
            "cache_tokens": draw(st.one_of(st.none(), st.integers(1, 30))),
            "response_tokens": draw(st.integers(0, 9)),
            "template": template,
            "overlap": overlap,
            "reporting": reporting,
        }
        for name in names
    ]
    return lambda: [
        Node(**node, plan=plan, key=derive(seed, index)) for index, node in enumerate(nodes)
    ]
