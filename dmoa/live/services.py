"""Inference beside the event loop: tasks in service, their pieces of text, their ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dmoa.core import Content, Options, Prefill, ServiceEnded, ServiceFailed, StartService, TaskId
from dmoa.errors import EngineError
from dmoa.live.engines.base import Cancellation, Engine, TokenScore

_LOG = logging.getLogger(__name__)
NO_OPTIONS = Options()
NOTHING_WRITTEN = "the model wrote nothing"


class Services:
    """Runs a node's engine in threads of its own, one for each slot.

    What it calls, it calls in the event loop: ``ended`` with the event for the core, ``wrote``
    with each piece of text of a task, and before the end of a task whose options ask for the
    log-probabilities of its tokens, ``scored``.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        slots: int,
        max_tokens: int,
        ended: Callable[[ServiceEnded | ServiceFailed], None],
        wrote: Callable[[TaskId, str], None],
        scored: Callable[[TaskId, tuple[TokenScore, ...]], None],
    ) -> None:
        self._engine, self._max_tokens = engine, max_tokens
        self._ended, self._wrote, self._scored = ended, wrote, scored
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="engine")
        # One thread, so that beginnings are told in their order, and dropped after they were told.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="prefill")
        self._serving: dict[TaskId, Cancellation] = {}

    def start(self, action: StartService) -> None:
        """Begin to serve a task."""
        cancelled = Cancellation()
        self._serving[action.task] = cancelled
        self._drop(action.task)
        self._threads.submit(self._serve, action, cancelled)

    def prefill(self, action: Prefill) -> None:
        """Have the beginning of a task's prompt read while nothing is served."""
        if self._engine.capabilities.prefill:
            text, options = action.content.text or "", action.options or NO_OPTIONS
            self._reading.submit(self._engine.prefill, action.task, text, options)

    def cancel(self, task: TaskId) -> None:
        """Stop a task soon, or forget what was read ahead for it; its end is not told."""
        cancelled = self._serving.pop(task, None)
        if cancelled is not None:
            cancelled.set()
        else:
            self._drop(task)

    def close(self) -> None:
        """Stop all tasks, and wait until the engine is idle."""
        for task in list(self._serving):
            self.cancel(task)
        self._reading.shutdown(wait=True, cancel_futures=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _drop(self, task: TaskId) -> None:
        if self._engine.capabilities.prefill:
            self._reading.submit(self._engine.drop, task)

    def _serve(self, action: StartService, cancelled: Cancellation) -> None:
        """Run in a thread: serve one task and tell the loop."""
        task = action.task
        event: ServiceEnded | ServiceFailed
        scores: tuple[TokenScore, ...] = ()
        if cancelled.is_set():
            return
        options = action.options or NO_OPTIONS
        if options.max_tokens is None:
            options = msgspec.structs.replace(options, max_tokens=self._max_tokens)
        try:
            made = self._engine.generate(
                action.content.text or "",
                options,
                lambda text: self._tell(self._write, task, cancelled, text),
                cancelled,
            )
        except EngineError as error:
            event = ServiceFailed(task, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a model or its binding may raise
            # An engine's bug must not keep its slot for ever, nor stop the node.
            _LOG.exception("the engine failed on a task")
            event = ServiceFailed(task, f"the engine failed: {type(error).__name__}: {error}")
        else:
            if made.finish == "cancelled" and cancelled.is_set():
                return
            if made.text.strip():
                content = Content(made.tokens, made.text, made.finish == "length")
                event, scores = ServiceEnded(task, content, self._engine.model), made.scores
            else:
                event = ServiceFailed(task, NOTHING_WRITTEN)
        self._tell(self._end, event, scores, cancelled)

    def _tell(self, function: Callable[..., None], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:
            # The loop has closed: nobody is left to be told.
            _LOG.debug("a task ended after the node")

    def _write(self, task: TaskId, cancelled: Cancellation, text: str) -> None:
        if self._serving.get(task) is cancelled:
            self._wrote(task, text)

    def _end(
        self,
        event: ServiceEnded | ServiceFailed,
        scores: tuple[TokenScore, ...],
        cancelled: Cancellation,
    ) -> None:
        # A task that was cancelled, and perhaps started again, has no end to tell.
        if self._serving.get(event.task) is cancelled:
            del self._serving[event.task]
            if scores:
                self._scored(event.task, scores)
            self._ended(event)
