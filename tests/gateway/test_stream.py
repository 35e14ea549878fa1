"""A stream byte by byte: its order, its silence, its ends."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from dmoa.errors import EngineError
from dmoa.live.door import Ended, LayerJoined, Token
from tests.gateway.conftest import DEADLINE_S, OpenDoor, Opens, until
from tests.gateway.fake_door import ANSWER, FakeDoor, Pause, full_script, proposal

CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Why?"}], "stream": True}


def chunks(text: str) -> list[dict[str, Any]]:
    events = [event for event in text.split("\n\n") if event.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    return [msgspec.json.decode(event.removeprefix("data: ")) for event in events[:-1]]


def content(found: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in found)


def test_role_then_progress_then_answer_then_end(http: httpx.Client) -> None:
    response = http.post(CHAT, json=ASK)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-dmoa-prompt-id"] == "0-1"
    found = chunks(response.text)
    kinds = [
        next(iter(chunk["choices"][0]["delta"]), chunk["choices"][0]["finish_reason"])
        for chunk in found
    ]
    assert kinds == ["role", *["reasoning_content"] * 4, *["content"] * 3, "stop"]
    assert found[0]["dmoa"] == {"id": "0-1", "plan": {"layers": 1, "proposers": 2}}
    assert found[1]["dmoa"]["proposal"]["node"] == "0"
    assert found[4]["dmoa"] == {"joined": 1}
    assert found[-1]["dmoa"]["layers"][0]["proposals"][1]["cut"]
    assert len({chunk["id"] for chunk in found}) == 1


def test_an_answer_without_pieces_comes_whole(http: httpx.Client, place: OpenDoor) -> None:
    place.door.events = [Ended(state="answered", answer=ANSWER)]
    assert content(chunks(http.post(CHAT, json=ASK).text)) == ANSWER


def test_what_was_not_streamed_comes_at_the_end(http: httpx.Client, place: OpenDoor) -> None:
    place.door.events = [Token(text=" [scripted]"), Ended(state="answered", answer=ANSWER)]
    assert content(chunks(http.post(CHAT, json=ASK).text)).strip() == ANSWER


def test_an_answer_that_began_again_is_an_error_that_says_where_it_is(
    http: httpx.Client, place: OpenDoor
) -> None:
    place.door.events = [Token(text="[scripted] No"), Ended(state="answered", answer=ANSWER)]
    error = chunks(http.post(CHAT, json=ASK).text)[-1]["error"]
    assert error["code"] == "answer_replaced"
    assert "/v1/dmoa/prompts/0-1" in error["message"]


def test_an_engine_that_fails_while_it_is_followed(
    http: httpx.Client, place: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(_: str) -> AsyncIterator[Token]:
        yield Token(text="[scripted] Be")
        raise EngineError("out of memory")

    monkeypatch.setattr(place.door, "watch", watch)
    assert chunks(http.post(CHAT, json=ASK).text)[-1]["error"]["message"] == "out of memory"


def test_two_layers_tell_which_one_begins(http: httpx.Client, place: OpenDoor) -> None:
    place.door.layers = 2
    place.door.events = [
        LayerJoined(layer=1, layers=2),
        proposal("1", layer=2, model=""),
        LayerJoined(layer=2, layers=2),
        Ended(state="answered", answer=ANSWER),
    ]
    found = chunks(http.post(CHAT, json=ASK).text)
    lines = [chunk["choices"][0]["delta"].get("reasoning_content") for chunk in found]
    assert [line for line in lines if line] == [
        "Layer 1 of 2 has its responses; layer 2 begins.\n",
        "Layer 2 of 2: node 1 proposed 5 tokens in 1.2 s.\n",
        "Layer 2 of 2 has its responses; they are aggregated.\n",
    ]


def test_a_silent_stream_is_kept_alive(opens: Opens) -> None:
    door, pause = FakeDoor(), Pause()
    door.events = [pause, *full_script()]
    place = opens(door, keep_alive_s=0.02)
    with httpx.stream("POST", f"{place.url}{CHAT}", json=ASK, timeout=DEADLINE_S) as response:
        text = ""
        for piece in response.iter_text():
            text += piece
            if text.count(": waiting\n") == 3:
                place.release(pause)
    assert text.count(": waiting\n") >= 3
    assert content(chunks(text)) == ANSWER


def test_when_the_client_goes_nothing_is_followed_any_more(opens: Opens) -> None:
    door = FakeDoor()
    door.events = [proposal("1"), Pause()]
    place = opens(door)
    with httpx.stream("POST", f"{place.url}{CHAT}", json=ASK, timeout=DEADLINE_S) as response:
        coming = response.iter_bytes()
        next(coming)
        until(lambda: door.following == 1)
    until(lambda: door.following == 0)
    assert len(door.asked) == 1  # it was accepted, and goes on


def test_a_client_that_takes_nothing_is_let_go(opens: Opens) -> None:
    door = FakeDoor()
    door.events = [Token(text="[scripted] " + "x" * 100_000)] * 500
    place = opens(door, send_timeout_s=0.1)
    body = msgspec.json.encode(ASK)
    with socket.create_connection((place.server.host, place.server.port), DEADLINE_S) as line:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body)
        until(lambda: door.following == 1)
        until(lambda: door.following == 0)


def test_no_character_of_an_answer_tears_an_event(http: httpx.Client, place: OpenDoor) -> None:
    text = "[scripted] a\u2028b\u2029c\x85d\r\n\x0be\x1cf"
    place.door.events = [Token(text=text), Ended(state="answered", answer=text)]
    body = http.post(CHAT, json=ASK).text
    assert len(body.splitlines()) == body.count("\n")
    assert content(chunks(body)) == text
