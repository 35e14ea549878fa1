"""What a node does, as `dmoa.core` decides it, on flat arrays.

Every function here is a part of `dmoa.core.moa` or `dmoa.core.station`, for layered plans without
deadlines. That both decide the same is what the equality of traces tests.
"""

from __future__ import annotations

from dmoa.sim.compiled import columns
from dmoa.sim.compiled.calendar import schedule
from dmoa.sim.compiled.draws import BY_TOKENS, draw, draw_tokens, task_position, uniform
from dmoa.sim.compiled.jit import apart, inlined
from dmoa.sim.compiled.layout import (
    ACTIONS,
    DELIVERS,
    ENDS,
    FREE,
    INBOX_TAIL,
    LISTED,
    QUEUED_S,
    STARTED,
    WAITED_S,
    Fixed,
    Flight,
    Ints,
    Log,
    Node,
    State,
    record,
)
from dmoa.sim.compiled.sharing import begin

#: What a node hears.
PROMPT, ENDED, TASK, RESPONSE, REFUSAL = range(5)

#: What a node asks for, in the order of the codes of a trace.
SEND_TASK, SEND_RESPONSE, SEND_REFUSAL, START, ACCEPT, ANSWER, REFUSE = range(7)


@inlined
def note(state: State, log: Log | None, action: int, subject: int, value: int) -> None:
    """Note what the present step asks for."""
    if log is not None:
        place = 3 * state.numbers[ACTIONS]
        log.actions[place] = action
        log.actions[place + 1] = subject
        log.actions[place + 2] = value
        state.numbers[ACTIONS] += 1


@inlined
def look(node: Node, now_s: float) -> None:
    """Bring the integrals of a node's counts up to now."""
    passed_s = now_s - node.seen_s
    waiting, serving = node.waiting, node.serving
    joining, unfinished = node.joining, node.unfinished
    node.seen_s = now_s
    # Nothing depends on the counts here but what is added: a branch would often be foretold wrong.
    node.waiting_s += waiting * passed_s
    node.serving_s += serving * passed_s
    node.joining_s += joining * passed_s
    node.unfinished_s += unfinished * passed_s
    node.busy_s += (waiting > 0) * passed_s


@inlined
def objects(node: Node, places: int) -> bool:
    """Say whether so many more places are not promised."""
    return node.places >= 0 and node.foreign + node.reserved + places > node.places


