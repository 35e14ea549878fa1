"""The station: first come, first served; a bound that is kept; promises that are kept."""

import math

import pytest

from dmoa.core import (
    Action,
    Content,
    Event,
    MessageReceived,
    Options,
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
    Withdrawal,
    layered,
)
from dmoa.core.actions import CancelService
from dmoa.core.station import Station
from tests.core.driver import hear, node

ALONE = layered(0, 0)
SOME = Content(10)


def task(number, origin="b"):
    return TaskId(origin, number, 0, 0)


def ask(number, origin="b"):
    """Send node ``a`` a peer's task."""
    return MessageReceived(origin, Task(task(number, origin), SOME))


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_tasks_start_in_the_order_they_came_as_slots_become_free(slots):
    one = node(ALONE, slots=slots)
    order = [ask(0), PromptArrived(0, SOME), ask(1), ask(0, "c"), ask(2)]
    ids = [task(0), task(0, "a"), task(1), task(0, "c"), task(2)]
    started: list[Action] = []
    for time, event in enumerate(order):
        started += hear(one, event, now=float(time))
    assert started == [
        StartService(ids[first], SOME, queued_s=float(first)) for first in range(slots)
    ]
    assert one.counts()[:2] == (5 - slots, slots)
    for ended in range(5):
        actions = hear(one, ServiceEnded(ids[ended], Content(1)), now=9.0)
        begun = [action for action in actions if isinstance(action, StartService)]
        following = ended + slots
        assert begun == [StartService(ids[n], SOME, float(n)) for n in [following] if n < 5]


def test_a_slot_freed_out_of_order_is_used():
    one = node(ALONE, slots=2)
    hear(one, ask(0), ask(1), ask(2))
    actions = hear(one, ServiceEnded(task(1), SOME))
    assert actions == [Send("b", Response(task(1), SOME)), StartService(task(2), SOME, 0.0)]


@pytest.mark.parametrize(("slots", "queue_max"), [(1, 0), (1, 1), (2, 3)])
def test_no_more_than_queue_max_wait_and_the_refusal_says_how_long_the_queue_is(slots, queue_max):
    one = node(ALONE, slots=slots, queue_max=queue_max)
    for number in range(slots + queue_max):
        assert not any(isinstance(action, Send) for action in hear(one, ask(number)))
    assert one.counts()[:2] == (queue_max, slots)
    per_slot = math.ceil(queue_max / slots)
    assert hear(one, ask(99)) == [Send("b", Refusal(task(99), "queue full", per_slot))]
    assert hear(one, PromptArrived(7, SOME)) == [Refuse(7, queue_max)]
    assert one.counts() == (queue_max, slots, 0, 0)


def test_a_place_is_free_again_when_a_service_ends():
    one = node(ALONE, queue_max=0)
    assert hear(one, ask(0)) == [StartService(task(0), SOME, 0.0)]
    hear(one, ServiceEnded(task(0), SOME))
    assert hear(one, ask(1)) == [StartService(task(1), SOME, 0.0)]


def test_a_queue_without_bound_refuses_nobody():
    one = node(ALONE)
    hear(one, *(ask(number) for number in range(1000)))
    assert one.counts()[:2] == (999, 1)


def test_an_accepted_prompt_keeps_its_places_between_its_layers():
    # Three places, given to a prompt of three tasks that waits for b: c's task is refused though
    # nothing is here.
    one = node(layered(1, 1), peers="b", queue_max=2)
    hear(one, PromptArrived(0, SOME), ServiceEnded(task(0, "a"), SOME))
    assert one.counts() == (0, 0, 1, 1)
    assert hear(one, ask(0, "c")) == [Send("c", Refusal(task(0, "c"), "queue full", 0))]
    assert hear(one, PromptArrived(1, SOME)) == [Refuse(1, 0)]
    reply = MessageReceived("b", Response(TaskId("a", 0, 0, 1), SOME))
    assert [type(action) for action in hear(one, reply)] == [StartService]
    hear(one, ServiceEnded(TaskId("a", 0, 1, 0), SOME))
    assert hear(one, ask(1, "c")) == [StartService(task(1, "c"), SOME, 0.0)]


def test_a_refused_prompt_leaves_nothing_behind():
    one = node(layered(2, 2), queue_max=6)
    hear(one, ask(0))
    for number in range(5):
        hear(one, PromptArrived(number, SOME))
    assert one.counts() == (0, 1, 0, 0)
    hear(one, ServiceEnded(task(0), SOME))
    assert [type(a) for a in hear(one, PromptArrived(5, SOME))] == [Send, Send, StartService]


