"""`dmoa doctor`: a line and a remedy for everything, and an exit code for scripts."""

from __future__ import annotations

import json

import pytest

from dmoa.live import doctor
from dmoa.live.doctor import Finding
from tests.cli.conftest import Run

GOOD = Finding(check="Python", state="ok", found="3.11.7")
ODD = Finding(check="clock", state="warn", found="not kept", remedy="sudo timedatectl set-ntp true")
BAD = Finding(check="llama.cpp", state="missing", found="none", remedy="pip install 'dmoa[llama]'")


def pretend(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: list(findings))


def test_a_machine_that_is_well(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, GOOD, ODD)
    result = dmoa("doctor")
    assert result.exit_code == 0
    assert "ok      Python  3.11.7" in result.stdout
    assert "sudo timedatectl set-ntp true" in result.stdout
    assert "A live cluster can run here." in result.stdout


def test_what_is_missing_comes_with_its_command(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, GOOD, BAD)
    result = dmoa("doctor")
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    place = next(number for number, line in enumerate(lines) if line.startswith("missing"))
    assert lines[place + 1] == "pip install 'dmoa[llama]'"
    assert "cannot run here yet" in result.stdout


def test_the_same_as_json(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, GOOD, BAD)
    result = dmoa("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "ready": False,
        "checks": [
            {"check": "Python", "state": "ok", "found": "3.11.7", "remedy": ""},
            {
                "check": "llama.cpp",
                "state": "missing",
                "found": "none",
                "remedy": "pip install 'dmoa[llama]'",
            },
        ],
    }


def test_it_looks_at_this_machine(dmoa: Run) -> None:
    result = dmoa("doctor", "--json")
    checks = {check["check"]: check["state"] for check in json.loads(result.stdout)["checks"]}
    assert checks["Python"] == checks["ZeroMQ"] == checks["HTTP"] == "ok"
