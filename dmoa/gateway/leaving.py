"""Clients that leave: what was waited for on their behalf is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


async def unless_gone(request: Request, waiting: Coroutine[Any, Any, T]) -> T | None:
    """Await something while the client is there; None if it goes."""
    wanted = asyncio.ensure_future(waiting)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({wanted, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await wanted if wanted.done() else None
    finally:
        await drop(wanted, gone)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def drop(*futures: asyncio.Future[Any] | None) -> None:
    """Cancel what has not ended, and see it end."""
    pending = [future for future in futures if future is not None and not future.done()]
    for future in pending:
        future.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
