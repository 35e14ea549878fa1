"""A plain Python loop around heapq: no library, no objects, one function per network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from math import log
from random import Random

from _peers.network import PAIRS, Network, Run

Heap = list[tuple[float, int]]


def run(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon."""
    random = Random(seed).random  # noqa: S311 - chance, not secrets
    gap_s = 1 / network.arrival_rate_hz
    # Node i's next prompt is the event i, the end of its service the event n + i.
    heap = [(-gap_s * log(1.0 - random()), node) for node in range(network.nodes)]
    heapify(heap)
    loop = layered if network.layers else single
    began = time.process_time()
    events, area = loop(network, horizon_s, heap, random)
    seconds = time.process_time() - began
    return Run(events, seconds, area / horizon_s / network.nodes)


def single(
    network: Network, horizon_s: float, heap: Heap, random: Callable[[], float]
) -> tuple[int, float]:
    """Serve each prompt where it arrives; return events and the area under the waiting tasks."""
    nodes, gap_s = network.nodes, 1 / network.arrival_rate_hz
    number = [0] * nodes
    events = waiting = 0
    area = 0.0
    while True:
        now, which = heap[0]
        if now > horizon_s:
            return events, area + waiting * horizon_s
        events += 1
        if which < nodes:
            heapreplace(heap, (now - gap_s * log(1.0 - random()), which))
            number[which] += 1
            if number[which] == 1:
                heappush(heap, (now - log(1.0 - random()), which + nodes))
            else:
                waiting += 1
                area -= now
        else:
            node = which - nodes
            number[node] -= 1
            if number[node]:
                waiting -= 1
                area += now
                heapreplace(heap, (now - log(1.0 - random()), which))
            else:
                heappop(heap)


def layered(
    network: Network, horizon_s: float, heap: Heap, random: Callable[[], float]
) -> tuple[int, float]:
    """Fork and join the layers of each prompt; return what `single` returns."""
    nodes, layers, gap_s = network.nodes, network.layers, 1 / network.arrival_rate_hz
    served: list[list[int]] = [[]] * nodes  # empty where a node is idle
    queues: list[deque[list[int]]] = [deque() for _ in range(nodes)]
    events = waiting = 0
    area = 0.0
    while True:
        now, which = heap[0]
        if now > horizon_s:
            return events, area + waiting * horizon_s
        events += 1
        if which < nodes:
            heapreplace(heap, (now - gap_s * log(1.0 - random()), which))
            prompt = [which, 0, 0]  # origin, layer, tasks that are awaited
        else:
            node = which - nodes
            prompt = served[node]
            if queues[node]:
                waiting -= 1
                area += now
                served[node] = queues[node].popleft()
                heapreplace(heap, (now - log(1.0 - random()), which))
            else:
                served[node] = []
                heappop(heap)
            prompt[2] -= 1
            if prompt[2]:
                continue
            prompt[1] += 1
            if prompt[1] > layers:
                continue
        origin, layer, _ = prompt
        asked: tuple[int, ...] = (origin,)
        if layer < layers:
            one, other = PAIRS[int(random() * 6)]
            asked = (origin, (origin + one) % nodes, (origin + other) % nodes)
        prompt[2] = len(asked)
        for node in asked:
            if served[node]:
                waiting += 1
                area -= now
                queues[node].append(prompt)
            else:
                served[node] = prompt
                heappush(heap, (now - log(1.0 - random()), node + nodes))
