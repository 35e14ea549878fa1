"""The scripted engine: deterministic, honest about what it is, and obedient."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dmoa.core import Options, TaskId, Turn
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines import make_engine
from dmoa.live.engines.base import Cancellation, Engine, Generation
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.scripted import MARK, Scripted
from dmoa.live.engines.spec import EngineSpec
from dmoa.live.engines.templates import NAMED, choose, fold, shorten


def generate(engine: Engine, prompt: str = "Why is it so?", **options: Any) -> Generation:
    heard: list[str] = []
    made = engine.generate(prompt, Options(**options), heard.append, Cancellation())
    assert "".join(heard) == made.text
    return made


def test_the_same_prompt_gives_the_same_text_and_another_one_another() -> None:
    first = generate(Scripted())
    assert generate(Scripted()) == first
    assert generate(Scripted(), "Why not?").text != first.text
    assert generate(Scripted(), seed=7).text != first.text
    assert generate(Scripted(), history=(Turn("user", "x"),)).text != first.text


def test_it_says_what_it_is() -> None:
    engine = make_engine(EngineSpec(kind="scripted"))
    assert generate(engine).text.startswith(MARK)
    assert (engine.kind, engine.model) == ("scripted", "scripted")


def test_tokens_are_words() -> None:
    made = generate(Scripted(tokens=12), history=(Turn("system", "Be brief."),))
    assert (made.tokens, len(made.text.split()), made.finish) == (12, 12, "stop")
    assert made.prompt_tokens == 6


def test_a_response_ends_at_its_limit() -> None:
    assert generate(Scripted(tokens=12), max_tokens=5).finish == "length"
    assert generate(Scripted(tokens=12, max_tokens=5)).tokens == 5
    assert generate(Scripted(tokens=12, context_tokens=7)).tokens == 3


def test_a_response_ends_at_a_stop_string() -> None:
    whole = generate(Scripted(tokens=12)).text
    for engine in (Scripted(tokens=12), Scripted(0.001, tokens=12)):
        made = generate(engine, stop=(whole.split()[3],))
        assert whole.startswith(made.text)
        assert (made.finish, made.tokens) == ("stop", 3)


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers() -> None:
    with pytest.raises(EngineError, match=r"9 tokens, but the context has 8 .* truncate = true"):
        generate(Scripted(context_tokens=8), "one two three four five six seven eight nine")
    made = generate(Scripted(context_tokens=8, truncate=True), "one " * 9)
    assert (made.prompt_tokens, made.tokens) == (7, 1)


def test_it_follows_no_grammar_and_says_so() -> None:
    assert not Scripted().capabilities.grammar
    with pytest.raises(EngineError, match="grammar"):
        generate(Scripted(), grammar='root ::= "x"')


def test_what_it_cannot_is_refused_with_who_can() -> None:
    engine = Scripted()
    asks: list[Callable[[], object]] = [
        lambda: generate(engine, logprobs=0),
        lambda: engine.score("x", top=0, cancelled=Cancellation()),
        lambda: engine.embed("x", Cancellation()),
    ]
    for ask in asks:
        with pytest.raises(EngineError, match="ask a node whose engine is llama"):
            ask()
    engine.prefill(TaskId("a", 0, 0, 0), "x", Options())
    engine.drop(TaskId("a", 0, 0, 0))


def test_as_many_at_once_as_it_has_slots() -> None:
    inside = threading.Barrier(3, timeout=10)

    def together(_prompt: str, _call: int) -> float:
        inside.wait()
        return 0.0

    engine = Scripted(together, slots=3)
    assert engine.capabilities.slots == 3
    threads = [threading.Thread(target=generate, args=(engine,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not inside.broken
    assert not any(thread.is_alive() for thread in threads)


def test_who_asks_about_a_cancellation_late_is_told_at_once() -> None:
    told: list[str] = []
    cancelled = Cancellation()
    with cancelled.notifying(lambda: told.append("early")):
        cancelled.set()
    with cancelled.notifying(lambda: told.append("late")):
        cancelled.set()
    assert told == ["early", "late"]


def test_who_does_not_wait_any_more_is_not_told_of_a_cancellation() -> None:
    told: list[str] = []
    cancelled = Cancellation()
    with cancelled.notifying(lambda: told.append("over")):
        pass
    cancelled.set()
    assert told == []


def test_it_takes_the_service_time_it_is_told() -> None:
    asked = []

    def service_time_s(prompt: str, call: int) -> float:
        asked.append((prompt, call))
        return 0.05 * call

    engine = Scripted(service_time_s, tokens=5)
    for call in range(3):
        started = time.monotonic()
        generate(engine, f"prompt {call}")
        assert time.monotonic() - started >= 0.05 * call
    assert asked == [("prompt 0", 0), ("prompt 1", 1), ("prompt 2", 2)]


def test_its_words_come_one_by_one_and_a_cancel_ends_them() -> None:
    cancelled, heard = Cancellation(), []

    def hear(text: str) -> None:
        heard.append(text)
        if len(heard) == 3:
            cancelled.set()

    made = Scripted(3.0, tokens=300).generate("Why?", Options(max_tokens=300), hear, cancelled)
    assert (made.finish, made.tokens, len(heard)) == ("cancelled", 3, 3)
    made = Scripted().generate("Why?", Options(), hear, cancelled)
    assert (made.finish, made.text) == ("cancelled", "")


def test_close_waits_for_the_generation_under_way() -> None:
    engine, cancelled, started = Scripted(30.0), Cancellation(), threading.Event()
    made: list[Generation] = []

    def serve() -> None:
        made.append(engine.generate("Why?", Options(), lambda _: started.set(), cancelled))

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(10)
    closing = threading.Thread(target=engine.close)
    closing.start()
    assert not made
    cancelled.set()
    closing.join(10)
    thread.join(10)
    assert made[0].finish == "cancelled"
    assert not closing.is_alive()


# --- pieces and templates, which all engines share ------------------------------------------


def joined(stops: list[str], *pieces: bytes, skip_space: bool = False) -> tuple[str, list[str]]:
    heard: list[str] = []
    joiner = Pieces(stops, heard.append, skip_space=skip_space)
    for piece in pieces:
        if joiner.feed(piece):
            break
    text = joiner.finish()
    assert "".join(heard) == text
    return text, heard


def test_a_character_split_between_tokens_arrives_whole() -> None:
    cat = "🐈".encode()
    assert joined([], b"a", cat[:1], cat[1:3], cat[3:] + b"b") == ("a🐈b", ["a", "🐈b"])


def test_a_character_that_is_never_finished_is_left_out() -> None:
    assert joined([], b"a", "é".encode()[:1])[0] == "a"


def test_a_stop_string_across_pieces_is_never_passed_on() -> None:
    assert joined(["</end>"], b"yes</", b"en", b"d> no") == ("yes", ["yes"])
    assert joined(["ab", "b"], b"xa", b"b")[0] == "x"


def test_what_only_looked_like_a_stop_string_is_passed_on() -> None:
    assert joined(["</end>"], b"1 </", b"2")[0] == "1 </2"
    assert joined(["END"], b"THE EN")[0] == "THE EN"
    assert joined(["aab"], b"aaab", b"c") == ("a", ["a"])


def test_an_empty_stop_string_stops_nothing() -> None:
    assert joined([""], b"text")[0] == "text"


def test_nothing_comes_after_a_stop() -> None:
    joiner = Pieces(["."], lambda _: None)
    assert joiner.feed(b"a.b")
    assert joiner.feed(b"c")
    assert joiner.finish() == "a"


def test_space_before_the_text_can_belong_to_the_form() -> None:
    assert joined([], b" ", b" a", b" b", skip_space=True)[0] == "a b"


def test_stop_strings_have_limits() -> None:
    for stops in (["x"] * 33, ["x" * 257]):
        with pytest.raises(EngineError, match="at most 32 stop strings of at most 256"):
            Pieces(stops, lambda _: None)


def test_the_template_is_the_configured_one_else_the_models_else_plain() -> None:
    assert choose("gemma", "{{ own }}") == (NAMED["gemma"], "")
    assert choose("{{ mine }}", "{{ own }}")[0].source == "{{ mine }}"
    assert choose(None, "{{ own }}")[0].source == "{{ own }}"
    form, note = choose(None, None)
    assert form is NAMED["plain"]
    assert "no chat template" in note
    with pytest.raises(ScenarioError, match="plain, chatml, gemma"):
        choose("gema", None)


def test_folding_makes_turns_alternate() -> None:
    turns = [Turn("assistant", "0"), Turn("system", "1"), Turn("user", "2"), Turn("user", "3"),
             Turn("assistant", "4"), Turn("user", "5")]  # fmt: skip
    assert [(turn.role, turn.text) for turn in fold(turns)] == [
        ("user", "1\n\n2\n\n3"),
        ("assistant", "4"),
        ("user", "5"),
    ]


def words(turns: Sequence[Turn]) -> int:
    return sum(len(turn.text.split()) for turn in turns)


def test_shortening_takes_old_turns_first_then_the_middle() -> None:
    system, old = Turn("system", "rules"), Turn("user", "old " * 50)
    question = Turn("user", "first " + "middle " * 50 + "last")
    assert shorten([system, old, question], 200, words) == [system, old, question]
    assert shorten([system, old, question], 60, words) == [system, question]
    short = shorten([system, old, question], 20, words)
    assert short is not None
    assert words(short) == 20
    assert short[0] == system
    assert short[1].text.startswith("first middle")
    assert short[1].text.endswith("middle last")
    assert " … " in short[1].text
    assert shorten([system, question], 1, words) is None
