"""What a run did, as columns: row for row those of `dmoa.trace.Meter`."""

from __future__ import annotations

from math import nan

from dmoa.sim.compiled.jit import pasted
from dmoa.sim.compiled.layout import LINKS, PROMPTS, STEPS, TASKS, Fixed, Log, State
from dmoa.trace.meter import ANSWERED, UNFINISHED


@pasted
def add_step(state: State, log: Log, node: int, now_s: float) -> None:
    """Record a node's counts after a step."""
    row, nodes = state.numbers[STEPS], state.nodes
    log.steps_s[row] = now_s
    log.steps[0, row] = node
    log.steps[1, row] = nodes.waiting[node]
    log.steps[2, row] = nodes.serving[node]
    log.steps[3, row] = nodes.joining[node]
    log.steps[4, row] = nodes.unfinished[node]
    state.numbers[STEPS] = row + 1


@pasted
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


@pasted
def end_prompt(log: Log, row: int, outcome: int, now_s: float) -> None:
    """Record how a prompt ended."""
    log.prompts[1, row] = outcome
    log.prompts_s[1, row] = now_s


@pasted
def add_task(fixed: Fixed, state: State, log: Log, task: int, now_s: float) -> None:
    """Record that a task was started."""
    tasks, flights = state.tasks, state.flights
    row = state.numbers[TASKS]
    flight = task >> fixed.shift
    tasks.row[task] = row
    log.tasks[0, row] = tasks.server[task]
    log.tasks[1, row] = flights.origin[flight]
    log.tasks[2, row] = flights.stage[flight]
    log.tasks[3, row] = task - (flight << fixed.shift)
    log.tasks[4, row] = UNFINISHED
    log.task_numbers[row] = flights.number[flight]
    log.tasks_s[0, row] = tasks.queued_s[task]
    log.tasks_s[1, row] = now_s
    log.tasks_s[2, row] = nan
    state.numbers[TASKS] = row + 1


@pasted
def end_task(state: State, log: Log, task: int, now_s: float) -> None:
    """Record that a task was served."""
    row = state.tasks.row[task]
    log.tasks[4, row] = ANSWERED
    log.tasks_s[2, row] = now_s


@pasted
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
