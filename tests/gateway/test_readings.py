"""Texts that are scored or become vectors: what may be asked, and what is told."""

from __future__ import annotations

import base64
import struct
import threading
from typing import Any

import httpx
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from dmoa.errors import EngineError, InvariantError, ScenarioError
from dmoa.gateway.errors import ApiError
from dmoa.gateway.logprobs import IMPOSSIBLE, chat_logprobs, text_logprobs
from dmoa.gateway.readings import (
    TEXTS_MAX,
    CompletionRequest,
    EmbeddingRequest,
    read_embedding,
    read_scoring,
)
from dmoa.live.door import Refused
from dmoa.live.engines.base import TokenScore
from tests.gateway.conftest import OpenDoor, until
from tests.gateway.fake_door import Pause
from tests.gateway.test_requests import json_values

COMPLETIONS, EMBEDDINGS = "/v1/completions", "/v1/embeddings"
#: As lm-evaluation-harness scores a text.
SCORE = {
    "model": "dmoa:local",
    "prompt": [[7, 8, 9]],
    "temperature": 0,
    "max_tokens": 1,
    "logprobs": 1,
    "seed": 1234,
    "echo": True,
}


# --- scores --------------------------------------------------------------------------------------


def test_a_text_is_scored_as_evaluation_harnesses_want_it(http: httpx.Client) -> None:
    told = http.post(COMPLETIONS, json=SCORE).json()
    (choice,) = told["choices"]
    assert told["object"] == "text_completion"
    assert choice["text"] == "<7> <8> <9>."
    assert choice["finish_reason"] == "length"
    logprobs = choice["logprobs"]
    assert logprobs["tokens"] == ["<7>", " <8>", " <9>", "."]
    assert logprobs["token_logprobs"] == [None, -2.0, -2.0, -0.5]
    assert logprobs["text_offset"] == [0, 3, 7, 11]
    # Without the first and the one generated they are added up, and looked for the likeliest.
    context = 1
    assert sum(logprobs["token_logprobs"][context:-1]) == -4.0
    assert logprobs["top_logprobs"][0] is None
    assert [max(top.values()) for top in logprobs["top_logprobs"][context:]] == [-0.125] * 2 + [
        -0.5
    ]
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert told["dmoa"] == {"ignored": ["seed"]}


def test_the_openai_client_scores_several_texts(openai_client: OpenAI) -> None:
    told = openai_client.completions.create(
        model="dmoa:local", prompt=["So it goes", "on"], max_tokens=0, echo=True, logprobs=0
    )
    assert [choice.text for choice in told.choices] == ["So it goes", "on"]
    first = told.choices[0].logprobs
    assert first is not None
    assert first.token_logprobs == [None, -2.0, -2.0]
    assert first.top_logprobs == [None, {" it": -2.0}, {" goes": -2.0}]
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (4, 0)


def test_without_logprobs_the_text_is_told_alone(http: httpx.Client, place: OpenDoor) -> None:
    asked = {"prompt": "So it", "echo": True, "max_tokens": 1}
    (choice,) = http.post(COMPLETIONS, json=asked).json()["choices"]
    assert (choice["text"], choice["logprobs"]) == ("So it.", None)
    assert place.door.asked == [{"reading": ("score", ["So it"], 0)}]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"echo": None}, "echo"),
        ({"echo": False}, "echo"),
        ({"echo": "yes"}, "echo"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 2}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 0.7}, "temperature"),
        ({"stream": True}, "stream"),
        ({"suffix": "x"}, "suffix"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"grammar": "root ::= x"}, "grammar"),
        ({"model": "dmoa"}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": ""}, "prompt[0]"),
        ({"prompt": ["x", ""]}, "prompt[1]"),
        ({"prompt": ["x", 7]}, "prompt[1]"),
        ({"prompt": [7, "x"]}, "prompt[1]"),
        ({"prompt": [7, -1]}, "prompt[1]"),
        ({"prompt": [7, True]}, "prompt[1]"),
        ({"prompt": [2**31]}, "prompt[0]"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": [[7], "x"]}, "prompt[1]"),
        ({"prompt": [[7], [1.5]]}, "prompt[1][0]"),
        ({"prompt": ["x"] * (TEXTS_MAX + 1)}, "prompt"),
        ({"prompt": [[7]] * (TEXTS_MAX + 1)}, "prompt"),
    ],
)
def test_what_cannot_be_scored(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_scoring(msgspec.json.encode({**SCORE, **changes}))
    assert (refused.value.status, refused.value.param) == (400, param)
    assert param in refused.value.message
    assert len(refused.value.message) < 300


def test_a_text_that_shall_be_gone_on_with_is_sent_to_the_chat(http: httpx.Client) -> None:
    answer = http.post(COMPLETIONS, json={"prompt": "Once upon a time", "max_tokens": 100})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "echo", "unsupported")
    assert "/v1/chat/completions" in error["message"]
    missing = http.post(COMPLETIONS, json={"echo": True}).json()["error"]
    assert missing["message"].startswith("prompt is missing; give a text")


