"""Steps as the bytes of a trace: MessagePack, byte for byte what `dmoa.trace.codec` writes."""

from __future__ import annotations

import numpy as np

from dmoa.sim.compiled.jit import inlined
from dmoa.sim.compiled.layout import ACTIONS, BYTES, Bytes, Fixed, Log, State
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
    SEND_TASK,
    START,
    TASK,
)

STEP_BYTES, ACTION_BYTES = 256, 256
"""More than a step and one of its actions need, names of nodes excepted."""

_NIL, _FALSE, _FLOAT = 0xC0, 0xC2, 0xCB


def _text(text: str) -> Bytes:
    """Give the MessagePack of a short text."""
    return np.frombuffer(bytes([0xA0 + len(text)]) + text.encode(), np.uint8)


def _tag(fields: int, text: str) -> Bytes:
    """Give how an array begins whose first element is a tag."""
    return np.concatenate([np.frombuffer(bytes([0x90 + fields]), np.uint8), _text(text)])


_PROMPT, _MESSAGE, _ENDED = _tag(7, "prompt"), _tag(3, "message"), _tag(4, "ended")
_TASK, _RESPONSE, _REFUSAL = _tag(5, "task"), _tag(4, "response"), _tag(4, "refusal")
_SEND, _START, _PERSIST = _tag(3, "send"), _tag(5, "start"), _tag(2, "persist")
_ANSWER, _REFUSE = _tag(3, "answer"), _tag(4, "refuse")
_FULL, _NO_TEXT = _text("queue full"), _text("")


@inlined
def put(log: Log, at: int, what: Bytes) -> int:
    """Write bytes; give the place behind them."""
    for place in range(len(what)):
        log.bytes[at + place] = what[place]
    return at + len(what)


@inlined
def put_byte(log: Log, at: int, value: int) -> int:
    """Write a byte."""
    log.bytes[at] = value
    return at + 1


@inlined
def put_big_endian(log: Log, at: int, value: np.uint64, size: int) -> int:
    """Write the last bytes of a number, the highest first."""
    for place in range(size):
        shift = np.uint64(8 * (size - 1 - place))
        log.bytes[at + place] = (value >> shift) & np.uint64(0xFF)
    return at + size


@inlined
def put_int(log: Log, at: int, value: int) -> int:
    """Write a number that is not negative, as short as possible."""
    if value < 0x80:
        return put_byte(log, at, value)
    if value < 0x100:
        return put_big_endian(log, put_byte(log, at, 0xCC), np.uint64(value), 1)
    if value < 0x10000:
        return put_big_endian(log, put_byte(log, at, 0xCD), np.uint64(value), 2)
    if value < 0x100000000:
        return put_big_endian(log, put_byte(log, at, 0xCE), np.uint64(value), 4)
    return put_big_endian(log, put_byte(log, at, 0xCF), np.uint64(value), 8)


@inlined
def put_float(log: Log, at: int, value: float) -> int:
    """Write a float."""
    log.value[0] = value
    return put_big_endian(log, put_byte(log, at, _FLOAT), log.bits[0], 8)


@inlined
def put_name(fixed: Fixed, log: Log, at: int, node: int) -> int:
    """Write a node's name."""
    start = fixed.name_ends[node]
    end = fixed.name_ends[node + 1]
    for place in range(start, end):
        log.bytes[at + place - start] = fixed.names[place]
    return at + end - start


@inlined
def put_content(log: Log, at: int, tokens: int) -> int:
    """Write a content without text."""
    at = put_int(log, put_byte(log, at, 0x93), tokens)
    return put_byte(log, put_byte(log, at, _NIL), _FALSE)


@inlined
def put_id(fixed: Fixed, log: Log, at: int, origin: int, number: int, stage: int, slot: int) -> int:
    """Write a task's identity."""
    at = put_name(fixed, log, put_byte(log, at, 0x95), origin)
    at = put_int(log, put_int(log, put_int(log, at, number), stage), slot)
    return put_byte(log, at, 0)


