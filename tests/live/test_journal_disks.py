"""The journal on disks that are full, read-only, failing or damaged."""

import errno
import fcntl
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.core import Answer, Content
from dmoa.errors import InvariantError, ScenarioError
from dmoa.live import journal_file
from dmoa.live.journal import Journal
from tests.live.journals import ENDS, NOBODY, Clock, accept, asked, refused, state_of

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
