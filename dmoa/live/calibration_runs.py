"""Timed generations, alone and together: all that a calibration looks at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import msgspec

from dmoa.core import Options
from dmoa.live.engines.base import Cancellation, Engine

#: A speed is told only of at least so many gaps between pieces of text of each response.
GAPS_MIN = 4


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a run.

    Attributes:
        prompt: What is asked.
        tokens: Limit of the response.
        after: It begins once the first request of the run has got so many pieces of text.
    """

    prompt: str
    tokens: int
    after: int = 0


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """When what happened in one generation; times in seconds of the same clock.

    Attributes:
        started_s: When it was asked.
        pieces_s: When each piece of its text came.
        ended_s: When it was over.
        read_tokens: How many tokens of the prompt were read.
        known_tokens: How many needed no reading, because the engine knew them already.
        tokens: Length of the response; several tokens may come as one piece.
    """

    started_s: float
    pieces_s: tuple[float, ...]
    ended_s: float
    read_tokens: int
    known_tokens: int
    tokens: int


Run = Callable[[Sequence[Request]], list[Timeline]]
"""Serves requests at once, and tells when what happened."""


def serve(
    engine: Engine, requests: Sequence[Request], clock: Callable[[], float] = time.monotonic
) -> list[Timeline]:
    """Serve requests at once, each in a thread of its own.

    Raises:
        EngineError: The engine could not serve one of them; the others were cancelled.
    """
    enough = [threading.Event() for _ in requests]
    cancelled = [Cancellation() for _ in requests]
    lead: list[float] = []

    def notice(pieces: list[float]) -> None:
        pieces.append(clock())
        if pieces is lead:
            for request, event in zip(requests, enough, strict=True):
                if len(pieces) >= request.after:
                    event.set()

    def one(place: int) -> Timeline:
        request, pieces = requests[place], lead if place == 0 else []
        if request.after:
            enough[place].wait()
        started_s = clock()
        try:
            made = engine.generate(
                request.prompt,
                Options(max_tokens=request.tokens, seed=place),
                lambda _: notice(pieces),
                cancelled[place],
            )
        finally:
            if place == 0:  # nobody waits for what will not come
                for event in enough:
                    event.set()
        return Timeline(
            started_s=started_s,
            pieces_s=tuple(pieces),
            ended_s=clock(),
            # An engine that does not tell how much it computed is taken to compute all.
            read_tokens=made.computed_tokens or made.prompt_tokens,
            known_tokens=made.prompt_tokens - (made.computed_tokens or made.prompt_tokens),
            tokens=made.tokens,
        )

    with ThreadPoolExecutor(len(requests), thread_name_prefix="calibrate") as threads:
        futures = [threads.submit(one, place) for place in range(len(requests))]
        try:
            return [future.result() for future in futures]
        finally:
            for each in cancelled:  # all are over, or one failed, or this was interrupted
                each.set()


def speed_hz(timelines: Sequence[Timeline]) -> float | None:
    """Tell how many tokens per second are written while all responses are being written.

    Each response is timed from its first piece to its last within that time, so that it does not
    matter in which order the pieces of one moment come.

    Returns:
        The sum over all responses, tokens/s; None if they were not long enough at once.

    >>> steady = Timeline(
    ...     started_s=0,
    ...     pieces_s=tuple(range(9)),
    ...     ended_s=8,
    ...     read_tokens=1,
    ...     known_tokens=0,
    ...     tokens=9,
    ... )
    >>> speed_hz([steady, steady])
    2.0
    """
    if not all(timeline.pieces_s for timeline in timelines):
        return None
    begin_s = max(timeline.pieces_s[0] for timeline in timelines)
    end_s = min(timeline.pieces_s[-1] for timeline in timelines)
    total_hz = 0.0
    for timeline in timelines:
        within = [moment for moment in timeline.pieces_s if begin_s <= moment <= end_s]
        if len(within) <= GAPS_MIN or within[-1] <= within[0]:
            return None
        pieces_hz = (len(within) - 1) / (within[-1] - within[0])
        total_hz += pieces_hz * timeline.tokens / len(timeline.pieces_s)
    return total_hz


def chunk_tokens(
    writing: Timeline, reading: Timeline, input_token_s: float, output_token_s: float
) -> float | None:
    """Tell how many tokens of a prompt are read in one turn, while another response is written.

    A turn that reads takes longer by the time that its chunk takes; how many there were bounds
    what the length of a turn says.

    Args:
        writing: The response that was being written when the other prompt came.
        reading: The one whose prompt was read meanwhile.
        input_token_s: Time to read a token, s.
        output_token_s: Time to write one, s.

    Returns:
        The chunk in tokens; None if no turn was noticeably longer.
    """
    if not reading.pieces_s:
        return None
    end_s = reading.pieces_s[0] + output_token_s / 2
    seen = [at for at in writing.pieces_s if reading.started_s <= at <= end_s]
    before = [at for at in writing.pieces_s if at < reading.started_s][-1:]
    moments = before + seen
    gaps = [late - early for early, late in pairwise(moments)]
    long = sorted(gap for gap in gaps if gap > 1.5 * output_token_s)
    if not long or input_token_s <= 0:
        return None
    told = (long[len(long) // 2] - output_token_s) / input_token_s
    least = reading.read_tokens / len(long)
    most = reading.read_tokens / (len(long) - 1) if len(long) > 1 else float("inf")
    return min(max(told, least), most)
