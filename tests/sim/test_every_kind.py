"""What must hold in scenarios of every kind."""

from __future__ import annotations

import pytest

from dmoa.core.invariants import check
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.sim import Simulation, build_world
from dmoa.trace import ANSWERED, EXPIRED, FAILED, REFUSED, UNFINISHED, Meter, little
from tests.sim.kinds import KINDS, kind
from tests.sim.runs import run


@pytest.mark.parametrize("name", KINDS)
def test_invariants_hold_after_every_step(name: str):
    setup = kind(name)
    key = run_key(1, 0)
    meter = Meter(setup.names)
    simulation = Simulation(
        build_nodes(setup, key), build_world(setup, key), [meter.extend], check=check
    )
    simulation.run(setup.horizon_s)
    track = meter.track(simulation.ended_s)
    assert len(track.tasks.server) > 10
    assert little(track) < 1e-9


@pytest.mark.parametrize("name", KINDS)
def test_every_prompt_is_accounted_for_once(name: str):
    result = run(kind(name))
    prompts = dict(result.prompts)
    assert prompts.pop("arrived") == sum(prompts.values()) > 0
    for track in result.tracks:
        ended = track.prompts.outcome != UNFINISHED
        assert (track.prompts.ended_s[ended] >= track.prompts.arrived_s[ended]).all()
        assert ended.sum() == sum(
            (track.prompts.outcome == outcome).sum()
            for outcome in (ANSWERED, EXPIRED, FAILED, REFUSED)
        )
        # At a node's last step its own count of unfinished prompts is what the run leaves.
        last = [
            track.steps.unfinished[track.steps.node == node] for node in range(len(track.names))
        ]
        left = sum(int(counts[-1]) for counts in last if len(counts))
        assert left == (~ended).sum()


@pytest.mark.parametrize("name", KINDS)
def test_a_digest_depends_on_the_seed_alone(name: str):
    first = run(kind(name))
    assert run(kind(name)).digest == first.digest
    assert run(kind(name, **{"run.seed": 2})).digest != first.digest
