"""Each claim is seen to fire on a node that was corrupted on purpose."""

import msgspec
import pytest

from dmoa.core import Content, MessageReceived, PromptArrived, Task, TaskId, layered
from dmoa.core.flight import Gathering
from dmoa.core.invariants import _claims, check
from dmoa.errors import InvariantError
from tests.core.driver import hear, node

SOME = Content(10)
OWN, FOREIGN = TaskId("a", 0, 0, 0), TaskId("b", 0, 0, 0)


def busy():
    """A node with an own task in service, a peer's waiting, and one response of two in hand."""
    one = node(layered(1, 2), peers="bc", queue_max=9, cache_tokens=100, overlap=True)
    hear(one, PromptArrived(0, SOME), MessageReceived("b", Task(FOREIGN, SOME)))
    return one


def serve_too_many(one):
    one._station.serving[one._station.queue.popleft()[0]] = 0.0


def free_a_slot(one):
    one._station.serving.clear()


def wait_too_long(one):
    one._station.places = one._station.slots


def take_too_much(one):
    one._station.places = 1
    one._station.queue.clear()


def double(one):
    one._station.queue.append((FOREIGN, SOME, 0.0, None, None))
    one._station.foreign += 1


def miscount_peers(one):
    one._station.foreign += 1


def miscount_reserved(one):
    one._station.reserved += 1


def add_an_own_task(one):
    flight = one._coordinator.flights[0]
    flight.outline = msgspec.structs.replace(flight.outline, tasks=0)
    one._station.reserved = 0


def await_nothing(one):
    one._coordinator.flights[0].gatherings[0].joined = True


def join_early(one):
    hear(one, PromptArrived(1, SOME))
    # One stage of prompt 1 still waits; another, whose responses are missing, counts as joined.
    flight = one._coordinator.flights[1]
    flight.gatherings[1] = flight.gatherings[0]
    flight.gatherings[0] = Gathering(SOME, ["b"], [None], expected=1, unread=1, joined=True)


def miscount_joining(one):
    one._coordinator.joining += 1


def strand_an_own_task(one):
    one._coordinator.flights[1] = one._coordinator.flights.pop(0)


def outlive_a_response(one):
    gathering = one._coordinator.flights[0].gatherings[0]
    gathering.responses[0] = SOME
    gathering.arrived.append(SOME)
    one._coordinator.joining = 1


def overfill_the_cache(one):
    one._station.cache_tokens = one._station.charged_tokens - 1
    one._station.slots = 2
    task = one._station.queue.popleft()[0]
    one._station.serving[task] = 0.0


def free_a_slot_that_fits(one):
    one._station.slots = 2


def miscount_tokens(one):
    one._station.charged_tokens += 1


def miscount_charges(one):
    one._station.charges.clear()


def read_ahead_for_nobody(one):
    one._station.prefilling[TaskId("a", 7, 1, 0)] = None


def read_ahead_for_another_attempt(one):
    one._station.prefilling[TaskId("a", 0, 1, 0, attempt=1)] = None


def read_ahead_for_a_stage_that_nobody_prepares(one):
    one._station.prefilling[OWN] = None


def lose_an_arrival(one):
    one._coordinator.flights[0].gatherings[0].arrived = [SOME]


def await_the_lost(one):
    one._coordinator.absent.add("b")


def ask_again(one):
    gathering = one._coordinator.flights[0].gatherings[0]
    gathering.attempts, gathering.replaced = [0, 1, 0], ("b",)


def try_too_many(one):
    one._coordinator.flights[0].gatherings[0].attempts = [0, 1, 0]


CLAIMS = [
    (serve_too_many, "more tasks in service than slots"),
    (free_a_slot, "a slot is free while a task waits"),
    (free_a_slot_that_fits, "a slot is free while a task waits"),
    (overfill_the_cache, "more tokens in service than the cache holds"),
    (miscount_tokens, "tokens in service are miscounted"),
    (miscount_charges, "tokens in service are miscounted"),
    (wait_too_long, "the queue is longer than its bound"),
    (take_too_much, "more places taken than there are"),
    (double, "a task is present twice"),
    (miscount_peers, "peers' tasks are miscounted"),
    (miscount_reserved, "reserved places are miscounted"),
    (add_an_own_task, "own tasks take more places than are reserved"),
    (await_nothing, "a prompt awaits nothing"),
    (join_early, "a stage was joined before its time"),
    (miscount_joining, "the join buffer is miscounted"),
    (strand_an_own_task, "an unawaited own task is present"),
    (outlive_a_response, "an unawaited own task is present"),
    (read_ahead_for_nobody, "a task is read ahead that will not be started"),
    (read_ahead_for_another_attempt, "a task is read ahead that will not be started"),
    (read_ahead_for_a_stage_that_nobody_prepares, "a task is read ahead that will not be started"),
    (lose_an_arrival, "the responses that arrived are miscounted"),
    (await_the_lost, "a lost peer is awaited"),
    (ask_again, "a peer was asked again in place of another"),
    (try_too_many, "too many peers were tried for a response"),
]


@pytest.mark.parametrize(("corrupt", "problem"), CLAIMS, ids=[one.__name__ for one, _ in CLAIMS])
def test_a_broken_node_is_found_and_tells_its_story(corrupt, problem):
    one = busy()
    corrupt(one)
    with pytest.raises(InvariantError, match=f"^node a: {problem}\n") as caught:
        check(one)
    assert caught.value.story == one.story()
    assert "PromptArrived" in caught.value.story[0]


def test_every_claim_is_broken_once():
    assert {problem for problem, _ in _claims(busy())} == {problem for _, problem in CLAIMS}
