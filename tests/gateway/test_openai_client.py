"""The openai Python client, unmodified, against a real server on loopback."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from dmoa.core.messages import Options
from dmoa.live.door import Ended
from dmoa.live.engines.base import TokenScore
from tests.gateway.conftest import OpenDoor, Opens
from tests.gateway.fake_door import ANSWER, FakeDoor, queue_full

WHY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]


def test_an_answer(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="dmoa", messages=WHY)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (120, 5)
    assert answer.usage.total_tokens == 125
    assert answer.model_extra is not None
    told = answer.model_extra["dmoa"]
    assert told["id"] == "0-1"
    assert told["sojourn_time_s"] == 4.5
    (layer,) = told["layers"]
    assert [proposal["node"] for proposal in layer["proposals"]] == ["0", "1", "3"]
    assert layer["proposals"][2]["missing"] == "its queue is full"
    assert told["aggregation"]["node"] == "0"


def test_a_stream(openai_client: OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        model="dmoa", messages=WHY, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    thoughts = [delta.reasoning_content for delta in deltas if hasattr(delta, "reasoning_content")]
    assert thoughts == [
        "Layer 1 of 1: node 0 (scripted) proposed 5 tokens in 1.2 s.\n",
        "Layer 1 of 1: node 1 (scripted) proposed 5 tokens in 1.2 s, cut at its limit.\n",
        "Layer 1 of 1: node 3 proposed nothing (its queue is full).\n",
        "Layer 1 of 1 has its responses; they are aggregated.\n",
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 125


def test_a_stream_without_usage_has_none(openai_client: OpenAI) -> None:
    chunks = list(openai_client.chat.completions.create(model="dmoa", messages=WHY, stream=True))
    assert [chunk for chunk in chunks if chunk.usage is not None] == []
    assert chunks[-1].choices[0].finish_reason == "stop"


SCORES = (
    TokenScore(b"[scripted]", -0.25, ((b"[scripted]", -0.25), (b" No", -1.5))),
    TokenScore(b" Be", -2.0, ((b" Be", -2.0), (b" No", -2.5))),
)


def scored(place: OpenDoor) -> None:
    place.door.events[-1] = Ended(state="answered", answer=ANSWER, scores=SCORES)


def test_log_probabilities(openai_client: OpenAI, place: OpenDoor) -> None:
    scored(place)
    answer = openai_client.chat.completions.create(
        model="dmoa", messages=WHY, logprobs=True, top_logprobs=2
    )
    assert isinstance(options := place.door.asked[0]["options"], Options)
    assert options.logprobs == 2
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert [(each.token, each.logprob) for each in told.content] == [
        ("[scripted]", -0.25),
        (" Be", -2.0),
    ]
    assert bytes(told.content[1].bytes or ()) == b" Be"
    assert [top.token for top in told.content[1].top_logprobs] == [" Be", " No"]


def test_log_probabilities_of_a_stream(openai_client: OpenAI, place: OpenDoor) -> None:
    scored(place)
    chunks = list(
        openai_client.chat.completions.create(
            model="dmoa:local", messages=WHY, logprobs=True, stream=True
        )
    )
    told = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [len(each.content or ()) for each in told] == [2]
    assert chunks[-1].choices[0].finish_reason == "stop"
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(texts) == ANSWER


def test_without_log_probabilities_there_are_none(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="dmoa", messages=WHY)
    assert answer.choices[0].logprobs is None


def test_the_models(openai_client: OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["dmoa", "dmoa:local"]
    local = openai_client.models.retrieve("dmoa:local")
    assert local.owned_by == "dmoa"
    assert local.model_extra is not None
    assert local.model_extra["dmoa"]["capabilities"] == {
        "slots": 2,
        "grammar": True,
        "logprobs": True,
        "embeddings": True,
        "prefill": True,
        "beams": False,
    }
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        openai_client.models.retrieve("gpt-4")


def test_our_own_parameters(openai_client: OpenAI, place: OpenDoor) -> None:
    openai_client.chat.completions.create(
        model="dmoa",
        messages=WHY,
        extra_body={"dmoa": {"layers": 2, "proposers": 1, "timeout_s": 30}},
    )
    asked = place.door.asked[0]
    assert (asked["layers"], asked["proposers"], asked["timeout_s"]) == (2, 1, 30.0)


def test_a_full_queue_is_tried_again_as_told(openai_client: OpenAI, place: OpenDoor) -> None:
    place.door.refusal = queue_full()
    with pytest.raises(openai.RateLimitError) as raised:
        openai_client.with_options(max_retries=0).chat.completions.create(
            model="dmoa", messages=WHY
        )
    assert raised.value.response.headers["retry-after"] == "3"
    assert raised.value.code == "queue_full"


def test_a_wrong_key_is_an_authentication_error(opens: Opens) -> None:
    place = opens(keys=("0123456789abcdef",))
    client = OpenAI(base_url=f"{place.url}/v1", api_key="wrong-wrong-wrong")
    with client, pytest.raises(openai.AuthenticationError, match="not known"):
        client.models.list()
    with OpenAI(base_url=f"{place.url}/v1", api_key="0123456789abcdef") as known:
        assert len(list(known.models.list())) == 2


@pytest.mark.parametrize("state", ["failed", "expired"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_ended_badly_is_not_asked_again(
    opens: Opens, state: str, *, stream: bool
) -> None:
    door = FakeDoor()
    door.events = [Ended(state=state, reason="no proposer answered")]  # type: ignore[arg-type]
    place = opens(door)
    with (
        OpenAI(base_url=f"{place.url}/v1", api_key="x") as client,
        pytest.raises(openai.APIError, match=f"0-1 {state}: no proposer answered"),
    ):
        list(client.chat.completions.create(model="dmoa", messages=WHY, stream=stream))
    assert len(door.asked) == 1
