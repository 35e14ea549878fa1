"""Waiting for nodes names the cause, and ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dmoa.live import readiness
from dmoa.live.cluster import ClusterNode
from dmoa.live.readiness import STARTING, Causes, until_ready
from tests.live.clusters import DEADLINE_S


class Door(ThreadingHTTPServer):
    """A door that says what a test wants, one answer after another, then the last for ever."""

    answers: list[tuple[int, bytes]]
    silent = False

    def next_answer(self) -> tuple[int, bytes]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        if self.server.silent:
            released.wait(DEADLINE_S)
        status, body = self.server.next_answer()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


released = threading.Event()


def not_ready(reason: str) -> tuple[int, bytes]:
    return 503, json.dumps({"error": {"message": reason}}).encode()


@pytest.fixture
def door() -> Iterator[Door]:
    released.clear()
    with Door(("127.0.0.1", 0), Handler) as server:
        server.answers = [(200, b"{}")]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        released.set()
        server.shutdown()
        thread.join()


def node_at(port: int, name: str = "2") -> ClusterNode:
    return ClusterNode(name=name, folder=Path(name), gateway_listen=f"127.0.0.1:{port}")


def wait(
    *nodes: ClusterNode, lost: Causes | None = None, timeout_s: float = DEADLINE_S
) -> tuple[Causes, list[Causes]]:
    said: list[Causes] = []
    waiting = until_ready(nodes, lost=lambda: lost or {}, say=said.append, timeout_s=timeout_s)
    return asyncio.run(waiting), said


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ASK_AGAIN_S", 0.01)


def test_every_cause_is_told_until_the_node_is_ready(door: Door) -> None:
    door.answers = [
        *[not_ready("node 2 is not ready: its engine did not answer")] * 20,
        *[not_ready("node 2 is loading model x")] * 20,
        *[(503, b"no JSON")] * 20,
        *[(500, b"[]")] * 20,
        (200, b"{}"),
    ]
    left, said = wait(node_at(door.server_address[1]))
    assert left == {}
    causes = [entry["2"] for entry in said]
    assert causes[-4:] == [
        "its engine did not answer",
        "loading model x",
        "it answers with status 503",
        "it answers with status 500",
    ]


def test_a_node_without_a_door_is_starting_until_the_time_is_over() -> None:
    left, said = wait(node_at(1), timeout_s=0.2)
    assert left == {"2": STARTING}
    assert said == [{"2": STARTING}]


def test_a_door_that_does_not_answer_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S", 0.1)
    door.silent = True
    left, _ = wait(node_at(door.server_address[1]), timeout_s=0.5)
    assert "it has not answered for 0.1 s" in left["2"]


def test_a_lost_node_is_not_waited_for(door: Door) -> None:
    left, _ = wait(
        node_at(door.server_address[1], "0"), node_at(1, "1"), lost={"1": "given up: it died"}
    )
    assert left == {"1": "given up: it died"}


def test_a_node_that_answered_and_was_lost_after_that_is_not_ready(door: Door) -> None:
    left, _ = wait(node_at(door.server_address[1]), lost={"2": "given up"})
    assert left == {"2": "given up"}
