"""The events to come, in a calendar queue: a list for each day of a year.

Brown, "Calendar queues: a fast O(1) priority queue implementation for the simulation event set
problem", CACM 31 (1988), keeps each list in order. Here it is in none, and the earliest of a day is
looked for: with one or two events a day a processor foretells badly how far to go in a list, and to
put an event in front asks nothing. The order is total, so the length of a day changes the speed
alone.
"""

from __future__ import annotations

import numpy as np

from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import (
    DAY,
    DAYS_PER_S,
    EVENTS,
    PENDING,
    PRECEDING,
    SERIAL,
    TUNE_AT,
    TUNED_AT,
    TUNED_S,
    Event,
    Floats,
    Ints,
    Table,
    record,
)

EVENTS_PER_DAY = 1.4
"""So many events happen in a day, once its length is tuned."""

TUNED_FIRST = 1024
"""Events after which the length of a day is tuned first; then after twice as many each time."""


@inlined
def precedes(one: Event, other: Event) -> bool:
    """Say whether an event happens before another."""
    if one.time_s != other.time_s:
        return one.time_s < other.time_s
    if one.kind != other.kind:
        return one.kind < other.kind
    if one.node != other.node:
        return one.node < other.node
    return one.serial < other.serial


@inlined
def day_of(time_s: float, days_per_s: float) -> int:
    """Say which day it is at a time, counted from the start."""
    return int(time_s * days_per_s)


@inlined
def list_of(days: Ints, day: int) -> np.uint64:
    """Say where the list of a day is: on one place for that day of every year."""
    return np.uint64(day & (len(days) - 1))


@inlined
def insert(events: Table[Event], days: Ints, event: int, day: int) -> None:
    """Put an event in front of its day's list."""
    place = list_of(days, day)
    record(events, event).next = days[place]
    days[place] = event


@inlined
def schedule(
    events: Table[Event], days: Ints, numbers: Ints, times_s: Floats,
    event: int, kind: int, node: int, at_s: float,
) -> None:  # fmt: skip
    """Let an event happen at a time, not before the last one that happened."""
    this = record(events, event)
    day = day_of(at_s, times_s[DAYS_PER_S])
    this.time_s = at_s
    this.kind = kind
    this.node = node
    this.serial = numbers[SERIAL]
    numbers[SERIAL] += 1
    numbers[PENDING] += 1
    insert(events, days, event, day)


@apart
def cancel(events: Table[Event], days: Ints, numbers: Ints, times_s: Floats, event: int) -> None:
    """Take out an event that was scheduled."""
    place = list_of(days, day_of(record(events, event).time_s, times_s[DAYS_PER_S]))
    if days[place] == event:
        days[place] = record(events, event).next
    else:
        before = days[place]
        while record(events, before).next != event:
            before = record(events, before).next
        record(events, before).next = record(events, event).next
    numbers[PENDING] -= 1


@inlined
def first(events: Table[Event], days: Ints, numbers: Ints, times_s: Floats) -> int:
    """Find the next event; there has to be one. It stays where it is."""
    day, days_per_s = numbers[DAY], times_s[DAYS_PER_S]
    until = day + len(days) - 1
    while True:
        event, before = days[list_of(days, day)], -1
        earliest, preceding, soonest = -1, -1, float(day + 1)
        while event >= 0:
            this = record(events, event)
            time = this.time_s * days_per_s  # in days: what belongs to a later year is later
            if time < soonest or (
                time == soonest and earliest >= 0 and precedes(this, record(events, earliest))
            ):
                earliest, preceding, soonest = event, before, time
            before = event
            event = this.next
        if earliest >= 0:
            numbers[DAY] = day
            numbers[PRECEDING] = preceding
            return earliest
        day += 1
        if day > until:  # nothing for a year
            day = next_day(events, days, days_per_s)
            until = day + len(days) - 1


@apart
def next_day(events: Table[Event], days: Ints, days_per_s: float) -> int:
    """Find the next day on which there is something, however far."""
    day = 2**62
    for place in range(len(days)):
        event = days[place]
        while event >= 0:
            day = min(day, day_of(record(events, event).time_s, days_per_s))
            event = record(events, event).next
    return day


@inlined
def take(events: Table[Event], days: Ints, numbers: Ints, event: int) -> None:
    """Take out the next event, as `first` found it."""
    following, preceding = record(events, event).next, numbers[PRECEDING]
    if preceding < 0:
        days[list_of(days, numbers[DAY])] = following
    else:
        record(events, preceding).next = following
    numbers[PENDING] -= 1


@apart
def retune(events: Table[Event], days: Ints, numbers: Ints, times_s: Floats, now_s: float) -> None:
    """Make days as long as events are apart, and sort all events into them."""
    passed = numbers[EVENTS] - numbers[TUNED_AT]
    if now_s > times_s[TUNED_S]:
        rebuild(
            events, days, numbers, times_s, passed / (now_s - times_s[TUNED_S]) / EVENTS_PER_DAY
        )
    numbers[TUNED_AT] = numbers[EVENTS]
    numbers[TUNE_AT] = 2 * numbers[EVENTS]
    times_s[TUNED_S] = now_s


@apart
def rebuild(
    events: Table[Event], days: Ints, numbers: Ints, times_s: Floats, days_per_s: float
) -> None:
    """Sort all events into days of another length."""
    every = -1
    for place in range(len(days)):
        event = days[place]
        while event >= 0:
            following = record(events, event).next
            record(events, event).next = every
            every = event
            event = following
        days[place] = -1
    times_s[DAYS_PER_S] = days_per_s
    least = 2**62
    while every >= 0:
        following = record(events, every).next
        day = day_of(record(events, every).time_s, days_per_s)
        insert(events, days, every, day)
        least = min(least, day)
        every = following
    numbers[DAY] = least
