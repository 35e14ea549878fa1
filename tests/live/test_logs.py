"""Logs have one form, a limit, and an end that can be followed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.live import logs
from dmoa.live.tails import LINE_CHARACTERS_MAX, Follower, last_lines, merged


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Give the loggers of the test run back as they were."""
    root, ours = logging.getLogger(), logging.getLogger("dmoa")
    before = list(root.handlers), root.level, ours.level
    # What `configure` replaces it also closes; those of the test run are kept out of its way.
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def fail() -> None:
    raise ValueError("what a peer sent\n2026-01-01T00:00:00.000Z INFO forged")


def test_plain_lines_hold_time_level_logger_and_what_was_given(tmp_path: Path) -> None:
    logs.configure(file=tmp_path / "node.log")
    logging.getLogger("dmoa.live.x").info("refused %s", "a key", extra={"peer": "2"})
    (line,) = last_lines(tmp_path / "node.log", 9)
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == "INFO dmoa.live.x: refused a key peer=2"


def test_json_lines_can_be_read_and_name_the_node(tmp_path: Path) -> None:
    logs.configure(form="json", node="3", file=tmp_path / "node.log")
    log = logging.getLogger("dmoa.x")
    log.warning("odd", extra={"peer": Path("2")})
    try:
        fail()
    except ValueError:
        log.exception("failed")
    first, second = (json.loads(line) for line in last_lines(tmp_path / "node.log", 9))
    del first["time"]
    assert first == {
        "level": "warning",
        "logger": "dmoa.x",
        "node": "3",
        "message": "odd",
        "peer": "2",
    }
    assert "in fail" in second["exception"]


def test_nobody_can_forge_a_line(tmp_path: Path) -> None:
    logs.configure(file=tmp_path / "node.log")
    log = logging.getLogger("dmoa.x")
    log.info("a\n2026-01-01T00:00:00.000Z INFO forged \x1b[2J")
    try:
        fail()
    except ValueError:
        log.exception("failed", stack_info=True)
    lines = last_lines(tmp_path / "node.log", 99)
    assert lines[0].endswith(r"a\n2026-01-01T00:00:00.000Z INFO forged \x1b[2J")
    assert [line for line in lines[2:] if not line.startswith("  ")] == []


def test_other_packages_are_heard_from_warnings_on(tmp_path: Path) -> None:
    logs.configure(file=tmp_path / "node.log", level="debug")
    logging.getLogger("httpx").info("GET")
    logging.getLogger("httpx").warning("slow")
    logging.getLogger("dmoa.x").debug("fine")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    text = "\n".join(last_lines(tmp_path / "node.log", 99))
    assert "GET" not in text
    assert "WARNING httpx: slow" in text
    assert "DEBUG dmoa.x: fine" in text
    assert "DeprecationWarning: old" in text


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    logs.configure(file=tmp_path / "node.log")
    logging.getLogger("dmoa").info("x" * 100_000)
    (line,) = last_lines(tmp_path / "node.log", 9)
    assert line.endswith("x… (100000 characters)")
    assert len(line) < logs.MESSAGE_CHARACTERS_MAX + 100


def test_configuring_again_leaves_one_handler(tmp_path: Path) -> None:
    logs.configure(file=tmp_path / "a.log")
    handler = logs.configure()
    assert logging.getLogger().handlers == [handler]


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(ScenarioError, match=r"log cannot be written.*; make its folder"):
        logs.configure(file=tmp_path / "file" / "node.log")


PRINTING = """
import logging, os, sys
from pathlib import Path
from dmoa.live import logs
path = Path(sys.argv[1])
logs.configure(file=path, part_bytes=2000, parts_kept=2)
log = logging.getLogger("dmoa.x")
for number in range(200):
    log.info("line %d", number)
    os.write(2, b"a library prints %d\\n" % number)
"""


def test_a_log_and_what_is_printed_stay_within_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    with path.open("ab") as stream:
        subprocess.run([sys.executable, "-c", PRINTING, path], stderr=stream, check=True)
    parts = sorted(file.name for file in tmp_path.iterdir())
    assert parts == ["node.log", "node.log.1", "node.log.2"]
    assert all(file.stat().st_size < 2300 for file in tmp_path.iterdir())
    # What is printed goes into the newest part too, so both ends are there, in order.
    first, second = last_lines(path, 2)
    assert first.endswith("line 199")
    assert second == "a library prints 199"


# --- the end of a log -----------------------------------------------------------------------


def test_last_lines_of_small_large_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_lines(path, 5) == []
    path.write_bytes(b"")
    assert last_lines(path, 5) == []
    path.write_bytes(b"a\nb\nc")
    assert last_lines(path, 2) == ["b", "c"]
    assert last_lines(path, 0) == []
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(100_000)))
    assert last_lines(path, 1) == ["0099999"]
    assert last_lines(path, 50_000)[0] == "0050000"


def test_last_lines_go_back_into_the_part_before(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("a\nb\n", encoding="ascii")
    (tmp_path / "log").write_text("c\n", encoding="ascii")
    assert last_lines(tmp_path / "log", 2) == ["b", "c"]


def test_bytes_that_are_no_text_and_long_lines_are_shown(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\n" + b"y" * (LINE_CHARACTERS_MAX + 5) + b"\n")
    first, second = last_lines(tmp_path / "log", 5)
    assert first == "\N{REPLACEMENT CHARACTER}"
    assert second.endswith(f"y… ({LINE_CHARACTERS_MAX + 5} characters)")


def test_a_follower_gives_whole_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n", encoding="ascii")
    follower = Follower(path)
    with path.open("a", encoding="ascii") as file:
        file.write("one\ntw")
        file.flush()
        assert follower.lines() == ["one"]
        file.write("o\n")
        file.flush()
        assert follower.lines() == ["two"]
    assert follower.lines() == []
    follower.close()


def test_a_follower_moves_on_with_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    follower = Follower(path)
    assert follower.lines() == []
    path.write_text("one\n", encoding="ascii")
    assert follower.lines() == ["one"]
    with path.open("a", encoding="ascii") as file:
        file.write("two\n")
    path.rename(tmp_path / "log.1")
    assert follower.lines() == ["two"]
    path.write_text("three\n", encoding="ascii")
    assert follower.lines() == ["three"]
    path.write_text("4\n", encoding="ascii")
    assert follower.lines() == ["4"]
    follower.close()


def test_a_line_without_an_end_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    follower = Follower(path)
    path.write_bytes(b"z" * (LINE_CHARACTERS_MAX + 1))
    (line,) = follower.lines()
    assert line.endswith(f"({LINE_CHARACTERS_MAX + 1} characters)")
    follower.close()


def test_logs_are_merged_by_time_whatever_their_form() -> None:
    plain = ["2026-01-01T00:00:01.000Z INFO a", "  of a traceback", "2026-01-01T00:00:03.000Z b"]
    as_json = ['{"time": "2026-01-01T00:00:02.000Z", "message": "c"}']
    found = merged([("0", plain), ("1", as_json)])
    assert [name for name, _ in found] == ["0", "0", "1", "0"]
