"""What the tests of the journal share: prompts, a clock that is set, refusals."""

from collections.abc import Callable

import pytest

from dmoa.core import Answer, Content, Expire, Fail, PromptArrived
from dmoa.errors import ScenarioError
from dmoa.live.journal import Entry, Journal, Outcome

ROUNDS = 4
ENDS: list[Callable[[int], Outcome]] = [
    lambda number: Answer(number, Content(4, f"answer {number}")),
    lambda number: Fail(number, "no peers"),
    Expire,
]
NOBODY = 65534


class Clock:
    """Unix time that passes when it is told to."""

    def __init__(self, now_s=1_000_000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def asked(number, text="why so?", **more):
    return PromptArrived(number, Content(3, text), **more)


def accept(journal, **more):
    record = asked(journal.next_prompt(), **more)
    assert journal.persist(record)
    return record


def refused(path, **more):
    with pytest.raises(ScenarioError) as caught:
        Journal.open(path, **more).close()
    assert caught.value.path == str(path)
    assert caught.value.remedy
    return str(caught.value)


def found(journal, number) -> Entry:
    entry: Entry | None = journal.find(number)
    assert entry is not None
    return entry


def state_of(journal, numbers):
    """Everything that can be asked of a journal, to compare two of them."""
    entries = {number: journal.find(number) for number in numbers}
    return {number: entry for number, entry in entries.items() if entry}, journal.counts()
