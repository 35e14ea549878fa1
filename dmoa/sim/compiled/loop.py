"""The kernel: take the next event, let its node and all that hear of it at once do their steps."""

from __future__ import annotations

from dmoa.sim.compiled import columns
from dmoa.sim.compiled.calendar import first, retune, take
from dmoa.sim.compiled.draws import draw_tokens
from dmoa.sim.compiled.encode import add_entry
from dmoa.sim.compiled.jit import compiled, pasted
from dmoa.sim.compiled.layout import (
    ACTIONS,
    ANSWERED,
    ARRIVED,
    AWAITED,
    BYTES,
    EVENTS,
    FREE,
    INBOX_HEAD,
    INBOX_TAIL,
    LAST_S,
    LINK_S,
    LINKS,
    PENDING,
    PROMPTS,
    REFUSED,
    SERVED,
    SERVICE_S,
    SOJOURN_S,
    STEPS,
    STOPPED_AT,
    TASKS,
    Fixed,
    Log,
    State,
)
from dmoa.sim.compiled.sharing import finish, settle
from dmoa.sim.compiled.sources import LISTED, expect
from dmoa.sim.compiled.steps import (
    ACCEPT,
    ANSWER,
    ARRIVES,
    DELIVERS,
    ENDED,
    KIND_BITS,
    PROMPT,
    REFUSAL,
    REFUSE,
    RESPONSE,
    SEND_REFUSAL,
    SEND_RESPONSE,
    TASK,
    accept,
    add_up,
    ahead,
    enqueue,
    fork,
    look,
    note,
    objects,
    send,
    start,
)
from dmoa.trace import meter

#: How a call of the kernel ends.
DONE, STOPPED, FULL_FLIGHTS, FULL_LOG = range(4)


@pasted
def gather(state: State, flight: int, tokens: int) -> bool:
    """Join a response of so many tokens; say whether the stage has all."""
    flights, nodes = state.flights, state.nodes
    flights.held[flight] += 1
    flights.gathered_tokens[flight] += tokens
    nodes.joining[flights.origin[flight]] += 1
    return bool(flights.held[flight] == flights.expected[flight])


@pasted
def hear_prompt(fixed: Fixed, state: State, log: Log, node: int, now_s: float) -> int:
    """Hear a prompt; give its record, or -1 if it was refused."""
    sources = state.sources
    number = sources.number[node]
    sources.number[node] = number + 1
    response_tokens = -1
    if fixed.process == LISTED and fixed.listed_prompt_tokens[sources.listed[node] + number] >= 0:
        tokens = fixed.listed_prompt_tokens[sources.listed[node] + number]
        response_tokens = fixed.listed_response_tokens[sources.listed[node] + number]
    else:
        key = sources.tokens_key[node]
        tokens = draw_tokens(fixed.prompt_law, fixed.prompt_scale, key, number)
    if fixed.encodes:
        log.heard[0], log.heard[3], log.heard[6] = PROMPT, number, tokens
    state.numbers[ARRIVED] += 1
    row = 0
    if fixed.records:
        row = columns.add_prompt(state, log, node, number, now_s)
    if objects(state, node, state.nodes.plan_tasks[node]):
        state.numbers[REFUSED] += 1
        if fixed.records:
            columns.end_prompt(log, row, meter.REFUSED, now_s)
        note(fixed, state, log, REFUSE, number, state.nodes.waiting[node])
        return -1
    flight = accept(state, node, number, tokens, now_s)
    state.flights.row[flight] = row
    state.flights.response_tokens[flight] = response_tokens
    note(fixed, state, log, ACCEPT, number, tokens)
    return flight


@pasted
def hear_ended(fixed: Fixed, state: State, log: Log, node: int, task: int, now_s: float) -> bool:
    """Hear that a task was served; say whether that completes a stage of the node's own."""
    nodes, tasks = state.nodes, state.tasks
    flight = task >> fixed.shift
    nodes.serving[node] -= 1
    state.numbers[SERVED] += 1
    state.times_s[SERVICE_S] += now_s - tasks.started_s[task]
    if fixed.records:
        columns.end_task(state, log, task, now_s)
    origin = state.flights.origin[flight]
    if origin == node:
        return gather(state, flight, tasks.tokens[task])
    nodes.foreign[node] -= 1
    send(fixed, state, RESPONSE, flight, task, origin, now_s)
    note(fixed, state, log, SEND_RESPONSE, task, 0)
    return False


