"""Overlap on real nodes: what an engine is told ahead is how its prompt will begin."""

import asyncio
from itertools import pairwise

from dmoa.core import Options
from dmoa.live.engines.base import Capabilities
from dmoa.live.engines.scripted import Scripted
from dmoa.scenario import from_dict, resolve
from dmoa.study import replay
from tests.live.overlay import live_overlay
from tests.live.wires import until

QUESTION = "What is a ring?"
RING = {
    "overlay": {"topology": "ring", "nodes": 3},
    "plan": {"layers": 2, "proposers": 2, "overlap": True},
    "live": {},
}


class Reader(Scripted):
    """An engine that writes down what it is told ahead, and what it is asked then."""

    def __init__(self, service_time_s):
        super().__init__(service_time_s)
        self.capabilities = Capabilities(prefill=True)
        self.ahead = {}
        self.dropped = []
        self.asked = []

    def prefill(self, task, prompt, options):
        assert options == Options(max_tokens=20)
        self.ahead.setdefault(task.stage, []).append(prompt)

    def drop(self, task):
        self.dropped.append(task.stage)

    def generate(self, prompt, *rest):
        self.asked.append(prompt)
        return super().generate(prompt, *rest)


def test_an_engine_reads_ahead_what_it_will_be_asked(tmp_path):
    engines = [Reader(0.0), Reader(0.05), Reader(0.2)]

    async def scenario():
        setup = resolve(from_dict(RING))
        async with live_overlay(setup, tmp_path, engines.__getitem__) as overlay:
            node = overlay.nodes["0"]
            ticket = await node.submit(QUESTION, Options(max_tokens=20))
            await until(lambda: bool((view := node.find(ticket.id)) and view.state == "answered"))
            for one in overlay.nodes.values():
                one.flush()

    asyncio.run(scenario())
    origin, *peers = engines
    assert not any(peer.ahead for peer in peers)
    assert origin.asked[0] == QUESTION
    for stage in (1, 2):
        known, whole = origin.ahead[stage], origin.asked[stage]
        assert len(known) == 3  # the question; the own response; that of the faster peer
        assert known[0].startswith(QUESTION)
        assert all(longer.startswith(shorter) for shorter, longer in pairwise([*known, whole]))
        assert len({*known, whole}) == 4
    assert {1, 2} <= set(origin.dropped)
    report = replay(tmp_path)
    assert report.agrees, report.difference
