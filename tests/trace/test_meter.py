from __future__ import annotations

import numpy as np
import pytest

from dmoa.core import (
    Answer,
    CancelService,
    Content,
    DrainStarted,
    Expire,
    Fail,
    Join,
    MessageReceived,
    PeerFound,
    PeerLost,
    Persist,
    PromptArrived,
    Refusal,
    Refuse,
    Send,
    ServiceEnded,
    ServiceFailed,
    StartService,
    Task,
    TaskId,
    Withdrawal,
    layered,
)
from dmoa.errors import InvariantError
from dmoa.trace import (
    ANSWERED,
    CANCELLED,
    EXPIRED,
    FAILED,
    REFUSED,
    SERVED,
    UNFINISHED,
    Entry,
    Meter,
    little,
)
from tests.trace.world import complete, known_entries, known_track, run, track_of

TASK = TaskId("0", 7, 0, 0)
TEXT = Content(1)
THEIRS = TaskId("1", 3, 0, 1)


def test_the_columns_of_the_known_run():
    track = known_track()
    assert track.names == ("0", "1")
    assert track.end_s == 10.0
    assert len(track.steps.time_s) == len(known_entries())
    prompts, tasks, links = track.prompts, track.tasks, track.links
    assert prompts.arrived_s.tolist() == [1, 2]
    assert prompts.ended_s.tolist() == [9, 10]
    assert prompts.outcome.tolist() == [ANSWERED, ANSWERED]
    rows = zip(tasks.started_s, tasks.server, tasks.prompt, tasks.stage, tasks.slot, strict=True)
    assert list(rows) == [
        (1.0, 0, 0, 0, 0),
        (1.5, 1, 0, 0, 1),
        (3.0, 0, 1, 0, 0),
        (5.5, 1, 1, 0, 1),
        (6.0, 0, 0, 1, 0),
        (9.0, 0, 1, 1, 0),
    ]
    assert tasks.queued_s.tolist() == [1, 1.5, 2, 2.5, 6, 7]
    assert tasks.ended_s.tolist() == [3, 5.5, 4, 6.5, 9, 10]
    assert set(tasks.outcome.tolist()) == {SERVED}
    assert links is not None
    assert links.sender.tolist() == [0, 0, 1, 1]
    assert links.receiver.tolist() == [1, 1, 0, 0]
    assert links.sent_s.tolist() == [1, 2, 5.5, 6.5]
    assert links.received_s.tolist() == [1.5, 2.5, 6, 7]


def test_chunks_of_any_size_give_the_same_columns():
    meter = Meter(["0", "1"], links=True)
    for entry in known_entries():
        meter.extend([entry])
    meter.extend([])
    track, known = meter.track(10.0), known_track()
    for table in ("steps", "prompts", "tasks", "links"):
        for left, right in zip(
            vars(getattr(track, table)).values(), vars(getattr(known, table)).values(), strict=True
        ):
            np.testing.assert_array_equal(left, right)


def test_a_track_may_be_taken_while_the_run_goes_on():
    entries = known_entries()
    meter = Meter(["0", "1"])
    meter.extend(entries[:4])
    early = meter.track(3.0)
    meter.extend(entries[4:])
    late = meter.track(10.0)
    assert early.links is None
    assert np.isnan(early.prompts.ended_s).all()
    assert early.prompts.outcome.tolist() == [UNFINISHED, UNFINISHED]
    assert late.prompts.outcome.tolist() == [ANSWERED, ANSWERED]


def test_messages_doubled_or_lost_have_one_row_or_none():
    entries = known_entries()
    received = next(i for i, entry in enumerate(entries) if entry[1] == 1)
    doubled = [*entries[: received + 1], *entries[received:]]
    assert senders(doubled) == [0, 0, 1, 1]
    lost = [*entries[:received], *entries[received + 1 :]]
    assert senders(lost) == [0, 1, 1]


def senders(entries):
    links = track_of(entries, ["0", "1"], 10.0).links
    assert links is not None
    return links.sender.tolist()


def start(task=TASK):
    return StartService(task, TEXT, 0.0)


