"""The events to come, in a calendar queue: a list for each day of a year, each list in order.

Brown, "Calendar queues: a fast O(1) priority queue implementation for the simulation event set
problem", CACM 31 (1988). The order is total, so the length of a day changes the speed alone.
"""

from __future__ import annotations

import numpy as np

from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import (
    DAY,
    DAYS_PER_S,
    EVENTS,
    PENDING,
    SERIAL,
    TUNED_AT,
    TUNED_S,
    Events,
    Floats,
    Ints,
)

EVENTS_PER_DAY = 1.0
"""So many events happen in a day, once its length is tuned."""

TUNED_FIRST = 1024
"""Events after which the length of a day is tuned first; then after twice as many each time."""


@inlined
def precedes(events: Events, one: int, other: int) -> bool:
    """Say whether an event happens before another."""
    if events.time_s[one] != events.time_s[other]:
        return events.time_s[one] < events.time_s[other]
    if events.order[one] != events.order[other]:
        return events.order[one] < events.order[other]
    return events.serial[one] < events.serial[other]


@inlined
def insert(events: Events, days: Ints, event: int, days_per_s: float) -> None:
    """Put an event on its day's list."""
    day = np.int64(events.time_s[event] * days_per_s)
    events.day[event] = day
    place = day & (len(days) - 1)
    following = days[place]
    if following < 0 or precedes(events, event, following):
        events.next[event] = following
        days[place] = event
        return
    before = following
    following = events.next[before]
    while following >= 0 and precedes(events, following, event):
        before = following
        following = events.next[before]
    events.next[event] = following
    events.next[before] = event


@inlined
def schedule(
    events: Events, days: Ints, numbers: Ints, times_s: Floats, event: int, order: int, at_s: float
) -> None:
    """Let an event happen at a time, not before the last one that happened."""
    events.time_s[event] = at_s
    events.order[event] = order
    events.serial[event] = numbers[SERIAL]
    numbers[SERIAL] += 1
    numbers[PENDING] += 1
    insert(events, days, event, times_s[DAYS_PER_S])


@apart
def cancel(events: Events, days: Ints, numbers: Ints, event: int) -> None:
    """Take out an event that was scheduled."""
    place = events.day[event] & (len(days) - 1)
    if days[place] == event:
        days[place] = events.next[event]
    else:
        before = days[place]
        while events.next[before] != event:
            before = events.next[before]
        events.next[before] = events.next[event]
    numbers[PENDING] -= 1


@inlined
def first(events: Events, days: Ints, numbers: Ints) -> int:
    """Find the next event; there has to be one. It stays where it is."""
    mask = len(days) - 1
    day = numbers[DAY]
    looked = 0
    while True:
        event = days[day & mask]
        if event >= 0 and events.day[event] == day:
            numbers[DAY] = day
            return event
        day += 1
        looked += 1
        if looked > mask:  # nothing for a year: find the next day on which there is something
            looked = 0
            day = np.int64(2**62)
            for place in range(mask + 1):
                if days[place] >= 0:
                    day = min(day, events.day[days[place]])


@inlined
def take(events: Events, days: Ints, numbers: Ints, event: int) -> None:
    """Take out the next event, as `first` found it."""
    days[events.day[event] & (len(days) - 1)] = events.next[event]
    numbers[PENDING] -= 1


@apart
def retune(events: Events, days: Ints, numbers: Ints, times_s: Floats, now_s: float) -> None:
    """Make days as long as events are apart, and sort all events into them."""
    passed = numbers[EVENTS] - numbers[TUNED_AT]
    if passed < max(TUNED_FIRST, numbers[TUNED_AT]):
        return
    if now_s > times_s[TUNED_S]:
        rebuild(
            events, days, numbers, times_s, passed / (now_s - times_s[TUNED_S]) / EVENTS_PER_DAY
        )
    numbers[TUNED_AT] = numbers[EVENTS]
    times_s[TUNED_S] = now_s


@apart
def rebuild(events: Events, days: Ints, numbers: Ints, times_s: Floats, days_per_s: float) -> None:
    """Sort all events into days of another length."""
    every = -1
    for place in range(len(days)):
        event = days[place]
        while event >= 0:
            following = events.next[event]
            events.next[event] = every
            every = event
            event = following
        days[place] = -1
    times_s[DAYS_PER_S] = days_per_s
    least = np.int64(2**62)
    while every >= 0:
        following = events.next[every]
        insert(events, days, every, days_per_s)
        least = min(least, events.day[every])
        every = following
    numbers[DAY] = least
