"""The promise of the journal: what was accepted survives, and ends exactly once."""

import errno
import fcntl
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.core import Answer, Content, Expire, Fail, Options, PromptArrived, Turn, layered
from dmoa.errors import InvariantError, ScenarioError
from dmoa.live import journal_file
from dmoa.live.journal import Entry, Journal, Outcome
from tests.live import accepting

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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


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


# --- crashes --------------------------------------------------------------------------------


def killed_after(path, prompts):
    """Let a process accept prompts, kill it; give its incarnation and what it printed till then."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.live.accepting", str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while sum(line.startswith("accepted") for line in lines) < prompts:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    said = [(line.split()[0], int(line.split()[1])) for line in lines if line.endswith("\n")]
    return [[number for word, number in said if word == sought] for sought in accepting.WORDS]


def test_what_was_printed_as_durable_is_there_after_kill_9(path):
    accepted: list[int] = []
    answered: list[int] = []
    for incarnation in range(1, ROUNDS + 1):
        opened, taken_up, more_accepted, more_answered = killed_after(path, 40)
        assert opened == [incarnation]
        # An answer may have been written whose printing the kill cut off.
        assert len(set(accepted) - set(answered) - set(taken_up)) < incarnation
        accepted += more_accepted
        answered += more_answered
    assert len(set(accepted)) == len(accepted) >= 40 * ROUNDS
    with closing(Journal.open(path)) as journal:
        for number in accepted:
            assert found(journal, number).arrival.content.text == f"question {number}"
        for number in answered:
            assert found(journal, number).content == Content(2, f"answer {number}")
        counts, unfinished = journal.counts(), journal.unfinished()
    assert counts["accepted"] - counts["answered"] == len(unfinished)


def written(folder, *, checkpoint_pages):
    """Write prompts and their ends; after each record the files as they stand and what is known."""
    path = folder / "journal.sqlite"
    log = folder / "journal.sqlite-wal"
    moments = []
    with closing(Journal.open(path, clock=Clock())) as journal:
        journal._database.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")

        def note():
            moments.append((path.read_bytes(), log.read_bytes(), state_of(journal, range(9))))

        note()
        for number in range(9):
            accept(journal, text="word " * 300)
            note()
            if number % 3:
                journal.persist(ENDS[number % 2](number))
                note()
    return moments


def recovered(data, log):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "journal.sqlite"
        path.write_bytes(data)
        path.with_name("journal.sqlite-wal").write_bytes(log)
        with closing(Journal.open(path, clock=Clock())) as journal:
            return state_of(journal, range(9))


@cache
def moments_without_checkpoint():
    with tempfile.TemporaryDirectory() as name:
        return written(Path(name), checkpoint_pages=1_000_000)


@given(data=st.data())
def test_a_power_cut_anywhere_in_the_log_keeps_what_was_durable(data):
    """The log holds what was synced up to the cut, and then nothing or anything."""
    moments = moments_without_checkpoint()
    last = moments[-1]
    cut = data.draw(st.integers(len(moments[0][1]), len(last[1])))
    torn = data.draw(st.sampled_from([b"", b"\0" * 5000, bytes(range(256)) * 20]))
    durable = [state for _, log, state in moments if len(log) <= cut]
    assert recovered(last[0], last[1][:cut] + torn) == durable[-1]


def test_the_files_of_any_moment_hold_all_that_was_durable(tmp_path):
    """Also while the log is copied into the file, which happens every other record here."""
    moments = written(tmp_path, checkpoint_pages=8)
    assert len({data for data, _, _ in moments}) > 3
    for data, log, state in moments:
        assert recovered(data, log) == state


def test_a_start_that_was_killed_while_it_made_the_file_is_no_obstacle(path):
    path.with_name("journal.sqlite.new").write_bytes(b"half a page")
    path.with_name("journal.sqlite.new-journal").write_bytes(b"of it")
    with closing(Journal.open(path)) as journal:
        assert journal.incarnation == 1
    assert {file.name for file in path.parent.iterdir()} == {
        "journal.sqlite",
        "journal.sqlite.lock",
    }


# --- one owner ------------------------------------------------------------------------------


def test_a_second_process_is_told_who_has_it(path, monkeypatch):
    monkeypatch.setattr(journal_file, "OWNER_WAIT_S", 0.1)
    with closing(Journal.open(path)) as journal:
        assert f"is in use by another node process (process {os.getpid()})" in refused(path)
        assert accept(journal)
    with closing(Journal.open(path)):
        pass


def test_a_predecessor_that_is_just_ending_is_waited_for(path):
    script = (
        "import sys, pathlib\nfrom dmoa.live.journal import Journal\n"
        "journal = Journal.open(pathlib.Path(sys.argv[1]))\nprint('open', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.kill()
        with closing(Journal.open(path)) as journal:  # not reaped yet, perhaps not dead yet
            assert journal.incarnation == 2


def test_another_program_that_looks_in_is_kept_out(path):
    with (
        closing(Journal.open(path)),
        closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("SELECT * FROM prompt")


def test_another_program_in_the_file_is_named_as_the_cause(path, monkeypatch):
    monkeypatch.setattr(journal_file, "OWNER_WAIT_S", 0.1)
    Journal.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE tally SET value = 0")
        assert "by another program; close that program first" in refused(path)


# --- disks ----------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_nothing_of_the_record_stays(path):
    with closing(Journal.open(path)) as journal:
        first = accept(journal)
        pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
        journal._database.execute(f"PRAGMA max_page_count = {pages}")
        number = journal.next_prompt()
        with pytest.raises(ScenarioError, match="the disk is full; free some space") as caught:
            journal.persist(asked(number, "word " * 10_000), idempotency_key="k")
        assert caught.value.path == str(path)
        assert (journal.find(number), journal.prompt_of_key("k")) == (None, None)
        assert journal.counts()["accepted"] == 1
        journal._database.execute("PRAGMA max_page_count = 1000000")
        assert journal.persist(asked(number, "word " * 10_000), idempotency_key="k")
    with closing(Journal.open(path)) as journal:
        assert [record.prompt for record in journal.unfinished()] == [first.prompt, number]


SCRIPT = """
import resource, sys
from pathlib import Path
from dmoa.core import Content, PromptArrived
from dmoa.errors import ScenarioError
from dmoa.live.journal import Journal

