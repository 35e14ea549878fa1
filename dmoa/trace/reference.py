"""The queue length of the paper's tables, computed as its authors compute it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.trace.meter import ANSWERED, SERVED, Track

Calls = Sequence[Sequence[tuple[int, float]]]
"""One prompt's stages, each a list of (server, service time in seconds) in slot order."""


def queue_ref(track: Track) -> float:
    """Compute the paper's queue measure of a run that answered every prompt.

    It is not a time average: see `replay_calls`, which this feeds with the run's arrivals,
    placements and service times. Source: the queue columns of Tables I and II of Mitra, Kaswan,
    Ulukus, arXiv 2412.21200.

    Raises:
        ScenarioError: a prompt was not answered or a task not served.
    """
    prompts, tasks = track.prompts, track.tasks
    whole = (prompts.outcome == ANSWERED).all() and (tasks.outcome == SERVED).all()
    if not whole or not len(prompts.number):
        raise ScenarioError(
            "queue_ref needs a run that answered all of its prompts, and at least one",
            given=f"{(prompts.outcome == ANSWERED).sum()} of {len(prompts.number)} answered",
            remedy="use a burst of prompts and no losses, as in the preset paper-table-1",
        )
    order = np.lexsort((tasks.slot, tasks.stage, tasks.prompt, tasks.origin))
    columns = (
        tasks.origin,
        tasks.prompt,
        tasks.stage,
        tasks.server,
        tasks.ended_s - tasks.started_s,
    )
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    calls = {
        prompt: [
            [(server, service_s) for *_, server, service_s in stage]
            for _, stage in groupby(stages, key=lambda row: row[2])
        ]
        for prompt, stages in groupby(rows, key=lambda row: row[:2])
    }
    keys = zip(prompts.origin.tolist(), prompts.number.tolist(), strict=True)
    return replay_calls(prompts.arrived_s.tolist(), [calls[key] for key in keys], len(track.names))


def replay_calls(arrived_s: Sequence[float], calls: Sequence[Calls], nodes: int) -> float:
    """Replay prompts layer by layer through per-node clocks; return the paper's queue measure.

    The prompt whose next layer is ready first goes next, with its whole layer. A task starts at
    the later of its node's clock and its layer's start, and sets the clock to its completion; a
    layer is complete with its last task. At each completion, the other unfinished prompts that
    need that node in their current layer and are ready by then are counted, weighted by the
    service time, and summed per node. The mean of the sums over the nodes is divided by the time
    at which the prompt taken last is complete, which need not be the latest completion.

    Args:
        arrived_s: when each prompt arrived, in seconds (p,).
        calls: each prompt's stages.
        nodes: how many nodes there are.

    >>> replay_calls([0.0, 1.0], [[[(0, 4.0)]], [[(0, 4.0)]]], 1)  # 4 s with one other, of 8 s
    0.5
    """
    ready = [(at, prompt) for prompt, at in enumerate(arrived_s)]
    heapq.heapify(ready)
    current = {prompt: (at, 0) for at, prompt in ready}
    clock, sums = [0.0] * nodes, [0.0] * nodes
    complete_s = 0.0
    while ready:
        begun_s, prompt = heapq.heappop(ready)
        complete_s = begun_s
        stage = current[prompt][1]
        for server, service_s in calls[prompt][stage]:
            clock[server] = max(clock[server], begun_s) + service_s
            complete_s = max(complete_s, clock[server])
            others = sum(
                at <= clock[server] and any(server == node for node, _ in calls[other][layer])
                for other, (at, layer) in current.items()
                if other != prompt
            )
            sums[server] += others * service_s
        if stage + 1 < len(calls[prompt]):
            current[prompt] = (complete_s, stage + 1)
            heapq.heappush(ready, (complete_s, prompt))
        else:
            del current[prompt]
    return sum(sums) / nodes / complete_s
