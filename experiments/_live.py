"""Real nodes for an experiment: a cluster in a temporary folder, and boxes of chosen speeds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

from dmoa.core import Content, Options
from dmoa.core.augment import Template, augment, beginning
from dmoa.live.engines import make_engine
from dmoa.live.engines.spec import EngineSpec

SLICE_S = 0.02
SUBJECTS = (
    "a lighthouse", "an old clock", "the first snow", "a lost letter", "two rival bakers",
    "a night train", "an orchard", "a broken bridge", "a travelling circus", "the harbour",
)  # fmt: skip


class Cluster(NamedTuple):
    """A running cluster: where it lies, and the processes and doors of its nodes by name."""

    folder: Path
    pids: dict[str, int]
    urls: dict[str, str]


def dmoa(*arguments: str) -> dict[str, Any]:
    """Run a command with ``--json`` and give what it says."""
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "dmoa", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"dmoa {' '.join(arguments)}: {ran.stderr or ran.stdout}")
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@contextlib.contextmanager
def cluster(name: str, port: int, values: Sequence[str], *options: str) -> Iterator[Cluster]:
    """Run a cluster; its files are gone afterwards.

    Args:
        name: of its folder.
        port: of its first node; the others follow.
        values: ``key=value`` of its scenario.
        options: further ones of ``dmoa init``.
    """
    sets = [part for value in values for part in ("--set", value)]
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as parent:
        folder = str(Path(parent) / name)
        dmoa("init", folder, "--base-port", str(port), *options, *sets)
        nodes = dmoa("up", "--dir", folder, "--detach")["nodes"]
        try:
            pids = {node["name"]: node["pid"] for node in nodes}
            urls = {node["name"]: node["url"] for node in nodes}
            yield Cluster(Path(folder), pids, urls)
        finally:
            dmoa("down", "--dir", folder)


@contextlib.contextmanager
def taking_turns(turns: Sequence[Sequence[int]]) -> Iterator[None]:
    """Let processes run by turns, so that each is a box as fast as its share of the turns.

    Stopped and continued processes need neither privileges nor another kernel, and where each has
    its turns alone none slows another down.

    Args:
        turns: The processes of each turn; a turn takes 20 ms, long beside what stopping takes.
    """
    everybody = sorted({pid for turn in turns for pid in turn})
    ended = threading.Event()

    def run() -> None:
        place, running = 0, set(everybody)
        while not ended.wait(SLICE_S):
            now = set(turns[place])
            for pid in running - now:
                os.kill(pid, signal.SIGSTOP)
            for pid in now - running:
                os.kill(pid, signal.SIGCONT)
            running, place = now, (place + 1) % len(turns)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)


def question(place: int) -> str:
    """Write a question whose answer does not end early, with a first token of its own.

    Among the questions that a node remembers no two begin alike, so it reads each as a whole.
    """
    letter, subject = ascii_uppercase[place % len(ascii_uppercase)], SUBJECTS[place % len(SUBJECTS)]
    return f"{letter}{1000 + place}. Tell me a very long story about {subject}, with many details."


def lengths(question: str, responses: int, known_tokens: int) -> dict[str, int]:
    """Count the tokens of a question and of the aggregation instruction; give them by key.

    The instruction has the marks of the responses too, as they are where all responses are cut.

    Args:
        question: As it is asked.
        responses: How many an aggregation reads.
        known_tokens: With so many the chat template begins every prompt. They are left out: a node
            reads them once in its life.
    """
    engine = make_engine(EngineSpec(context_tokens=512, threads=1))
    asked, template = Content(0, question), Template()
    with contextlib.closing(engine):

        def count(text: str | None) -> int:
            return engine.count_tokens(text or "", Options())

        # What ends the chat template stands after every prompt, and each task reads it again.
        alone, ending = count(question) - known_tokens, count("") - known_tokens
        texts = [Content(0, "story", cut=True)] * responses
        instruction = count(augment(asked, texts, template).text) - known_tokens - alone - responses
        opening = count(beginning(asked, texts[:0], template).text) - known_tokens - alone
    return {
        "tokens.prompt_tokens": alone,
        "plan.instruction_tokens": instruction + ending,
        "plan.closing_tokens": instruction + ending - opening,
    }
