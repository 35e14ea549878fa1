"""A gateway on a loopback port that the system chose, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from openai import OpenAI

from dmoa.gateway.app import make_app
from dmoa.gateway.limits import GatewayLimits
from dmoa.gateway.server import RunningServer, serve
from tests.gateway.fake_door import FakeDoor, Pause

DEADLINE_S = 20


class OpenDoor:
    """A gateway that serves a played node until the test is over."""

    def __init__(self, door: FakeDoor, loop: asyncio.AbstractEventLoop) -> None:
        self.door, self._loop = door, loop
        self.server: RunningServer

    @property
    def url(self) -> str:
        return self.server.url

    def run(self, coroutine: Any) -> Any:
        """Run something in the loop of the gateway."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    def release(self, pause: Pause) -> None:
        self._loop.call_soon_threadsafe(pause.over.set)

    def stop_soon(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop)


Opens = Callable[..., OpenDoor]


@contextmanager
def opening() -> Iterator[Opens]:
    """Give the function that opens doors; all are closed at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened: list[OpenDoor] = []

    def opens(
        door: FakeDoor | None = None, *, keys: tuple[str, ...] = (), port: int = 0, **limits: Any
    ) -> OpenDoor:
        place = OpenDoor(door or FakeDoor(), loop)
        app = make_app(place.door, keys, limits=GatewayLimits(**limits))
        place.server = place.run(serve(app, "127.0.0.1", port))
        opened.append(place)
        return place

    try:
        yield opens
    finally:
        for place in opened:
            place.run(place.server.stop())
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(DEADLINE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def opens() -> Iterator[Opens]:
    with opening() as opens:
        yield opens


@pytest.fixture
def place(opens: Opens) -> OpenDoor:
    return opens()


@pytest.fixture
def http(place: OpenDoor) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture
def openai_client(place: OpenDoor) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{place.url}/v1", api_key="not-needed", timeout=DEADLINE_S) as client:
        yield client


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most `DEADLINE_S`."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
