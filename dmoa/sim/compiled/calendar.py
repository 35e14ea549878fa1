"""The events to come, in a calendar queue: a list for each day of a year, put in order as it begins.

Brown, "Calendar queues: a fast O(1) priority queue implementation for the simulation event set
problem", CACM 31 (1988), keeps all lists in order. Where each holds one or two events, a processor
foretells badly how far to go in such a list; to put a list in order once is sooner done, and takes
n log n steps where n events happen at one time. The order is total, so the length of a day changes
the speed alone.
"""

from __future__ import annotations

from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import (
    DAY,
    DAYS_PER_S,
    EVENTS,
    PENDING,
    SERIAL,
    SORTED,
    TUNE_AT,
    TUNED_AT,
    TUNED_S,
    Event,
    Floats,
    Ints,
    Table,
    at,
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
def day_of(event: Event, days_per_s: float) -> int:
    """Say on which day an event happens, counted from the start."""
    return int(event.time_s * days_per_s)


@inlined
def insert(events: Table[Event], days: Ints, numbers: Ints, event: int, day: int) -> None:
    """Put an event on its day's list: in front, or in its place if that list is in order."""
    this, mask = at(events, event), len(days) - 1
    place = day & mask
    following = days[place]
    if place != numbers[SORTED] & mask or following < 0 or precedes(this, at(events, following)):
        this.next = following
        days[place] = event
        return
    before = following
    following = at(events, before).next
    while following >= 0 and precedes(at(events, following), this):
        before = following
        following = at(events, before).next
    this.next = following
    at(events, before).next = event


@apart
def in_order(events: Table[Event], head: int) -> int:
    """Put a list in order, by merging ever longer parts of it; give its new head."""
    width = 1
    while True:
        rest, head, tail, merges = head, -1, -1, 0
        while rest >= 0:
            merges += 1
            other, left, right = rest, 0, width
            while left < width and other >= 0:
                other = at(events, other).next
                left += 1
            while left > 0 or (right > 0 and other >= 0):
                if left == 0 or (
                    right > 0 and other >= 0 and precedes(at(events, other), at(events, rest))
                ):
                    taken, other, right = other, at(events, other).next, right - 1
                else:
                    taken, rest, left = rest, at(events, rest).next, left - 1
                if tail < 0:
                    head = taken
                else:
                    at(events, tail).next = taken
                tail = taken
            rest = other
        at(events, tail).next = -1
        if merges == 1:
            return head
        width *= 2


@inlined
def schedule(
    events: Table[Event], days: Ints, numbers: Ints, times_s: Floats,
    event: int, kind: int, node: int, at_s: float,
) -> None:  # fmt: skip
    """Let an event happen at a time, not before the last one that happened."""
    this = at(events, event)
    day = int(at_s * times_s[DAYS_PER_S])
    this.time_s = at_s
    this.kind = kind
    this.node = node
    this.serial = numbers[SERIAL]
    numbers[SERIAL] += 1
    numbers[PENDING] += 1
    insert(events, days, numbers, event, day)


@apart
def cancel(events: Table[Event], days: Ints, numbers: Ints, times_s: Floats, event: int) -> None:
    """Take out an event that was scheduled."""
    place = day_of(at(events, event), times_s[DAYS_PER_S]) & (len(days) - 1)
    if days[place] == event:
        days[place] = at(events, event).next
    else:
        before = days[place]
        while at(events, before).next != event:
            before = at(events, before).next
        at(events, before).next = at(events, event).next
    numbers[PENDING] -= 1


@inlined
def first(events: Table[Event], days: Ints, numbers: Ints, times_s: Floats) -> int:
    """Find the next event; there has to be one. It stays where it is."""
    mask, days_per_s = len(days) - 1, times_s[DAYS_PER_S]
    day = numbers[DAY]
    until = day + mask
    while True:
        event = days[day & mask]
        if event >= 0:
            if day != numbers[SORTED]:
                numbers[SORTED] = day
                if at(events, event).next >= 0:
                    event = in_order(events, event)
                    days[day & mask] = event
            if day_of(at(events, event), days_per_s) == day:
                numbers[DAY] = day
                return event
        day += 1
        if day > until:  # nothing for a year
            day = next_day(events, days, days_per_s)
            until = day + mask


@apart
def next_day(events: Table[Event], days: Ints, days_per_s: float) -> int:
    """Find the next day on which there is something, however far."""
    day = 2**62
    for place in range(len(days)):
        if days[place] >= 0:
            day = min(day, day_of(at(events, days[place]), days_per_s))
    return day


@inlined
def take(events: Table[Event], days: Ints, numbers: Ints, event: int) -> None:
    """Take out the next event, as `first` found it."""
    days[numbers[DAY] & (len(days) - 1)] = at(events, event).next
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
            following = at(events, event).next
            at(events, event).next = every
            every = event
            event = following
        days[place] = -1
    times_s[DAYS_PER_S], numbers[SORTED] = days_per_s, -1
    least = 2**62
    while every >= 0:
        following = at(events, every).next
        day = day_of(at(events, every), days_per_s)
        insert(events, days, numbers, every, day)
        least = min(least, day)
        every = following
    numbers[DAY] = least
