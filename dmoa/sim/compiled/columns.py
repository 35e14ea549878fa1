"""What a run did, as columns: row for row those of `dmoa.trace.Meter`."""

from __future__ import annotations

from math import nan

from dmoa.sim.compiled.jit import inlined
from dmoa.sim.compiled.layout import LINKS, PROMPTS, STEPS, TASKS, Flight, Log, Node, State, Task
from dmoa.trace.meter import ANSWERED, UNFINISHED


@inlined
def add_step(state: State, log: Log, me: Node, node: int, now_s: float) -> None:
    """Record a node's counts after a step."""
    row = state.numbers[STEPS]
    log.steps_s[row] = now_s
    log.steps[0, row] = node
    log.steps[1, row] = me.waiting
    log.steps[2, row] = me.serving
    log.steps[3, row] = me.joining
    log.steps[4, row] = me.unfinished
    state.numbers[STEPS] = row + 1


@inlined
def add_prompt(state: State, log: Log, node: int, number: int, now_s: float) -> int:
    """Record that a prompt arrived; give its row."""
    row = state.numbers[PROMPTS]
    log.prompts[0, row] = node
    log.prompts[1, row] = UNFINISHED
    log.prompt_numbers[row] = number
    log.prompts_s[0, row] = now_s
    log.prompts_s[1, row] = nan
    state.numbers[PROMPTS] = row + 1
    return row


@inlined
def end_prompt(log: Log, row: int, outcome: int, now_s: float) -> None:
    """Record how a prompt ended."""
    log.prompts[1, row] = outcome
    log.prompts_s[1, row] = now_s


@inlined
def add_task(state: State, log: Log, flight: Flight, task: Task, slot: int, now_s: float) -> None:
    """Record that a task was started."""
    row = state.numbers[TASKS]
    task.row = row
    log.tasks[0, row] = task.server
    log.tasks[1, row] = flight.origin
    log.tasks[2, row] = flight.stage
    log.tasks[3, row] = slot
    log.tasks[4, row] = UNFINISHED
    log.task_numbers[row] = flight.number
    log.tasks_s[0, row] = task.queued_s
    log.tasks_s[1, row] = now_s
    log.tasks_s[2, row] = nan
    state.numbers[TASKS] = row + 1


@inlined
def end_task(log: Log, task: Task, now_s: float) -> None:
    """Record that a task was served."""
    log.tasks[4, task.row] = ANSWERED
    log.tasks_s[2, task.row] = now_s


@inlined
def add_link(
    state: State, log: Log, sender: int, receiver: int, sent_s: float, now_s: float
) -> None:
    """Record a message that was received."""
    row = state.numbers[LINKS]
    log.links[0, row] = sender
    log.links[1, row] = receiver
    log.links_s[0, row] = sent_s
    log.links_s[1, row] = now_s
    state.numbers[LINKS] = row + 1