before = resource.getrlimit(resource.RLIMIT_FSIZE)
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), before[1]))
    journal = Journal.open(Path(sys.argv[1]))
    while True:
        number = journal.next_prompt()
        journal.persist(PromptArrived(number, Content(500, "word " * 500)))
        print(number, flush=True)
except ScenarioError as error:
    print(error, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def filled(path, limit_bytes):
    """Accept prompts where no file may get larger than that; give them, and what was said."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(limit_bytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in result.stdout.split()], result.stderr


def test_a_disk_that_takes_no_more_bytes_loses_nothing_that_was_accepted(path):
    accepted, said = filled(path, 300_000)
    assert said.startswith(f"{path}: cannot be ")
    assert len(accepted) > 10
    with closing(Journal.open(path)) as journal:
        unfinished = [record.prompt for record in journal.unfinished()]
    assert unfinished[: len(accepted)] == accepted
    assert len(unfinished) <= len(accepted) + 1


def test_a_disk_without_room_for_a_new_journal_gets_none(path):
    accepted, said = filled(path, 3000)
    assert said.startswith(f"{path}: cannot be ")
    assert accepted == []
    assert not path.exists()
    with closing(Journal.open(path)) as journal:
        assert journal.incarnation == 1


def test_a_disk_that_knows_no_locks_is_named(path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert "cannot be locked (No locks available); give a folder on a disk" in refused(path)


def test_a_journal_that_turns_read_only_says_so(path):
    with closing(Journal.open(path)) as journal:
        journal._database.execute("PRAGMA query_only = 1")
        with pytest.raises(ScenarioError, match="read-only; make both writable"):
            accept(journal)


def test_a_disk_that_fails_is_named(path):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert "cannot be read or written (disk I/O error)" in str(journal_file.failure(path, error))


@contextmanager
def ordinary_user():
    """Be somebody whom the rights of files bind, for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def own_folder():
    """Give a folder that an ordinary user can reach and write in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)


def test_a_read_only_folder_is_refused(own_folder):
    own_folder.chmod(0o555)
    with ordinary_user():
        text = refused(own_folder / "journal.sqlite")
    assert "cannot be opened for writing (Permission denied); give a folder in which" in text


def test_a_read_only_file_is_refused_and_nothing_is_lost(own_folder):
    path = own_folder / "journal.sqlite"
    with ordinary_user():
        with closing(Journal.open(path)) as journal:
            accept(journal)
        path.chmod(0o400)
        assert "cannot be opened for writing (Permission denied)" in refused(path)
        path.chmod(0o600)
        with closing(Journal.open(path)) as journal:
            assert len(journal.unfinished()) == 1


def test_a_journal_that_is_closed_is_not_used(path):
    journal = Journal.open(path)
    journal.close()
    with pytest.raises(InvariantError, match="closed"):
        journal.counts()


def test_only_its_user_may_read_it(path):
    with closing(Journal.open(path)) as journal:
        accept(journal)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert f"{path.name}-wal" in modes


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("x")
    assert "Not a directory" in refused(tmp_path / "note.txt" / "journal.sqlite")
    assert "No such file or directory" in refused(tmp_path / "missing" / "journal.sqlite")


def test_a_folder_in_its_place_is_refused(path):
    path.mkdir()
    assert "Is a directory" in refused(path)


# --- damage ---------------------------------------------------------------------------------


def changed(path, statement):
    Journal.open(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is damaged (it is empty)"),
        (b"not a database, whatever its name says" * 200, "is damaged (file is not a database)"),
    ],
)
def test_a_file_that_is_no_database_is_refused_and_kept(path, content, text):
    path.write_bytes(content)
    assert text in refused(path)
    assert path.read_bytes() == content


def test_a_missing_file_beside_its_log_is_not_taken_for_a_new_start(path):
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(b"what is left")
    assert "missing beside its own log" in refused(path)
    assert log.read_bytes() == b"what is left"


def test_another_database_is_refused(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (x)")
    before = path.read_bytes()
    assert "is an SQLite file, but no journal of dmoa" in refused(path)
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused_and_kept(path):
    changed(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    assert "is of version 2; this dmoa writes and reads version 1" in refused(path)
    assert path.read_bytes() == before


def test_a_damaged_index_is_found_before_a_prompt_is_overlooked(path):
    with closing(Journal.open(path)) as journal:
        accept(journal)
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'unfinished'")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (empty,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ended'")
    data = path.read_bytes()
    pages = [data[start : start + size] for start in range(0, len(data), size)]
    pages[page[0] - 1] = pages[empty[0] - 1]
    path.write_bytes(b"".join(pages))
    assert "is damaged (row 1 missing from index unfinished)" in refused(path)


def test_a_lost_tally_is_damage(path):
    changed(path, "DELETE FROM tally WHERE name = 'reserved'")
    assert "it has lost count of reserved" in refused(path)


@pytest.mark.parametrize("record", [b"\xc1", msgpack.packb(["prompt", 0]), b"\x93\xa6prompt\x00"])
def test_a_record_that_cannot_be_read_is_named(path, record):
    with closing(Journal.open(path)) as journal:
        accept(journal)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE prompt SET arrival = ?", (record,))
        database.commit()
    with closing(Journal.open(path)) as journal:
        with pytest.raises(ScenarioError, match=r"is damaged \(prompt 0 cannot be read"):
            journal.unfinished()
        with pytest.raises(ScenarioError, match=r"is damaged \(prompt 0 cannot be read"):
            journal.find(0)


def test_records_are_plain_messagepack(path):
    with closing(Journal.open(path)) as journal:
        accept(journal)
        journal.persist(Answer(0, Content(4, "so")))
    with closing(sqlite3.connect(path)) as database:
        arrival, outcome = database.execute("SELECT arrival, outcome FROM prompt").fetchone()
    assert msgpack.unpackb(arrival)[:3] == ["prompt", 0, [3, "why so?", False]]
    assert msgpack.unpackb(outcome) == ["answer", 0, [4, "so", False]]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE prompt SET attempt = 'many'", "Expected `int`, got `str`"),
        ("UPDATE prompt SET zero_s = 'soon'", "Expected `float`, got `str`"),
        ("UPDATE prompt SET arrival = 7", "Expected `bytes`, got `int`"),
        ("UPDATE prompt SET attempt = CAST(x'ff' AS TEXT)", "is damaged (Could not decode"),
    ],
)
def test_a_value_of_another_kind_is_damage(path, statement, text):
    with closing(Journal.open(path)) as journal:
        accept(journal)
    changed(path, statement)
    with closing(Journal.open(path)) as journal:
        with pytest.raises(ScenarioError) as caught:
            journal.unfinished()
        assert text in str(caught.value)
        assert journal.counts()["accepted"] == 1


@cache
def whole():
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "journal.sqlite"
        with closing(Journal.open(path, clock=Clock())) as journal:
            for number in range(20):
                accept(journal, text="word " * 50)
                journal.persist(ENDS[number % 3](number))
        return path.read_bytes()


@given(place=st.floats(0, 1), length=st.sampled_from([1, 16, 512, 4096]), seed=st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused_but_never_crashes_the_node(place, length, seed):
    data = whole()
    position = int(place * (len(data) - 1))
    noise = hashlib.shake_128(bytes([seed])).digest(length)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "journal.sqlite"
        path.write_bytes((data[:position] + noise + data[position + length :])[: len(data)])
        # Anything but a ScenarioError, or an error from closing, would fail this test.
        with suppress(ScenarioError), closing(Journal.open(path, clock=Clock())) as journal:
            state_of(journal, range(20))
            journal.unfinished()
            journal.persist(asked(journal.next_prompt()))


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
