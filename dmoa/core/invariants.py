"""What must hold in a node after every step, whatever was lost, late or doubled."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dmoa.core.flight import MISSED, Flight, Gathering
from dmoa.core.messages import TaskId
from dmoa.core.node import Node
from dmoa.core.station import Station
from dmoa.errors import InvariantError


def check(node: Node) -> None:
    """Raise `InvariantError`, with the node's story, where one of these does not hold.

    - A slot is free only if nothing waits, or nothing that fits into ``cache_tokens`` beside those
      in service; no more than ``slots`` tasks are in service.
    - No queue is longer than ``queue_max`` and, where memory is short, the slots that are free;
      places taken never exceed those there are.
    - What the tasks in service may come to is within ``cache_tokens``, unless one is alone.
    - The places taken are those of peers' tasks present and of own prompts; own tasks fit theirs.
    - Every unfinished prompt awaits at least one response, so it can still end.
    - A stage is joined with all responses that can come, or overdue and with a quorum.
    - The join buffer holds exactly the responses of stages not yet read.
    - A task of the node's own is here only while its response is awaited of this very attempt.
    - The beginning of a task is read only where the task is the node's own and will be started: it
      waits, or the stage that it will read is under way. Responses are read as they arrived.
    - No response is awaited from a peer that cannot be reached. No peer that was replaced is asked
      in place of another, and no more peers are tried for a response than the plan allows.

    >>> from dmoa.core import Uniform, layered
    >>> check(Node("a", plan=layered(1, 1), selection=Uniform(("b",)), key=1))
    """
    for problem, holds in _claims(node):
        if not holds:
            raise InvariantError(f"node {node.name}: {problem}", node.story())


def _claims(node: Node) -> list[tuple[str, bool]]:
    # The claims are about the very state that nobody else may see.
    station, coordinator = node._station, node._coordinator  # noqa: SLF001 - see above
    waiting = [task for task, *_ in station.queue]
    present = waiting + list(station.serving)
    foreign = sum(task.origin != node.name for task in present)
    flights = coordinator.flights
    awaited = [
        any(g is not None and not g.joined and _missing(g) for g in flight.gatherings)
        for flight in flights.values()
    ]
    forked = [
        (stage, g)
        for flight in flights.values()
        for stage, g in zip(flight.outline.stages, flight.gatherings, strict=True)
        if g is not None
    ]
    tried = [
        (stage, g, attempt - flight.attempt, to)
        for flight in flights.values()
        for stage, g in zip(flight.outline.stages, flight.gatherings, strict=True)
        if g is not None
        for attempt, to in zip(g.attempts or (), g.assigned, strict=False)
    ]
    premature = [
        g
        for stage, g in forked
        if g.joined and _missing(g) and not (g.overdue and _received(g) >= stage.join.quorum)
    ]
    unread = sum(_received(g) for _, g in forked if g.unread > 0)
    taken = station.foreign + station.reserved
    return [
        ("more tasks in service than slots", len(station.serving) <= station.slots),
        (
            "a slot is free while a task waits",
            not station.queue
            or len(station.serving) == station.slots
            or not station.fits(station.queue[0]),
        ),
        (
            "the queue is longer than its bound",
            station.places is None or len(station.queue) <= station.places - _slots(station),
        ),
        (
            "more tokens in service than the cache holds",
            station.cache_tokens is None
            or station.charged_tokens <= station.cache_tokens
            or len(station.serving) == 1,
        ),
        (
            "tokens in service are miscounted",
            station.cache_tokens is None
            or (
                station.charges.keys() == station.serving.keys()
                and station.charged_tokens == sum(station.charges.values())
            ),
        ),
        (
            "more places taken than there are",
            station.places is None or taken <= station.places,
        ),
        ("a task is present twice", len(set(present)) == len(present)),
        ("peers' tasks are miscounted", station.foreign == foreign),
        (
            "reserved places are miscounted",
            station.reserved == sum(flight.outline.tasks for flight in flights.values()),
        ),
        (
            "own tasks take more places than are reserved",
            len(present) - foreign <= station.reserved,
        ),
        ("a prompt awaits nothing", all(awaited)),
        ("a stage was joined before its time", not premature),
        ("the join buffer is miscounted", coordinator.joining == unread),
        (
            "an unawaited own task is present",
            all(_awaits(flights, task) for task in present if task.origin == node.name),
        ),
        (
            "a task is read ahead that will not be started",
            all(_will_start(node.name, flights, waiting, task) for task in station.prefilling),
        ),
        (
            "the responses that arrived are miscounted",
            all(g.arrived is None or len(g.arrived) == _received(g) for _, g in forked),
        ),
        (
            "a lost peer is awaited",
            not any(
                coordinator.absent.intersection(g.awaited()) for _, g in forked if not g.joined
            ),
        ),
        (
            "a peer was asked again in place of another",
            not any(to in g.replaced for _, g, tries, to in tried if tries > 0),
        ),
        (
            "too many peers were tried for a response",
            all(tries < stage.join.attempts for stage, _, tries, _ in tried),
        ),
    ]


def _awaits(flights: Mapping[int, Flight], task: TaskId) -> bool:
    flight = flights.get(task.prompt)
    gathering = None if flight is None else flight.gatherings[task.stage]
    return (
        flight is not None
        and gathering is not None
        and not gathering.joined
        and gathering.responses[task.slot] is None
        and flight.attempt_of(gathering, task.slot) == task.attempt
    )


def _will_start(
    name: str, flights: Mapping[int, Flight], waiting: Collection[TaskId], task: TaskId
) -> bool:
    """Tell whether a task of this node waits, or reads a stage that is under way."""
    flight = flights.get(task.prompt)
    if flight is None or (task.origin, task.attempt) != (name, flight.attempt):
        return False
    if flight.gatherings[task.stage] is not None:
        return task in waiting
    return any(
        later == task.stage and g is not None and not g.joined
        for later, g in zip(flight.outline.next, flight.gatherings, strict=True)
    )


def _slots(station: Station) -> int:
    """Count the places that no waiting task may have: where memory is short, the slots in use."""
    return station.slots if station.cache_tokens is None else len(station.serving)


def _missing(gathering: Gathering) -> int:
    return sum(response is None for response in gathering.responses)


def _received(gathering: Gathering) -> int:
    return sum(one is not None and one is not MISSED for one in gathering.responses)