def test_a_prompt_that_can_never_be_accepted_is_told_so():
    # (k + 1) M + 1 = 7 tasks; slots + queue_max = 6 places.
    one = node(layered(2, 2), slots=2, queue_max=4)
    (refused,) = hear(one, PromptArrived(0, SOME))
    assert refused == Refuse(0, 0, "the plan takes 7 places, and this node has only 6")
    assert [type(a) for a in hear(one, PromptArrived(1, SOME, plan=layered(1, 2)))] == [
        Send,
        Send,
        StartService,
    ]
    assert hear(one, PromptArrived(2, SOME, plan=layered(1, 2))) == [Refuse(2, 0, "queue full")]


def test_withdrawing_takes_a_waiting_task_out_and_cancels_one_in_service():
    station = Station("a", slots=1, queue_max=None)
    actions: list[Action] = []
    for number in range(3):
        station.enqueue(task(number, "a"), SOME, 0.0)
    station.start(2.0, actions)
    station.withdraw(task(1, "a"), actions)
    assert [entry[0] for entry in station.queue] == [task(2, "a")]
    station.withdraw(task(0, "a"), actions)
    assert actions[1:] == [CancelService(task(0, "a"))]
    assert not station.serving
    assert station.end(task(0, "a")) is None
    assert not station.withdraw(task(0, "a"), actions)


# --- memory ---------------------------------------------------------------------------------


def sized(number, tokens, origin="b", max_tokens=None, deadline_s=None):
    """Send node ``a`` a peer's task of this length."""
    options = None if max_tokens is None else Options(max_tokens=max_tokens)
    message = Task(task(number, origin), Content(tokens), deadline_s, options)
    return MessageReceived(origin, message)


def begun(actions):
    return [action.task.prompt for action in actions if isinstance(action, StartService)]


def small(**more):
    """Node ``a``, with four slots and memory for 100 tokens; a task writes 20."""
    return node(ALONE, slots=4, cache_tokens=100, response_tokens=20, **more)


def test_the_first_task_that_does_not_fit_waits_and_nobody_overtakes_it():
    one = small()
    assert begun(hear(one, sized(0, 30))) == [0]  # 50 of 100
    assert begun(hear(one, sized(1, 31))) == []  # would be 101
    assert begun(hear(one, sized(2, 1))) == []  # would fit
    assert one.counts()[:2] == (2, 1)
    assert begun(hear(one, ServiceEnded(task(0), SOME))) == [1, 2]
    assert one.counts()[:2] == (0, 2)


def test_memory_may_be_full_to_the_last_token():
    one = small()
    assert begun(hear(one, sized(0, 30), sized(1, 30), sized(2, 0))) == [0, 1]
    assert begun(hear(one, ServiceEnded(task(1), SOME))) == [2]


def test_slots_are_a_bound_beside_memory():
    one = node(ALONE, slots=2, cache_tokens=100)
    assert begun(hear(one, *(sized(number, 1) for number in range(3)))) == [0, 1]


def test_what_a_task_may_write_is_what_its_options_say():
    one = small()
    assert begun(hear(one, sized(0, 10, max_tokens=1), sized(1, 10, max_tokens=79))) == [0, 1]
    assert begun(hear(one, sized(2, 0, max_tokens=1))) == []


def test_one_task_alone_is_always_served():
    one = small()
    assert begun(hear(one, sized(0, 1000), sized(1, 1))) == [0]
    assert begun(hear(one, ServiceEnded(task(0), SOME))) == [1]
    assert begun(hear(one, sized(2, 1000), sized(3, 1))) == []
    assert begun(hear(one, ServiceEnded(task(1), SOME))) == [2]
    assert begun(hear(one, ServiceEnded(task(2), SOME))) == [3]


@pytest.mark.parametrize("way", ["ended", "failed", "withdrawn in service", "withdrawn waiting"])
def test_memory_is_free_again_however_a_task_leaves(way):
    one = small()
    hear(one, sized(0, 60), sized(1, 60), sized(2, 0))
    ways: dict[str, Event] = {
        "ended": ServiceEnded(task(0), SOME),
        "failed": ServiceFailed(task(0), "out of memory"),
        "withdrawn in service": MessageReceived("b", Withdrawal(task(0))),
        "withdrawn waiting": MessageReceived("b", Withdrawal(task(1))),
    }
    expected = [2] if way == "withdrawn waiting" else [1, 2]
    assert begun(hear(one, ways[way])) == expected


def test_a_task_past_its_deadline_is_refused_even_where_memory_is_short():
    one = small()
    hear(one, sized(0, 60), sized(1, 60, deadline_s=5.0), sized(2, 0))
    refused, start = hear(one, sized(3, 99), now=6.0)
    assert refused == Send("b", Refusal(task(1), "deadline passed", 1))
    assert start == StartService(task(2), Content(0), 0.0)


def test_with_short_memory_tasks_wait_in_the_places_of_free_slots():
    # Four slots and one waiting are five places, although only one task is served at a time.
    one = small(queue_max=1)
    hear(one, *(sized(number, 90) for number in range(5)))
    assert one.counts()[:2] == (4, 1)
    assert hear(one, sized(5, 1)) == [Send("b", Refusal(task(5), "queue full", 1))]
