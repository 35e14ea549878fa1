"""When the next prompt comes at each node, as `dmoa.scenario.arrivals` draws it."""

from __future__ import annotations

from math import log

import numpy as np

from dmoa.sim.compiled.calendar import schedule
from dmoa.sim.compiled.draws import uniform
from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import AWAITED, Fixed, State
from dmoa.sim.compiled.steps import ARRIVES, KIND_BITS

POISSON, REGULAR, ON_OFF, LISTED = range(4)


@inlined
def expect(fixed: Fixed, state: State, node: int, now_s: float) -> None:
    """Schedule the next prompt of a node, if there is one."""
    sources, number = state.sources, state.sources.number[node]
    key, rate_hz = sources.key[node], sources.rate_hz[node]
    if fixed.process == LISTED:
        if sources.listed[node] + number >= sources.listed_end[node]:
            state.numbers[AWAITED] -= 1
            return
        time_s = fixed.listed_s[sources.listed[node] + number]
    elif rate_hz == 0:
        state.numbers[AWAITED] -= 1
        return
    elif fixed.process == POISSON:
        time_s = sources.time_s[node] + -log(uniform(key, number)) / rate_hz
        sources.time_s[node] = time_s
    elif fixed.process == REGULAR:
        time_s = (uniform(key, 0) + number) / rate_hz
    else:
        time_s = on_off(fixed, state, node)
    # As the reference engine's kernel computes it, to the last bit.
    at_s = now_s + (time_s - now_s)
    order = int(np.int64(ARRIVES << KIND_BITS) + node)
    schedule(state.events, state.days, state.numbers, state.times_s, node, order, at_s)


@apart
def phase_length(state: State, node: int) -> float:
    """Draw the length of the next phase of an on-off source, its mean being 1."""
    sources = state.sources
    sources.phase[node] += 1
    return -log(uniform(sources.phase_key[node], sources.phase[node]))


@apart
def on_off(fixed: Fixed, state: State, node: int) -> float:
    """Draw when the next prompt of an on-off source comes."""
    sources = state.sources
    share = fixed.on_s / (fixed.on_s + fixed.off_s)
    number = sources.number[node]
    if number == 0:
        if not uniform(sources.phase_key[node], 0) < share:
            sources.off_s[node] = fixed.off_s * phase_length(state, node)
        sources.on_end_s[node] = fixed.on_s * phase_length(state, node)
    rate_hz = sources.rate_hz[node] / share
    time_s = sources.time_s[node] + -log(uniform(sources.key[node], number)) / rate_hz
    sources.time_s[node] = time_s
    while time_s > sources.on_end_s[node]:
        sources.off_s[node] += fixed.off_s * phase_length(state, node)
        sources.on_end_s[node] += fixed.on_s * phase_length(state, node)
    return time_s + sources.off_s[node]
