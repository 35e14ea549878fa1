"""The client of the commands against servers that are no good node."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dmoa.errors import DmoaError, ScenarioError
from dmoa.gateway import client as client_module
from dmoa.gateway.client import Client, Lost, Unavailable, Waiting

Strange = Callable[[int, bytes], str]
ACCEPTED = b'data: {"dmoa": {"id": "p1", "plan": {"layers": 1, "proposers": 2}}}\n\n'


@pytest.fixture
def strange() -> Iterator[Strange]:
    """Give the function that starts a server which answers everything the same way."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str) -> list[object]:
    with Client(url) as client:
        return list(client.ask({"messages": []}, idempotency_key="k"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b""])
@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_is_no_node(strange: Strange, status: int, body: bytes) -> None:
    with (
        Client(strange(status, body)) as client,
        pytest.raises(ScenarioError, match="no node of dmoa"),
    ):
        client.get("/health")


@pytest.mark.parametrize(
    "body",
    [
        b"data: <html>\n",
        b'data: {}\n\ndata: {"choices": 7}\n',
        b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n',
    ],
)
def test_a_stream_of_another_kind(strange: Strange, body: bytes) -> None:
    with pytest.raises(ScenarioError, match="no node of dmoa"):
        ask(strange(200, body))


def test_an_error_of_another_shape(strange: Strange) -> None:
    with pytest.raises(ScenarioError, match="no node of dmoa"):
        ask(strange(400, b'{"error": "no"}'))
    with pytest.raises(ScenarioError, match="answered with an error"):
        ask(strange(400, b'{"error": {"message": 7}}'))
    with pytest.raises(DmoaError, match="answered with an error") as raised:
        ask(strange(500, b'{"error": {}}'))
    assert not isinstance(raised.value, ScenarioError)


def test_a_stream_that_ends_too_early(strange: Strange) -> None:
    with pytest.raises(Unavailable, match="too early"):
        ask(strange(200, b": waiting\n\n"))
    with pytest.raises(Lost, match="too early"):
        ask(strange(200, ACCEPTED))


def test_an_endless_answer_is_cut_off(strange: Strange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BODY_BYTES_MAX", 1000)
    with pytest.raises(DmoaError, match="more than 1,000 bytes"):
        ask(strange(200, ACCEPTED + b"x" * 2000))


def test_comments_say_that_the_node_is_there(strange: Strange) -> None:
    with Client(strange(200, b": waiting\n\n" + ACCEPTED)) as client:
        assert next(client.ask({}, idempotency_key="k")) == Waiting()


def test_a_connection_that_breaks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def hang_up() -> None:
            for _ in range(2):
                connection, _address = server.accept()
                connection.recv(1)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        for request in (Client.check, ask_first):
            with Client(url) as client, pytest.raises(Unavailable, match="connection broke"):
                request(client)
        thread.join()


def ask_first(client: Client) -> None:
    next(client.ask({}, idempotency_key="k"))


def test_nothing_that_listens() -> None:
    with Client("http://127.0.0.1:1") as client:
        with pytest.raises(Unavailable, match="nothing listens there"):
            client.check()
        with pytest.raises(Unavailable, match="nothing listens there"):
            next(client.ask({}, idempotency_key="k"))


def test_a_node_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_MAX_S", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}") as client,
    ):
        with pytest.raises(Unavailable, match=r"no answer in 0\.05 s"):
            client.check(timeout_s=0.05)
        with pytest.raises(Unavailable, match=r"silent for 0\.05 s"):
            next(client.ask({}, idempotency_key="k"))


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    strange: Strange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Client(strange(200, b"{}")) as client:
        client.check()