@pytest.mark.parametrize(
    ("event", "actions", "outcome"),
    [
        (ServiceEnded(TASK, TEXT), [], SERVED),
        (ServiceFailed(TASK, "timeout"), [], FAILED),
        (PromptArrived(8, TEXT), [CancelService(TASK)], CANCELLED),
        (PromptArrived(8, TEXT), [CancelService(TaskId("0", 1, 0, 0))], UNFINISHED),
        (ServiceEnded(TaskId("0", 1, 0, 0), TEXT), [], UNFINISHED),
    ],
)
def test_every_end_of_a_service(event, actions, outcome):
    track = track_of(
        [
            (0.0, 0, PromptArrived(7, TEXT), [start()], 0, 1, 0, 1),
            (2.0, 0, event, actions, 0, 0, 0, 1),
        ],
        ["0"],
        3.0,
    )
    assert track.tasks.outcome.tolist() == [outcome]
    ended_s = np.nan if outcome == UNFINISHED else 2.0
    np.testing.assert_array_equal(track.tasks.ended_s, [ended_s])


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Answer(7, TEXT), ANSWERED),
        (Fail(7, "lost"), FAILED),
        (Refuse(7, 3), REFUSED),
        (Expire(7), EXPIRED),
    ],
)
def test_every_end_of_a_prompt(action, outcome):
    track = track_of([(1.0, 0, PromptArrived(7, TEXT), [action], 0, 0, 0, 0)], ["0", "1"], 3.0)
    assert track.prompts.outcome.tolist() == [outcome]
    assert track.prompts.ended_s.tolist() == [1.0]
    assert track.withdrew.tolist() == [outcome == FAILED, False]


def test_a_join_deadline_marks_its_node():
    plan = layered(1, 1, join=Join(1.0))
    # The peer's response is there in time for the deadline; the node's own is not.
    entries = run(complete(2, plan), [(0.0, 0)], lambda task: 3.0 - 2.5 * task.slot)
    assert track_of(entries, ["0", "1"], 9.0).withdrew.tolist() == [True, False]


@pytest.mark.parametrize(
    ("event", "actions", "marked"),
    [
        (MessageReceived("1", Withdrawal(THEIRS)), [], True),
        (MessageReceived("1", Withdrawal(THEIRS)), [CancelService(THEIRS)], False),
        (ServiceEnded(TASK, TEXT), [Send("1", Refusal(THEIRS, "deadline passed", 0))], True),
        (ServiceFailed(TASK, "out"), [Send("1", Refusal(THEIRS, "deadline passed", 0))], True),
        (ServiceFailed(THEIRS, "out"), [Send("1", Refusal(THEIRS, "out", 0))], False),
        (MessageReceived("1", Task(THEIRS, TEXT)), [Send("1", Refusal(THEIRS, "full", 3))], False),
        (PeerFound("1"), [Send("1", Refusal(THEIRS, "deadline passed", 0))], True),
        (PromptArrived(7, TEXT, attempt=1), [], True),
        (PeerLost("1"), [], False),
        (DrainStarted(), [], False),
    ],
    ids=[
        "withdrawn",
        "cancelled",
        "too late at an end",
        "too late at a failure",
        "failed",
        "queue full",
        "too late by itself",
        "started anew",
        "lost",
        "drains",
    ],
)
def test_a_node_whose_queue_a_task_may_have_left_unstarted_is_marked(event, actions, marked):
    entry: Entry = (1.0, 0, event, actions, 0, 0, 0, 0)
    assert track_of([entry], ["0", "1"], 2.0).withdrew.tolist() == [marked, False]


def test_a_prompt_that_is_taken_up_again_has_one_row():
    track = track_of(
        [
            (0.5, 0, PromptArrived(7, TEXT), [Persist(PromptArrived(7, TEXT))], 0, 1, 0, 1),
            (3.0, 0, PromptArrived(7, TEXT, attempt=1), [], 0, 1, 0, 1),
            (3.5, 0, PromptArrived(8, TEXT, attempt=2), [], 0, 1, 0, 2),
            (4.0, 0, ServiceEnded(TASK, TEXT), [Persist(Expire(7)), Expire(7)], 0, 0, 0, 1),
        ],
        ["0"],
        5.0,
    )
    assert track.prompts.number.tolist() == [7, 8]
    assert track.prompts.arrived_s.tolist() == [0.5, 3.5]
    assert track.prompts.outcome.tolist() == [EXPIRED, UNFINISHED]
    assert little(track) < 1e-12


def test_a_prompt_that_ends_without_having_arrived_is_a_bug():
    entry: Entry = (1.0, 1, ServiceEnded(TASK, TEXT), [Answer(7, TEXT)], 0, 0, 0, 0)
    with pytest.raises(InvariantError, match=r"node b ended prompt 7 at 1\.0 s"):
        track_of([entry], ["a", "b"], 2.0)


def test_a_run_cannot_end_before_its_last_entry():
    with pytest.raises(InvariantError, match=r"until 9\.0 s has an entry at 10\.0 s"):
        track_of(known_entries(), ["0", "1"], 9.0)


def test_numbers_of_prompts_may_be_long():
    number = 2**62
    entries: list[Entry] = [
        (1.0, 0, PromptArrived(number, TEXT), [start(TaskId("0", number, 0, 0))], 0, 1, 0, 1),
    ]
    track = track_of(entries, ["0"], 2.0)
    assert track.prompts.number.tolist() == track.tasks.prompt.tolist() == [number]
