"""What a node does, as `dmoa.core` decides it, on flat arrays.

Every function here is a part of `dmoa.core.moa` or `dmoa.core.station`, for layered plans without
deadlines. That both decide the same is what the equality of traces tests.
"""

from __future__ import annotations

import numpy as np

from dmoa.sim.compiled.calendar import schedule
from dmoa.sim.compiled.draws import BY_TOKENS, draw, draw_tokens, task_position, uniform
from dmoa.sim.compiled.jit import apart, inlined, pasted
from dmoa.sim.compiled.layout import (
    ACTIONS,
    FREE,
    INBOX_TAIL,
    QUEUED_S,
    STARTED,
    WAITED_S,
    Fixed,
    Log,
    State,
)
from dmoa.sim.compiled.sharing import begin

#: Kinds of events at one time, in their order; times the number of nodes, that of an event.
ENDS, DELIVERS, ARRIVES = 0, 1, 3
KIND_BITS = 32

#: What a node hears.
PROMPT, ENDED, TASK, RESPONSE, REFUSAL = range(5)

#: What a node asks for, in the order of the codes of a trace.
SEND_TASK, SEND_RESPONSE, SEND_REFUSAL, START, ACCEPT, ANSWER, REFUSE = range(7)


@inlined
def note(fixed: Fixed, state: State, log: Log, action: int, subject: int, value: int) -> None:
    """Note what the present step asks for."""
    if fixed.encodes:
        place = 3 * state.numbers[ACTIONS]
        log.actions[place] = action
        log.actions[place + 1] = subject
        log.actions[place + 2] = value
        state.numbers[ACTIONS] += 1


@pasted
def look(state: State, node: int, now_s: float) -> None:
    """Bring the integrals of a node's counts up to now."""
    nodes = state.nodes
    passed_s = now_s - nodes.seen_s[node]
    if passed_s > 0:
        nodes.seen_s[node] = now_s
        waiting = nodes.waiting[node]
        nodes.waiting_s[node] += waiting * passed_s
        nodes.serving_s[node] += nodes.serving[node] * passed_s
        nodes.joining_s[node] += nodes.joining[node] * passed_s
        nodes.unfinished_s[node] += nodes.unfinished[node] * passed_s
        if waiting > 0:
            nodes.busy_s[node] += passed_s


@inlined
def objects(state: State, node: int, places: int) -> bool:
    """Say whether so many more places are not promised."""
    nodes = state.nodes
    return (
        nodes.places[node] >= 0
        and nodes.foreign[node] + nodes.reserved[node] + places > nodes.places[node]
    )


