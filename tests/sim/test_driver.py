"""The SimPy driver: what happens at one time, when a run ends, and what stops it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import groupby, pairwise

import pytest

from dmoa.core import (
    Content,
    Join,
    MessageReceived,
    Node,
    Plan,
    Prefill,
    PromptArrived,
    ServiceEnded,
    StartService,
    TimerFired,
    Uniform,
    layered,
)
from dmoa.core.actions import Answer, CancelService, Expire
from dmoa.core.invariants import check
from dmoa.errors import UnstableError
from dmoa.sim import Simulation, World
from dmoa.sim.driver import CHUNK
from dmoa.trace import Entry

ORDER = [ServiceEnded, MessageReceived, TimerFired, PromptArrived]


def nodes(count: int, plan: Plan, slots: int = 1) -> list[Node]:
    names = [str(node) for node in range(count)]
    return [
        Node(
            name,
            plan=plan,
            selection=Uniform([peer for peer in names if peer != name]),
            key=7,
            slots=slots,
        )
        for name in names
    ]


def world(
    arrivals_s: Sequence[Sequence[float]],
    *,
    service_s: float = 1.0,
    delay_s: float | None = None,
    limit: int = 1000,
) -> World:
    return World(
        arrivals=[iter([(at_s, 1) for at_s in own]) for own in arrivals_s],
        serve=lambda _node, _task, _content: (service_s, Content(1)),
        transmit=None if delay_s is None else lambda _message: delay_s,
        queue_length_max=limit,
    )


def simulate(made: list[Node], around: World, horizon_s: float) -> tuple[list[Entry], float]:
    entries: list[Entry] = []
    simulation = Simulation(made, around, [entries.extend], check=check)
    simulation.run(horizon_s)
    return entries, simulation.ended_s


# --- ties -----------------------------------------------------------------------------------


def test_events_at_one_time_happen_by_kind_then_node():
    # Whole seconds everywhere: services, links, deadlines and arrivals meet all the time.
    entries, _ = simulate(
        nodes(4, layered(2, 2, join=Join(3.0))),
        world([[float(t) for t in range(0, 60, 6)]] * 4, delay_s=1.0),
        200.0,
    )
    busiest = 0
    for _, together in groupby(entries, key=lambda entry: entry[0]):
        ranks = [(ORDER.index(type(event)), node) for _, node, event, *_ in together]
        assert ranks == sorted(ranks)
        busiest = max(busiest, len({kind for kind, _ in ranks}))
    assert busiest == 4, "all kinds of events met at one time"


def test_a_tie_does_not_depend_on_which_event_was_scheduled_first():
    # Node 1 starts a service of 2 s at 0 s, node 0 one of 1 s at 1 s: both end at 2 s.
    times = {"0": 1.0, "1": 2.0}
    around = world([[1.0], [0.0]])
    around = World(
        around.arrivals,
        lambda node, _task, _content: (times[str(node)], Content(1)),
        None,
        1000,
    )
    entries, _ = simulate(nodes(2, layered(0, 0)), around, 10.0)
    assert [(time_s, node) for time_s, node, *_ in entries] == [(0, 1), (1, 0), (2, 0), (2, 1)]


def test_messages_without_delay_are_heard_in_the_instant_they_are_sent():
    entries, _ = simulate(nodes(3, layered(1, 2)), world([[0.5], [], []]), 10.0)
    assert [(time_s, node, type(event)) for time_s, node, event, *_ in entries[:3]] == [
        (0.5, 0, PromptArrived),
        (0.5, 1, MessageReceived),
        (0.5, 2, MessageReceived),
    ]


def test_without_a_shared_processor_nothing_is_read_ahead():
    names = ["0", "1"]
    made = [
        Node(
            name,
            plan=layered(1, 1),
            selection=Uniform([peer for peer in names if peer != name]),
            key=7,
            overlap=True,
        )
        for name in names
    ]
    entries, ended_s = simulate(made, world([[0.0], []]), 10.0)
    assert any(isinstance(action, Prefill) for entry in entries for action in entry[3])
    assert ended_s == 2.0


def test_services_that_take_no_time_end_at_once():
    entries, ended_s = simulate(nodes(2, layered(3, 1)), world([[1.0, 1.0], []], service_s=0), 9.0)
    assert ended_s == 1.0
    assert sum(isinstance(action, Answer) for entry in entries for action in entry[3]) == 2


def test_deterministic_queues_take_exactly_the_time_of_their_services():
    # Three prompts at once at one node: they leave one, two and three services later.
    entries, _ = simulate(nodes(2, layered(0, 0)), world([[2.0] * 3, []]), 10.0)
    answered = [entry[0] for entry in entries if any(type(a) is Answer for a in entry[3])]
    assert answered == [3.0, 4.0, 5.0]


# --- ends -----------------------------------------------------------------------------------


def test_a_run_whose_prompts_all_ended_ends_at_its_last_event():
    entries, ended_s = simulate(nodes(3, layered(1, 1)), world([[0.0], [0.2], []]), 1e9)
    assert ended_s == entries[-1][0] < 10


def test_a_run_that_is_cut_off_ends_at_its_horizon():
    _, ended_s = simulate(nodes(2, layered(0, 0)), world([[0.0, 5.0], []]), 5.5)
    assert ended_s == 5.5


def test_a_run_that_waits_for_prompts_ends_at_its_horizon():
    _, ended_s = simulate(nodes(2, layered(0, 0)), world([[0.0, 50.0], []]), 20.0)
    assert ended_s == 20.0


def test_a_prompt_that_waits_for_ever_keeps_the_run_going_to_its_horizon():
    lost = World(
        world([[0.0], []]).arrivals, lambda *_: (1.0, Content(1)), lambda _message: None, 1000
    )
    entries, ended_s = simulate(nodes(2, layered(1, 1)), lost, 30.0)
    assert ended_s == 30.0
    assert entries[-1][0] == 1.0


def test_an_event_at_the_horizon_does_not_happen():
    entries, ended_s = simulate(nodes(2, layered(0, 0)), world([[1.0], []]), 2.0)
    assert [time_s for time_s, *_ in entries] == [1.0]
    assert ended_s == 2.0


def test_a_run_without_prompts_is_empty():
    entries, ended_s = simulate(nodes(2, layered(0, 0)), world([[], []]), 5.0)
    assert entries == []
    assert ended_s == 0.0


# --- limits ---------------------------------------------------------------------------------


def test_a_queue_at_the_limit_stops_the_run_and_keeps_what_happened():
    entries: list[Entry] = []
    around = world([[], [float(t) / 10 for t in range(100)]], limit=4)
    simulation = Simulation(nodes(2, layered(0, 0)), around, [entries.extend])
    with pytest.raises(UnstableError, match=r"run\.queue_length_max .*node 1, queue length 4") as e:
        simulation.run(50.0)
    assert (e.value.node, e.value.queue_length) == ("1", 4)
    assert entries[-1][4] == 4
    assert simulation.ended_s == entries[-1][0] == pytest.approx(0.4)


def test_a_cancelled_service_never_ends():
    # The origin's own task takes 5 s; the peers' responses are enough at the deadline of 2 s.
    plan = layered(1, 2, join=Join(2.0, quorum=2))
    around = World(
        world([[0.0], [], []]).arrivals,
        lambda node, _task, _content: (5.0 if node == 0 else 1.0, Content(1)),
        lambda _message: 0.1,
        1000,
    )
    entries, ended_s = simulate(nodes(3, plan), around, 100.0)
    cancelled = [a.task for entry in entries for a in entry[3] if type(a) is CancelService]
    ended = [entry[2].task for entry in entries if isinstance(entry[2], ServiceEnded)]
    assert len(cancelled) == 1
    assert cancelled[0] not in ended
    assert ended_s == 7.0, "the aggregation starts at the deadline"


# --- what a run leaves alone ----------------------------------------------------------------


@pytest.mark.parametrize("collecting", [True, False])
def test_the_garbage_collector_is_left_as_it_was(collecting: bool):
    was = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        around = world([[0.0] * 9, []], limit=2)
        with pytest.raises(UnstableError):
            Simulation(nodes(2, layered(0, 0)), around, []).run(5.0)
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()


def test_observers_get_every_entry_in_order_in_chunks():
    chunks: list[list[Entry]] = []
    times = [t / 2 for t in range(2 * CHUNK)]

    def observe(entries: list[Entry]) -> None:
        chunks.append(entries.copy())

    Simulation(nodes(2, layered(0, 0)), world([times, times], service_s=0.25), [observe]).run(1e6)
    assert sum(map(len, chunks)) == 4 * len(times)
    assert len(chunks) > 2
    assert all(chunks)
    entries = [entry for chunk in chunks for entry in chunk]
    assert all(a[0] <= b[0] for a, b in pairwise(entries))


def test_a_prompts_timers_stop_with_it():
    # Deadlines of 100 s and 500 s for a prompt that takes 2 s: the run ends with the answer.
    plan = layered(1, 1, join=Join(100.0), deadline_s=500.0)
    entries, ended_s = simulate(nodes(2, plan), world([[1.0], []]), 1000.0)
    assert not any(isinstance(entry[2], TimerFired) for entry in entries)
    assert ended_s == 3.0


def test_a_prompt_expires_at_its_deadline_and_leaves_every_queue_then():
    entries, ended_s = simulate(
        nodes(2, layered(1, 1, deadline_s=2.5)), world([[0.0] * 4, []], delay_s=0.25), 100.0
    )
    ends = [a for entry in entries for a in entry[3] if isinstance(a, Answer | Expire)]
    assert [type(end) for end in ends] == [Expire] * 4
    assert {entry[0] for entry in entries if any(type(a) is Expire for a in entry[3])} == {2.5}
    # The first withdrawal arrives and frees the peer; what waits there is past its deadline, so the
    # peer refuses it, and that arrives last.
    assert ended_s == 3.0
    assert max(entry[0] for entry in entries if any(type(a) is StartService for a in entry[3])) < 3
    assert entries[-1][4:] == (0, 0, 0, 0)
