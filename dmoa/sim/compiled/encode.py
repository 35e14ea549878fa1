"""Steps as the bytes of a trace: MessagePack, byte for byte what `dmoa.trace.codec` writes."""

from __future__ import annotations

import numpy as np

from dmoa.sim.compiled.jit import apart, inlined, pasted
from dmoa.sim.compiled.layout import ACTIONS, BYTES, Bytes, Fixed, Ints, Log, Names, Node, State
from dmoa.sim.compiled.steps import (
    ACCEPT,
    ANSWER,
    ENDED,
    PROMPT,
    REFUSAL,
    REFUSE,
    RESPONSE,
    SEND_RESPONSE,
    SEND_TASK,
    START,
    TASK,
)

ENTRY_BYTES, ENTRY_NAMES = 512, 4
"""More than a step and one of its actions need beside names of nodes, and so many names."""

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
def put(buffer: Bytes, at: int, what: Bytes) -> int:
    """Write bytes; give the place behind them."""
    for place in range(len(what)):
        buffer[at + place] = what[place]
    return at + len(what)


@inlined
def put_byte(buffer: Bytes, at: int, value: int) -> int:
    """Write a byte."""
    buffer[at] = value
    return at + 1


@inlined
def put_big_endian(buffer: Bytes, at: int, value: np.uint64, size: int) -> int:
    """Write the last bytes of a number, the highest first."""
    for place in range(size):
        shift = np.uint64(8 * (size - 1 - place))
        buffer[at + place] = (value >> shift) & np.uint64(0xFF)
    return at + size


@apart
def put_int(buffer: Bytes, at: int, value: int) -> int:
    """Write a number that is not negative, as short as possible."""
    if value < 0x80:
        return put_byte(buffer, at, value)
    if value < 0x100:
        return put_big_endian(buffer, put_byte(buffer, at, 0xCC), np.uint64(value), 1)
    if value < 0x10000:
        return put_big_endian(buffer, put_byte(buffer, at, 0xCD), np.uint64(value), 2)
    if value < 0x100000000:
        return put_big_endian(buffer, put_byte(buffer, at, 0xCE), np.uint64(value), 4)
    return put_big_endian(buffer, put_byte(buffer, at, 0xCF), np.uint64(value), 8)


@inlined
def put_float(buffer: Bytes, at: int, bits: np.uint64) -> int:
    """Write a float, given its bits."""
    return put_big_endian(buffer, put_byte(buffer, at, _FLOAT), bits, 8)


@apart
def put_name(buffer: Bytes, at: int, names: Names, node: int) -> int:
    """Write a node's name."""
    start, end = names.ends[node], names.ends[node + 1]
    for place in range(start, end):
        buffer[at + place - start] = names.text[place]
    return at + end - start


@apart
def put_content(buffer: Bytes, at: int, tokens: int) -> int:
    """Write a content without text."""
    at = put_int(buffer, put_byte(buffer, at, 0x93), tokens)
    return put_byte(buffer, put_byte(buffer, at, _NIL), _FALSE)


@apart
def put_id(
    buffer: Bytes, at: int, names: Names, origin: int, number: int, stage: int, slot: int
) -> int:
    """Write a task's identity."""
    at = put_name(buffer, put_byte(buffer, at, 0x95), names, origin)
    at = put_int(buffer, put_int(buffer, put_int(buffer, at, number), stage), slot)
    return put_byte(buffer, at, 0)


@apart
def put_prompt(buffer: Bytes, at: int, number: int, tokens: int) -> int:
    """Write the arrival of a prompt."""
    at = put_content(buffer, put_int(buffer, put(buffer, at, _PROMPT), number), tokens)
    for _ in range(3):  # options, plan, deadline
        at = put_byte(buffer, at, _NIL)
    return put_byte(buffer, at, 0)


@apart
def put_message(
    buffer: Bytes, at: int, names: Names, kind: int, origin: int, number: int, stage: int,
    slot: int, tokens: int, value: int,
) -> int:  # fmt: skip
    """Write a message."""
    if kind == TASK:
        at = put_id(buffer, put(buffer, at, _TASK), names, origin, number, stage, slot)
        at = put_content(buffer, at, tokens)
        return put_byte(buffer, put_byte(buffer, at, _NIL), _NIL)
    if kind == RESPONSE:
        at = put_id(buffer, put(buffer, at, _RESPONSE), names, origin, number, stage, slot)
        return put_byte(buffer, put_content(buffer, at, tokens), _NIL)
    at = put_id(buffer, put(buffer, at, _REFUSAL), names, origin, number, stage, slot)
    return put_int(buffer, put(buffer, at, _FULL), value)


