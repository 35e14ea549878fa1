"""Where the kernel keeps everything: flat arrays of records, preallocated.

A record holds what one event touches, so that it lies in one or two lines of the cache. What grows
while a run goes on, the prompts in flight and what is recorded, is grown between two calls of the
kernel and never within.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from dmoa.sim.compiled.draws import Law

Ints = NDArray[np.signedinteger[Any]]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


View = TypeVar("View", bound="Records")


class Records:
    """An array of records; each field of a record is an array.

    The classes below say which fields there are. What they stand for is numpy's `recarray`, which
    the compiler knows: an array for each field would be passed from function to function in so many
    words that compiling takes minutes.
    """


class Nodes(Records):
    """What a node is and how it stands, (n,) each.

    ``places`` is -1 without a bound. ``first`` and ``last`` are the ends of its queue, a list of
    tasks. ``seen_s`` is when it was last looked at, up to which the ``_s`` after it are integrals.
    """

    waiting: Ints
    serving: Ints
    joining: Ints
    unfinished: Ints
    slots: Ints
    places: Ints
    foreign: Ints
    reserved: Ints
    first: Ints
    last: Ints
    degree: Ints
    plan_tasks: Ints
    offset: Ints
    service_key: Keys
    select_key: Keys
    scale: Floats
    seen_s: Floats
    waiting_s: Floats
    serving_s: Floats
    joining_s: Floats
    unfinished_s: Floats
    busy_s: Floats


class Sources(Records):
    """Where the prompts of each node come from, (n,) each.

    ``time_s`` is that of the last one as it was drawn, ``number`` how many there were. The others
    are for on-off sources and for prompts that are listed.
    """

    key: Keys
    tokens_key: Keys
    response_key: Keys
    phase_key: Keys
    rate_hz: Floats
    time_s: Floats
    off_s: Floats
    on_end_s: Floats
    number: Ints
    answered: Ints
    phase: Ints
    listed: Ints
    listed_end: Ints


class Flights(Records):
    """Prompts in flight; ``next`` is the next free record.

    ``content_tokens`` are those that the tasks of the present stage read, ``gathered_tokens`` those
    of the responses so far.
    """

    origin: Ints
    stage: Ints
    held: Ints
    expected: Ints
    row: Ints
    next: Ints
    number: Ints
    prompt_tokens: Ints
    gathered_tokens: Ints
    content_tokens: Ints
    response_tokens: Ints
    arrived_s: Floats


class Tasks(Records):
    """The tasks of prompts in flight: that of slot s of flight f is at f 2^shift + s.

    ``message`` is the kind of the message about it that is under way, ``tokens`` the length of its
    response, ``next`` the task behind it in a queue.
    """

    server: Ints
    message: Ints
    next: Ints
    row: Ints
    tokens: Ints
    queued_s: Floats
    started_s: Floats
    sent_s: Floats


class Processors(Records):
    """The processor of each node, (n,), where its tasks in service share it.

    ``written_s`` is what a task would have got up to ``since_s`` that always wrote, ``write`` and
    ``read`` are the speeds since. Those that read stand in a list, those that write in another.
    """

    reading: Ints
    writing: Ints
    first_reader: Ints
    last_reader: Ints
    first_writer: Ints
    reader: Ints
    writer_ends: Ints
    scheduled: Ints
    changed: Ints
    written_s: Floats
    since_s: Floats
    write: Floats
    read: Floats
    ends_s: Floats


class Shares(Records):
    """What a task in service needs of a shared processor: see `dmoa.sim.compiled.sharing`."""

    left_s: Floats
    writing_s: Floats
    ends_s: Floats


class Events(Records):
    """Events to come: of each node, and of each task.

    First each node's next prompt, (n,), then, where tasks share its processor, what ends there
    next, (n,), and after them one of each task. They happen in the order of time, then of ``order``
    (kind and node), then of ``serial``.
    """

    time_s: Floats
    order: Ints
    serial: Ints
    day: Ints
    next: Ints


class Names(NamedTuple):
    """The names of the nodes as a trace has them, one after the other: their bytes, their ends."""

    text: Bytes
    ends: Ints


class Fixed(NamedTuple):
    """What does not change in a run.

    ``shift`` is the logarithm of the tasks that a prompt has room for, ``process`` how prompts
    arrive. ``targets`` are the peers of each node from its ``offset`` on, ``edges`` their inclusion
    probabilities, which the run first adds up.
    """

    nodes: int
    first_task_event: int
    layers: int
    proposers: int
    shift: int
    process: int
    shares: bool
    weighted: bool
    delayed: bool
    records: bool
    encodes: bool
    instruction_tokens: int
    waiting_max: int
    entry_bytes: int
    horizon_s: float
    on_s: float
    off_s: float
    prompt_scale: float
    response_scale: float
    delay_scale: float
    prompt_law: Law
    response_law: Law
    service_law: Law
    delay_law: Law
    targets: Ints
    edges: Floats
    token_times_s: Floats
    speedup: Floats
    chunk_tokens: int
    task_delay_key: Keys
    response_delay_key: Keys
    listed_s: Floats
    listed_prompt_tokens: Ints
    listed_response_tokens: Ints
    names: Names


class State(NamedTuple):
    """What changes in a run. ``days`` are the heads of the calendar's lists."""

    nodes: Nodes
    sources: Sources
    flights: Flights
    tasks: Tasks
    processors: Processors
    shares: Shares
    events: Events
    days: Ints
    numbers: Ints
    times_s: Floats
    inbox: Ints
    picked: Ints
    changed: Ints


