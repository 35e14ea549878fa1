"""The promise of the journal: what was accepted survives, and ends exactly once."""

import time
from contextlib import closing

import pytest

from dmoa.core import Answer, Content, Expire, Fail, Options, Turn, layered
from dmoa.errors import InvariantError, ScenarioError
from dmoa.live.journal import Journal
from tests.live.journals import ENDS, Clock, accept, asked, found

# --- the promise ----------------------------------------------------------------------------


def test_an_accepted_prompt_is_found_after_a_restart_as_it_was_asked(path):
    record = asked(
        0,
        options=Options(history=(Turn("system", "be brief"),), seed=7, stop=("\n",)),
        plan=layered(2, 3),
    )
    with closing(Journal.open(path)) as journal:
        assert journal.next_prompt() == 0
        assert journal.persist(record)
    with closing(Journal.open(path)) as journal:
        entry = found(journal, 0)
        assert (entry.state, entry.arrival, entry.ended_s) == ("accepted", record, None)
        (again,) = journal.unfinished()
    assert again.attempt == 1
    assert (again.content, again.options, again.plan) == (
        record.content,
        record.options,
        record.plan,
    )


@pytest.mark.parametrize("end", ENDS, ids=["answered", "failed", "expired"])
def test_a_prompt_ends_exactly_once(path, end):
    clock = Clock()
    with closing(Journal.open(path, clock=clock)) as journal:
        number = accept(journal).prompt
        clock.now_s += 5
        assert journal.persist(end(number))
        entry = found(journal, number)
        clock.now_s += 5
        assert [journal.persist(late(number)) for late in ENDS] == [False] * 3
        assert not journal.persist(asked(number))
        assert journal.find(number) == entry
        assert (entry.accepted_s, entry.ended_s) == (1_000_000.0, 1_000_005.0)
        assert sum(journal.counts().values()) == 2
    with closing(Journal.open(path, clock=clock)) as journal:
        assert journal.find(number) == entry
        assert journal.unfinished() == []
        assert not journal.persist(end(number))


def test_each_end_says_what_its_user_is_told(path):
    with closing(Journal.open(path)) as journal:
        numbers = [accept(journal).prompt for _ in ENDS]
        for number, end in zip(numbers, ENDS, strict=True):
            journal.persist(end(number))
        answered, failed, expired = (found(journal, number) for number in numbers)
        assert (answered.state, answered.content) == ("answered", Content(4, "answer 0"))
        assert (failed.state, failed.reason, failed.content) == ("failed", "no peers", None)
        assert (expired.state, expired.reason, expired.content) == ("expired", "", None)
        assert journal.counts() == {"accepted": 3, "answered": 1, "failed": 1, "expired": 1}


def test_the_end_of_a_prompt_that_was_never_accepted_does_not_count(path):
    with closing(Journal.open(path)) as journal:
        assert not journal.persist(Expire(journal.next_prompt()))
        assert journal.find(0) is None
        assert set(journal.counts().values()) == {0}


def test_the_promise_is_quoted_word_for_word(root):
    from dmoa.live import journal

    page = (root / "docs" / "runtime.md").read_text("utf-8")
    quoted = [line.removeprefix("> ") for line in page.splitlines() if line.startswith("> ")]
    stated = journal.__doc__.partition("word for word:")[2].partition("It is one SQLite file")[0]
    assert " ".join(stated.split()) == " ".join(quoted)
    assert "It ends exactly once" in stated


# --- numbers, attempts, deadlines -----------------------------------------------------------


def test_numbers_never_come_twice_and_incarnations_rise(path):
    seen = []
    for incarnation in (1, 2, 3):
        with closing(Journal.open(path)) as journal:
            assert journal.incarnation == incarnation
            seen += [journal.next_prompt() for _ in range(1500)]
    assert len(set(seen)) == len(seen)
    assert seen[0] == 0


def test_a_number_that_was_not_given_out_is_a_bug(path):
    with closing(Journal.open(path)) as journal, pytest.raises(InvariantError, match="prompt 5"):
        journal.persist(asked(5))


def test_every_restart_raises_the_attempt_and_taking_up_again_is_no_second_acceptance(path):
    with closing(Journal.open(path)) as journal:
        accept(journal)
    for attempt in (1, 2):
        with closing(Journal.open(path)) as journal:
            (again,) = journal.unfinished()
            assert again.attempt == attempt
            assert journal.persist(again)
            assert journal.counts()["accepted"] == 1


