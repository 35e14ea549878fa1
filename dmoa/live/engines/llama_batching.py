"""Continuous batching: one thread that computes, for all sequences, batch after batch.

In each turn every response that is being written gets its next token, all in one computation or in
groups where that is faster. With the last of them prompts are read, up to a cap: a long one never
stalls the answers under way. Where nothing is served, beginnings of prompts to come are read ahead.
"""

from __future__ import annotations

import logging
import threading
from time import perf_counter

from dmoa.core import TaskId
from dmoa.errors import EngineError
from dmoa.live.engines.llama_binding import ABORTED, DONE, FULL, Context, Part
from dmoa.live.engines.llama_cache import Cache, Held
from dmoa.live.engines.llama_groups import Groups
from dmoa.live.engines.llama_jobs import Calling, Job, Writing
from dmoa.live.engines.llama_library import reason

CHUNK_TOKENS = 32
"""Prompt tokens read in one turn while responses are written, and in one step ahead of a task."""
OUTPUTS_MAX = 16
"""Tokens of one batch whose scores are told: each takes a row as long as the vocabulary."""
AHEAD_MAX = 16
"""Tasks whose prompts are read ahead; the oldest gives way."""

_log = logging.getLogger("dmoa.llama")

_Batch = list[tuple[Job, Part]]