@pasted
def hear_task(fixed: Fixed, state: State, log: Log, node: int, task: int, now_s: float) -> None:
    """Hear a task of a peer: put it into the queue, or refuse it."""
    if objects(state, node, 1):
        flight = task >> fixed.shift
        state.tasks.tokens[task] = ahead(state, node)
        send(fixed, state, REFUSAL, flight, task, state.flights.origin[flight], now_s)
        note(fixed, state, log, SEND_REFUSAL, task, state.tasks.tokens[task])
        return
    if fixed.delayed and state.flights.stage[task >> fixed.shift] == 0:
        link_s = now_s - state.flights.arrived_s[task >> fixed.shift]
        state.times_s[LINK_S] = max(state.times_s[LINK_S], link_s)
    state.nodes.foreign[node] += 1
    enqueue(state, node, task, now_s)


@pasted
def hear_message(fixed: Fixed, state: State, log: Log, node: int, task: int, now_s: float) -> bool:
    """Hear a message; say whether it completes a stage of the node's own."""
    tasks, flights = state.tasks, state.flights
    kind, flight = tasks.message[task], task >> fixed.shift
    if fixed.records and fixed.delayed:
        sender = flights.origin[flight] if kind == TASK else tasks.server[task]
        columns.add_link(state, log, sender, node, tasks.sent_s[task], now_s)
    if kind == TASK:
        hear_task(fixed, state, log, node, task, now_s)
        return False
    if kind == RESPONSE:
        return gather(state, flight, tasks.tokens[task])
    flights.expected[flight] -= 1
    return bool(flights.held[flight] == flights.expected[flight])


@pasted
def join(state: State, log: Log, fixed: Fixed, flight: int, now_s: float) -> bool:
    """Join a stage that is complete; say whether another follows. If not, that was the answer."""
    nodes, flights = state.nodes, state.flights
    node = flights.origin[flight]
    nodes.joining[node] -= flights.held[flight]
    if flights.stage[flight] < fixed.layers:
        return True
    nodes.reserved[node] -= nodes.plan_tasks[node]
    nodes.unfinished[node] -= 1
    state.sources.answered[node] += 1
    state.numbers[ANSWERED] += 1
    state.times_s[SOJOURN_S] += now_s - flights.arrived_s[flight]
    if fixed.records:
        columns.end_prompt(log, flights.row[flight], meter.ANSWERED, now_s)
    number, tokens = flights.number[flight], flights.gathered_tokens[flight]
    note(fixed, state, log, ANSWER, number, tokens)
    flights.origin[flight] = -1
    flights.next[flight] = state.numbers[FREE]
    state.numbers[FREE] = flight
    return False


@pasted
def remember(fixed: Fixed, state: State, log: Log, kind: int, task: int) -> None:
    """Keep what is heard about a task: the step may begin its record anew."""
    tasks, flights, heard = state.tasks, state.flights, log.heard
    flight = task >> fixed.shift
    origin = flights.origin[flight]
    heard[0] = kind if kind == ENDED else tasks.message[task]
    heard[1] = origin if heard[0] == TASK else tasks.server[task]
    heard[2] = origin
    heard[3] = flights.number[flight]
    heard[4] = flights.stage[flight]
    heard[5] = task - (flight << fixed.shift)
    heard[6] = flights.content_tokens[flight] if heard[0] == TASK else tasks.tokens[task]
    heard[7] = tasks.tokens[task]


@pasted
def step(
    fixed: Fixed, state: State, log: Log, kind: int, node: int, task: int, now_s: float
) -> None:
    """Let a node hear an event, and do what follows from it there."""
    nodes, flights = state.nodes, state.flights
    look(state, node, now_s)
    state.numbers[ACTIONS] = 0
    flight, stage, forks = -1, 0, False
    if kind == PROMPT:
        flight = hear_prompt(fixed, state, log, node, now_s)
        forks = flight >= 0
    else:
        if fixed.encodes:
            remember(fixed, state, log, kind, task)
        if kind == ENDED:
            complete = hear_ended(fixed, state, log, node, task, now_s)
        else:
            complete = hear_message(fixed, state, log, node, task, now_s)
        if complete:
            flight = task >> fixed.shift
            stage = flights.stage[flight] + 1
            forks = join(state, log, fixed, flight, now_s)
    if forks:
        tokens = flights.prompt_tokens[flight]
        if stage > 0:
            tokens += fixed.instruction_tokens + flights.gathered_tokens[flight]
        fork(fixed, state, log, flight, stage, tokens, now_s)
    while nodes.waiting[node] > 0 and nodes.serving[node] < nodes.slots[node]:
        started = start(fixed, state, log, node, now_s)
        if fixed.records:
            columns.add_task(fixed, state, log, started, now_s)
    if fixed.records:
        columns.add_step(state, log, node, now_s)
    if fixed.encodes:
        add_entry(fixed, state, log, node, now_s)


