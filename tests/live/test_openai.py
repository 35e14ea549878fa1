"""The engine openai against a real server on loopback that behaves well, badly, or not at all."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dmoa.core import Options, Turn
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines import make_engine
from dmoa.live.engines.api_keys import ApiKey, read_api_key
from dmoa.live.engines.base import Cancellation, Generation
from dmoa.live.engines.openai import OpenAI
from dmoa.live.engines.spec import EngineSpec
from tests.live.openai_server import (
    Reply,
    Server,
    content,
    event,
    hanging,
    raw,
    serving,
    status,
    text_stream,
    vanishing,
)

SECRET = "sk-very-secret"  # noqa: S105 - of no real server


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server on loopback itself, whatever proxy this machine has."""
    monkeypatch.setenv("NO_PROXY", "*")


def engine_at(url: str, **given: Any) -> OpenAI:
    return OpenAI(url, **{"model": "m", "pause_s": 0.01, "timeout_s": 20.0, **given})


def generate(engine: OpenAI, **options: Any) -> Generation:
    heard: list[str] = []
    made = engine.generate("Why?", Options(**options), heard.append, Cancellation())
    assert "".join(heard) == made.text
    return made


def failure(*replies: Reply, **given: Any) -> tuple[str, Server]:
    with serving(*replies) as server, pytest.raises(EngineError) as failed:
        generate(engine_at(server.url, **given))
    return str(failed.value), server


def test_a_response_and_its_request() -> None:
    with serving(text_stream("Be", "cause é")) as server:
        made = generate(engine_at(server.url + "/"), history=(Turn("system", "Be brief."),))
    assert made == Generation(text="Because é", tokens=22, prompt_tokens=11, finish="stop")
    ((path, headers, body),) = server.requests
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
        ],
        "max_tokens": 256,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_options_are_passed_on() -> None:
    with serving(text_stream("x")) as server:
        engine = engine_at(server.url, api_key=ApiKey(SECRET, "a test"))
        for _ in range(2):
            generate(engine, max_tokens=5, temperature=0.0, top_p=0.9, top_k=3, min_p=0.1,
                     repeat_penalty=1.2, seed=7, stop=("END",))  # fmt: skip
        other = engine_at(server.url, key=1)
        generate(other, seed=7)
    (_, headers, body), (_, _, again), (_, _, elsewhere) = server.requests
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert (body["max_tokens"], body["temperature"], body["stop"]) == (5, 0.0, ["END"])
    assert (body["top_p"], body["top_k"], body["min_p"]) == (0.9, 3, 0.1)
    assert (body["repeat_penalty"], body["repetition_penalty"]) == (1.2, 1.2)
    assert body["seed"] == again["seed"] != elsewhere["seed"]


def test_without_usage_pieces_are_counted_and_the_prompt_estimated() -> None:
    with serving(text_stream("a", "b", finish="length", usage=False)) as server:
        made = generate(engine_at(server.url), history=(Turn("user", "12345678"),))
    assert (made.tokens, made.prompt_tokens, made.finish) == (2, 3, "length")


def test_a_server_that_ignores_stop_strings_is_cut_off_here() -> None:
    with serving(raw(content("one EN") + content("D two"), hang=True)) as server:
        made = generate(engine_at(server.url), stop=("END",))
    assert (made.text, made.finish) == ("one ", "stop")


def test_a_server_that_does_not_stream() -> None:
    whole = {"choices": [{"message": {"content": "All"}, "finish_reason": "length"}],
             "usage": {"prompt_tokens": 3, "completion_tokens": 1}}  # fmt: skip
    with serving(raw(json.dumps(whole).encode(), "application/json; charset=utf-8")) as server:
        made = generate(engine_at(server.url))
    assert made == Generation(text="All", tokens=1, prompt_tokens=3, finish="length")


def test_an_end_without_done_or_without_a_reason_is_an_end() -> None:
    for data in (content("x") + content(None, "stop"), content("x") + b"data: [DONE]"):
        with serving(raw(data)) as server:
            assert generate(engine_at(server.url)).text == "x"