class Batching:
    """Serves jobs with one context, in a thread of its own.

    Args:
        context: What computes; nobody else uses it until this is closed.
        slots: How many responses are written at once.
        cells: Tokens that the context has room for.
        kept_tokens: Tokens of what is kept for later prompts that begin alike.
        can_cut: Whether its sequences can be cut anywhere.
    """

    def __init__(
        self, context: Context, *, slots: int, cells: int, kept_tokens: int, can_cut: bool
    ) -> None:
        self._context, self._slots, self._cells = context, slots, cells
        # One more than slots: a text may be scored beside them.
        self._cache = Cache(context, slots + 1, kept_tokens=kept_tokens, can_cut=can_cut)
        self._condition = threading.Condition()
        self._waiting: list[Job] = []
        self._working: list[Job] = []
        self._ahead: dict[TaskId, list[int]] = {}
        #: The one job that the computation under way is for; it can be aborted.
        self._alone: Job | None = None
        self._reading_ahead = self._closing = False
        self._groups = Groups()
        #: Prompt tokens computed since the beginning, also those read ahead.
        self.computed_tokens = 0
        self._thread = threading.Thread(target=self._run, name="dmoa-llama", daemon=True)
        self._thread.start()

    def serve(self, job: Job) -> None:
        """Take a job, and wait until it has ended.

        Raises:
            EngineError: It failed.
            Exception: Whatever came out of the caller's own functions.
        """
        with self._condition:
            if self._closing:
                job.fail(EngineError("the engine is closed; start the node again"))
            else:
                self._waiting.append(job)
            if self._reading_ahead:
                self._context.abort()
            self._condition.notify()
        with job.cancelled.notifying(lambda: self._hear_cancelled(job)):
            job.ended.wait()
        if job.error is not None:
            raise job.error

    def read_ahead(self, task: TaskId, tokens: list[int]) -> None:
        """Read the beginning of a prompt while nothing is served."""
        with self._condition:
            if self._closing:
                return
            self._ahead.pop(task, None)
            self._ahead[task] = tokens
            if len(self._ahead) > AHEAD_MAX:
                del self._ahead[next(iter(self._ahead))]
            self._condition.notify()

    def forget(self, task: TaskId) -> None:
        """Read nothing ahead for a task any more."""
        with self._condition:
            self._ahead.pop(task, None)

    def close(self) -> None:
        """End the thread, after all jobs."""
        with self._condition:
            self._closing = True
            self._ahead.clear()
            self._condition.notify()
        self._thread.join()

    def _hear_cancelled(self, job: Job) -> None:
        with self._condition:
            if self._alone is job:
                self._context.abort()
            self._condition.notify()

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            try:
                going = self._prepare()
                if going:
                    self._turn()
            except Exception as error:  # noqa: BLE001 - a bug must not leave callers waiting for ever
                _log.exception("the engine's thread failed")
                self._fail_all(f"the engine failed: {type(error).__name__}: {error}")

    def _prepare(self) -> bool:
        """Wait until there is something to do; take jobs in; say if the thread goes on."""
        with self._condition:
            while not (self._waiting or self._working or self._ahead):
                if self._closing:
                    return False
                self._condition.wait()
            for job in [job for job in self._waiting if job.cancelled.is_set()]:
                self._waiting.remove(job)
                job.end()
            for job in [job for job in self._working if job.cancelled.is_set()]:
                self._end(job)
            self._admit()
        return True

    def _admit(self) -> None:
        """Take waiting jobs into work: responses while there is a slot, one other job beside them.

        Who waits for a place may be passed by who needs another kind of place. Who waits for cells
        is overtaken by nobody, or a large job would wait for ever.
        """
        room = self._cells - sum(job.need for job in self._working)
        writing = sum(isinstance(job, Writing) for job in self._working)
        places = {True: self._slots - writing, False: 1 + writing - len(self._working)}
        for job in list(self._waiting):
            writes = isinstance(job, Writing)
            if not places[writes]:
                continue
            if self._working and job.need > room:
                return
            self._waiting.remove(job)
            self._working.append(job)
            job.held = self._cache.begin(job.tokens if writes else [])
            places[writes], room = places[writes] - 1, room - job.need

    def _turn(self) -> None:
        called = [job for job in self._working if isinstance(job, Calling)]
        for job in called:
            self._call(job)
        batches = self._compose()
        for batch in batches:
            self._compute(batch)
        if not batches and not called and not self._working:
            self._read_one_ahead()

    def _call(self, job: Calling) -> None:
        try:
            ended = job.step()
        except Exception as error:  # noqa: BLE001 - it is its caller's
            self._end(job, error)
        else:
            if ended:
                self._end(job)

    def _compose(self) -> list[_Batch]:
        """Put the next batches together: writers first; with the last of them readers, capped."""
        jobs = [job for job in self._working if not isinstance(job, Calling)]
        writing = [job for job in jobs if not job.reading][: self._context.batch_tokens]
        batches: list[_Batch] = []
        begun = 0
        for size in self._groups.split(len(writing)):
            batches.append([(job, _part(job, 1)) for job in writing[begun : begun + size]])
            begun += size
        room = self._context.batch_tokens
        if batches:
            room = min(room - len(batches[-1]), CHUNK_TOKENS)
        reading: _Batch = []
        for job in jobs:
            if room and job.reading:
                count = min(room, job.pending, OUTPUTS_MAX if job.outputs_all else room)
                reading.append((job, _part(job, count)))
                room -= count
        if batches:
            batches[-1] += reading
        elif reading:
            batches.append(reading)
        return batches

    def _compute(self, batch: _Batch) -> None:
        """Compute a batch, and let its jobs hear of it; smaller ones where that is needed."""
        with self._condition:
            self._context.arm()
            self._alone = batch[0][0] if len(batch) == 1 else None
            if self._alone is not None and self._alone.cancelled.is_set():
                return
        started_s = perf_counter()
        result = self._context.compute([part for _, part in batch])
        took_s = perf_counter() - started_s
        with self._condition:
            self._alone = None
        if result == DONE:
            if not any(job.reading for job, _ in batch):
                self._groups.note(len(batch), took_s)
            self._hear(batch)
            return
        if result == FULL:
            self._make_room(batch)
            return
        for job, _ in batch:
            self._cache.reconcile(_held(job))
        if result == ABORTED:
            return
        if len(batch) > 1:
            # Whose fault it is shows when each is alone.
            for job, part in batch:
                self._compute([(job, _part(job, len(part.tokens)))])
            return
        job, part = batch[0]
        end = part.position + len(part.tokens)
        self._end(job, EngineError(_failed(result, end)))

    def _hear(self, batch: _Batch) -> None:
        place = 0
        for job, part in batch:
            held, count = _held(job), len(part.tokens)
            if job.reading:
                job.computed += count
                self.computed_tokens += count
            held.tokens += part.tokens
            try:
                ended = job.hear(self._context, place, count)
            except Exception as error:  # noqa: BLE001 - the others must not end with this one
                self._end(job, error)
            else:
                if ended:
                    self._end(job)
            place += count

    def _make_room(self, batch: _Batch) -> None:
        """Forget what is kept for later; where nothing is, take half of the batch."""
        if self._cache.evict():
            self._compute(batch)
        elif len(batch) > 1:
            self._compute(batch[: len(batch) // 2])
        elif (count := len(batch[0][1].tokens)) > 1:
            job = batch[0][0]
            self._compute([(job, _part(job, count // 2))])
        else:
            job = batch[0][0]
            full = EngineError("the cache is full; set more cache_tokens or fewer slots")
            self._end(job, None if isinstance(job, Writing) and job.overflow() else full)

    def _read_one_ahead(self) -> None:
        """Read some of the beginning of one prompt; it is kept like any other."""
        with self._condition:
            if not self._ahead or self._waiting:
                return
            task, tokens = next(iter(self._ahead.items()))
            self._context.arm()
            self._reading_ahead = True
        # One more, because the last token of a prompt is always left to compute.
        held = self._cache.begin([*tokens, -1])
        begun, known, freed = len(held.tokens), len(tokens), False
        if begun < known:
            # Small steps: the one that a task interrupts is lost.
            step = tokens[begun : begun + min(CHUNK_TOKENS, self._context.batch_tokens)]
            result = self._context.compute([Part(held.number, begun, step, 0)])
            if result == DONE:
                held.tokens += step
                self.computed_tokens += len(step)
            else:
                self._cache.reconcile(held)
                freed = result == FULL and self._cache.evict()
        gained, length = len(held.tokens) > begun, len(held.tokens)
        self._cache.keep(held)
        with self._condition:
            self._reading_ahead = False
            interrupted = bool(self._waiting)
            # Without any gain it would be tried for ever: there is no room for it.
            ended = length == known or not (gained or freed or interrupted)
            if ended and self._ahead.get(task) is tokens:
                del self._ahead[task]

    def _end(self, job: Job, error: Exception | None = None) -> None:
        """Take a job out of work; what was computed for it is kept for later."""
        self._working.remove(job)
        if isinstance(job, Writing):
            self._cache.keep(_held(job))
        else:
            self._cache.drop(_held(job))
        if error is not None:
            job.fail(error)
        else:
            job.end()

    def _fail_all(self, why: str) -> None:
        with self._condition:
            self._cache.drop_all()
            failed = [*self._working, *self._waiting]
            for jobs in (self._working, self._waiting, self._ahead):
                jobs.clear()
            self._alone, self._reading_ahead = None, False
        for job in failed:
            job.fail(EngineError(why))


def _held(job: Job) -> Held:
    if job.held is None:
        raise AssertionError("a job in work has a sequence")
    return job.held


def _part(job: Job, count: int) -> Part:
    """Take the next tokens of a job; something is drawn only after its last one."""
    held = _held(job)
    begun = len(held.tokens)
    tokens = job.tokens[begun : begun + count]
    outputs = len(tokens) if job.outputs_all else int(len(tokens) == job.pending)
    return Part(held.number, begun, tokens, outputs)


def _failed(result: int, position: int) -> str:
    return (
        f"llama_decode returned {result} at token {position:,} ({reason()}); "
        "if it happens again, restart the node or lower context_tokens"
    )
