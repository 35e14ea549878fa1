"""Tasks in service that share their node's processor, as `dmoa.sim.processor` has it.

Covered are the curve of speeds and the turns of reading and writing; what a node remembers of
prompts, reading ahead and shared machines are not.
"""

from __future__ import annotations

from math import inf

from dmoa.sim.compiled.calendar import cancel, schedule
from dmoa.sim.compiled.draws import BY_TOKENS
from dmoa.sim.compiled.jit import apart
from dmoa.sim.compiled.layout import CHANGED, ENDS, Fixed, State, record


@apart
def change(state: State, node: int, now_s: float) -> None:
    """Do a processor's work up to now; its speeds will be fixed anew."""
    shared = record(state.processors, node)
    if not shared.changed:
        shared.changed = 1
        state.changed[state.numbers[CHANGED]] = node
        state.numbers[CHANGED] += 1
    passed_s = now_s - shared.since_s
    if passed_s > 0:
        shared.written_s += shared.write * passed_s
        if shared.reader >= 0:
            reader = record(state.shares, shared.reader)
            reader.left_s = max(0.0, reader.left_s - shared.read * passed_s)
        shared.since_s = now_s


@apart
def begin(
    fixed: Fixed, state: State, node: int, task: int, tokens: int, service_s: float, now_s: float
) -> None:
    """Take a task into service that reads so many tokens, and takes so long alone."""
    change(state, node, now_s)
    shared, share, tasks = record(state.processors, node), record(state.shares, task), state.tasks
    reading_s = 0.0
    if fixed.service_law.kind == BY_TOKENS:
        reading_s = tokens * fixed.token_times_s[3 * node + 1]
    writing_s = max(0.0, service_s - reading_s)
    if reading_s <= 0:
        write(state, node, task, writing_s)
        return
    share.left_s = reading_s
    share.writing_s = writing_s
    record(tasks, task).next = -1
    if shared.reading == 0:
        shared.first_reader = task
    else:
        record(tasks, shared.last_reader).next = task
    shared.last_reader = task
    shared.reading += 1


@apart
def write(state: State, node: int, task: int, writing_s: float) -> None:
    """Let a task write; those that write are in the order in which they will end."""
    shared, shares, tasks = record(state.processors, node), state.shares, state.tasks
    ends_s = shared.written_s + writing_s
    record(shares, task).ends_s = ends_s
    shared.writing += 1
    following, before = shared.first_writer, -1
    while following >= 0 and record(shares, following).ends_s <= ends_s:
        before = following
        following = record(tasks, before).next
    record(tasks, task).next = following
    if before < 0:
        shared.first_writer = task
    else:
        record(tasks, before).next = task


@apart
def finish(state: State, node: int) -> int:
    """End what `settle` said would end; give the task that was served, or -1 if one was read."""
    shared, tasks = record(state.processors, node), state.tasks
    change(state, node, shared.ends_s)
    if shared.writer_ends:
        task = shared.first_writer
        shared.first_writer = record(tasks, task).next
        shared.writing -= 1
        return task
    task = shared.first_reader
    shared.first_reader = record(tasks, task).next
    shared.reading -= 1
    write(state, node, task, record(state.shares, task).writing_s)
    return -1


@apart
def fix_speeds(fixed: Fixed, state: State, node: int) -> None:
    """Fix how fast the tasks of a node read and write from now on."""
    shared = record(state.processors, node)
    writing, reads = shared.writing, shared.reading > 0
    shared.reader = shared.first_reader if reads else -1
    shared.write = 0.0
    shared.read = 1.0 if reads else 0.0
    if writing == 0:
        return
    total = fixed.speedup[writing - 1]
    if not reads:
        shared.write = total / writing
        return
    input_token_s, output_token_s = 0.0, 0.0
    if fixed.service_law.kind == BY_TOKENS:
        input_token_s = fixed.token_times_s[3 * node + 1]
        output_token_s = fixed.token_times_s[3 * node + 2]
    chunk_s = fixed.chunk_tokens * input_token_s
    turn_s = output_token_s * writing / total + chunk_s
    shared.write = output_token_s / turn_s
    shared.read = chunk_s / turn_s


@apart
def next_end_s(state: State, node: int, now_s: float) -> float:
    """Say when the next task or reading of a node ends."""
    shared, shares = record(state.processors, node), state.shares
    ends_s = inf
    if shared.reader >= 0:
        ends_s = now_s + record(shares, shared.reader).left_s / shared.read
    shared.writer_ends = 0
    if shared.writing == 0:
        shared.written_s = 0.0
        return ends_s
    left_s = record(shares, shared.first_writer).ends_s - shared.written_s
    writer_ends_s = inf
    if left_s <= 0:
        writer_ends_s = now_s
    elif shared.write > 0:
        writer_ends_s = now_s + left_s / shared.write
    if writer_ends_s <= ends_s:
        shared.writer_ends = 1
        return writer_ends_s
    return ends_s


@apart
def settle(fixed: Fixed, state: State, now_s: float) -> None:
    """Fix all speeds that change now, and schedule what ends next."""
    events, days, numbers, times_s = state.events, state.days, state.numbers, state.times_s
    for place in range(numbers[CHANGED]):
        node = state.changed[place]
        shared = record(state.processors, node)
        shared.changed = 0
        event = fixed.nodes + node
        if shared.scheduled:
            shared.scheduled = 0
            cancel(events, days, numbers, times_s, event)
        fix_speeds(fixed, state, node)
        ends_s = next_end_s(state, node, now_s)
        if ends_s < inf:
            shared.ends_s = ends_s
            shared.scheduled = 1
            at_s = now_s + max(0.0, ends_s - now_s)
            schedule(events, days, numbers, times_s, event, ENDS, node, at_s)
    numbers[CHANGED] = 0