@inlined
def ahead(state: State, node: int) -> int:
    """Count the tasks waiting per slot, rounded up."""
    return -(-state.nodes.waiting[node] // state.nodes.slots[node])


@pasted
def accept(state: State, node: int, number: int, tokens: int, now_s: float) -> int:
    """Take in a prompt of a node's own."""
    nodes, flights = state.nodes, state.flights
    flight = state.numbers[FREE]
    state.numbers[FREE] = flights.next[flight]
    nodes.reserved[node] += nodes.plan_tasks[node]
    nodes.unfinished[node] += 1
    flights.origin[flight] = node
    flights.number[flight] = number
    flights.prompt_tokens[flight] = tokens
    flights.arrived_s[flight] = now_s
    return flight


@pasted
def choose(fixed: Fixed, state: State, node: int, position: int) -> int:
    """Choose peers, as `dmoa.core.selection` does; give their number."""
    nodes, targets, picked = state.nodes, fixed.targets, state.picked
    count, degree, offset = fixed.proposers, nodes.degree[node], nodes.offset[node]
    if count >= degree:
        for place in range(degree):
            picked[place] = targets[offset + place]
        return degree
    key = nodes.select_key[node]
    if fixed.weighted:
        choose_weighted(fixed, state, node, uniform(key, position))
    elif count == 1:
        picked[0] = targets[offset + np.int64(uniform(key, position) * degree)]
    else:
        for place in range(count):
            last = degree - count + place
            pick = np.int64(uniform(key, position + place) * (last + 1))
            for earlier in range(place):
                if picked[earlier] == pick:
                    pick = last
                    break
            picked[place] = pick
        for place in range(count):
            picked[place] = targets[offset + picked[place]]
    return count


@apart
def add_up(fixed: Fixed, state: State, node: int) -> None:
    """Lay the inclusion probabilities of a node's peers end to end."""
    start, end = state.nodes.offset[node], state.nodes.offset[node] + state.nodes.degree[node]
    for edge in range(start + 1, end):
        fixed.edges[edge] = fixed.edges[edge - 1] + fixed.edges[edge]


@apart
def choose_weighted(fixed: Fixed, state: State, node: int, point: float) -> None:
    """Choose peers by systematic sampling."""
    degree, offset = state.nodes.degree[node], state.nodes.offset[node]
    earliest = 0
    for step in range(fixed.proposers):
        low, high = 0, degree
        while low < high:
            middle = (low + high) // 2
            if point + step < fixed.edges[offset + middle]:
                high = middle
            else:
                low = middle + 1
        pick = min(max(low, earliest), degree - fixed.proposers + step)
        state.picked[step] = fixed.targets[offset + pick]
        earliest = pick + 1


@pasted
def fork(
    fixed: Fixed, state: State, log: Log, flight: int, stage: int, tokens: int, now_s: float
) -> None:
    """Begin a stage of a prompt: a task of the node's own, and one for each peer it asks."""
    flights, tasks = state.flights, state.tasks
    node = flights.origin[flight]
    flights.stage[flight] = stage
    flights.content_tokens[flight] = tokens
    flights.gathered_tokens[flight] = 0
    flights.held[flight] = 0
    asked = 0
    if stage < fixed.layers and fixed.proposers > 0:
        asked = choose(fixed, state, node, task_position(flights.number[flight], stage, 1))
    flights.expected[flight] = 1 + asked
    task = flight << fixed.shift
    enqueue(state, node, task, now_s)
    for place in range(asked):
        tasks.server[task + 1 + place] = state.picked[place]
        send(fixed, state, TASK, flight, task + 1 + place, state.picked[place], now_s)
        note(fixed, state, log, SEND_TASK, task + 1 + place, 0)


@inlined
def enqueue(state: State, node: int, task: int, now_s: float) -> None:
    """Put a task at the end of a node's queue."""
    nodes, tasks = state.nodes, state.tasks
    tasks.server[task] = node
    tasks.queued_s[task] = now_s
    state.times_s[QUEUED_S] += now_s
    tasks.next[task] = -1
    if nodes.waiting[node] == 0:
        nodes.first[node] = task
    else:
        tasks.next[nodes.last[node]] = task
    nodes.last[node] = task
    nodes.waiting[node] += 1


@inlined
def send(
    fixed: Fixed, state: State, kind: int, flight: int, task: int, to: int, now_s: float
) -> None:
    """Send a message about a task: it is heard at once, or after the delay of the link."""
    tasks = state.tasks
    tasks.message[task] = kind
    if not fixed.delayed:
        state.inbox[state.numbers[INBOX_TAIL]] = task
        state.numbers[INBOX_TAIL] += 1
        return
    tasks.sent_s[task] = now_s
    send_later(fixed, state, kind, flight, task, to, now_s)


@apart
def send_later(
    fixed: Fixed, state: State, kind: int, flight: int, task: int, to: int, now_s: float
) -> None:
    """Let a message be heard after the delay of the link."""
    flights, origin = state.flights, state.flights.origin[flight]
    key = fixed.task_delay_key[origin] if kind == TASK else fixed.response_delay_key[origin]
    slot = task - (flight << fixed.shift)
    position = task_position(flights.number[flight], flights.stage[flight], slot)
    at_s = now_s + draw(fixed.delay_law, fixed.delay_scale, key, position)
    order = int(np.int64(DELIVERS << KIND_BITS) + to)
    event = fixed.first_task_event + task
    schedule(state.events, state.days, state.numbers, state.times_s, event, order, at_s)


@pasted
def respond_tokens(fixed: Fixed, state: State, flight: int, slot: int) -> int:
    """Say how long the response to a task will be."""
    flights = state.flights
    if flights.response_tokens[flight] >= 0:
        return flights.response_tokens[flight]
    origin = flights.origin[flight]
    position = task_position(flights.number[flight], flights.stage[flight], slot)
    return draw_tokens(
        fixed.response_law, fixed.response_scale, state.sources.response_key[origin], position
    )


@pasted
def service_s(fixed: Fixed, state: State, node: int, flight: int, slot: int, tokens: int) -> float:
    """Say how long a task takes at a node."""
    flights = state.flights
    if fixed.service_law.kind == BY_TOKENS:
        times_s = fixed.token_times_s
        return (
            times_s[3 * node]
            + times_s[3 * node + 1] * flights.content_tokens[flight]
            + times_s[3 * node + 2] * tokens
        )
    position = task_position(flights.number[flight], flights.stage[flight], slot)
    key = state.nodes.service_key[flights.origin[flight]]
    return draw(fixed.service_law, state.nodes.scale[node], key, position)


@pasted
def start(fixed: Fixed, state: State, log: Log, node: int, now_s: float) -> int:
    """Start the next waiting task of a node; give it."""
    nodes, tasks = state.nodes, state.tasks
    task = nodes.first[node]
    nodes.first[node] = tasks.next[task]
    nodes.waiting[node] -= 1
    nodes.serving[node] += 1
    flight = task >> fixed.shift
    slot = task - (flight << fixed.shift)
    tokens = respond_tokens(fixed, state, flight, slot)
    tasks.tokens[task] = tokens
    tasks.started_s[task] = now_s
    state.numbers[STARTED] += 1
    state.times_s[QUEUED_S] -= tasks.queued_s[task]
    state.times_s[WAITED_S] += now_s - tasks.queued_s[task]
    takes_s = service_s(fixed, state, node, flight, slot, tokens)
    if fixed.shares:
        begin(fixed, state, node, task, state.flights.content_tokens[flight], takes_s, now_s)
    else:
        event = fixed.first_task_event + task
        at_s = now_s + takes_s
        schedule(state.events, state.days, state.numbers, state.times_s, event, node, at_s)
    note(fixed, state, log, START, task, 0)
    return task
