"""Readings: scores and vectors of texts, by a node's own language model beside its station."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dmoa.errors import EngineError, ScenarioError
from dmoa.live.admission import require
from dmoa.live.door import Refused
from dmoa.live.engines.base import Cancellation, Embedding, Engine, TokenScore

_LOG = logging.getLogger(__name__)

WAITING_MAX = 8
"""Requests that may wait for the one that is being read."""

Text = str | Sequence[int]
Given = TypeVar("Given", bound=Text)
Made = TypeVar("Made")


class Readings:
    """Has texts read one after the other, in a thread of its own.

    They are no tasks: nobody forks, joins or recovers them, so they do not wait in the station.

    Args:
        engine: The node's language model.
        node: Its name, for errors.
    """

    def __init__(self, engine: Engine, node: str) -> None:
        self._engine, self._node = engine, node
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readings")
        self._inside: set[Cancellation] = set()
        self._last_s = 1.0

    async def score(self, texts: Sequence[Text], *, top: int) -> list[tuple[TokenScore, ...]]:
        """Tell the log-probabilities of texts (see `dmoa.live.door.Door.score`)."""
        require(self._engine, "logprobs", node=self._node, path="logprobs")

        def read(text: Text, cancelled: Cancellation) -> tuple[TokenScore, ...]:
            return self._engine.score(text, top=top, cancelled=cancelled)

        return await self._read("prompt", texts, read)

    async def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Turn texts into vectors (see `dmoa.live.door.Door.embed`)."""
        require(self._engine, "embeddings", node=self._node, path="model")
        return await self._read("input", texts, self._engine.embed)

    def close(self) -> None:
        """Stop what is read; it ends with an error."""
        for cancelled in list(self._inside):
            cancelled.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _read(
        self, path: str, texts: Sequence[Given], read: Callable[[Given, Cancellation], Made]
    ) -> list[Made]:
        if len(self._inside) > WAITING_MAX:
            waiting = len(self._inside)
            raise Refused(
                f"node {self._node} has other texts to read first",
                queue_length=waiting,
                retry_after_s=waiting * self._last_s,
            )
        cancelled = Cancellation()
        self._inside.add(cancelled)
        reading = self._thread.submit(self._read_all, path, texts, read, cancelled)
        # Its place is free only when the engine has let go of it, also if nobody waits any more.
        reading.add_done_callback(lambda _: self._inside.discard(cancelled))
        try:
            return await asyncio.wrap_future(reading)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def _read_all(
        self,
        path: str,
        texts: Sequence[Given],
        read: Callable[[Given, Cancellation], Made],
        cancelled: Cancellation,
    ) -> list[Made]:
        """Run in the thread: read text after text."""
        began_s = time.monotonic()
        made: list[Made] = []
        for place, text in enumerate(texts):
            if cancelled.is_set():
                raise EngineError("the reading was cancelled")
            try:
                made.append(read(text, cancelled))
            except ScenarioError as error:
                raise ScenarioError(
                    error.problem, path=f"{path}[{place}]", remedy=error.remedy
                ) from error
            except EngineError:
                raise
            except Exception as error:
                # Whatever a model or its binding may raise must not look like a bug of the door.
                _LOG.exception("the engine failed on a text")
                problem = f"the engine failed: {type(error).__name__}: {error}"
                raise EngineError(problem) from error
        self._last_s = time.monotonic() - began_s
        return made
