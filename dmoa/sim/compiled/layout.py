"""Where the kernel keeps everything: flat arrays of records, preallocated.

A record holds what one event touches, so that it lies in one or two lines of the cache. What grows
while a run goes on, the prompts in flight and what is recorded, is grown between two calls of the
kernel and never within.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from dmoa.sim.compiled.draws import Law
from dmoa.sim.compiled.jit import inlined

Ints = NDArray[np.signedinteger[Any]]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


Row_co = TypeVar("Row_co", bound="Row", covariant=True)

# What a field of a record is; its width in memory.
Small = int  # 32 bits
Big = int  # 64 bits
Number = float
Key = np.uint64
_KINDS = {"Small": "i4", "Big": "i8", "Number": "f8", "Key": "u8"}


LINE_BYTES = 64
"""Of a cache: records of that size, or half or twice, lie in as few lines as possible."""


class Row:
    """A record of a table."""


class Table(Protocol[Row_co]):
    """An array of records: a place gives a record, a name that field of all records.

    What it stands for is numpy's `recarray`, which the compiler knows: an array for each field
    would be passed from function to function in so many words that compiling takes minutes.
    """

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, place: int | np.uint64) -> Row_co: ...

    @overload
    def __getitem__(self, place: str) -> NDArray[Any]: ...


class Node(Row):
    """What a node is and how it stands.

    ``places`` is -1 without a bound. ``first`` and ``last`` are the ends of its queue, a list of
    tasks. ``seen_s`` is when it was last looked at, up to which the ``_s`` after it are integrals.
    """

    waiting: Small
    serving: Small
    joining: Small
    unfinished: Small
    slots: Small
    places: Small
    foreign: Small
    reserved: Small
    first: Small
    last: Small
    degree: Small
    plan_tasks: Small
    offset: Big
    service_key: Key
    select_key: Key
    scale: Number
    seen_s: Number
    waiting_s: Number
    serving_s: Number
    joining_s: Number
    unfinished_s: Number
    busy_s: Number


class Source(Row):
    """Where the prompts of a node come from.

    ``time_s`` is that of the last one as it was drawn, ``number`` how many there were. The others
    are for on-off sources and for prompts that are listed.
    """

    key: Key
    tokens_key: Key
    response_key: Key
    phase_key: Key
    rate_hz: Number
    time_s: Number
    off_s: Number
    on_end_s: Number
    number: Big
    answered: Big
    phase: Big
    listed: Big
    listed_end: Big


class Flight(Row):
    """A prompt in flight; ``next`` is the next free record.

    ``content_tokens`` are those that the tasks of the present stage read, ``gathered_tokens`` those
    of the responses so far.
    """

    origin: Small
    stage: Small
    held: Small
    expected: Small
    row: Small
    next: Small
    number: Big
    prompt_tokens: Big
    gathered_tokens: Big
    content_tokens: Big
    arrived_s: Number


class Event(Row):
    """An event to come, of a node or of a task; ``next`` is the one behind it in its list.

    First in their table is each node's next prompt, then, where tasks share its processor, what
    ends there next, and after them one of each task. They happen in the order of time, then of
    kind, of node and of ``serial``.
    """

    time_s: Number
    serial: Big
    kind: Small
    node: Small
    next: Small


class Task(Row):
    """A task of a prompt in flight: that of slot s of flight f is at f 2^shift + s.

    ``message`` is the kind of the message about it that is under way, ``tokens`` the length of its
    response, ``next`` the task behind it in a queue. ``since_s`` is when it was started, or while a
    message about it is under way, when that was sent.
    """

    server: Small
    message: Small
    next: Small
    row: Small
    tokens: Big
    queued_s: Number
    since_s: Number


class Processor(Row):
    """The processor of a node where its tasks in service share it.

    ``written_s`` is what a task would have got up to ``since_s`` that always wrote, ``write`` and
    ``read`` are the speeds since. Those that read stand in a list, those that write in another.
    """

    reading: Small
    writing: Small
    first_reader: Small
    last_reader: Small
    first_writer: Small
    reader: Small
    writer_ends: Small
    scheduled: Small
    changed: Small
    written_s: Number
    since_s: Number
    write: Number
    read: Number
    ends_s: Number


class Share(Row):
    """What a task in service needs of a shared processor: see `dmoa.sim.compiled.sharing`."""

    left_s: Number
    writing_s: Number
    ends_s: Number


class Names(NamedTuple):
    """The names of the nodes as a trace has them, one after the other: their bytes, their ends."""

    text: Bytes
    ends: Ints


class Fixed(NamedTuple):
    """What does not change in a run.

    ``shift`` is the logarithm of the tasks that a prompt has room for, ``process`` how prompts
    arrive. ``targets`` are the peers of each node from its ``offset`` on, ``edges`` their inclusion
    probabilities, which the run first adds up. ``prompt_tokens`` and ``response_tokens`` are the
    lengths where all are equal, or -1.
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
    instruction_tokens: int
    prompt_tokens: int
    response_tokens: int
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

    nodes: Table[Node]
    sources: Table[Source]
    flights: Table[Flight]
    tasks: Table[Task]
    processors: Table[Processor]
    shares: Table[Share]
    events: Table[Event]
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


#: Kinds of events at one time, in their order; which is that of `dmoa.sim.driver`.
ENDS, DELIVERS, ARRIVES = 0, 1, 3

#: How prompts arrive: as in a Poisson process, at equal distances, on and off, or as listed.
POISSON, REGULAR, ON_OFF, LISTED = range(4)

# Where in `State.numbers` and `State.times_s` each number is.
(
    FREE, SERIAL, DAY, PENDING, EVENTS, AWAITED, INBOX_TAIL, STEPS, PROMPTS, TASKS,
    LINKS, BYTES, ACTIONS, STOPPED_AT, TUNED_AT, TUNE_AT, CHANGED, ARRIVED, ANSWERED, REFUSED,
    STARTED, SERVED, PRECEDING, NUMBERS,
) = range(24)  # fmt: skip
LAST_S, DAYS_PER_S, TUNED_S, SOJOURN_S, WAITED_S, SERVICE_S, LINK_S, QUEUED_S, TIMES = range(9)


@inlined
def record(table: Table[Row_co], place: int) -> Row_co:
    """Give a record. Its place never counts from the end, which else would be asked each time."""
    return table[np.uint64(place)]


def make(row: type[Row_co], count: int) -> Table[Row_co]:
    """Make a table, all 0, whose first record begins a line of the cache."""
    names = ((name, _KINDS[str(width)]) for name, width in row.__annotations__.items())
    kind = np.dtype(list(names), align=True)
    room = np.zeros(count * kind.itemsize + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    made: Any = room[start : start + count * kind.itemsize].view(kind).view(np.recarray)
    return cast("Table[Row_co]", made)


def grown(old: Table[Row_co], row: type[Row_co], count: int) -> Table[Row_co]:
    """Copy a table into a longer one."""
    made: Any = make(row, count)
    made[: len(old)] = old
    return cast("Table[Row_co]", made)
