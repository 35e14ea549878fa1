"""`dmoa chat`: what was said is passed on, and nothing a user types ends in a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dmoa.cli import chat, main
from dmoa.live.door import Ended
from tests.cli.played import PlayedCluster, playing
from tests.gateway.fake_door import ANSWER, full_script


@pytest.fixture
def cluster(workdir: Path) -> Iterator[PlayedCluster]:
    with playing(workdir) as cluster:
        cluster.start("0")
        yield cluster


def talk(text: str | bytes, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["chat", *arguments], input=text)


def history(asked: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in asked["options"].history]


def test_what_was_said_is_passed_on(cluster: PlayedCluster) -> None:
    result = talk("Why?\n\nAnd then?\n", "--system", "Be brief.", "--layers", "0")
    assert result.exit_code == 0
    assert result.stdout == f"{ANSWER}\n{ANSWER}\n"
    first, second = cluster.door("0").asked
    assert (first["question"], first["layers"]) == ("Why?", 0)
    assert history(first) == [("system", "Be brief.")]
    assert second["question"] == "And then?"
    assert history(second) == [("system", "Be brief."), ("user", "Why?"), ("assistant", ANSWER)]


def test_reset_forgets_all_but_the_system_message(cluster: PlayedCluster) -> None:
    result = talk("Why?\n/reset\nAnd then?\n/quit\nnever asked\n", "--system", "Be brief.")
    assert "The conversation is forgotten." in result.stderr
    assert len(cluster.door("0").asked) == 2
    assert history(cluster.door("0").asked[1]) == [("system", "Be brief.")]


@pytest.mark.usefixtures("cluster")
def test_show_prints_the_proposals_of_the_last_answer() -> None:
    result = talk("/show\nWhy?\n/show\n/help\n")
    assert "There is no answer yet." in result.stderr
    assert "layer 1 of 1 · node 1 · scripted" in result.stdout
    assert "[scripted] proposal of node 1" in result.stdout
    assert "There is no '/help': /quit ends" in result.stderr


def test_a_failed_prompt_does_not_end_the_conversation(cluster: PlayedCluster) -> None:
    cluster.door("0").events = [Ended(state="failed", reason="no proposer is left")]
    result = talk("Why?\nAnd now?\n")
    assert result.exit_code == 0
    assert "error: prompt 0-1 failed: no proposer is left" in result.stderr
    assert history(cluster.door("0").asked[1]) == []


def test_ctrl_c_stops_waiting_and_ctrl_c_at_the_prompt_says_how_to_end(
    cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmoa.cli.telling import Teller

    told = Teller._tell_proposal
    typed: Iterator[str | BaseException] = iter(["Why?", KeyboardInterrupt(), "And now?"])

    def interrupt(*_: object) -> None:
        monkeypatch.setattr(Teller, "_tell_proposal", told)
        raise KeyboardInterrupt

    def type_in(_: str) -> str:
        line = next(typed, None)
        if line is None:
            raise EOFError
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(Teller, "_tell_proposal", interrupt)
    monkeypatch.setattr(chat, "input", type_in, raising=False)
    result = talk("")
    assert result.exit_code == 0
    assert "Stopped waiting" in result.stderr
    assert "Ctrl-D or /quit ends the conversation." in result.stderr
    assert result.stdout == ANSWER + "\n"
    assert history(cluster.door("0").asked[1]) == []


@pytest.mark.usefixtures("cluster")
def test_input_that_is_not_utf8_is_refused() -> None:
    result = talk(b"\xff\n")
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_an_answer_without_layers_has_nothing_to_show(cluster: PlayedCluster) -> None:
    cluster.door("0").events = [Ended(state="answered", answer=ANSWER)]
    result = talk("Why?\n/show\n", "--layers", "0")
    assert "node 0 answered alone, without layers of proposals" in result.stderr


def test_every_question_is_answered_anew(cluster: PlayedCluster) -> None:
    cluster.door("0").events = full_script()
    result = talk("Why?\n", "--show", "--node", "0")
    assert "answer · node 0" in result.stdout