@apart
def put_heard(buffer: Bytes, at: int, names: Names, heard: Ints) -> int:
    """Write the event of a step."""
    kind, sender, origin, number = heard[0], heard[1], heard[2], heard[3]
    stage, slot, tokens, value = heard[4], heard[5], heard[6], heard[7]
    if kind == PROMPT:
        return put_prompt(buffer, at, number, tokens)
    if kind == ENDED:
        at = put_id(buffer, put(buffer, at, _ENDED), names, origin, number, stage, slot)
        return put(buffer, put_content(buffer, at, tokens), _NO_TEXT)
    at = put_name(buffer, put(buffer, at, _MESSAGE), names, sender)
    return put_message(buffer, at, names, kind, origin, number, stage, slot, tokens, value)


@apart
def put_of_prompt(buffer: Bytes, at: int, action: int, number: int, value: int) -> int:
    """Write an action about a prompt."""
    if action == ACCEPT:
        return put_prompt(buffer, put(buffer, at, _PERSIST), number, value)
    if action == REFUSE:
        at = put_int(buffer, put(buffer, at, _REFUSE), number)
        return put(buffer, put_int(buffer, at, value), _FULL)
    at = put(buffer, at, _PERSIST)
    for _ in range(2):  # what is persisted, then the same to the user
        at = put_int(buffer, put(buffer, at, _ANSWER), number)
        at = put_content(buffer, at, value)
    return at


@pasted
def put_of_task(
    fixed: Fixed, state: State, log: Log, at: int, action: int, about: int, value: int
) -> int:
    """Write an action about a task."""
    of = about >> fixed.shift
    flight, task, names, buffer = state.flights[of], state.tasks[about], fixed.names, log.bytes
    slot = about - (of << fixed.shift)
    origin, number, stage = flight.origin, flight.number, flight.stage
    if action == START:
        at = put_id(buffer, put(buffer, at, _START), names, origin, number, stage, slot)
        at = put_content(buffer, at, flight.content_tokens)
        log.value[0] = task.queued_s
        return put_byte(buffer, put_float(buffer, at, log.bits[0]), _NIL)
    kind, to, tokens = TASK, task.server, flight.content_tokens
    if action != SEND_TASK:
        kind = RESPONSE if action == SEND_RESPONSE else REFUSAL
        to, tokens = origin, task.tokens
    at = put_name(buffer, put(buffer, at, _SEND), names, to)
    return put_message(buffer, at, names, kind, origin, number, stage, slot, tokens, value)


@pasted
def add_entry(fixed: Fixed, state: State, log: Log, me: Node, node: int, now_s: float) -> None:
    """Write the present step as an entry of the trace."""
    count, buffer = state.numbers[ACTIONS], log.bytes
    log.value[0] = now_s
    at = put_float(buffer, put_byte(buffer, state.numbers[BYTES], 0x98), log.bits[0])
    at = put_heard(buffer, put_int(buffer, at, node), fixed.names, log.heard)
    total = actions_of(log.actions, count)
    if total < 16:
        at = put_byte(buffer, at, 0x90 + total)
    else:
        at = put_big_endian(buffer, put_byte(buffer, at, 0xDC), np.uint64(total), 2)
    for place in range(count):
        action, subject = log.actions[3 * place], log.actions[3 * place + 1]
        value = log.actions[3 * place + 2]
        if action >= ACCEPT:
            at = put_of_prompt(buffer, at, action, subject, value)
        else:
            at = put_of_task(fixed, state, log, at, action, subject, value)
    at = put_int(buffer, put_int(buffer, at, me.waiting), me.serving)
    at = put_int(buffer, put_int(buffer, at, me.joining), me.unfinished)
    state.numbers[BYTES] = at


@apart
def actions_of(actions: Ints, count: int) -> int:
    """Count the actions: that an answer is persisted is one of its own."""
    for place in range(count):
        if actions[3 * place] == ANSWER:
            return count + 1
    return count
