"""A real HTTP server on loopback that answers as told, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next reply of the server; the last one stays."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), json.loads(body)))
        replies = self.server.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        self.close_connection = True
        reply(self)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Remembers its requests; what hangs ends when it is released."""

    daemon_threads = True

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = replies
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is what some tests are about."""


@contextmanager
def serving(*replies: Reply) -> Iterator[Server]:
    """Serve the replies for a while."""
    server = Server(list(replies))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, body: str = "", **headers: str) -> Reply:
    """Answer with a status."""

    def reply(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return reply


def raw(data: bytes, kind: str = "text/event-stream", *, hang: bool = False) -> Reply:
    """Answer with a body as it is, then end it, or say nothing more."""

    def reply(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        handler.wfile.write(data)
        if hang:
            handler.server.released.wait(30)

    return reply


def hanging(handler: Handler) -> None:
    """Say nothing at all."""
    handler.server.released.wait(30)


def vanishing(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.connection.close()


def event(**chunk: Any) -> bytes:
    """Write one server-sent event."""
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def content(text: str | None, finish: str | None = None) -> bytes:
    """Write the event of a piece of text."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


def text_stream(*pieces: str, finish: str = "stop", usage: bool = True) -> Reply:
    """Answer with a whole response."""
    data = event(choices=[{"delta": {"role": "assistant", "content": None}}])
    data += b": keep-alive\n\n" + b"".join(content(piece) for piece in pieces)
    data += content(None, finish)
    if usage:
        data += event(choices=[], usage={"prompt_tokens": 11, "completion_tokens": 22})
    return raw(data + b"data: [DONE]\n\n")