@pytest.mark.parametrize("path", [COMPLETIONS, EMBEDDINGS])
def test_an_unknown_model_is_not_found(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json={**SCORE, "input": "x", "model": "gpt-4"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


# --- vectors -------------------------------------------------------------------------------------


def test_the_openai_client_gets_vectors(openai_client: OpenAI) -> None:
    told = openai_client.embeddings.create(model="dmoa:local", input=["So it goes", "on"])
    assert [each.index for each in told.data] == [0, 1]
    assert told.data[0].embedding == pytest.approx([0.6, -0.8])
    assert told.model == "dmoa:local"
    assert (told.usage.prompt_tokens, told.usage.total_tokens) == (4, 4)
    plain = openai_client.embeddings.create(
        model="dmoa:local", input="So it goes", encoding_format="float"
    )
    assert plain.data[0].embedding == [0.6, -0.8]


def test_a_vector_in_base64_is_one_of_small_floats(http: httpx.Client) -> None:
    asked = {"input": "So", "encoding_format": "base64"}
    ((each,),) = (http.post(EMBEDDINGS, json=asked).json()["data"],)
    assert struct.unpack("<2f", base64.b64decode(each["embedding"])) == pytest.approx((0.6, -0.8))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": ""}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7, 8]}, "input"),
        ({"input": [[7, 8]]}, "input"),
        ({"input": ["x", None]}, "input[1]"),
        ({"input": ["x"] * (TEXTS_MAX + 1)}, "input"),
        ({"model": "dmoa"}, "model"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 64}, "dimensions"),
    ],
)
def test_what_becomes_no_vector(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_embedding(msgspec.json.encode({"input": "x", **changes}))
    assert (refused.value.status, refused.value.param) == (400, param)
    assert len(refused.value.message) < 300


def test_numbers_of_tokens_are_refused_clearly(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="give the text"):
        openai_client.embeddings.create(model="dmoa:local", input=[7, 8])


fields = st.sampled_from(
    [*CompletionRequest.__struct_fields__, *EmbeddingRequest.__struct_fields__, "n", "x"]
)


@given(st.dictionaries(fields, json_values))
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    for read in (read_scoring, read_embedding):
        told = 200, "read"
        try:
            read(msgspec.json.encode(body))
        except ApiError as error:
            told = error.status, error.message
        assert told[0] in {200, 400, 404}
        assert told[1]


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (ScenarioError("makes no embeddings", path="model"), 400, "bad_request"),
        (Refused("too much to read", queue_length=9, retry_after_s=2.4), 429, "queue_full"),
        (Refused("node 0 is starting", queue_length=0, retry_after_s=2.0), 503, "not_ready"),
        (EngineError("llama_decode returned 1"), 502, "engine_failed"),
        (InvariantError("a bug"), 500, "bug"),
    ],
)
@pytest.mark.parametrize("path", [COMPLETIONS, EMBEDDINGS])
def test_what_the_node_says_is_passed_on(
    http: httpx.Client, place: OpenDoor, path: str, problem: Exception, status: int, code: str
) -> None:
    place.door.refusal = problem
    answer = http.post(path, json={**SCORE, "input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    if status == 429:
        assert answer.headers["retry-after"] == "3"
    if status == 502:
        assert answer.headers["x-should-retry"] == "false"


def test_an_engine_that_is_stopped_with_its_node_is_no_failure(
    http: httpx.Client, place: OpenDoor
) -> None:
    place.door.refusal, place.door.state = EngineError("cancelled"), "draining"
    answer = http.post(EMBEDDINGS, json={"input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


def test_a_client_that_leaves_takes_its_reading_back(place: OpenDoor) -> None:
    place.door.reading = Pause()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{place.url}{EMBEDDINGS}", json={"input": "x"}, timeout=0.3)
    until(lambda: place.door.dropped == 1)
    place.release(place.door.reading)


def test_readings_are_served_while_prompts_are(http: httpx.Client, place: OpenDoor) -> None:
    pause = Pause()
    place.door.events.insert(0, pause)
    asked: list[int] = []
    body = {"messages": [{"role": "user", "content": "Why?"}]}
    asking = threading.Thread(
        target=lambda: asked.append(
            httpx.post(f"{place.url}/v1/chat/completions", json=body, timeout=20).status_code
        )
    )
    asking.start()
    until(lambda: place.door.following == 1)
    assert http.post(EMBEDDINGS, json={"input": "x"}).status_code == 200
    place.release(pause)
    asking.join(20)
    assert asked == [200]


# --- shapes --------------------------------------------------------------------------------------


def test_what_cannot_be_is_finite_in_json() -> None:
    score = TokenScore(b"x", float("-inf"), ((b"y", float("-inf")),))
    assert chat_logprobs([score])["content"][0]["logprob"] == IMPOSSIBLE
    assert text_logprobs([score])["top_logprobs"] == [{"y": IMPOSSIBLE, "x": IMPOSSIBLE}]


def test_parts_of_a_character_are_told_by_their_bytes_and_stand_where_it_begins() -> None:
    parts = [TokenScore(b"a", None), TokenScore(b"\xe2\x82", -1.0), TokenScore(b"\xac!", -2.0)]
    told = text_logprobs(parts)
    assert told["tokens"] == ["a", "bytes:\\xe2\\x82", "bytes:\\xac\\x21"]
    assert told["text_offset"] == [0, 1, 1]
    assert chat_logprobs(parts)["content"][1]["bytes"] == [0xE2, 0x82]


def test_two_tokens_of_one_text_count_as_the_likelier() -> None:
    told = text_logprobs([TokenScore(b"x", -3.0, ((b"x", -1.0), (b"y", -2.0)))])
    assert told["top_logprobs"] == [{"x": -1.0, "y": -2.0}]
