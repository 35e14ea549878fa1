"""The same load for real nodes and for simulated ones: recorded arrivals of prompts of one length.

Prompts come as in a Poisson process and are dealt to the nodes in turn, as the simulator deals a
recording with `arrivals.split = "round-robin"`.
"""

from __future__ import annotations

import math
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, NamedTuple

import httpx
from _live import Cluster, cluster, dmoa, question

from dmoa.core.streams import derive, uniform

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Load(NamedTuple):
    """When each prompt comes, s after the first one, and how long all are, in tokens."""

    times_s: tuple[float, ...]
    prompt_tokens: int
    response_tokens: int

    def write(self, file: Path) -> None:
        """Write it as a recording that scenarios read."""
        lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
        for time_s in self.times_s:
            moment = (_BEGIN + timedelta(seconds=time_s)).strftime("%Y-%m-%d %H:%M:%S.%f")
            lines.append(f"{moment},{self.prompt_tokens},{self.response_tokens}")
        file.write_text("\n".join(lines) + "\n", "utf-8")


def recorded(
    rate_hz: float,
    nodes: int,
    window_s: float,
    prompt_tokens: int,
    response_tokens: int,
    seed: int,
) -> Load:
    """Draw the arrivals of all nodes together, at ``rate_hz`` each, for a while."""
    key = derive(seed, "arrivals")
    times, at_s = [0.0], 0.0
    while True:
        at_s += -math.log(uniform(key, len(times))) / (rate_hz * nodes)
        if at_s > window_s:
            return Load(tuple(times), prompt_tokens, response_tokens)
        times.append(at_s)


@contextmanager
def live_traces(
    loads: Sequence[Load],
    window_s: float,
    port: int,
    values: Mapping[str, Any],
    options: Sequence[str],
    *,
    drain: bool,
) -> Iterator[tuple[Path, list[Path]]]:
    """Put each load on a cluster of its own; give a folder, and the folders of the clusters.

    Args:
        loads: What comes.
        window_s: For how long.
        port: Of the first node.
        values: Of the scenario.
        options: Of ``dmoa init``.
        drain: Whether all prompts are waited for, instead of stopping at the window's end.
    """
    sets = [f"{key}={_written(value)}" for key, value in values.items()]
    with TemporaryDirectory(prefix="calibration-") as parent:
        folders = []
        for place, load in enumerate(loads):
            kept = Path(parent) / str(place)
            with cluster("calibration", port, sets, *options) as network:
                _put(network, load, window_s, drain=drain)
                dmoa("down", "--dir", str(network.folder), "--grace", "30" if drain else "0")
                shutil.copytree(network.folder, kept, ignore=shutil.ignore_patterns("*.key"))
            folders.append(kept)
        yield Path(parent), folders


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')


def _put(network: Cluster, load: Load, window_s: float, *, drain: bool) -> None:
    """Ask at the load's times; each prompt waits for its answer in a thread of its own."""
    urls = [network.urls[name] for name in sorted(network.urls)]
    begun_s = time.monotonic()
    asking = []
    for place, at_s in enumerate(load.times_s):
        time.sleep(max(0.0, begun_s + at_s - time.monotonic()))
        arguments = (urls[place % len(urls)], place, load.response_tokens)
        asking.append(Thread(target=_ask, args=arguments, daemon=True))
        asking[-1].start()
    time.sleep(max(0.0, begun_s + window_s - time.monotonic()))
    if drain:
        for thread in asking:
            thread.join()


def _ask(url: str, place: int, tokens: int) -> None:
    body = {
        "model": "dmoa",
        "messages": [{"role": "user", "content": question(place)}],
        "max_tokens": tokens,
        "temperature": 0.0,
    }
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    with suppress(httpx.HTTPError):  # an overloaded cluster is stopped before it has answered
        httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=1000)
