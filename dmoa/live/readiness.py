"""Waiting for nodes, and saying what the wait is for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from dmoa.live.cluster import ClusterNode

#: A node that does not say within this time whether it is ready hangs, s.
ANSWER_S = 12.0
#: Between two questions, s.
ASK_AGAIN_S = 0.2
CAUSE_CHARACTERS_MAX = 300
STARTING = "starting, its door is not open yet"

Causes = dict[str, str]
"""What nodes wait for, by name."""


async def until_ready(
    nodes: Sequence[ClusterNode],
    *,
    lost: Callable[[], Causes],
    say: Callable[[Causes], None],
    timeout_s: float,
) -> Causes:
    """Wait until every node is ready or lost.

    Args:
        nodes: Whom to wait for.
        lost: Says which nodes will not become ready any more, and why.
        say: Called with what is waited for whenever that changes.
        timeout_s: When to stop waiting, s.

    Returns:
        The nodes that are not ready, and why; empty if all are.
    """
    end_s = time.monotonic() + timeout_s
    causes: Causes = dict.fromkeys((node.name for node in nodes), STARTING)
    said: Causes = {}
    async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
        asking = [asyncio.ensure_future(_ask(client, node, causes)) for node in nodes]
        try:
            while True:
                # First the time for a first answer: a node that runs already is not waited for.
                await asyncio.sleep(ASK_AGAIN_S)
                gone = lost()
                waiting = {name: why for name, why in causes.items() if name not in gone}
                if not waiting or time.monotonic() >= end_s:
                    left = {**causes, **gone}
                    return {node.name: left[node.name] for node in nodes if node.name in left}
                if waiting != said:
                    said = waiting
                    say(waiting)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def _ask(client: httpx.AsyncClient, node: ClusterNode, causes: Causes) -> None:
    """Ask a node until it is ready; it has no cause any more then."""
    while True:
        why = await why_not_ready(client, node)
        if not why:
            del causes[node.name]
            return
        causes[node.name] = why
        await asyncio.sleep(ASK_AGAIN_S)


async def why_not_ready(client: httpx.AsyncClient, node: ClusterNode) -> str:
    """Ask a node why it is not ready; empty if it is."""
    try:
        answer = await client.get(f"{node.url}/ready")
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL):
        return STARTING
    except httpx.HTTPError:
        return f"its door is open, but it has not answered for {ANSWER_S:g} s"
    if answer.status_code == httpx.codes.OK:
        return ""
    try:
        said = _reason(answer.json())
    except ValueError:
        said = ""
    for beginning in (f"node {node.name} is not ready: ", f"node {node.name} is "):
        said = said.removeprefix(beginning)
    return said[:CAUSE_CHARACTERS_MAX] or f"it answers with status {answer.status_code}"


def _reason(body: Any) -> str:
    """Find the reason in an answer: ``{"error": {"message": …}}`` or ``{"reason": …}``."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    found = error.get("message") if isinstance(error, dict) else body.get("reason")
    return found if isinstance(found, str) else ""
