"""The server inside a node's event loop."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest

from dmoa.errors import ScenarioError
from dmoa.gateway.app import make_app
from dmoa.gateway.server import RunningServer, serve
from tests.gateway.conftest import OpenDoor, Opens
from tests.gateway.fake_door import FakeDoor


async def opened(host: str, port: int = 0, *, keys: tuple[str, ...] = ()) -> RunningServer:
    return await serve(make_app(FakeDoor(), keys), host, port)


def test_it_chooses_a_port_and_frees_it() -> None:
    async def run() -> None:
        first = await opened("127.0.0.1")
        assert first.port > 0
        assert first.url == f"http://127.0.0.1:{first.port}"
        await first.stop()
        second = await opened("127.0.0.1", first.port)
        await second.stop()

    asyncio.run(run())


def test_it_leaves_the_signals_of_the_process_alone() -> None:
    async def run() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        server = await opened("127.0.0.1")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        await server.stop()

    asyncio.run(run())


def test_a_port_in_use_is_an_error_with_its_remedy(place: OpenDoor) -> None:
    with pytest.raises(ScenarioError, match=r"in use.*dmoa down"):
        asyncio.run(opened("127.0.0.1", place.server.port))


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("no.such.host.invalid", 0)])
def test_an_address_that_cannot_be_bound(host: str, port: int) -> None:
    with pytest.raises(ScenarioError, match="gateway_listen"):
        asyncio.run(opened(host, port, keys=("0123456789abcdef",)))


def test_beyond_this_machine_keys_are_needed() -> None:
    everywhere = ".".join("0000")
    with pytest.raises(ScenarioError, match="api_keys_file"):
        asyncio.run(opened(everywhere))

    async def run() -> None:
        server = await opened(everywhere, keys=("0123456789abcdef",))
        await server.stop()

    asyncio.run(run())


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")

    async def run() -> None:
        server = await opened("::1")
        assert server.url == f"http://[::1]:{server.port}"
        await server.stop()

    asyncio.run(run())


def test_one_node_may_have_a_door_of_each_kind(opens: Opens) -> None:
    first, second = opens(), opens(FakeDoor("1"))
    names = [httpx.get(f"{place.url}/health").json()["node"] for place in (first, second)]
    assert names == ["0", "1"]
