"""The journal after kill -9 and power cuts, and with a second process at it."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.core import Content
from dmoa.live import journal_file
from dmoa.live.journal import Journal
from tests.live import accepting
from tests.live.journals import ENDS, ROUNDS, Clock, accept, found, refused, state_of

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