def test_nothing_generated_is_an_empty_text() -> None:
    with serving(text_stream()) as server:
        assert generate(engine_at(server.url)).text == ""


def test_a_missing_or_wrong_key_names_where_it_belongs() -> None:
    denied = status(401, json.dumps({"error": {"message": f"bad key {SECRET}"}}))
    problem, server = failure(denied, api_key=ApiKey(SECRET, "the environment variable MY_KEY"))
    assert "401 (bad key ***)" in problem
    assert "put a valid key into the environment variable MY_KEY" in problem
    assert SECRET not in problem
    assert len(server.requests) == 1
    assert "api_key_env" in failure(status(403))[0]


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    with serving(status(429, "busy", Retry_After="1"), text_stream("x")) as server:
        started = time.monotonic()
        assert generate(engine_at(server.url)).text == "x"
    assert time.monotonic() - started >= 1
    assert len(server.requests) == 2


@pytest.mark.parametrize("after", ["soon", "", "-5", "Mon, 01 Jan 2024 00:00:00 GMT"])
def test_nonsense_and_past_dates_do_not_delay(after: str) -> None:
    with serving(status(429, Retry_After=after), text_stream("x")) as server:
        assert generate(engine_at(server.url)).text == "x"


def test_a_server_that_wants_too_much_patience_is_told_no() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for after in ("3600", later):
        problem, server = failure(status(429, "come back later", Retry_After=after))
        assert "429 (come back later), once" in problem
        assert len(server.requests) == 1


def test_a_failing_server_is_asked_again_then_given_up() -> None:
    with serving(status(500), status(503), vanishing, text_stream("x")) as server:
        assert generate(engine_at(server.url)).text == "x"
    assert len(server.requests) == 4
    problem, server = failure(status(500, "out of memory"))
    assert "status 500 (out of memory), 6 times" in problem
    assert len(server.requests) == 6


def test_pauses_grow_and_depend_on_the_nodes_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    pauses: list[float] = []

    async def sleep(delay_s: float) -> None:
        pauses.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for key in (1, 1, 2):
        failure(status(500), key=key, pause_s=1.0)
    first, again, other = pauses[:5], pauses[5:10], pauses[10:]
    assert first == again != other
    for attempt, pause_s in enumerate(first):
        assert 0.5 * 2**attempt <= pause_s <= 1.5 * 2**attempt


def test_a_request_that_is_refused_for_good_is_not_repeated() -> None:
    problem, server = failure(status(400, json.dumps({"error": {"message": "no such model"}})))
    assert "status 400 (no such model)" in problem
    assert len(server.requests) == 1
    assert "status 302" in failure(status(302, Location="http://127.0.0.1:9/"))[0]
    assert "(too long)" in failure(status(413, json.dumps({"error": "too long"})))[0]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<html>Welcome</html>", "'<html>Welcome</html>' instead of server-sent events"),
        (b"data: {not json\n\n", "'{not json', which is no chat completion"),
        (b"data: [1, 2]\n\n", "'[1, 2]', which is no chat completion"),
        (b'data: {"choices": 5}\n\n', "which is no chat completion"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "which is no chat completion"),
        (b"data: \xff\xfe\n\n", "which is no chat completion"),
        (event(error={"message": "CUDA error"}), "failed while it answered: CUDA error"),
        (b"x" * (2 << 20), "line of more than 1,048,576 bytes"),
    ],
)
def test_garbage_is_refused_with_an_excerpt(data: bytes, problem: str) -> None:
    found, server = failure(raw(data))
    assert problem in found
    assert len(found) < 700
    assert len(server.requests) == 1


def test_garbage_as_one_object() -> None:
    assert "no chat completion" in failure(raw(b"nonsense", "application/json"))[0]
    huge = failure(status(404, "x" * (1 << 17)))[0]
    assert "more than 65,536 bytes" in huge


def test_a_stream_cut_before_any_text_is_asked_for_again() -> None:
    with serving(raw(b": hello\n\n"), text_stream("x")) as server:
        assert generate(engine_at(server.url)).text == "x"


def test_a_stream_cut_in_the_middle_is_not_passed_off_as_an_answer() -> None:
    problem, server = failure(raw(content("half of") + content(" it")))
    assert "broke off after 2 pieces" in problem
    assert len(server.requests) == 1


