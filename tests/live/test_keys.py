"""Secret keys stay secret, and a key file that is wrong says how."""

from __future__ import annotations

import os
import stat

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.keys import KeyPair, is_key, make_keys, read_secret, write_secret


@pytest.fixture
def keys():
    return make_keys()


def test_a_pair_comes_back_from_its_file(tmp_path, keys):
    path = tmp_path / "secret.key"
    write_secret(path, keys)
    assert read_secret(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_is_private_under_any_umask(tmp_path, keys):
    before = os.umask(0)
    try:
        write_secret(tmp_path / "secret.key", keys)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_every_pair_is_another(keys):
    assert make_keys() != keys
    assert is_key(keys.public)
    assert is_key(keys.secret)


def test_a_pair_does_not_show_its_secret(keys):
    assert keys.secret not in repr(keys)
    assert keys.secret not in f"{keys}"
    assert keys.public in repr(keys)


@pytest.mark.parametrize("text", ["", "x" * 39, "x" * 41, "#" * 40, " " * 40, "ä" * 40, 7, None])
def test_what_is_no_key_is_told(text):
    assert not is_key(text)


def test_an_existing_file_is_never_overwritten(tmp_path, keys):
    path = tmp_path / "secret.key"
    path.write_text("precious")
    with pytest.raises(ScenarioError, match="never overwritten"):
        write_secret(path, keys)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_told(tmp_path, keys):
    with pytest.raises(ScenarioError, match="cannot be written"):
        write_secret(tmp_path / "nowhere" / "secret.key", keys)


def test_a_missing_file_is_told_with_the_command_that_helps(tmp_path):
    with pytest.raises(ScenarioError, match=r"missing.*dmoa keys"):
        read_secret(tmp_path / "secret.key")


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_secret(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_can_use_is_refused_with_the_command_that_helps(tmp_path, keys, mode):
    path = tmp_path / "secret.key"
    write_secret(path, keys)
    path.chmod(mode)
    with pytest.raises(ScenarioError) as caught:
        read_secret(path)
    assert f"chmod 600 {path}" in str(caught.value)


def malformed(keys: KeyPair) -> dict[str, bytes]:
    other = make_keys().public
    return {
        "empty": b"",
        "not TOML": b"public_key = ",
        "not UTF-8": b"\xff\xfe",
        "no secret": f'public_key = "{keys.public}"'.encode(),
        "short": f'public_key = "{keys.public}"\nsecret_key = "{keys.secret[:-1]}"'.encode(),
        "a number": f'public_key = "{keys.public}"\nsecret_key = 7'.encode(),
        "of two pairs": f'public_key = "{other}"\nsecret_key = "{keys.secret}"'.encode(),
        "endless": b"#" * 10_000,
    }


@pytest.mark.parametrize("kind", malformed(KeyPair("", "")))
def test_a_malformed_file_is_refused_and_not_quoted(tmp_path, keys, kind):
    path = tmp_path / "secret.key"
    path.write_bytes(malformed(keys)[kind])
    path.chmod(0o600)
    with pytest.raises(ScenarioError) as caught:
        read_secret(path)
    assert keys.secret[:-1] not in str(caught.value)
    assert str(path) in str(caught.value)
