"""`dmoa ask` against real gateways on loopback."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from dmoa.cli import asking, main, telling
from dmoa.cli.telling import Teller, printable
from dmoa.core.messages import Options
from dmoa.live.door import Ended, Token
from tests.cli.conftest import Run
from tests.cli.played import PlayedCluster, playing
from tests.conftest import ROOT
from tests.gateway.conftest import until
from tests.gateway.fake_door import ANSWER, Pause, proposal, queue_full

KEY = "0123456789abcdef"


@pytest.fixture
def cluster(workdir: Path) -> Iterator[PlayedCluster]:
    with playing(workdir) as cluster:
        yield cluster


def test_the_answer_is_all_of_standard_output(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("ask", "Why?")
    assert result.exit_code == 0
    assert result.stdout == ANSWER + "\n"
    assert "node 0 accepted prompt 0-1" in result.stderr
    assert "node 1 (scripted) proposed 5 tokens in 1.25 s" in result.stderr
    assert "node 3 proposed nothing: its queue is full" in result.stderr
    assert "2 proposals in 1 layer, 1 missing · 4.5 s" in result.stderr


def test_options_reach_the_node(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    dmoa("ask", "Why?", "--layers", "2", "--proposers", "1", "--max-tokens", "9", "--temperature",
         "0", "--seed", "3", "--system", "Be brief.", "--timeout", "30")  # fmt: skip
    (asked,) = cluster.door("0").asked
    assert (asked["layers"], asked["proposers"], asked["timeout_s"]) == (2, 1, 30.0)
    options = cast("Options", asked["options"])
    assert (options.max_tokens, options.temperature, options.seed) == (9, 0.0, 3)
    assert [(turn.role, turn.text) for turn in options.history] == [("system", "Be brief.")]


def test_show_prints_every_proposal_before_the_answer(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("ask", "Why?", "--show")
    heads = [line.strip(" ─") for line in result.stdout.splitlines() if line.startswith("── ")]
    assert heads == [
        "layer 1 of 1 · node 0 · scripted · 5 tokens · 1.25 s",
        "layer 1 of 1 · node 1 · scripted · 5 tokens · 1.25 s · cut at its limit of tokens",
        "layer 1 of 1 · node 3 · nothing: its queue is full",
        "answer · node 0",
    ]
    assert "[scripted] proposal of node 1" in result.stdout
    assert result.stdout.endswith(f"\n{ANSWER}\n")


def test_json(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("ask", "Why?", "--json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert (found["id"], found["answer"], found["sojourn_time_s"]) == ("0-1", ANSWER, 4.5)
    (layer,) = found["layers"]
    assert [one["node"] for one in layer["proposals"]] == ["0", "1", "3"]
    assert {"node", "model", "text", "service_time_s"} <= set(layer["proposals"][0])
    assert found["aggregation"]["node"] == "0"


def test_the_question_may_come_from_standard_input(cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = CliRunner().invoke(main, ["ask", "-"], input="Warum ist der Himmel blau, hä?")
    assert result.exit_code == 0
    assert cluster.door("0").asked[0]["question"] == "Warum ist der Himmel blau, hä?"


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff", "not UTF-8"),
        (b"x" * (4 << 20) + b"y", "longer"),
    ],
)
def test_a_bad_question_is_refused_before_any_node_is_asked(
    cluster: PlayedCluster, question: bytes, problem: str
) -> None:
    cluster.start("0")
    result = CliRunner().invoke(main, ["ask", "-"], input=question)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert cluster.door("0").asked == []


@pytest.mark.parametrize("arguments", [["Wh\udcff?"], ["Why?", "--system", "\udcff"]])
def test_an_argument_that_is_not_utf8(
    dmoa: Run, cluster: PlayedCluster, arguments: list[str]
) -> None:
    cluster.start("0")
    result = dmoa("ask", *arguments)
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_another_node_stands_in_for_one_that_is_down(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("2")
    result = dmoa("ask", "Why?")
    assert result.exit_code == 0
    assert "node 0: nothing listens there; asking node 1 instead" in result.stderr
    assert "node 2 accepted" in result.stderr


def test_another_node_stands_in_for_a_full_one(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0", "1")
    cluster.door("0").refusal = queue_full()
    result = dmoa("ask", "Why?")
    assert result.exit_code == 0
    assert "node 0: the queue is full (queue length 64)" in result.stderr


def test_no_other_node_stands_in_for_a_named_one(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("ask", "Why?", "--node", "1")
    assert result.exit_code == 1
    assert "node 1 did not take the question (nothing listens there)" in result.stderr
    assert "`dmoa up` starts it, or leave --node out" in result.stderr


@pytest.mark.usefixtures("cluster")
def test_when_no_node_runs_the_next_step_is_named(dmoa: Run) -> None:
    result = dmoa("ask", "Why?")
    assert result.exit_code == 1
    assert "no node took the question: 0 (nothing listens there), 1" in result.stderr
    assert "`dmoa up` starts them" in result.stderr


def test_an_address_instead_of_a_cluster(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("1")
    result = dmoa("ask", "Why?", "--url", cluster.urls["1"] + "/", "--dir", "elsewhere")
    assert result.stdout == ANSWER + "\n"
    down = dmoa("ask", "Why?", "--url", "http://127.0.0.1:1")
    assert down.exit_code == 1
    assert "`dmoa node` starts it" in down.stderr
    assert "--node out" not in down.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--dir", "nowhere"], "there is no cluster in this folder"),
        (["--node", "7"], "known are: 0, 1, 2"),
        (["--node", "7", "--url", "http://127.0.0.1:1"], "together with --url"),
        (["--url", "ftp://127.0.0.1"], "no address of a node's door"),
        (["--url", "http://127.0.0.1:99999"], "no address of a node's door"),
        (["--url", "http://"], "no address of a node's door"),
        (["--url", "http://127.0.0.1:80/\x01"], "no address of a node's door"),
        (["--layers", "9"], "at most 3 layers fit"),
        (["--layers", "-1"], "dmoa.layers: expected `int` >= 0"),
        (["--temperature", "-1"], "temperature: expected `float` >= 0"),
        (["--key-file", "missing"], "cannot be read"),
    ],
)
def test_bad_input(dmoa: Run, cluster: PlayedCluster, arguments: list[str], problem: str) -> None:
    cluster.start("0")
    result = dmoa("ask", "Why?", *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "problem"), [("[live", "cannot be read"), ("live = 1", "no peer has a door")]
)
def test_a_broken_cluster_file(dmoa: Run, cluster: PlayedCluster, text: str, problem: str) -> None:
    cluster.file.write_text(text, encoding="utf-8")
    result = dmoa("ask", "Why?")
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_key(dmoa: Run, cluster: PlayedCluster, workdir: Path) -> None:
    cluster.start("0", keys=(KEY,))
    result = dmoa("ask", "Why?")
    assert result.exit_code == 2
    assert "give --key-file FILE" in result.stderr
    file = workdir / "keys"
    file.write_text(f"{KEY}  # mine\n", encoding="utf-8")
    file.chmod(0o600)
    assert dmoa("ask", "Why?", "--key-file", "keys").stdout == ANSWER + "\n"


@pytest.mark.parametrize("state", ["failed", "expired"])
def test_a_prompt_that_ends_badly(dmoa: Run, cluster: PlayedCluster, state: str) -> None:
    cluster.start("0", "1")
    cluster.door("0").events = [Ended(state=state, reason="no proposer is left")]  # type: ignore[arg-type]
    result = dmoa("ask", "Why?")
    assert result.exit_code == 1
    assert f"prompt 0-1 {state}: no proposer is left" in result.stderr
    assert cluster.door("1").asked == []  # it ends exactly once


def test_an_answer_cannot_steer_the_terminal(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    text = "\x1b]0;gotcha\x07 red\u202e"
    cluster.door("0").events = [
        proposal("1", text=text, model="\x1b[31m"),
        Token(text=text),
        Ended(state="answered", answer=text, cut=True),
    ]
    result = dmoa("ask", "Why?", "--show")
    assert result.stdout.endswith("]0;gotcha red\n")
    assert "\x1b" not in result.output
    assert "cut at its limit of tokens (--max-tokens raises it)" in result.stderr
    assert printable("tab\tand\nlines stay") == "tab\tand\nlines stay"


def test_a_node_that_breaks_off_is_waited_for(
    cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY_S", 0.01)
    cluster.start("0")
    place, pause = cluster.places["0"], Pause()
    played = place.door.events
    place.door.events = [Token(text="[scripted] Because of Mie"), pause]
    found = []

    def ask() -> None:
        found.append(CliRunner().invoke(main, ["ask", "Why?"]))

    asker = threading.Thread(target=ask)
    asker.start()
    until(lambda: place.door.following == 1)
    port = place.server.port
    place.run(place.server.stop())
    place.door.events = played
    again = cluster._opens(place.door, port=port)
    asker.join(20)
    (result,) = found
    assert result.exit_code == 0
    assert result.stdout.endswith(ANSWER + "\n")
    assert "node 0 broke off (the node stops; prompt 0-1 is accepted" in result.stderr
    assert len(again.door.asked) == 1  # the same prompt, not a second one


def test_a_node_that_does_not_come_back(
    cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY_S", 0.01)
    cluster.start("0")
    place = cluster.places["0"]
    place.door.events = [Pause()]
    found = []

    def ask() -> None:
        found.append(CliRunner().invoke(main, ["ask", "Why?", "--timeout", "0.1"]))

    asker = threading.Thread(target=ask)
    asker.start()
    until(lambda: place.door.following == 1)
    place.run(place.server.stop())
    asker.join(20)
    (result,) = found
    assert result.exit_code == 1
    assert "node 0 did not come back" in result.stderr
    assert "/v1/dmoa/prompts/0-1" in result.stderr


def test_a_long_wait_is_explained(cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "REMIND_S", 0)
    cluster.start("0", keep_alive_s=0.01)
    place, pause = cluster.places["0"], Pause()
    place.door.events = [proposal("1"), pause, Ended(state="answered", answer="[scripted] Yes.")]
    explained = threading.Event()
    progress = Teller._progress

    def listen(teller: Teller, text: str) -> None:
        progress(teller, text)
        if text.startswith("waiting: "):
            explained.set()

    monkeypatch.setattr(Teller, "_progress", listen)

    def release_later() -> None:
        explained.wait(20)
        place.release(pause)

    release = threading.Thread(target=release_later)
    release.start()
    result = CliRunner().invoke(main, ["ask", "Why?"])
    release.join()
    assert result.exit_code == 0
    assert "waiting: layer 1 of 1: 2 of 3 proposals queued or being decoded" in result.stderr
    assert "`dmoa status` shows the queues" in result.stderr


def test_whoever_stops_waiting_is_told_where_the_answer_will_be(
    dmoa: Run, cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start("0")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Teller, "_tell_proposal", interrupt)
    result = dmoa("ask", "Why?")
    assert result.exit_code == 130
    assert f"prompt 0-1 goes on; its answer will be at {cluster.urls['0']}/v1" in result.stderr


def test_on_a_terminal_a_clock_shows_what_is_waited_for(cluster: PlayedCluster) -> None:
    cluster.start("0")
    place, pause = cluster.places["0"], Pause()
    place.door.events = [proposal("1"), pause, *place.door.events[3:]]
    command = [sys.executable, "-m", "dmoa", "ask", "Why?"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    asker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    while b"2 of 3 proposals queued or being decoded; Ctrl-C stops" not in seen:
        seen += os.read(ours, 4096)
    place.release(pause)
    out, _ = asker.communicate(timeout=20)
    os.close(ours)
    assert out.decode() == ANSWER + "\n"
    assert b"0:00:0" in seen