@inlined
def put_heard(fixed: Fixed, log: Log, at: int) -> int:
    """Write the event of the present step."""
    heard = log.heard
    kind, sender, origin, number, stage, slot, tokens, value = (
        heard[0], heard[1], heard[2], heard[3], heard[4], heard[5], heard[6], heard[7],
    )  # fmt: skip
    if kind == PROMPT:
        return put_prompt(log, at, number, tokens)
    if kind == ENDED:
        at = put_id(fixed, log, put(log, at, _ENDED), origin, number, stage, slot)
        return put(log, put_content(log, at, tokens), _NO_TEXT)
    at = put_name(fixed, log, put(log, at, _MESSAGE), sender)
    return put_message(fixed, log, at, kind, origin, number, stage, slot, tokens, value)


@inlined
def put_prompt(log: Log, at: int, number: int, tokens: int) -> int:
    """Write the arrival of a prompt."""
    at = put_content(log, put_int(log, put(log, at, _PROMPT), number), tokens)
    for _ in range(3):  # options, plan, deadline
        at = put_byte(log, at, _NIL)
    return put_byte(log, at, 0)


@inlined
def put_message(
    fixed: Fixed, log: Log, at: int, kind: int, origin: int, number: int, stage: int, slot: int,
    tokens: int, value: int,
) -> int:  # fmt: skip
    """Write a message."""
    if kind == TASK:
        at = put_id(fixed, log, put(log, at, _TASK), origin, number, stage, slot)
        at = put_content(log, at, tokens)
        return put_byte(log, put_byte(log, at, _NIL), _NIL)
    if kind == RESPONSE:
        at = put_id(fixed, log, put(log, at, _RESPONSE), origin, number, stage, slot)
        return put_byte(log, put_content(log, at, tokens), _NIL)
    at = put_id(fixed, log, put(log, at, _REFUSAL), origin, number, stage, slot)
    return put_int(log, put(log, at, _FULL), value)


@inlined
def put_action(
    fixed: Fixed, state: State, log: Log, at: int, action: int, subject: int, value: int
) -> int:
    """Write an action; those of prompts are about their number."""
    if action == ACCEPT:
        return put_prompt(log, put(log, at, _PERSIST), subject, value)
    if action == ANSWER:
        at = put(log, put(log, at, _PERSIST), _ANSWER)
        at = put(log, put_content(log, put_int(log, at, subject), value), _ANSWER)
        return put_content(log, put_int(log, at, subject), value)
    if action == REFUSE:
        at = put_int(log, put(log, at, _REFUSE), subject)
        return put(log, put_int(log, at, value), _FULL)
    flights, tasks = state.flights, state.tasks
    flight = subject // fixed.tasks
    slot = subject - flight * fixed.tasks
    origin, number, stage = flights.origin[flight], flights.number[flight], flights.stage[flight]
    if action == START:
        at = put_id(fixed, log, put(log, at, _START), origin, number, stage, slot)
        at = put_content(log, at, flights.content_tokens[flight])
        return put_byte(log, put_float(log, at, tasks.queued_s[subject]), _NIL)
    kind, to, tokens = TASK, tasks.server[subject], flights.content_tokens[flight]
    if action != SEND_TASK:
        kind = RESPONSE if action == SEND_RESPONSE else REFUSAL
        to, tokens = origin, tasks.tokens[subject]
    at = put_name(fixed, log, put(log, at, _SEND), to)
    return put_message(fixed, log, at, kind, origin, number, stage, slot, tokens, value)


@inlined
def add_entry(fixed: Fixed, state: State, log: Log, node: int, now_s: float) -> None:
    """Write the present step as an entry of the trace."""
    nodes, count = state.nodes, state.numbers[ACTIONS]
    at = put_byte(log, state.numbers[BYTES], 0x98)
    at = put_int(log, put_float(log, at, now_s), node)
    at = put_heard(fixed, log, at)
    total = actions_of(log, count)
    if total < 16:
        at = put_byte(log, at, 0x90 + total)
    else:
        at = put_big_endian(log, put_byte(log, at, 0xDC), np.uint64(total), 2)
    for place in range(count):
        action, subject = log.actions[3 * place], log.actions[3 * place + 1]
        at = put_action(fixed, state, log, at, action, subject, log.actions[3 * place + 2])
    at = put_int(log, put_int(log, at, nodes.waiting[node]), nodes.serving[node])
    at = put_int(log, put_int(log, at, nodes.joining[node]), nodes.unfinished[node])
    state.numbers[BYTES] = at


@inlined
def actions_of(log: Log, count: int) -> int:
    """Count the actions: that an answer is persisted is one of its own."""
    for place in range(count):
        if log.actions[3 * place] == ANSWER:
            return count + 1
    return count
