"""A hostile world around real nodes: it may deliver, double, lose, end and fire in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from dmoa.core import (
    Action,
    Answer,
    Content,
    Event,
    Fail,
    Join,
    MessageReceived,
    Node,
    Origin,
    Peers,
    Plan,
    PromptArrived,
    Refuse,
    Send,
    ServiceEnded,
    SetTimer,
    Stage,
    StartService,
    Task,
    TaskId,
    TimerFired,
    TimerId,
    Uniform,
    derive,
    layered,
)
from dmoa.core.actions import CancelService
from dmoa.core.invariants import check


class World:
    """Nodes and what is under way between them.

    Whatever a node asks for is written down and only carried out when the test says so. What no
    node may ever ask for is refused on the spot.
    """

    def __init__(self, build: Callable[[], Sequence[Node]]) -> None:
        self.build = build
        self.nodes = {node.name: node for node in build()}
        self.now = 0.0
        self.in_flight: list[tuple[str, MessageReceived]] = []
        self.services: list[tuple[str, TaskId]] = []
        self.timers: list[tuple[str, TimerId]] = []
        self.log: list[tuple[str, Event, float, list[Action]]] = []
        self.arrived: set[tuple[str, int]] = set()
        self.told: dict[tuple[str, int], Answer | Fail | Refuse] = {}
        self.asked: dict[TaskId, str] = {}
        self.dropped: set[TaskId] = set()
        self.started: set[tuple[str, TaskId]] = set()
        self.queued_s: dict[str, float] = defaultdict(float)

    def hear(self, name: str, event: Event) -> list[Action]:
        """Let a node hear an event, check the node, and write down what it asks for."""
        self.now += 1.0
        actions = self.nodes[name].step(event, self.now)
        check(self.nodes[name])
        self.log.append((name, event, self.now, actions))
        for action in actions:
            self._note(name, action)
        return actions

    def _note(self, name: str, action: Action) -> None:
        if isinstance(action, Send):
            assert action.to != name
            if isinstance(action.message, Task):
                assert (name, action.message.id.prompt) not in self.told
                assert action.message.id not in self.asked
                self.asked[action.message.id] = action.to
            self.in_flight.append((action.to, MessageReceived(name, action.message)))
        elif isinstance(action, StartService):
            self._note_start(name, action)
        elif isinstance(action, CancelService):
            self.services.remove((name, action.task))
        elif isinstance(action, SetTimer):
            assert action.at_s >= self.now
            self.timers.append((name, action.timer))
        else:
            assert (name, action.prompt) in self.arrived
            assert (name, action.prompt) not in self.told
            self.told[name, action.prompt] = action

    def _note_start(self, name: str, action: StartService) -> None:
        assert (name, action.task) not in self.started, "served twice"
        assert self.queued_s[name] <= action.queued_s <= self.now, "not first come, first served"
        assert action.task.origin != name or (name, action.task.prompt) not in self.told
        self.started.add((name, action.task))
        self.queued_s[name] = action.queued_s
        self.services.append((name, action.task))

    def arrive(self, name: str, number: int) -> list[Action]:
        """Let a prompt arrive; its number tells its length."""
        self.arrived.add((name, number))
        return self.hear(name, PromptArrived(number, Content(number)))

    def deliver(self, index: int) -> None:
        """Deliver one message."""
        self.hear(*self.in_flight.pop(index))

    def double(self, index: int, *, at_once: bool) -> None:
        """Deliver one message, and once more: at once, or whenever it pleases."""
        again = self.in_flight[index]
        self.deliver(index)
        if at_once:
            self.hear(*again)
        else:
            self.in_flight.append(again)

    def drop(self, index: int) -> None:
        """Lose one message."""
        _, event = self.in_flight.pop(index)
        self.dropped.add(event.message.id)

    def end(self, index: int) -> None:
        """Let one service end."""
        name, task = self.services.pop(index)
        self.hear(name, ServiceEnded(task, Content(1 + task.slot)))

    def fire(self, index: int) -> None:
        """Let one timer go off."""
        name, timer = self.timers.pop(index)
        self.hear(name, TimerFired(timer))

    def under_way(self) -> int:
        """Count what can go on: messages, services and timers."""
        return len(self.in_flight) + len(self.services) + len(self.timers)

    def go_on(self, index: int) -> None:
        """Let one of those go on."""
        for things, happen in (
            (self.in_flight, self.deliver),
            (self.services, self.end),
            (self.timers, self.fire),
        ):
            if index < len(things):
                happen(index)
                return
            index -= len(things)

    def drain(self) -> None:
        """Deliver everything, end every service, fire every timer, until nothing is under way."""
        while self.under_way():
            self.go_on(0)

    def stuck(self) -> set[tuple[str, int]]:
        """Give the prompts that can never end, having seen that only lost messages explain it.

        Every stage that such a prompt waits for lacks lost responses alone, and it has no
        deadline, or not even a quorum.
        """
        prompts = set()
        for name, node in self.nodes.items():
            coordinator = node._coordinator
            for prompt, flight in coordinator.flights.items():
                prompts.add((name, prompt))
                for stage, gathering in enumerate(flight.gatherings):
                    if gathering is None or gathering.joined:
                        continue
                    missing = [slot for slot, one in enumerate(gathering.responses) if one is None]
                    assert {TaskId(name, prompt, stage, slot) for slot in missing} <= self.dropped
                    join = coordinator.plan.stages[stage].join
                    needed = min(join.quorum, gathering.expected)
                    assert join.deadline_s is None or gathering.held < needed
        return prompts

    def assert_replay_agrees(self) -> None:
        """See that new nodes, given the same events, ask for the same."""
        nodes = {node.name: node for node in self.build()}
        for name, event, now, actions in self.log:
            assert nodes[name].step(event, now) == actions


joins = st.builds(Join, st.one_of(st.none(), st.just(0.0), st.just(5.0)), st.integers(1, 3))
layered_plans = st.builds(
    layered,
    st.integers(0, 3),
    st.integers(0, 3),
    deadline_s=st.one_of(st.none(), st.just(5.0)),
    quorum=st.integers(1, 3),
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
        stages.append(Stage(tuple(draw(placements)), tuple(sorted(reads)), draw(joins)))
        unread = unread - reads | {index}
    more = draw(st.sets(st.integers(0, len(stages) - 1), max_size=1)) if stages else set()
    stages.append(Stage((Origin(),), tuple(sorted(unread | more)), role="aggregate"))
    return Plan(tuple(stages))


@st.composite
def overlays(draw, plans):
    """Draw how to build two to five nodes, each with at least one peer, that share a plan."""
    names = "abcde"[: draw(st.integers(2, 5))]
    plan = draw(plans)
    seed = draw(st.integers(0, 3))
    nodes = [
        {
            "name": name,
            "selection": Uniform(
                sorted(draw(st.sets(st.sampled_from(names.replace(name, "")), min_size=1)))
            ),
            "slots": draw(st.integers(1, 3)),
            "queue_max": draw(st.one_of(st.none(), st.integers(0, 4))),
        }
        for name in names
    ]
    return lambda: [
        Node(**node, plan=plan, key=derive(seed, index)) for index, node in enumerate(nodes)
    ]
