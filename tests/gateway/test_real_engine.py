"""A node with a real language model, asked by the unmodified openai client."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.gateway.test_node_process import process_of, run

pytest.importorskip("llama_cpp", reason="needs the extra dmoa[llama]")
pytestmark = pytest.mark.llama

TEXT = "The capital of France is"
WHY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


def score(client: OpenAI, text: str, **more: Any) -> Any:
    told = client.completions.create(
        model="dmoa:local", prompt=text, echo=True, max_tokens=1, logprobs=3, temperature=0, **more
    )
    return told.choices[0]


def scores_fit_together(client: OpenAI) -> None:
    first = score(client, TEXT)
    assert first.text.startswith(TEXT)
    assert first.logprobs.text_offset[0] == 0
    assert first.text[first.logprobs.text_offset[-1] :] == first.logprobs.tokens[-1]
    # The likeliest token after a text has in the longer text the log-probability told before.
    likeliest = first.logprobs.tokens[-1]
    assert first.logprobs.top_logprobs[-1][likeliest] == max(
        first.logprobs.top_logprobs[-1].values()
    )
    longer = score(client, TEXT + likeliest)
    assert longer.logprobs.tokens[-2] == likeliest
    assert longer.logprobs.token_logprobs[-2] == pytest.approx(
        first.logprobs.token_logprobs[-1], abs=0.05
    )
    right, wrong = (
        score(client, TEXT + end).logprobs.token_logprobs[-2] for end in (" Paris", " Oslo")
    )
    assert right > wrong + 1


def tokens_by_number_are_scored(client: OpenAI) -> None:
    told = client.completions.create(
        model="dmoa:local", prompt=[[504, 3575], [504]], echo=True, max_tokens=1, logprobs=1
    )
    assert [len((choice.logprobs and choice.logprobs.tokens) or ()) for choice in told.choices] == [
        3,
        2,
    ]
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (3, 2)
    with pytest.raises(openai.BadRequestError, match="is no token of") as refused:
        client.completions.create(
            model="dmoa:local", prompt=[2**31 - 1], echo=True, max_tokens=1, logprobs=1
        )
    assert refused.value.param == "prompt[0]"
    with pytest.raises(openai.BadRequestError, match="tokens, but the context has"):
        score(client, "word " * 9000)


def an_answer_has_log_probabilities(client: OpenAI) -> None:
    # What is told is before penalties, so that without any the likeliest is always drawn.
    answer = client.chat.completions.create(
        model="dmoa:local",
        messages=WHY,
        temperature=0,
        max_tokens=6,
        logprobs=True,
        top_logprobs=2,
        extra_body={"repeat_penalty": 1.0},
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content
    assert answer.usage is not None
    assert len(told.content) >= answer.usage.completion_tokens
    written = b"".join(bytes(each.bytes or ()) for each in told.content).decode()
    assert (answer.choices[0].message.content or "").strip() in written
    for each in told.content:
        assert each.token == each.top_logprobs[0].token
        assert each.logprob <= 0


def vectors_have_length_one(client: OpenAI) -> None:
    made = client.embeddings.create(model="dmoa:local", input=["A cat.", "A cat.", "Rates rose."])
    first, again, other = (each.embedding for each in made.data)
    assert math.hypot(*first) == pytest.approx(1.0, abs=1e-5)
    assert first == pytest.approx(again, abs=1e-4)
    assert sum(a * b for a, b in zip(first, other, strict=True)) < 0.999


def capabilities_are_told(client: OpenAI, url: str) -> None:
    local = client.models.retrieve("dmoa:local").model_extra or {}
    able = local["dmoa"]["capabilities"]
    assert (able["logprobs"], able["embeddings"], able["grammar"], able["beams"]) == (
        True, True, True, False,
    )  # fmt: skip
    assert httpx.get(f"{url}/v1/dmoa/status", trust_env=False).json()["capabilities"] == able


def test_a_node_with_a_model_scores_embeds_and_says_what_it_can(
    tmp_path: Path, base_port: int
) -> None:
    process, config = process_of(tmp_path / "c", base_port, engine="llama")

    def ask(url: str) -> None:
        with OpenAI(base_url=f"{url}/v1", api_key="none", timeout=120, max_retries=0) as client:
            scores_fit_together(client)
            tokens_by_number_are_scored(client)
            an_answer_has_log_probabilities(client)
            vectors_have_length_one(client)
            capabilities_are_told(client, url)

    async def scenario(url: str, ready: asyncio.Event) -> None:
        await asyncio.wait_for(ready.wait(), 120)
        await asyncio.to_thread(ask, url)

    run(process, config, scenario)
