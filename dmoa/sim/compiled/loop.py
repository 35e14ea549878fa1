"""The kernel: take the next event, let its node and all that hear of it at once do their steps."""

from __future__ import annotations

from dmoa.sim.compiled import columns
from dmoa.sim.compiled.calendar import first, retune, take
from dmoa.sim.compiled.draws import draw_tokens
from dmoa.sim.compiled.encode import add_entry
from dmoa.sim.compiled.jit import compiled, inlined, pasted
from dmoa.sim.compiled.layout import (
    ACTIONS,
    ANSWERED,
    ARRIVED,
    ARRIVES,
    AWAITED,
    BYTES,
    DELIVERS,
    EVENTS,
    FREE,
    INBOX_TAIL,
    LAST_S,
    LINK_S,
    LINKS,
    LISTED,
    PENDING,
    PROMPTS,
    REFUSED,
    SERVED,
    SERVICE_S,
    SOJOURN_S,
    STEPS,
    STOPPED_AT,
    TASKS,
    TUNE_AT,
    Fixed,
    Flight,
    Log,
    Node,
    State,
    record,
)
from dmoa.sim.compiled.sharing import finish, settle
from dmoa.sim.compiled.sources import expect
from dmoa.sim.compiled.steps import (
    ACCEPT,
    ANSWER,
    ENDED,
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


@inlined
def gather(state: State, flight: Flight, tokens: int) -> bool:
    """Join a response of so many tokens; say whether the stage has all."""
    flight.held += 1
    flight.gathered_tokens += tokens
    record(state.nodes, flight.origin).joining += 1
    return bool(flight.held == flight.expected)


@inlined
def hear_prompt(
    fixed: Fixed, state: State, log: Log | None, me: Node, node: int, now_s: float
) -> int:
    """Hear a prompt; give its record, or -1 if it was refused."""
    source = record(state.sources, node)
    number = source.number
    source.number = number + 1
    if fixed.process == LISTED and fixed.listed_prompt_tokens[source.listed + number] >= 0:
        tokens = fixed.listed_prompt_tokens[source.listed + number]
    elif fixed.prompt_tokens >= 0:
        tokens = fixed.prompt_tokens
    else:
        tokens = draw_tokens(fixed.prompt_law, fixed.prompt_scale, source.tokens_key, number)
    state.numbers[ARRIVED] += 1
    row = 0
    if log is not None:
        log.heard[0], log.heard[3], log.heard[6] = PROMPT, number, tokens
        row = columns.add_prompt(state, log, node, number, now_s)
    if objects(me, me.plan_tasks):
        state.numbers[REFUSED] += 1
        if log is not None:
            columns.end_prompt(log, row, meter.REFUSED, now_s)
        note(state, log, REFUSE, number, me.waiting)
        return -1
    flight = accept(state, me, node, number, tokens, now_s)
    record(state.flights, flight).row = row
    note(state, log, ACCEPT, number, tokens)
    return flight


@inlined
def hear_ended(
    fixed: Fixed, state: State, log: Log | None, me: Node, node: int, ended: int, now_s: float
) -> bool:
    """Hear that a task was served; say whether that completes a stage of the node's own."""
    of = ended >> fixed.shift
    task, flight = record(state.tasks, ended), record(state.flights, of)
    me.serving -= 1
    state.numbers[SERVED] += 1
    state.times_s[SERVICE_S] += now_s - task.since_s
    if log is not None:
        columns.end_task(log, task, now_s)
    if flight.origin == node:
        return gather(state, flight, task.tokens)
    me.foreign -= 1
    send(fixed, state, RESPONSE, of, ended, flight.origin, now_s)
    note(state, log, SEND_RESPONSE, ended, 0)
    return False


@inlined
def hear_task(
    fixed: Fixed, state: State, log: Log | None, me: Node, node: int, heard: int, now_s: float
) -> None:
    """Hear a task of a peer: put it into the queue, or refuse it."""
    of = heard >> fixed.shift
    flight = record(state.flights, of)
    if objects(me, 1):
        record(state.tasks, heard).tokens = ahead(me)
        send(fixed, state, REFUSAL, of, heard, flight.origin, now_s)
        note(state, log, SEND_REFUSAL, heard, record(state.tasks, heard).tokens)
        return
    if fixed.delayed and flight.stage == 0:
        state.times_s[LINK_S] = max(state.times_s[LINK_S], now_s - flight.arrived_s)
    me.foreign += 1
    enqueue(state, me, node, heard, now_s)


@inlined
def hear_message(
    fixed: Fixed, state: State, log: Log | None, me: Node, node: int, heard: int, now_s: float
) -> bool:
    """Hear a message; say whether it completes a stage of the node's own."""
    task, flight = record(state.tasks, heard), record(state.flights, heard >> fixed.shift)
    kind = task.message
    if log is not None and fixed.delayed:
        sender = flight.origin if kind == TASK else task.server
        columns.add_link(state, log, sender, node, task.since_s, now_s)
    if kind == TASK:
        hear_task(fixed, state, log, me, node, heard, now_s)
        return False
    if kind == RESPONSE:
        return gather(state, flight, task.tokens)
    flight.expected -= 1
    return bool(flight.held == flight.expected)


@inlined
def join(state: State, log: Log | None, fixed: Fixed, me: Node, joined: int, now_s: float) -> bool:
    """Join a stage that is complete; say whether another follows. If not, that was the answer."""
    flight = record(state.flights, joined)
    me.joining -= flight.held
    if flight.stage < fixed.layers:
        return True
    me.reserved -= me.plan_tasks
    me.unfinished -= 1
    record(state.sources, flight.origin).answered += 1
    state.numbers[ANSWERED] += 1
    state.times_s[SOJOURN_S] += now_s - flight.arrived_s
    if log is not None:
        columns.end_prompt(log, flight.row, meter.ANSWERED, now_s)
    note(state, log, ANSWER, flight.number, flight.gathered_tokens)
    flight.origin = -1
    flight.next = state.numbers[FREE]
    state.numbers[FREE] = joined
    return False


@inlined
def remember(fixed: Fixed, state: State, log: Log, kind: int, about: int) -> None:
    """Keep what is heard about a task: the step may begin its record anew."""
    of = about >> fixed.shift
    task, flight, heard = record(state.tasks, about), record(state.flights, of), log.heard
    heard[0] = kind if kind == ENDED else task.message
    heard[1] = flight.origin if heard[0] == TASK else task.server
    heard[2] = flight.origin
    heard[3] = flight.number
    heard[4] = flight.stage
    heard[5] = about - (of << fixed.shift)
    heard[6] = flight.content_tokens if heard[0] == TASK else task.tokens
    heard[7] = task.tokens


@pasted
def step(
    fixed: Fixed,
    state: State,
    log: Log | None,
    me: Node,
    kind: int,
    node: int,
    task: int,
    now_s: float,
) -> None:
    """Let a node hear an event, and do what follows from it there."""
    look(me, now_s)
    if log is not None:
        state.numbers[ACTIONS] = 0
    flight, stage, forks = -1, 0, False
    if kind == PROMPT:
        flight = hear_prompt(fixed, state, log, me, node, now_s)
        forks = flight >= 0
    else:
        if log is not None:
            remember(fixed, state, log, kind, task)
        if kind == ENDED:
            complete = hear_ended(fixed, state, log, me, node, task, now_s)
        else:
            complete = hear_message(fixed, state, log, me, node, task, now_s)
        if complete:
            flight = task >> fixed.shift
            stage = record(state.flights, flight).stage + 1
            forks = join(state, log, fixed, me, flight, now_s)
    if forks:
        tokens = record(state.flights, flight).prompt_tokens
        if stage > 0:
            tokens += fixed.instruction_tokens + record(state.flights, flight).gathered_tokens
        fork(fixed, state, log, me, flight, stage, tokens, now_s)
    while me.waiting > 0 and me.serving < me.slots:
        start(fixed, state, log, me, node, now_s)
    if log is not None:
        columns.add_step(state, log, me, node, now_s)
        add_entry(fixed, state, log, me, node, now_s)


@inlined
def is_full(fixed: Fixed, state: State, log: Log | None) -> bool:
    """Say whether what one event may bring about could be more than there is room for."""
    if log is None:
        return False
    numbers, room = state.numbers, len(state.inbox)
    return (
        numbers[STEPS] + room > len(log.steps_s)
        or numbers[PROMPTS] >= len(log.prompt_numbers)
        or numbers[TASKS] + room > len(log.task_numbers)
        or (fixed.delayed and numbers[LINKS] + room > log.links_s.shape[1])
        or numbers[BYTES] + room * fixed.entry_bytes > len(log.bytes)
    )


@pasted
def happen(fixed: Fixed, state: State, log: Log | None, event: int, now_s: float) -> bool:
    """Let an event happen, and all that follows at once; say whether the run goes on."""
    this = record(state.events, event)
    kind, node, task = this.kind, this.node, event - fixed.first_task_event
    heard = ENDED
    if kind == ARRIVES:
        heard = PROMPT
    elif kind == DELIVERS:
        heard = TASK
    elif fixed.shares:
        record(state.processors, node).scheduled = 0
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
    fixed: Fixed, state: State, log: Log | None, heard: int, node: int, task: int, now_s: float
) -> bool:
    """Let a node hear something, and others what it sends them without delay."""
    numbers, head = state.numbers, 0
    numbers[INBOX_TAIL] = 0
    state.times_s[LAST_S] = now_s
    while True:
        me = record(state.nodes, node)
        step(fixed, state, log, me, heard, node, task, now_s)
        if me.waiting >= fixed.waiting_max:
            numbers[STOPPED_AT] = node
            return False
        if head == numbers[INBOX_TAIL]:
            return True
        task = state.inbox[head]
        head += 1
        heard = TASK
        node = record(state.tasks, task).server
        if record(state.tasks, task).message != TASK:
            node = record(state.flights, task >> fixed.shift).origin


@compiled
def run(fixed: Fixed, state: State, log: Log | None) -> int:
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
                add_up(fixed, record(state.nodes, node))
            expect(fixed, state, node, 0.0)
    while numbers[PENDING] > 0:
        if numbers[FREE] < 0:
            return FULL_FLIGHTS
        if is_full(fixed, state, log):
            return FULL_LOG
        event = first(events, days, numbers, times_s)
        now_s = record(events, event).time_s
        if now_s >= fixed.horizon_s:
            break
        take(events, days, numbers, event)
        numbers[EVENTS] += 1
        if not happen(fixed, state, log, event, now_s):
            return STOPPED
        if numbers[EVENTS] == numbers[TUNE_AT]:
            retune(events, days, numbers, times_s, now_s)
    return DONE