@pasted
def is_full(fixed: Fixed, state: State, log: Log) -> bool:
    """Say whether what one event may bring about could be more than there is room for."""
    numbers, room = state.numbers, len(state.inbox)
    if fixed.records and (
        numbers[STEPS] + room > len(log.steps_s)
        or numbers[PROMPTS] >= len(log.prompt_numbers)
        or numbers[TASKS] + room > len(log.task_numbers)
        or (fixed.delayed and numbers[LINKS] + room > log.links_s.shape[1])
    ):
        return True
    return fixed.encodes and numbers[BYTES] + room * fixed.entry_bytes > len(log.bytes)


@pasted
def happen(fixed: Fixed, state: State, log: Log, event: int, now_s: float) -> bool:
    """Let an event happen, and all that follows at once; say whether the run goes on."""
    task = event - fixed.first_task_event
    kind = state.events.order[event] >> KIND_BITS
    node = state.events.order[event] & ((1 << KIND_BITS) - 1)
    heard = ENDED
    if kind == ARRIVES:
        heard = PROMPT
    elif kind == DELIVERS:
        heard = TASK
    elif fixed.shares:
        state.processors.scheduled[node] = 0
        task = finish(state, node)
        if task < 0:
            settle(fixed, state, now_s)
            return True
    if not cascade(fixed, state, log, heard, node, task, now_s):
        return False
    if fixed.shares:
        settle(fixed, state, now_s)
    if kind == ARRIVES:
        expect(fixed, state, node, now_s)
    return True


@pasted
def cascade(
    fixed: Fixed, state: State, log: Log, heard: int, node: int, task: int, now_s: float
) -> bool:
    """Let a node hear something, and others what it sends them without delay."""
    numbers = state.numbers
    numbers[INBOX_HEAD] = 0
    numbers[INBOX_TAIL] = 0
    while True:
        step(fixed, state, log, heard, node, task, now_s)
        state.times_s[LAST_S] = now_s
        if state.nodes.waiting[node] >= fixed.waiting_max:
            numbers[STOPPED_AT] = node
            return False
        if numbers[INBOX_HEAD] == numbers[INBOX_TAIL]:
            return True
        task = state.inbox[numbers[INBOX_HEAD]]
        numbers[INBOX_HEAD] += 1
        heard = TASK
        node = state.tasks.server[task]
        if state.tasks.message[task] != TASK:
            node = state.flights.origin[task >> fixed.shift]


@compiled
def run(fixed: Fixed, state: State, log: Log) -> int:
    """Run until the horizon, or until there is no room for what comes next.

    Returns:
        `DONE`; `STOPPED` if a queue reached its limit; `FULL_FLIGHTS` or `FULL_LOG` if the run is
        to be called again with more room for prompts in flight, or an emptied or longer log.
    """
    events, days, numbers, times_s = state.events, state.days, state.numbers, state.times_s
    if numbers[EVENTS] == 0 and numbers[AWAITED] < 0:
        numbers[AWAITED] = fixed.nodes
        for node in range(fixed.nodes):
            if fixed.weighted:
                add_up(fixed, state, node)
            expect(fixed, state, node, 0.0)
    while numbers[PENDING] > 0:
        if numbers[FREE] < 0:
            return FULL_FLIGHTS
        if is_full(fixed, state, log):
            return FULL_LOG
        event = first(events, days, numbers)
        now_s = events.time_s[event]
        if now_s >= fixed.horizon_s:
            break
        take(events, days, numbers, event)
        numbers[EVENTS] += 1
        if not happen(fixed, state, log, event, now_s):
            return STOPPED
        retune(events, days, numbers, times_s, now_s)
    return DONE
