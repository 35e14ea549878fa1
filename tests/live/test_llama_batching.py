"""Several tasks at once with a real model: what each writes, who waits, and whose errors are whose.

Greedy answers beside others are those of the prompt alone, except at near ties: sums are added up
in another order in batches of another size, and where cells lie in another order. So most tests ask
what has no near ties, and the one that does asks only what differs where there is one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Never

import pytest

from dmoa.core import Turn
from dmoa.errors import EngineError
from dmoa.live.engines.base import Cancellation
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_batching import CHUNK_TOKENS
from dmoa.live.engines.llama_binding import FULL, Part
from dmoa.live.engines.llama_jobs import Job, Scoring
from tests.live.clusters import DEADLINE_S, wait_for
from tests.live.llamas import ANSWERS, Asked, Watch, alike, real, running

pytestmark = real

PROMPTS = list(ANSWERS)
LONG = "The ring has eight nodes and every node asks two of its peers. " * 9
LETTERS = 'root ::= "a"+'


@pytest.fixture(scope="module")
def engine() -> Iterator[Llama]:
    with running(slots=8, max_tokens=12) as engine:
        yield engine


@pytest.fixture
def watch(engine: Llama, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(engine, monkeypatch)


def ask(engine: Llama, watch: Watch, *prompts: str, **options: Any) -> list[Asked]:
    """Ask several things at once."""
    asked = [Asked(engine, prompt, **options) for prompt in prompts]
    with watch.held():
        for one in asked:
            one.start()
    return asked


def sequences(parts: Sequence[Part]) -> list[int]:
    return [part.sequence for part in parts]


class TestTexts:
    @pytest.mark.parametrize("count", [1, 2, 4, 8])
    def test_each_writes_what_it_writes_alone(
        self, engine: Llama, watch: Watch, count: int
    ) -> None:
        for one, prompt in zip(ask(engine, watch, *PROMPTS[:count]), PROMPTS, strict=False):
            assert one.result().text == ANSWERS[prompt]
        assert max(len(parts) for parts in watch.batches) == count

    def test_where_answers_differ_there_is_a_near_tie(self, engine: Llama, watch: Watch) -> None:
        prompts = [
            "What is a queue?",
            "Name three colours.",
            "Why is the sky blue?",
            "Who are you?",
        ]
        alone = [Asked(engine, prompt, max_tokens=16).start().result() for prompt in prompts]
        together = ask(engine, watch, *prompts, max_tokens=16)
        for before, one in zip(alone, together, strict=True):
            made = one.result()
            assert alike(before, made), (before.text, made.text)

    def test_pieces_come_to_whom_they_belong(self, engine: Llama, watch: Watch) -> None:
        for one in ask(engine, watch, *PROMPTS):
            made = one.result()
            assert "".join(one.heard) == made.text
            assert len(made.scores) == made.tokens > 0

    def test_a_long_prompt_does_not_stall_an_answer(self, engine: Llama, watch: Watch) -> None:
        answer = Asked(engine, PROMPTS[0], grammar=LETTERS, max_tokens=30)
        again: list[Asked] = []

        def hear(_: str) -> None:
            if not again:
                again.append(Asked(engine, LONG, max_tokens=1))
                again[0].start()

        answer.hear = hear
        answer.start().result()
        read = again[0].result().computed_tokens
        writer = watch.batches[0][0].sequence
        turns = [
            sum(len(part.tokens) for part in parts if part.sequence != writer)
            for parts in watch.batches
            if writer in sequences(parts)
        ]
        assert max(turns) == CHUNK_TOKENS
        assert sum(turn > 0 for turn in turns) >= read // CHUNK_TOKENS > 2

    def test_a_context_that_runs_full_ends_one_answer(self, engine: Llama, watch: Watch) -> None:
        full, other = ask(engine, watch, LONG, PROMPTS[0], max_tokens=1000, grammar=LETTERS)
        other.cancelled.set()
        made = full.result()
        assert made.finish == "length"
        assert made.prompt_tokens + made.tokens == engine.context_tokens
        assert other.result().finish == "cancelled"


class TestEnds:
    """What ends one task, and nobody else's."""

    def check_others(self, engine: Llama, asked: list[Asked]) -> None:
        for one, prompt in zip(asked, PROMPTS[1:], strict=False):
            assert one.result().text == ANSWERS[prompt]
        assert not engine._batching._working
        assert not engine._batching._cache._working

    def test_a_cancellation(self, engine: Llama, watch: Watch) -> None:
        first, *others = ask(engine, watch, *PROMPTS[:4])
        first.hear = lambda _: first.cancelled.set()
        made = first.result()
        assert made.finish == "cancelled"
        assert made.tokens <= 2
        self.check_others(engine, others)

    def test_a_cancellation_while_it_waits(self, watch: Watch, engine: Llama) -> None:
        with watch.held():
            asked = [Asked(engine, PROMPTS[0]).start() for _ in range(9)]
            del watch.batches[:]
            asked[8].cancelled.set()
        made = asked[8].result()
        assert (made.finish, made.text, made.computed_tokens) == ("cancelled", "", 0)
        assert all(one.result().finish != "cancelled" for one in asked[:8])
        assert len({number for parts in watch.batches for number in sequences(parts)}) == 8

    def test_a_cancellation_of_the_only_task_ends_its_computation(
        self, engine: Llama, watch: Watch
    ) -> None:
        asked = Asked(engine, LONG)
        with watch.held():
            asked.start()
            assert watch.reached.wait(DEADLINE_S)
            asked.cancelled.set()
        assert asked.result().finish == "cancelled"
        assert not watch.batches, "a computation was finished for nobody"

    def test_a_grammar_that_is_none(self, engine: Llama, watch: Watch) -> None:
        asked = Asked(engine, PROMPTS[0], grammar="root ::= (")
        with pytest.raises(EngineError, match="no valid GBNF"):
            asked.start().result()
        assert not watch.batches, "something was computed"

    def test_a_grammar_that_allows_nothing(self, engine: Llama, watch: Watch) -> None:
        impossible = Asked(engine, PROMPTS[0], grammar='root ::= [^\\x00-\\U0010ffff] "a"')
        asked = [impossible, *(Asked(engine, prompt) for prompt in PROMPTS[1:4])]
        with watch.held():
            for one in asked:
                one.start()
        with pytest.raises(EngineError, match="allows nothing"):
            impossible.result()
        self.check_others(engine, asked[1:])

    def test_a_fault_of_its_caller(self, engine: Llama, watch: Watch) -> None:
        first, *others = ask(engine, watch, *PROMPTS[:4])

        def hear(_: str) -> None:
            message = "not this one"
            raise KeyError(message)

        first.hear = hear
        with pytest.raises(KeyError, match="not this one"):
            first.result()
        self.check_others(engine, others)

    def test_a_caller_that_does_not_wait(self, engine: Llama, watch: Watch) -> None:
        class Interrupted(Cancellation):
            def notifying(self, _function: object) -> Never:
                raise KeyboardInterrupt

        left = Asked(engine, PROMPTS[0])
        left.cancelled = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            left.start().result()
        wait_for(lambda: not engine._batching._working, "the task to end by itself")
        assert Asked(engine, PROMPTS[0]).start().result().text
        assert watch.batches

    def test_a_failed_computation_of_its_sequence(self, engine: Llama, watch: Watch) -> None:
        first, *others = ask(engine, watch, *PROMPTS[:4])

        def fail(parts: Sequence[Part]) -> int | None:
            bad = engine._batching._working[0]
            assert bad.held is not None
            late = bad.held.tokens[-3:] == engine._weights.tokenize(" capital of Japan")
            return -3 if late and bad.held.number in sequences(parts) else None

        watch.instead = fail
        with pytest.raises(EngineError, match=r"llama_decode returned -3 at token \d+"):
            first.result()
        assert first.heard
        self.check_others(engine, others)

    def test_nobody_where_a_computation_fails_only_together(
        self, engine: Llama, watch: Watch
    ) -> None:
        watch.instead = lambda parts: -3 if len(parts) > 1 else None
        self.check_others(engine, ask(engine, watch, *PROMPTS[1:4]))

    def test_a_bug_in_the_thread_ends_all_and_the_engine_goes_on(
        self, engine: Llama, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compose = engine._batching._compose
        bugs = [ZeroDivisionError("a bug")]

        def fail() -> Any:
            if bugs and len(engine._batching._working) == 8:
                raise bugs.pop()
            return compose()

        monkeypatch.setattr(engine._batching, "_compose", fail)
        for one in ask(engine, watch, *PROMPTS, PROMPTS[0]):
            with pytest.raises(EngineError, match="the engine failed: ZeroDivisionError: a bug"):
                one.result()
        monkeypatch.undo()
        self.check_others(engine, [Asked(engine, PROMPTS[1]).start()])


class TestRoom:
    """The cells of the cache: reserved, shared out, and given back."""

    def test_what_was_kept_gives_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with running(slots=1) as engine:
            Asked(engine, LONG, max_tokens=8).start().result()
            kept = engine._batching._cache._kept
            assert [len(held.tokens) > 128 for held in kept] == [True]
            watch = Watch(engine, monkeypatch)
            other = Asked(engine, LONG.upper()[:330], max_tokens=60, grammar=LETTERS)
            made = other.start().result()
            assert (made.tokens, made.finish) == (60, "length")
            assert FULL in watch.results
            assert [held.tokens[: made.prompt_tokens] for held in kept] == [
                [*engine._prompts.tokens([Turn("user", LONG.upper()[:330])])]
            ]

    def test_a_batch_without_room_is_halved(self, engine: Llama, watch: Watch) -> None:
        watch.instead = lambda parts: FULL if sum(len(part.tokens) for part in parts) > 3 else None
        for one, prompt in zip(ask(engine, watch, *PROMPTS), PROMPTS, strict=True):
            assert one.result().text == ANSWERS[prompt]
        assert not engine._batching._cache._working

    def test_without_any_room_an_answer_ends_and_a_prompt_fails(
        self, engine: Llama, watch: Watch
    ) -> None:
        asked = Asked(engine, PROMPTS[0])

        def hear(_: str) -> None:
            watch.instead = lambda _: FULL

        asked.hear = hear
        made = asked.start().result()
        assert made.finish == "length"
        assert made.tokens > 0
        with pytest.raises(EngineError, match="the cache is full; set more cache_tokens"):
            Asked(engine, PROMPTS[0]).start().result()

    def test_tasks_wait_for_room_and_nobody_overtakes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(slots=4, cache_tokens=256) as engine:
            watch, batching = Watch(engine, monkeypatch), engine._batching
            compose, order, most = batching._compose, list[Job](), 0

            def check() -> Any:
                nonlocal most
                working = batching._working
                assert len(working) == 1 or sum(job.need for job in working) <= 256
                most = max(most, len(working))
                order.extend(job for job in working if job not in order)
                return compose()

            monkeypatch.setattr(batching, "_compose", check)
            lengths = [10, 10, 170, 10, 170, 10]
            with watch.held():
                asked = [
                    Asked(engine, prompt, grammar=LETTERS, max_tokens=length).start()
                    for prompt, length in zip(PROMPTS, lengths, strict=False)
                ]
                assert watch.reached.wait(DEADLINE_S)  # the first is at work
                expected = [*batching._working, *batching._waiting]
            for one, length in zip(asked, lengths, strict=True):
                assert one.result().tokens == length
            assert most > 1
            assert order == expected

    def test_a_text_is_scored_beside_an_answer_while_others_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(slots=1) as engine:
            watch, batching = Watch(engine, monkeypatch), engine._batching
            waited: list[int] = []

            def look(_: object) -> None:
                if any(isinstance(job, Scoring) for job in batching._working):
                    waited.append(len(batching._waiting))

            watch.instead = look
            with watch.held():
                asked = [Asked(engine, prompt, max_tokens=12).start() for prompt in PROMPTS[:3]]
                scored, scoring = _score(engine, "A short text.")
            for one in asked:
                assert one.result().text
            scoring.join(DEADLINE_S)
            assert scored
            assert waited[0] == 2

    def test_a_long_text_to_be_scored_is_not_overtaken_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(slots=2, cache_tokens=256) as engine:
            watch = Watch(engine, monkeypatch)
            with watch.held():
                first = Asked(engine, PROMPTS[0], max_tokens=8).start()
                assert watch.reached.wait(DEADLINE_S)  # it is at work
                scored, scoring = _score(engine, LONG[:1000])
                later = Asked(engine, PROMPTS[1], max_tokens=150, grammar=LETTERS).start()
            later.result()
            assert scored, "a task passed a text that waited for cells"
            scoring.join(DEADLINE_S)
            first.result()

    def test_close_lets_running_and_waiting_tasks_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(slots=2) as engine:
            watch = Watch(engine, monkeypatch)
            closing = threading.Thread(target=engine.close)
            with watch.held():
                asked = [Asked(engine, prompt, max_tokens=5).start() for prompt in PROMPTS[:4]]
                closing.start()
                wait_for(lambda: engine._batching._closing, "the engine to close")
                late = Asked(engine, PROMPTS[0])
                engine._closed = False  # it looked before the engine was closed
                with pytest.raises(EngineError, match="the engine is closed"):
                    late.start().result()
                engine._closed = True
            for one in asked:
                assert one.result().tokens == 5
            closing.join(DEADLINE_S)
            assert not closing.is_alive()


def _score(engine: Llama, text: str) -> tuple[list[Any], threading.Thread]:
    scored: list[Any] = []
    thread = threading.Thread(
        target=lambda: scored.append(engine.score(text, top=0, cancelled=Cancellation()))
    )
    thread.start()
    waiting = engine._batching._waiting
    wait_for(lambda: any(isinstance(job, Scoring) for job in [*waiting]), "the text to be waiting")
    return scored, thread
