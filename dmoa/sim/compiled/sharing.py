"""Tasks in service that share their node's processor, as `dmoa.sim.processor` has it.

Covered are the curve of speeds and the turns of reading and writing; what a node remembers of
prompts, reading ahead and shared machines are not.
"""

from __future__ import annotations

from math import inf

from dmoa.sim.compiled.calendar import cancel, schedule
from dmoa.sim.compiled.draws import BY_TOKENS
from dmoa.sim.compiled.jit import apart
from dmoa.sim.compiled.layout import CHANGED, Fixed, State


@apart
def change(state: State, node: int, now_s: float) -> None:
    """Do a processor's work up to now; its speeds will be fixed anew."""
    shared = state.processors
    if not shared.changed[node]:
        shared.changed[node] = 1
        state.changed[state.numbers[CHANGED]] = node
        state.numbers[CHANGED] += 1
    passed_s = now_s - shared.since_s[node]
    if passed_s > 0:
        shared.written_s[node] += shared.write[node] * passed_s
        reader = shared.reader[node]
        if reader >= 0:
            left_s = state.shares.left_s[reader] - shared.read[node] * passed_s
            state.shares.left_s[reader] = max(0.0, left_s)
        shared.since_s[node] = now_s


@apart
def begin(
    fixed: Fixed, state: State, node: int, task: int, tokens: int, service_s: float, now_s: float
) -> None:
    """Take a task into service that reads so many tokens, and takes so long alone."""
    change(state, node, now_s)
    shared, shares, tasks = state.processors, state.shares, state.tasks
    reading_s = 0.0
    if fixed.service_law.kind == BY_TOKENS:
        reading_s = tokens * fixed.token_times_s[3 * node + 1]
    writing_s = max(0.0, service_s - reading_s)
    if reading_s <= 0:
        write(state, node, task, writing_s)
        return
    shares.left_s[task] = reading_s
    shares.writing_s[task] = writing_s
    tasks.next[task] = -1
    if shared.reading[node] == 0:
        shared.first_reader[node] = task
    else:
        tasks.next[shared.last_reader[node]] = task
    shared.last_reader[node] = task
    shared.reading[node] += 1


@apart
def write(state: State, node: int, task: int, writing_s: float) -> None:
    """Let a task write; those that write are in the order in which they will end."""
    shared, shares, tasks = state.processors, state.shares, state.tasks
    ends_s = shared.written_s[node] + writing_s
    shares.ends_s[task] = ends_s
    shared.writing[node] += 1
    following, before = shared.first_writer[node], -1
    while following >= 0 and shares.ends_s[following] <= ends_s:
        before = following
        following = tasks.next[before]
    tasks.next[task] = following
    if before < 0:
        shared.first_writer[node] = task
    else:
        tasks.next[before] = task


@apart
def finish(state: State, node: int) -> int:
    """End what `settle` said would end; give the task that was served, or -1 if one was read."""
    shared, tasks = state.processors, state.tasks
    change(state, node, shared.ends_s[node])
    if shared.writer_ends[node]:
        task = shared.first_writer[node]
        shared.first_writer[node] = tasks.next[task]
        shared.writing[node] -= 1
        return task
    task = shared.first_reader[node]
    shared.first_reader[node] = tasks.next[task]
    shared.reading[node] -= 1
    write(state, node, task, state.shares.writing_s[task])
    return -1


@apart
def fix_speeds(fixed: Fixed, state: State, node: int) -> None:
    """Fix how fast the tasks of a node read and write from now on."""
    shared = state.processors
    writing, reads = shared.writing[node], shared.reading[node] > 0
    shared.reader[node] = shared.first_reader[node] if reads else -1
    shared.write[node] = 0.0
    shared.read[node] = 1.0 if reads else 0.0
    if writing == 0:
        return
    total = fixed.speedup[writing - 1]
    if not reads:
        shared.write[node] = total / writing
        return
    input_token_s, output_token_s = 0.0, 0.0
    if fixed.service_law.kind == BY_TOKENS:
        input_token_s = fixed.token_times_s[3 * node + 1]
        output_token_s = fixed.token_times_s[3 * node + 2]
    chunk_s = fixed.chunk_tokens * input_token_s
    turn_s = output_token_s * writing / total + chunk_s
    shared.write[node] = output_token_s / turn_s
    shared.read[node] = chunk_s / turn_s


@apart
def next_end_s(state: State, node: int, now_s: float) -> float:
    """Say when the next task or reading of a node ends."""
    shared, shares = state.processors, state.shares
    ends_s, reader = inf, shared.reader[node]
    if reader >= 0:
        ends_s = now_s + shares.left_s[reader] / shared.read[node]
    shared.writer_ends[node] = 0
    if shared.writing[node] == 0:
        shared.written_s[node] = 0.0
        return ends_s
    left_s = shares.ends_s[shared.first_writer[node]] - shared.written_s[node]
    writer_ends_s = inf
    if left_s <= 0:
        writer_ends_s = now_s
    elif shared.write[node] > 0:
        writer_ends_s = now_s + left_s / shared.write[node]
    if writer_ends_s <= ends_s:
        shared.writer_ends[node] = 1
        return writer_ends_s
    return ends_s


@apart
def settle(fixed: Fixed, state: State, now_s: float) -> None:
    """Fix all speeds that change now, and schedule what ends next."""
    numbers, shared = state.numbers, state.processors
    for place in range(numbers[CHANGED]):
        node = state.changed[place]
        shared.changed[node] = 0
        event = fixed.nodes + node
        if shared.scheduled[node]:
            shared.scheduled[node] = 0
            cancel(state.events, state.days, numbers, event)
        fix_speeds(fixed, state, node)
        ends_s = next_end_s(state, node, now_s)
        if ends_s < inf:
            shared.ends_s[node] = ends_s
            shared.scheduled[node] = 1
            at_s = now_s + max(0.0, ends_s - now_s)
            schedule(state.events, state.days, numbers, state.times_s, event, node, at_s)
    numbers[CHANGED] = 0
