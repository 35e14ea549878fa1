"""Who may come in: keys, and without keys this machine alone."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from dmoa.errors import ScenarioError
from dmoa.gateway.auth import read_keys
from tests.gateway.conftest import OpenDoor, Opens

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
PATHS = ["/ready", "/v1/models", "/v1/dmoa/status", "/v1/dmoa/prompts/0-1", "/nowhere"]


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "keys"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def test_keys_stand_one_on_a_line(tmp_path: Path) -> None:
    file = key_file(tmp_path, f"# ours\n{KEY}\n\n  {OTHER}  # a friend's\n")
    assert read_keys(file) == (KEY, OTHER)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, KEY, mode)
    with pytest.raises(ScenarioError, match=f"chmod 600 {file}"):
        read_keys(file)


@pytest.mark.parametrize("text", ["", "# none\n", "short\n", "with space in between\n", "ä" * 20])
def test_a_file_without_good_keys_is_refused_and_shows_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        read_keys(key_file(tmp_path, text))
    assert "short" not in str(raised.value)


def test_a_missing_key_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        read_keys(tmp_path / "keys")


@pytest.mark.parametrize("path", PATHS)
def test_everything_but_health_needs_a_key(opens: Opens, path: str) -> None:
    url = opens(keys=(KEY, OTHER)).url
    for headers in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}):
        response = httpx.get(url + path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["type"] == "authentication_error"
    for key in (KEY, OTHER):
        response = httpx.get(url + path, headers={"Authorization": f"bearer {key}"})
        assert response.status_code in {200, 404}
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_key_of_any_bytes_is_only_wrong(opens: Opens) -> None:
    url = opens(keys=(KEY,)).url
    response = httpx.get(f"{url}/ready", headers={b"Authorization": b"Bearer \xff\xfe"})
    assert response.status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.0.2.7", "", "[", "[::"])
def test_without_keys_another_host_is_refused(place: OpenDoor, host: str) -> None:
    response = httpx.get(f"{place.url}/v1/models", headers={"Host": host})
    assert response.status_code in {400, 403}


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8401"])
def test_without_keys_this_machine_may_ask_by_any_of_its_names(place: OpenDoor, host: str) -> None:
    assert httpx.get(f"{place.url}/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_without_keys_pages_of_others_may_not_ask(place: OpenDoor, origin: str) -> None:
    response = httpx.post(f"{place.url}/v1/chat/completions", headers={"Origin": origin})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "foreign_origin"


def test_its_own_pages_may_ask(place: OpenDoor) -> None:
    headers = {"Origin": place.url}
    assert httpx.get(f"{place.url}/v1/models", headers=headers).status_code == 200
