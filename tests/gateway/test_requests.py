"""What a chat completion may ask, and how everything else is refused."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoa.core.messages import Options, Turn
from dmoa.gateway import chat
from dmoa.gateway.bodies import BEAMS, IGNORED_NAMED_MAX
from dmoa.gateway.chat import Question, read_question
from dmoa.gateway.errors import ApiError

WHY = {"role": "user", "content": "Why?"}


def read(**body: Any) -> Question:
    return read_question(msgspec.json.encode({"messages": [WHY], **body}))


def refusal(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as raised:
        read_question(body)
    return raised.value


def refused(**body: Any) -> ApiError:
    return refusal(msgspec.json.encode({"messages": [WHY], **body}))


def test_a_conversation_becomes_a_question_and_its_history() -> None:
    asked = read(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "One."}]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("Two,", "three?")]},
        ]
    )
    assert asked.text == "Two,\nthree?"
    assert asked.options.history == (
        Turn("system", "Be brief."),
        Turn("user", "One."),
        Turn("assistant", ""),
    )


def test_all_parameters_arrive() -> None:
    asked = read(
        model="dmoa", temperature=0.5, top_p=0.9, max_tokens=7, stop=["a", "b"], seed=3,
        stream=True, stream_options={"include_usage": True}, top_k=40, min_p=0.05,
        repeat_penalty=1.1, grammar="root ::= x",
        dmoa={"layers": 2, "proposers": 3, "timeout_s": 9},
    )  # fmt: skip
    assert asked.options == Options(
        max_tokens=7, temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, repeat_penalty=1.1, seed=3,
        stop=("a", "b"), grammar="root ::= x",
    )  # fmt: skip
    assert (asked.layers, asked.proposers, asked.timeout_s) == (2, 3, 9.0)
    assert asked.stream
    assert asked.include_usage


def test_own_parameters_may_stand_in_either_place() -> None:
    inside = read(dmoa={"top_k": 1, "min_p": 0.1, "repeat_penalty": 1.2, "grammar": "g"})
    outside = read(top_k=1, min_p=0.1, repeat_penalty=1.2, grammar="g")
    assert inside.options == outside.options
    assert read(top_k=1, dmoa={"top_k": 1}).options.top_k == 1
    assert refused(top_k=1, dmoa={"top_k": 2}).param == "dmoa.top_k"
    assert refused(max_tokens=1, max_completion_tokens=2).param == "max_completion_tokens"


def test_the_local_model_has_no_layers() -> None:
    assert read(model="dmoa:local").layers == 0
    assert read(model="dmoa:local", dmoa={"layers": 0}).layers == 0
    assert refused(model="dmoa:local", dmoa={"layers": 1}).param == "dmoa.layers"


def test_the_ranges_are_those_of_the_options() -> None:
    own = typing.get_type_hints(chat.ChatRequest, include_extras=True)
    for name, annotation in typing.get_type_hints(Options, include_extras=True).items():
        if name in own and name not in {"stop", "grammar", "logprobs"}:
            assert own[name] == annotation, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function"}]),
        ("tool_choice", "required"),
        ("functions", [{}]),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
        ("logit_bias", {"1": 5}),
        ("presence_penalty", 0.5),
        ("n", 2),
        ("modalities", ["audio"]),
        ("audio", {"voice": "x"}),
        ("prompt", "Why?"),
    ],
)
def test_what_changes_the_meaning_and_is_not_supported_is_refused(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert (error.status, error.param, error.code) == (400, name, "unsupported")
    assert name in error.message


@pytest.mark.parametrize("name", BEAMS)
def test_beams_are_refused_by_their_name_as_no_engine_has_them(name: str) -> None:
    error = refused(**{name: 4})
    assert (error.status, error.param, error.code) == (400, name, "unsupported")
    assert "any engine of dmoa yet" in error.message
    assert read(**{name: None}).ignored == ()


def test_log_probabilities_are_asked_for_in_the_words_of_openai() -> None:
    assert read().options.logprobs is None
    assert read(logprobs=False, top_logprobs=0).options.logprobs is None
    assert read(logprobs=True).options.logprobs == 0
    assert read(logprobs=True, top_logprobs=20).options.logprobs == 20


def test_what_asks_for_nothing_is_accepted() -> None:
    asked = read(
        n=1, tools=[], tool_choice="auto", logprobs=False, presence_penalty=0, logit_bias=None,
        response_format={"type": "text"}, stop=None, seed=None, dmoa=None,
    )  # fmt: skip
    assert asked.ignored == ()


def test_what_is_not_known_is_ignored_and_named() -> None:
    assert read(user="me", store=True, metadata={}).ignored == ("user", "store", "metadata")
    assert len(read(**{f"x{i}": i for i in range(100)}).ignored) == IGNORED_NAMED_MAX


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Why?"}, "messages"),
        ({"messages": ["Why?"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "tool", "content": "x"}, WHY]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "x" * 500, "content": "x"}]}, "messages[0].role"),
        ({"messages": [WHY, {"role": "assistant", "content": "x"}]}, "messages[1].role"),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}, WHY]},
            "messages[0].tool_calls",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"dmoa": {"layers": -1}}, "dmoa.layers"),
        ({"dmoa": {"layer": 1}}, "dmoa"),
        ({"dmoa": {"timeout_s": 0}}, "dmoa.timeout_s"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(changes: dict[str, Any], param: str) -> None:
    error = refused(**changes)
    assert (error.status, error.param) == (400, param)
    assert error.message
    assert len(error.message) < 300


def test_an_unknown_model_is_not_found() -> None:
    error = refused(model="gpt-4")
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert "'dmoa:local'" in error.message


@pytest.mark.parametrize(
    "body",
    [b"", b"no", b"[]", b"7", b'{"messages":', b"\xff", b'{"a": "\xff"}', b'{"a": NaN}',
     b'{"messages": [{"role": "user", "content": "\\ud800"}]}', b"[" * 200_000,
     b'{"a":' * 100_000],
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert (error.status, error.code) == (400, "invalid_json")


def test_a_body_without_messages_says_so() -> None:
    error = refusal(b"{}")
    assert (error.status, error.param) == (400, "messages")
    assert error.message == "messages is missing; give a list of messages"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
names = st.sampled_from([*chat.ChatRequest.__struct_fields__, *chat.UNSUPPORTED])


@given(st.dictionaries(names, json_values))
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        read(**body)
    except ApiError as error:
        told = error.status, error.message
    else:
        told = 200, "read"
    assert told[0] in {200, 400, 404}
    assert told[1]


@given(st.binary(max_size=60))
def test_whatever_bytes_come_are_refused(body: bytes) -> None:
    assert refusal(body).status == 400
