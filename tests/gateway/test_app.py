"""The paths of a door, over real HTTP."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from dmoa.errors import EngineError, InvariantError, ScenarioError
from dmoa.live.door import Ended, Refused
from tests.gateway.conftest import DEADLINE_S, OpenDoor, Opens, until
from tests.gateway.fake_door import ANSWER, FakeDoor, Pause, full_script, queue_full

WHY = {"messages": [{"role": "user", "content": "Why?"}]}
CHAT = "/v1/chat/completions"
#: Of a request whose body is 9 bytes long.
HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode()


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_an_answer_names_its_prompt(http: httpx.Client) -> None:
    response = http.post(CHAT, json=WHY)
    assert response.status_code == 200
    assert response.headers["x-dmoa-prompt-id"] == "0-1"
    body = response.json()
    assert (body["object"], body["model"]) == ("chat.completion", "dmoa")
    assert body["choices"][0]["message"]["content"] == ANSWER
    assert "answer" not in body["dmoa"]


def test_what_was_ignored_is_said(http: httpx.Client) -> None:
    assert http.post(CHAT, json={**WHY, "user": "me"}).json()["dmoa"]["ignored"] == ["user"]


def test_a_cut_answer_says_length(http: httpx.Client, place: OpenDoor) -> None:
    place.door.events = [Ended(state="answered", answer="[scripted] Be", cut=True)]
    assert http.post(CHAT, json=WHY).json()["choices"][0]["finish_reason"] == "length"


def test_a_prompt_that_is_forgotten_still_has_its_answer(
    http: httpx.Client, place: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.door, "find", lambda _: None)
    body = http.post(CHAT, json=WHY).json()
    assert body["choices"][0]["message"]["content"] == ANSWER
    assert body["dmoa"] == {"id": "0-1", "layers": [], "aggregation": None}


def test_the_same_idempotency_key_is_the_same_prompt(http: httpx.Client, place: OpenDoor) -> None:
    ids = [
        http.post(CHAT, json=WHY, headers={"Idempotency-Key": key}).headers["x-dmoa-prompt-id"]
        for key in ("a", "a", "b")
    ]
    assert ids == ["0-1", "0-1", "0-2"]
    assert len(place.door.asked) == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_bad_idempotency_key(http: httpx.Client, key: str) -> None:
    response = http.post(CHAT, json=WHY, headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert error_of(response)["param"] == "Idempotency-Key"


def test_a_prompt_can_be_looked_up(http: httpx.Client) -> None:
    http.post(CHAT, json=WHY)
    told = http.get("/v1/dmoa/prompts/0-1").json()
    assert (told["id"], told["state"], told["answer"]) == ("0-1", "answered", ANSWER)
    assert [one["node"] for one in told["layers"][0]["proposals"]] == ["0", "1", "3"]
    assert told["sojourn_time_s"] == 4.5
    missing = http.get("/v1/dmoa/prompts/0-99")
    assert missing.status_code == 404
    assert error_of(missing)["code"] == "prompt_not_found"


def test_the_status(http: httpx.Client) -> None:
    told = http.get("/v1/dmoa/status").json()
    assert (told["name"], told["pid"], told["state"]) == ("0", 4711, "ready")
    assert told["prompts"] == {"accepted": 9, "answered": 6, "failed": 1, "expired": 0}


def test_health_and_readiness(http: httpx.Client, place: OpenDoor) -> None:
    assert http.get("/health").json() == {"status": "ok", "node": "0"}
    assert http.get("/ready").status_code == 200
    place.door.not_ready = "the model is still loading"
    assert http.get("/health").status_code == 200
    response = http.get("/ready")
    assert response.status_code == 503
    assert error_of(response)["message"] == "node 0 is not ready: the model is still loading"


def test_a_node_whose_engine_hangs_is_not_ready(opens: Opens) -> None:
    door = FakeDoor()
    door.not_ready = "hangs"
    response = httpx.get(f"{opens(door, ready_timeout_s=0.05).url}/ready")
    assert response.status_code == 503
    assert "did not answer within 0.05 s" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("DELETE", "/v1/models", 405), ("GET", "/v2", 404), ("GET", "/", 404),
     ("GET", "/v1/models/gpt-4", 404), ("GET", f"/v1/models/{'x' * 5000}", 404)],
)  # fmt: skip
def test_unknown_paths_and_methods(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert len(error_of(response)["message"]) < 400


@pytest.mark.parametrize(
    ("refusal", "state", "status", "code"),
    [
        (queue_full(), "ready", 429, "queue_full"),
        (Refused("the node leaves", queue_length=0, retry_after_s=9), "draining", 503, "not_ready"),
        (Refused("the disk is full", queue_length=0, retry_after_s=9), "ready", 503, "not_ready"),
        (ScenarioError("too long", path="messages", given=9), "ready", 400, "bad_request"),
        (ScenarioError("cannot be written", path="/x/journal.sqlite"), "ready", 503, "unavailable"),
        (EngineError("the model cannot be asked"), "ready", 503, "unavailable"),
        (InvariantError("a lost task", ("a", "b")), "ready", 500, "bug"),
    ],
)
def test_what_the_node_does_not_accept(
    http: httpx.Client, place: OpenDoor, refusal: Exception, state: str, status: int, code: str
) -> None:
    place.door.refusal, place.door.state = refusal, state
    for stream in (False, True):
        response = http.post(CHAT, json={**WHY, "stream": stream})
        assert response.status_code == status
        assert error_of(response)["code"] == code
        assert ("retry-after" in response.headers) == (status in {429, 503})
        assert "Traceback" not in response.text


@pytest.mark.parametrize(("state", "status"), [("failed", 502), ("expired", 504)])
def test_a_prompt_that_ended_badly(
    http: httpx.Client, place: OpenDoor, state: str, status: int
) -> None:
    place.door.events = [Ended(state=state)]  # type: ignore[arg-type] # one of the states
    response = http.post(CHAT, json=WHY)
    assert response.status_code == status
    assert response.headers["x-dmoa-prompt-id"] == "0-1"
    assert response.headers["x-should-retry"] == "false"
    assert error_of(response)["message"] == f"prompt 0-1 {state}: no reason was given"


def test_a_bug_is_no_traceback_for_the_client(
    http: httpx.Client, place: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    place.door.refusal = RuntimeError("secret detail")
    response = http.post(CHAT, json=WHY)
    assert response.status_code == 500
    assert error_of(response)["code"] == "bug"
    assert "secret" not in response.text
    until(lambda: "secret detail" in caplog.text)  # it is in the node's log


def test_a_body_that_says_it_is_too_large_is_not_read(opens: Opens) -> None:
    place = opens(body_bytes_max=1000)
    response = httpx.post(f"{place.url}{CHAT}", content=b"x" * 1001)
    assert response.status_code == 413
    assert "1,000 bytes" in error_of(response)["message"]


def test_a_body_that_grows_too_large_is_cut_off(opens: Opens) -> None:
    place = opens(body_bytes_max=1000)

    def pieces() -> Any:
        yield from [b"x" * 600] * 2

    assert httpx.post(f"{place.url}{CHAT}", content=pieces()).status_code == 413


def test_a_body_that_does_not_arrive_is_not_waited_for(opens: Opens) -> None:
    place = opens(body_timeout_s=0.05)
    with socket.create_connection((place.server.host, place.server.port), DEADLINE_S) as line:
        line.sendall(HEAD)
        assert b" 408 " in line.recv(4096)


def test_a_client_that_leaves_in_the_middle_of_its_body(place: OpenDoor) -> None:
    with socket.create_connection((place.server.host, place.server.port), DEADLINE_S) as line:
        line.sendall(HEAD + b"x")
    assert httpx.get(f"{place.url}/health").status_code == 200
    assert place.door.asked == []


def test_more_requests_than_the_limit_are_told_to_wait(opens: Opens) -> None:
    pause = Pause()
    door = FakeDoor()
    door.events = [pause, *full_script()]
    place = opens(door, requests_max=1)
    with httpx.Client(base_url=place.url, timeout=DEADLINE_S) as client:
        with client.stream("POST", CHAT, json={**WHY, "stream": True}) as stream:
            until(lambda: door.following == 1)
            response = client.get("/v1/models")
            assert response.status_code == 503
            assert error_of(response)["code"] == "too_many_requests"
            assert client.get("/health").status_code == 200  # the process still says it lives
            place.release(pause)
            stream.read()
        until(lambda: client.get("/v1/models").status_code == 200)


def test_a_client_that_leaves_is_not_waited_for(opens: Opens) -> None:
    door = FakeDoor()
    door.events = [Pause()]
    place = opens(door)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{place.url}{CHAT}", json=WHY, timeout=httpx.Timeout(DEADLINE_S, read=0.2))
    until(lambda: door.following == 0)
    assert len(door.asked) == 1  # it was accepted, and is not taken back


def test_whoever_waits_when_the_node_stops_is_told_that_the_prompt_goes_on(opens: Opens) -> None:
    door = FakeDoor()
    door.events = [Pause()]
    place = opens(door)
    ask = {**WHY, "stream": True}
    with httpx.stream("POST", place.url + CHAT, json=ask, timeout=DEADLINE_S) as stream:
        until(lambda: door.following == 1)
        place.stop_soon()
        text = stream.read().decode()
    assert '"code":"stopping"' in text
    assert "/v1/dmoa/prompts/0-1" in text
    assert text.endswith("data: [DONE]\n\n")


def test_a_watch_that_ends_without_an_end_is_no_answer(http: httpx.Client, place: OpenDoor) -> None:
    place.door.events = []
    response = http.post(CHAT, json=WHY)
    assert response.status_code == 503
    assert error_of(response)["code"] == "stopping"