@inlined
def ahead(node: Node) -> int:
    """Count the tasks waiting per slot, rounded up."""
    return -(-node.waiting // node.slots)


@inlined
def accept(state: State, me: Node, node: int, number: int, tokens: int, now_s: float) -> int:
    """Take in a prompt of a node's own."""
    taken = state.numbers[FREE]
    flight = record(state.flights, taken)
    state.numbers[FREE] = flight.next
    me.reserved += me.plan_tasks
    me.unfinished += 1
    flight.origin = node
    flight.number = number
    flight.prompt_tokens = tokens
    flight.arrived_s = now_s
    return taken


@inlined
def choose(fixed: Fixed, state: State, me: Node, position: int) -> int:
    """Choose peers, as `dmoa.core.selection` does; give their number."""
    targets, picked = fixed.targets, state.picked
    count, degree, offset = fixed.proposers, me.degree, me.offset
    if count >= degree:
        for place in range(degree):
            picked[place] = targets[offset + place]
        return degree
    key = me.select_key
    if fixed.weighted:
        choose_weighted(fixed, picked, offset, degree, uniform(key, position))
    elif count == 1:
        picked[0] = targets[offset + int(uniform(key, position) * degree)]
    else:
        for place in range(count):
            last = degree - count + place
            pick = int(uniform(key, position + place) * (last + 1))
            for earlier in range(place):
                if picked[earlier] == pick:
                    pick = last
                    break
            picked[place] = pick
        for place in range(count):
            picked[place] = targets[offset + picked[place]]
    return count


@apart
def add_up(fixed: Fixed, node: Node) -> None:
    """Lay the inclusion probabilities of a node's peers end to end."""
    for edge in range(node.offset + 1, node.offset + node.degree):
        fixed.edges[edge] = fixed.edges[edge - 1] + fixed.edges[edge]


@apart
def choose_weighted(fixed: Fixed, picked: Ints, offset: int, degree: int, point: float) -> None:
    """Choose peers by systematic sampling."""
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
        picked[step] = fixed.targets[offset + pick]
        earliest = pick + 1


@inlined
def fork(
    fixed: Fixed, state: State, log: Log | None, me: Node, asking: int, stage: int, tokens: int,
    now_s: float,
) -> None:  # fmt: skip
    """Begin a stage of a prompt: a task of the node's own, and one for each peer it asks."""
    flight = record(state.flights, asking)
    flight.stage = stage
    flight.content_tokens = tokens
    flight.gathered_tokens = 0
    flight.held = 0
    asked = 0
    if stage < fixed.layers and fixed.proposers > 0:
        asked = choose(fixed, state, me, task_position(flight.number, stage, 1))
    flight.expected = 1 + asked
    task = asking << fixed.shift
    enqueue(state, me, flight.origin, task, now_s)
    for place in range(asked):
        record(state.tasks, task + 1 + place).server = state.picked[place]
        send(fixed, state, TASK, asking, task + 1 + place, state.picked[place], now_s)
        note(state, log, SEND_TASK, task + 1 + place, 0)


@inlined
def enqueue(state: State, me: Node, node: int, queued: int, now_s: float) -> None:
    """Put a task at the end of a node's queue."""
    task = record(state.tasks, queued)
    task.server = node
    task.queued_s = now_s
    task.next = -1
    state.times_s[QUEUED_S] += now_s
    if me.waiting == 0:
        me.first = queued
    else:
        record(state.tasks, me.last).next = queued
    me.last = queued
    me.waiting += 1


@inlined
def send(
    fixed: Fixed, state: State, kind: int, flight: int, task: int, to: int, now_s: float
) -> None:
    """Send a message about a task: it is heard at once, or after the delay of the link."""
    record(state.tasks, task).message = kind
    if not fixed.delayed:
        state.inbox[state.numbers[INBOX_TAIL]] = task
        state.numbers[INBOX_TAIL] += 1
        return
    record(state.tasks, task).since_s = now_s
    send_later(fixed, state, kind, flight, task, to, now_s)


@apart
def send_later(
    fixed: Fixed, state: State, kind: int, of: int, task: int, to: int, now_s: float
) -> None:
    """Let a message be heard after the delay of the link."""
    flight = record(state.flights, of)
    origin = flight.origin
    key = fixed.task_delay_key[origin] if kind == TASK else fixed.response_delay_key[origin]
    position = task_position(flight.number, flight.stage, task - (of << fixed.shift))
    at_s = now_s + draw(fixed.delay_law, fixed.delay_scale, key, position)
    events, days, numbers, times_s = state.events, state.days, state.numbers, state.times_s
    schedule(events, days, numbers, times_s, fixed.first_task_event + task, DELIVERS, to, at_s)


@inlined
def respond_tokens(fixed: Fixed, state: State, flight: Flight, position: int) -> int:
    """Say how long the response to a task will be."""
    source = record(state.sources, flight.origin)
    if fixed.process == LISTED:
        tokens = fixed.listed_response_tokens[source.listed + flight.number]
        if tokens >= 0:
            return tokens
    if fixed.response_tokens >= 0:
        return fixed.response_tokens
    key = source.response_key
    return draw_tokens(fixed.response_law, fixed.response_scale, key, position)


@inlined
def service_s(
    fixed: Fixed, state: State, me: Node, node: int, flight: Flight, position: int, tokens: int
) -> float:
    """Say how long a task takes at a node."""
    if fixed.service_law.kind == BY_TOKENS:
        times_s = fixed.token_times_s
        return (
            times_s[3 * node]
            + times_s[3 * node + 1] * flight.content_tokens
            + times_s[3 * node + 2] * tokens
        )
    return draw(
        fixed.service_law, me.scale, record(state.nodes, flight.origin).service_key, position
    )


@inlined
def start(fixed: Fixed, state: State, log: Log | None, me: Node, node: int, now_s: float) -> None:
    """Start the next waiting task of a node."""
    started = me.first
    task = record(state.tasks, started)
    me.first = task.next
    me.waiting -= 1
    me.serving += 1
    of = started >> fixed.shift
    flight, slot = record(state.flights, of), started - (of << fixed.shift)
    position = task_position(flight.number, flight.stage, slot)
    tokens = respond_tokens(fixed, state, flight, position)
    task.tokens = tokens
    task.since_s = now_s
    state.numbers[STARTED] += 1
    state.times_s[QUEUED_S] -= task.queued_s
    state.times_s[WAITED_S] += now_s - task.queued_s
    takes_s = service_s(fixed, state, me, node, flight, position, tokens)
    if fixed.shares:
        begin(fixed, state, node, started, flight.content_tokens, takes_s, now_s)
    else:
        events, days, numbers, times_s = state.events, state.days, state.numbers, state.times_s
        event = fixed.first_task_event + started
        schedule(events, days, numbers, times_s, event, ENDS, node, now_s + takes_s)
    note(state, log, START, started, 0)
    if log is not None:
        columns.add_task(state, log, flight, task, slot, now_s)
