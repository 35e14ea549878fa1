"""The engine openai: log-probabilities, vectors, and how many requests it sends at once."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from dmoa.core import Options, TaskId
from dmoa.errors import EngineError
from dmoa.live.engines import make_engine
from dmoa.live.engines.base import Cancellation, TokenScore
from dmoa.live.engines.openai_scores import token_bytes
from dmoa.live.engines.spec import EngineSpec
from tests.live.openai_server import Handler, event, hanging, raw, serving, status, text_stream
from tests.live.test_openai import engine_at, generate

SCORED = {"tokens": ["So", " it", "."], "token_logprobs": [None, -1.5, -0.25]}


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def said(**body: Any) -> Any:
    return raw(json.dumps(body).encode(), "application/json")


def completion(logprobs: Any) -> Any:
    return said(choices=[{"text": "So it.", "index": 0, "logprobs": logprobs}])


def scored(token: str, logprob: float, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, **more}


def told(text: str, *tokens: dict[str, Any]) -> bytes:
    choice = {"delta": {"content": text}, "logprobs": {"content": list(tokens)}}
    return event(choices=[choice])


# --- of what is generated ----------------------------------------------------------------------


def test_log_probabilities_of_a_response() -> None:
    top = [scored("So", -0.5), scored("caf\ufffd", -1.0, bytes=[0xC3])]
    stream = told("So", scored("So", -0.5, top_logprobs=top)) + told(" it", scored(" it", -2))
    with serving(raw(stream + b"data: [DONE]\n\n")) as server:
        made = generate(engine_at(server.url), logprobs=2)
    assert made.scores == (
        TokenScore(b"So", -0.5, ((b"So", -0.5), (b"\xc3", -1.0))),
        TokenScore(b" it", -2.0),
    )
    body = server.requests[0][2]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_without_the_likeliest_none_are_asked_for() -> None:
    with serving(raw(told("So", scored("So", -0.5)) + b"data: [DONE]\n\n")) as server:
        assert generate(engine_at(server.url), logprobs=0).scores == (TokenScore(b"So", -0.5),)
    assert "top_logprobs" not in server.requests[0][2]


def test_log_probabilities_that_nobody_asked_for_are_left_alone() -> None:
    odd = event(choices=[{"delta": {"content": "So"}, "logprobs": [1, "x"]}])
    with serving(raw(odd + b"data: [DONE]\n\n")) as server:
        made = generate(engine_at(server.url))
    assert (made.text, made.scores) == ("So", ())


def test_a_server_that_tells_none_is_no_server_for_it() -> None:
    with serving(text_stream("So")) as server, pytest.raises(EngineError) as failed:
        generate(engine_at(server.url), logprobs=1)
    assert "told no log-probabilities" in str(failed.value)
    assert "ask a node whose engine is llama" in str(failed.value)


def test_log_probabilities_in_another_form() -> None:
    odd = event(choices=[{"delta": {"content": "So"}, "logprobs": {"content": [{"id": 7}]}}])
    with serving(raw(odd + b"data: [DONE]\n\n")) as server, pytest.raises(EngineError) as failed:
        generate(engine_at(server.url), logprobs=1)
    assert "in another form" in str(failed.value)


# --- of a text that is given -------------------------------------------------------------------


def score(*replies: Any, prompt: Any = "So it", top: int = 1, **given: Any) -> Any:
    with serving(*replies) as server:
        engine = engine_at(server.url, **given)
        found = engine.score(prompt, top=top, cancelled=Cancellation())
    return found, server.requests


@pytest.mark.parametrize("prompt", ["So it", (7, 8)])
def test_the_log_probabilities_of_a_text(prompt: Any) -> None:
    tops = [None, {" it": -1.5, "bytes:\\xe2\\x80": -1.0}, {".": -0.25}]
    found, ((path, _, body),) = score(completion({**SCORED, "top_logprobs": tops}), prompt=prompt)
    assert found == (
        TokenScore(b"So", None),
        TokenScore(b" it", -1.5, ((b"\xe2\x80", -1.0), (b" it", -1.5))),
        TokenScore(b".", -0.25, ((b".", -0.25),)),
    )
    assert path == "/v1/completions"
    assert body == {
        "model": "m",
        "prompt": prompt if isinstance(prompt, str) else [7, 8],
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
    }


def test_a_model_may_begin_every_text_with_a_token_of_its_own() -> None:
    scored_from_the_first = {"tokens": ["So", "."], "token_logprobs": [-3.0, -0.25]}
    choice = {"logprobs": scored_from_the_first}
    found, _ = score(said(choices=[choice], usage={"prompt_tokens": 1}))
    assert [each.logprob for each in found] == [-3.0, -0.25]


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": [{"token": ".", "logprob": -0.25}]},  # llama-server
        {"tokens": ["."], "token_logprobs": [-0.25]},
        {"tokens": [".", "x"], "token_logprobs": [-0.25, -1]},
        {"tokens": ["So", " it", "."], "token_logprobs": [None, -1]},
    ],
)
def test_a_server_that_does_not_echo_says_so(logprobs: Any) -> None:
    with pytest.raises(EngineError, match=r"llama-server and Ollama do not.*engine is llama"):
        score(completion(logprobs))
    with pytest.raises(EngineError, match="does not tell the log-probabilities of a text"):
        score(said(choices=[]))


def test_a_server_that_refuses_to() -> None:
    refusing = status(400, json.dumps({"error": {"message": "Only no echo is supported"}}))
    with pytest.raises(EngineError, match=r"Only no echo is supported\); if it cannot do this"):
        score(refusing)


@pytest.mark.parametrize("body", [b"no", b"[]", b'{"choices": 5}', b"[" * 100_000])
def test_what_is_no_completion(body: bytes) -> None:
    with pytest.raises(EngineError, match="no answer to this") as failed:
        score(raw(body, "application/json"))
    assert len(str(failed.value)) < 700


def test_a_cancelled_request_ends_with_an_error() -> None:
    cancelled = Cancellation()
    cancelled.set()
    with serving(hanging) as server, pytest.raises(EngineError, match="cancelled"):
        engine_at(server.url).score("So it", top=1, cancelled=cancelled)
    assert server.requests == []


def test_cancelling_ends_a_wait() -> None:
    cancelled = Cancellation()

    def reply(handler: Handler) -> None:
        cancelled.set()
        hanging(handler)

    with serving(reply) as server, pytest.raises(EngineError, match="cancelled"):
        engine_at(server.url).embed("So it", cancelled)


def test_tokens_that_are_no_text_by_themselves() -> None:
    assert token_bytes("bytes:\\xe2\\x80") == b"\xe2\x80"
    assert token_bytes("bytes:\\x") == b"bytes:\\x"
    assert token_bytes("bytes:é") == "bytes:é".encode()


# --- vectors -----------------------------------------------------------------------------------


def test_a_vector_has_length_one() -> None:
    vectors = said(data=[{"index": 0, "embedding": [3, 4]}], usage={"prompt_tokens": 5})
    with serving(vectors, said(data=[{"embedding": [0, -2]}])) as server:
        engine = engine_at(server.url)
        found = engine.embed("So it", Cancellation())
        estimated = engine.embed("So it is", Cancellation())
    assert (found.values, found.tokens) == ([0.6, 0.8], 5)
    assert (estimated.values, estimated.tokens) == ([0.0, -1.0], 2)
    assert server.requests[0][0] == "/v1/embeddings"
    assert server.requests[0][2] == {"model": "m", "input": "So it", "encoding_format": "float"}


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (said(data=[]), "no answer to this"),
        (said(data=[{"embedding": [[1.0]]}]), "no answer to this"),
        (said(data=[{"embedding": [0.0]}]), "of length 0"),
        (
            status(501, "This server does not support embeddings"),
            "ask a node whose engine is llama",
        ),
    ],
    ids=["none", "nested", "zero", "refused"],
)
def test_what_is_no_vector(reply: Any, problem: str) -> None:
    with serving(reply) as server, pytest.raises(EngineError, match=problem):
        engine_at(server.url).embed("So it", Cancellation())


# --- slots and capabilities --------------------------------------------------------------------


def test_as_many_requests_at_once_as_slots() -> None:
    inside, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(2)

    def reply(handler: Handler) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        together.wait(10)
        with lock:
            inside -= 1
        text_stream("x")(handler)

    with serving(reply) as server:
        engine = make_engine(EngineSpec(kind="openai", model="m", url=server.url, slots=2))
        threads = [threading.Thread(target=generate, args=(engine,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        engine.close()
    assert (len(server.requests), most) == (6, 2)
    assert engine.capabilities.slots == 2


def test_closing_waits_for_what_is_under_way() -> None:
    asked = threading.Event()

    def reply(handler: Handler) -> None:
        asked.set()
        handler.server.released.wait(10)
        text_stream("x")(handler)

    with serving(reply) as server:
        engine = engine_at(server.url, slots=2)
        serves = threading.Thread(target=generate, args=(engine,))
        serves.start()
        asked.wait(10)
        closes = threading.Thread(target=engine.close)
        closes.start()
        assert closes.is_alive()
        server.released.set()
        for thread in (serves, closes):
            thread.join(10)
            assert not thread.is_alive()
    with pytest.raises(EngineError, match="closed"):
        generate(engine)
    with pytest.raises(EngineError, match="closed"):
        engine.embed("So it", Cancellation())


def test_what_it_cannot_do_names_who_can() -> None:
    engine = engine_at("http://127.0.0.1:9/v1")
    with pytest.raises(EngineError, match="follows no grammar; ask a node whose engine is llama"):
        generate(engine, grammar="root ::= x")
    able = engine.capabilities
    assert (able.grammar, able.logprobs, able.embeddings) == (False, True, True)
    assert not able.prefill
    engine.prefill(TaskId("a", 0, 0, 0), "Why?", Options())
    engine.drop(TaskId("a", 0, 0, 0))
