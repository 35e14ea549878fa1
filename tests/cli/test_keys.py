"""`dmoa keys`: public parts are printed, secrets never."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Run


def test_new_keys_are_written_for_their_owner_alone(dmoa: Run, workdir: Path) -> None:
    result = dmoa("keys", "new", "secret.key")
    assert result.exit_code == 0
    file = workdir / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    held = tomllib.loads(file.read_text())
    # What is printed can be put into the cluster file as it is.
    assert tomllib.loads(result.stdout) == {"public_key": held["public_key"]}
    assert held["secret_key"] not in result.output


def test_the_public_key_is_shown(dmoa: Run, answer: Answer, workdir: Path) -> None:
    made = answer("keys", "new", "secret.key")
    assert set(made) == {"file", "public_key"}
    assert answer("keys", "show", "secret.key") == made
    secret = tomllib.loads((workdir / "secret.key").read_text())["secret_key"]
    assert secret not in dmoa("keys", "show", "secret.key").output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["new", "there.key"], "exists already and is never overwritten"),
        (["new", "missing/new.key"], "cannot be written"),
        (["show", "missing.key"], "the secret key file is missing"),
        (["show", "there.key"], "run: chmod 600 there.key"),
        (["show", "no.key"], "this is no key file"),
        (["show"], "Missing argument"),
    ],
)
def test_bad_input_is_refused(dmoa: Run, workdir: Path, arguments: list[str], text: str) -> None:
    (workdir / "there.key").write_text("secret-text")
    (workdir / "there.key").chmod(0o644)
    (workdir / "no.key").write_text("secret-text")
    (workdir / "no.key").chmod(0o600)
    result = dmoa("keys", *arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())
    assert "secret-text" not in result.output
    assert {file.name for file in workdir.iterdir()} == {"there.key", "no.key"}
