"""How dmoa ends when something else than the input is the reason."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dmoa import study
from dmoa.cli.failures import exit_code_of
from dmoa.errors import EngineError, InvariantError
from tests.cli.conftest import SHORT, Run


def fail_with(error: BaseException) -> Any:
    def failing(*_: object, **__: object) -> None:
        raise error

    return failing


def test_a_declared_limit_gives_3_and_the_result_until_then(dmoa: Run) -> None:
    arguments = ("simulate", "ring", "--arrival-rate", "2", *SHORT,
                 "--set", "run.queue_length_max=50")  # fmt: skip
    page = dmoa(*arguments)
    assert page.exit_code == 3
    assert "stopped early" in page.stdout
    assert "run.queue_length_max" in page.stdout
    found = dmoa(*arguments, "--json")
    assert found.exit_code == 3
    assert json.loads(found.stdout)["stopped"] is not None


def test_a_bug_gives_70_and_its_story(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = InvariantError("a task was served twice", ("0.1 s: heard Answer", "0.2 s: heard Fail"))
    monkeypatch.setattr(study, "bound", fail_with(bug))
    result = dmoa("bound", "ring")
    assert result.exit_code == 70
    assert result.stdout == ""
    assert "a task was served twice" in result.stderr
    assert "0.2 s: heard Fail" in result.stderr
    assert "report" in result.stderr


def test_another_error_of_dmoa_has_its_own_code(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "bound", fail_with(EngineError("the model timed out")))
    result = dmoa("bound", "ring")
    assert result.exit_code == 1
    assert result.stderr == "error: the model timed out\n"


def test_ctrl_c_gives_130(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "simulate", fail_with(KeyboardInterrupt()))
    result = dmoa("simulate", "ring")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError("no space left on the device")])
def test_output_that_is_lost_gives_1(
    dmoa: Run, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(study, "bound", fail_with(error))
    result = dmoa("bound", "ring")
    assert result.exit_code == 1
    assert result.stderr == (f"error: {error}\n" if str(error) else "")


def test_a_stream_that_cannot_be_reconfigured_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert exit_code_of(lambda: 3) == 3


def test_a_reader_that_went_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        result = subprocess.run(
            [sys.executable, "-m", "dmoa", "topology", "list", "--json"],
            stdout=gone, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_is_no_traceback() -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "dmoa", "presets", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_real_process_ends_with_the_code_and_a_clean_output() -> None:
    command = [sys.executable, "-m", "dmoa", "simulate", "ring", *SHORT, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["engine"] == "simpy"
    command[-1] = "--jsn"
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


def test_a_terminal_without_greek_letters_gets_replacements() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dmoa", "bound", "ring"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0
    assert b"critical rate ?*" in result.stdout