def test_a_server_that_hangs() -> None:
    for reply in (hanging, raw(content("x"), hang=True)):
        problem, server = failure(reply, silence_s=0.2)
        assert "said nothing for 0.2 s" in problem
        assert len(server.requests) == 1


def test_all_attempts_together_have_a_limit_of_time() -> None:
    started = time.monotonic()
    problem, _ = failure(status(503, "loading"), timeout_s=0.5, pause_s=10.0)
    assert time.monotonic() - started < 5
    assert "did not finish within 0.5 s (at last status 503 (loading))" in problem


def test_a_server_that_is_not_there() -> None:
    with serving(hanging) as server:
        url = server.url
    with pytest.raises(EngineError, match=r"cannot serve: ConnectError.*6 times"):
        generate(engine_at(url))


@pytest.mark.parametrize(
    "reply",
    [hanging, raw(content("some"), hang=True), status(429, Retry_After="50")],
    ids=["no reply", "no more text", "a pause"],
)
def test_cancel_ends_every_kind_of_wait(reply: Reply) -> None:
    cancelled = Cancellation()
    with serving(reply) as server:
        made: list[Generation] = []
        thread = threading.Thread(
            target=lambda: made.append(
                engine_at(server.url).generate("Why?", Options(), lambda _: None, cancelled)
            )
        )
        thread.start()
        deadline = time.monotonic() + 10
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.005)
        started = time.monotonic()
        cancelled.set()
        thread.join(10)
        assert time.monotonic() - started < 2
    assert made[0].finish == "cancelled"
    assert made[0].text in {"", "some"}


def test_cancelled_before_it_began_asks_nobody() -> None:
    cancelled = Cancellation()
    cancelled.set()
    with serving(hanging) as server:
        made = engine_at(server.url).generate("Why?", Options(), lambda _: None, cancelled)
    assert (made.finish, server.requests) == ("cancelled", [])


def test_what_it_cannot_do() -> None:
    engine = engine_at("http://127.0.0.1:9/v1")
    assert not engine.capabilities.grammar
    with pytest.raises(EngineError, match="grammar"):
        generate(engine, grammar="root ::= x")
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        generate(engine)


# --- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "ftp://host/v1",
        "http://",
        "http://host:0/v1",
        "http://h:x/v1",
        "http://host/v1?key=1",
        "http://[::1/v1",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        engine_at(url)
    assert refused.value.path == "url"
    assert refused.value.given == url


def test_a_password_in_the_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ScenarioError) as refused:
        engine_at(f"http://user:{SECRET}@host/v1")
    assert SECRET not in str(refused.value)


def test_the_configured_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {SECRET}\n")
    with serving(text_stream("x")) as server:
        spec = EngineSpec(kind="openai", model="llama3", url=server.url, api_key_env="MY_KEY")
        engine = make_engine(spec)
        engine.generate("Why?", Options(), lambda _: None, Cancellation())
    assert (engine.kind, engine.model) == ("openai", "llama3")
    assert server.requests[0][1]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (EngineSpec(kind="openai", model="m"), "url"),
        (EngineSpec(kind="openai", url="http://h/v1"), "model"),
        (
            EngineSpec(kind="openai", model="m", url="http://h/v1", api_key_env="NONE"),
            "api_key_env",
        ),
    ],
)
def test_a_configuration_that_lacks_something(
    spec: EngineSpec, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NONE", raising=False)
    with pytest.raises(ScenarioError) as refused:
        make_engine(spec)
    assert refused.value.path == path


def test_a_key_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o640)
    with pytest.raises(ScenarioError, match="others may read") as refused:
        read_api_key(None, str(file))
    assert refused.value.remedy == f"chmod 600 {file}"
    file.chmod(0o600)
    key = read_api_key(None, str(file))
    assert key is not None
    assert key.value == SECRET
    assert SECRET not in repr(key)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_api_key(None, str(tmp_path / "absent"))


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ScenarioError, match="does not hold a key") as refused:
        read_api_key("MY_KEY", None)
    assert not value.strip() or value not in str(refused.value)
