"""When the next prompt comes at each node, as `dmoa.scenario.arrivals` draws it."""

from __future__ import annotations

from math import log

from dmoa.sim.compiled.calendar import schedule
from dmoa.sim.compiled.draws import uniform
from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import (
    ARRIVES,
    AWAITED,
    LISTED,
    POISSON,
    REGULAR,
    Fixed,
    Source,
    State,
    record,
)


@inlined
def expect(fixed: Fixed, state: State, node: int, now_s: float) -> None:
    """Schedule the next prompt of a node, if there is one."""
    source = record(state.sources, node)
    number, rate_hz = source.number, source.rate_hz
    if fixed.process == LISTED:
        if source.listed + number >= source.listed_end:
            state.numbers[AWAITED] -= 1
            return
        time_s = fixed.listed_s[source.listed + number]
    elif rate_hz == 0:
        state.numbers[AWAITED] -= 1
        return
    elif fixed.process == POISSON:
        time_s = source.time_s + -log(uniform(source.key, number)) / rate_hz
        source.time_s = time_s
    elif fixed.process == REGULAR:
        time_s = (uniform(source.key, 0) + number) / rate_hz
    else:
        time_s = on_off(fixed, source)
    # As the reference engine's kernel computes it, to the last bit.
    at_s = now_s + (time_s - now_s)
    events, days, numbers, times_s = state.events, state.days, state.numbers, state.times_s
    schedule(events, days, numbers, times_s, node, ARRIVES, node, at_s)


@apart
def phase_length(source: Source) -> float:
    """Draw the length of the next phase of an on-off source, its mean being 1."""
    source.phase += 1
    return -log(uniform(source.phase_key, source.phase))


@apart
def on_off(fixed: Fixed, source: Source) -> float:
    """Draw when the next prompt of an on-off source comes."""
    share = fixed.on_s / (fixed.on_s + fixed.off_s)
    number = source.number
    if number == 0:
        if not uniform(source.phase_key, 0) < share:
            source.off_s = fixed.off_s * phase_length(source)
        source.on_end_s = fixed.on_s * phase_length(source)
    rate_hz = source.rate_hz / share
    time_s = source.time_s + -log(uniform(source.key, number)) / rate_hz
    source.time_s = time_s
    while time_s > source.on_end_s:
        source.off_s += fixed.off_s * phase_length(source)
        source.on_end_s += fixed.on_s * phase_length(source)
    return time_s + source.off_s
