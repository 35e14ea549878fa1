"""What travels: plain MessagePack arrays, closed to nonsense."""

import msgpack
import msgspec
import pytest

from dmoa.core import (
    Content,
    Message,
    Options,
    Refusal,
    Report,
    Response,
    Task,
    TaskId,
    Turn,
    Withdrawal,
    task_position,
)

TASK = TaskId("a", 7, 1, 2)
ID = ["a", 7, 1, 2, 0]


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (Task(TASK, Content(12)), ["task", ID, [12, None, False], None, None]),
        (
            Task(TASK, Content(3, "why?"), 7.5, Options((Turn("user", "hi"),), 64, stop=("\n",))),
            [
                "task",
                ID,
                [3, "why?", False],
                7.5,
                [[["user", "hi"]], 64, None, None, None, None, None, None, ["\n"], None, None],
            ],
        ),
        (Response(TASK, Content(5, "so", cut=True)), ["response", ID, [5, "so", True], None]),
        (
            Response(TASK, Content(5), Report("tiny", 1.5, 2.0, 3)),
            ["response", ID, [5, None, False], ["tiny", 1.5, 2.0, 3]],
        ),
        (Refusal(TASK, "queue full", 4), ["refusal", ID, "queue full", 4]),
        (Withdrawal(TASK), ["withdrawal", ID]),
    ],
    ids=["task", "live task", "cut response", "response with report", "refusal", "withdrawal"],
)
def test_the_wire_is_plain_messagepack_both_ways(message, wire):
    encoded = msgspec.msgpack.encode(message)
    assert msgpack.unpackb(encoded) == wire
    assert msgspec.msgpack.decode(msgpack.packb(wire), type=Message) == message


def test_an_attempt_may_be_left_out():
    wire = msgpack.packb(["task", ["a", 7, 1, 2], [12]])
    assert msgspec.msgpack.decode(wire, type=Message) == Task(TASK, Content(12))


@pytest.mark.parametrize(
    "wire",
    [
        ["task", ["a", -1, 1, 2, 0], [12]],
        ["task", ["a", 7, -1, 2, 0], [12]],
        ["task", ["a", 7, 1, -1, 0], [12]],
        ["task", ["a", 7, 1, 2, -1], [12]],
        ["task", ["a", 7, 1, 2, 0], [-12]],
        ["refusal", ["a", 7, 1, 2, 0], "queue full", -4],
        ["task", ["a", 7, 1, 2, 0], [1.5]],
        ["task", ["a", 7, 1, 2, 0]],
        ["response", ["a", 7, 1, 2, 0], [5], ["tiny", -1.0, 2.0, 3]],
        ["response", ["a", 7, 1, 2, 0], [5], ["tiny", 1.0, float("nan"), 3]],
        ["response", ["a", 7, 1, 2, 0], [5], ["tiny", 1.0, float("inf"), 3]],
        ["response", ["a", 7, 1, 2, 0], [5], ["tiny", 1.0, 2.0, -3]],
        ["order", ["a", 7, 1, 2, 0], [12]],
        {"task": 1},
    ],
    ids=str,
)
def test_decoding_refuses_negative_numbers_and_other_nonsense(wire):
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgpack.packb(wire), type=Message)


def test_messages_are_values():
    assert Task(TASK, Content(12)) == Task(TaskId("a", 7, 1, 2), Content(12))
    assert hash(TASK) == hash(TaskId("a", 7, 1, 2, attempt=0))
    with pytest.raises(AttributeError):
        TASK.slot = 3  # type: ignore[misc]  # frozen, which is what is tested


def test_no_two_tasks_share_a_position():
    slots, stages = (0, 1, 2**20 - 1), (0, 1, 1023)
    positions = [task_position(p, s, slot) for p in range(3) for s in stages for slot in slots]
    assert positions == sorted(set(positions))