def test_a_deadline_keeps_its_moment_over_a_restart(path):
    clock = Clock()
    with closing(Journal.open(path, clock=clock)) as journal:
        accept(journal, deadline_s=60.0)
    clock.now_s += 45
    for _ in range(2):
        with closing(Journal.open(path, clock=clock)) as journal:
            assert journal.opened_s == clock.now_s
            assert journal.unfinished()[0].deadline_s == pytest.approx(15.0)


def test_a_clock_that_is_set_back_ends_no_prompt_before_it_began(path):
    clock = Clock()
    with closing(Journal.open(path, clock=clock)) as journal:
        number = accept(journal).prompt
        clock.now_s -= 3600
        journal.persist(Expire(number))
        entry = found(journal, number)
    assert entry.ended_s == entry.accepted_s


# --- idempotency keys -----------------------------------------------------------------------


def test_a_key_is_remembered_with_its_prompt(path):
    with closing(Journal.open(path)) as journal:
        record = asked(journal.next_prompt())
        assert journal.prompt_of_key("k") is None
        journal.persist(record, idempotency_key="k")
    with closing(Journal.open(path)) as journal:
        assert journal.prompt_of_key("k") == record.prompt


def test_a_key_of_two_prompts_is_a_bug_and_leaves_nothing(path):
    with closing(Journal.open(path)) as journal:
        journal.persist(asked(journal.next_prompt()), idempotency_key="k")
        with pytest.raises(InvariantError, match="has the idempotency key of prompt 0"):
            journal.persist(asked(journal.next_prompt()), idempotency_key="k")
        assert journal.find(1) is None
        assert journal.counts()["accepted"] == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_bounded_length(path, key):
    with closing(Journal.open(path)) as journal:
        with pytest.raises(ScenarioError, match="1 to 255 characters"):
            journal.prompt_of_key(key)
        with pytest.raises(ScenarioError, match="1 to 255 characters"):
            journal.persist(asked(journal.next_prompt()), idempotency_key=key)
        assert journal.find(0) is None
        assert journal.prompt_of_key("k" * 255) is None


# --- forgetting -----------------------------------------------------------------------------


def test_what_ended_long_ago_is_forgotten_but_counted(path):
    clock = Clock()
    with closing(Journal.open(path, retention_s=100, clock=clock)) as journal:
        first = journal.next_prompt()
        journal.persist(asked(first), idempotency_key="k")
        open_still = accept(journal).prompt
        journal.persist(Fail(first, "no peers"))
        clock.now_s += 101
        late = accept(journal).prompt
        journal.persist(Expire(late))
        assert journal.find(first) is None
        assert journal.prompt_of_key("k") is None
        assert not journal.persist(Expire(first))
        assert found(journal, open_still).state == "accepted"
        assert found(journal, late).state == "expired"
        counts = journal.counts()
        assert counts == {"accepted": 3, "answered": 0, "failed": 1, "expired": 1}
    clock.now_s += 101
    with closing(Journal.open(path, retention_s=100, clock=clock)) as journal:
        assert journal.find(late) is None
        assert journal.prune() == 0
        assert journal.counts() == counts


def test_a_file_that_forgets_does_not_grow(path):
    clock = Clock()
    with closing(Journal.open(path, retention_s=10, clock=clock, durability="process")) as journal:
        sizes = []
        for _ in range(1500):
            clock.now_s += 1
            journal.persist(Answer(accept(journal).prompt, Content(500, "word " * 500)))
            sizes.append(path.stat().st_size + path.with_name(f"{path.name}-wal").stat().st_size)
    assert max(sizes[1000:]) <= max(sizes[:1000])


# --- speed ----------------------------------------------------------------------------------


def test_a_commit_holds_the_node_up_for_a_moment_only(path):
    """The node's loop waits for it: about half a millisecond, far below a heartbeat."""
    durations = []
    with closing(Journal.open(path)) as journal:
        for _ in range(200):
            record = asked(journal.next_prompt())
            began_s = time.perf_counter()
            journal.persist(record)
            durations.append(time.perf_counter() - began_s)
    assert sorted(durations)[100] < 0.05
