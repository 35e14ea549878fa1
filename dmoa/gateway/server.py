"""The HTTP server of a node's process: its event loop starts and stops it, no signal does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from dmoa.errors import ScenarioError
from dmoa.gateway.auth import is_loopback

CONNECTIONS_MAX, BACKLOG, PORT_MAX = 1024, 256, 65535
#: How long requests in flight may take to end when the door closes, s.
GRACE_S = 3


class RunningServer:
    """A door that is open: ``host`` and ``port`` are those really bound."""

    def __init__(self, app: Starlette, server: _Server, task: asyncio.Task[None]) -> None:
        self._app, self._server, self._task = app, server, task
        bound: tuple[str, int] = server.listener.getsockname()[:2]
        self.host, self.port = bound

    @property
    def url(self) -> str:
        """The address for clients."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Close the door: whoever waits is told that accepted prompts go on; then return."""
        self._app.state.closing.set()
        self._server.should_exit = True
        await self._task


async def serve(app: Starlette, host: str, port: int) -> RunningServer:
    """Open the door of an application of `dmoa.gateway.app.make_app` in the running event loop.

    Port 0 lets the system choose one.

    Raises:
        ScenarioError: The address is in use or cannot be bound, or it is no loopback address
            although no API keys are configured.
    """
    if not app.state.guard.needs_key and not is_loopback(host):
        raise ScenarioError(
            "a door beyond this machine needs API keys",
            path="gateway_listen",
            given=host,
            remedy="give api_keys_file in node.toml, or listen on 127.0.0.1",
        )
    config = uvicorn.Config(
        app,
        access_log=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=64 << 10,
        http="h11",
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    server = _Server(config, _listen(host, port))
    task = asyncio.create_task(server.serve(sockets=[server.listener]), name="gateway")
    up = asyncio.create_task(server.up.wait())
    await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if task.done():
        await task
    return RunningServer(app, server, task)


class _Server(uvicorn.Server):
    """The server without its signal handlers: those of the process are the node's."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.listener, self.up = listener, asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    if not 0 <= port <= PORT_MAX:
        raise ScenarioError(
            f"a port is a number from 0 to {PORT_MAX}", path="gateway_listen", given=where
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # asyncio sends small pieces at once (TCP_NODELAY) only where the protocol is named;
        # otherwise each answer waits about 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(where, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(where, error) from None
    return listener


def _cannot_listen(where: str, error: OSError) -> ScenarioError:
    return ScenarioError(
        f"the door cannot listen there ({error.strerror})",
        path="gateway_listen",
        given=where,
        remedy="stop what uses this port (`dmoa down` stops a cluster), or choose another",
    )