class Log(NamedTuple):
    """What is recorded: the columns of a `dmoa.trace.Track`, a row each, and the bytes of a trace.

    ``numbers`` are those of prompts and of tasks, which need 64 bits. ``actions`` and ``heard`` are
    what the present step asks for and what it heard; ``bits`` and ``value`` are one number.
    """

    steps: Ints
    steps_s: Floats
    prompts: Ints
    prompt_numbers: Ints
    prompts_s: Floats
    tasks: Ints
    task_numbers: Ints
    tasks_s: Floats
    links: Ints
    links_s: Floats
    bytes: Bytes
    actions: Ints
    heard: Ints
    bits: Keys
    value: Floats


# Where in `State.numbers` and `State.times_s` each number is.
(
    FREE, SERIAL, DAY, PENDING, EVENTS, AWAITED, INBOX_HEAD, INBOX_TAIL, STEPS, PROMPTS, TASKS,
    LINKS, BYTES, ACTIONS, STOPPED_AT, TUNED_AT, CHANGED, ARRIVED, ANSWERED, REFUSED, STARTED,
    SERVED, NUMBERS,
) = range(23)  # fmt: skip
LAST_S, DAYS_PER_S, TUNED_S, SOJOURN_S, WAITED_S, SERVICE_S, LINK_S, QUEUED_S, TIMES = range(9)

_SMALL = (
    "waiting", "serving", "joining", "unfinished", "slots", "places", "foreign", "reserved",
    "first", "last", "degree", "plan_tasks", "origin", "stage", "held", "expected", "row", "next",
    "server", "message", "reading", "writing", "first_reader", "last_reader", "first_writer",
    "reader", "writer_ends", "scheduled", "changed",
)  # fmt: skip


def make(view: type[View], count: int) -> View:
    """Make an array of records, all 0."""
    kinds = {"Ints": "i8", "Keys": "u8", "Floats": "f8"}
    fields = [
        (name, "i4" if name in _SMALL else kinds[str(kind)])
        for name, kind in view.__annotations__.items()
    ]
    made: Any = np.zeros(count, np.dtype(fields, align=True)).view(np.recarray)
    return cast("View", made)


def grown(old: View, count: int) -> View:
    """Copy an array of records into a longer one."""
    before: Any = old
    made: Any = np.zeros(count, before.dtype).view(np.recarray)
    made[: len(before)] = before
    return cast("View", made)


def size(records: Records) -> int:
    """Count the records of an array."""
    return len(cast("Any", records))
