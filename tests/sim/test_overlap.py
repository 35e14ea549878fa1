"""Reading ahead in the simulator: the recurrence of dependency-aware prefill, and nothing delayed.

Faster-MoA (arXiv 2512.18126): slot s of n_s tokens, whose precursor ends at F_s, has been read at
R_s = max(R_{s-1}, F_s) + p·n_s, with p seconds per token; without overlap all is read at max F_s.
"""

from __future__ import annotations

from typing import Any

import pytest

from dmoa.scenario import Setup
from dmoa.study import prepare
from dmoa.trace import Track
from tests.sim.runs import run, scenario

QUESTION, INSTRUCTION, RESPONSE = 100, 20, 40
TEMPLATE = "{prompt} Merge: {responses}"
"""All of the instruction stands before the responses."""
READ_S, WRITE_S = 0.01, 0.05

#: How much faster than the origin its two peers are.
SPEEDS = [(2.0, 0.5), (2.0, 0.75), (1.0, 1.0), (0.25, 0.25), (3.0, 2.0), (0.4, 5.0)]


def network(speeds: tuple[float, ...], **values: Any) -> Setup:
    """Make a node with one prompt and its peers, who answer by tokens, each at its speed."""
    own = {str(peer): {"speed": speed} for peer, speed in enumerate(speeds, 1)}
    return prepare(
        scenario(
            overlay={"topology": "complete", "nodes": len(speeds) + 1},
            plan={
                "layers": 1,
                "proposers": 2,
                "template": TEMPLATE,
                "instruction_tokens": INSTRUCTION,
            },
            tokens={"prompt_tokens": QUESTION, "response_tokens": RESPONSE},
            service={
                "distribution": "tokens",
                "input_token_s": READ_S,
                "output_token_s": WRITE_S,
            },
            nodes={name: {**one, "arrival_rate_hz": 0.0} for name, one in own.items()},
            **{"arrivals": {"process": "burst", "prompts": 1, "arrival_rate_hz": 1.0}, **values},
            run={"horizon_s": 1e5, "replications": 1},
        )
    )


def sojourn_s(setup: Setup) -> float:
    track = run(setup).tracks[0]
    return float(track.prompts.ended_s[0] - track.prompts.arrived_s[0])


@pytest.mark.parametrize("speeds", SPEEDS)
def test_an_aggregation_with_overlap_follows_the_recurrence(speeds):
    propose_s = QUESTION * READ_S + RESPONSE * WRITE_S
    finished_s = sorted([propose_s, *(propose_s / speed for speed in speeds)])
    # The origin reads ahead once its own proposal is written: it is idle then.
    read_s = propose_s
    for ready_s, tokens in [
        (0.0, QUESTION + INSTRUCTION),
        *((end, RESPONSE) for end in finished_s),
    ]:
        read_s = max(read_s, ready_s) + READ_S * tokens
    augmented = QUESTION + INSTRUCTION + 3 * RESPONSE
    blocking_s = finished_s[-1] + READ_S * augmented
    write_s = RESPONSE * WRITE_S
    assert sojourn_s(network(speeds, plan__overlap=True)) == pytest.approx(read_s + write_s)
    assert sojourn_s(network(speeds)) == pytest.approx(blocking_s + write_s)


@pytest.mark.parametrize("closing", [0, 10, INSTRUCTION])
def test_what_stands_after_the_responses_is_read_after_the_last(closing):
    network_of = network(SPEEDS[0], plan__overlap=True, plan__closing_tokens=closing)
    # The slower peer ends at 6 s, all but its response has been read by then.
    assert sojourn_s(network_of) == pytest.approx(6.0 + READ_S * (RESPONSE + closing) + 2.0)


def test_with_reuse_the_question_is_not_read_ahead_either():
    speeds = SPEEDS[0]
    # The slower peer ends at 6 s. The origin has read all but its response long before.
    assert sojourn_s(network(speeds, plan__overlap=True, station__reuse=True)) == pytest.approx(8.4)
    # Without overlap it reads the instruction and three responses then, not the question.
    assert sojourn_s(network(speeds, station__reuse=True)) == pytest.approx(6.0 + 1.4 + 2.0)


def test_no_task_is_served_later_for_what_is_read_ahead():
    """One origin and queues in order: whatever ends sooner lets nothing else end later."""
    arrivals = {"process": "burst", "prompts": 40, "arrival_rate_hz": 0.1}
    plain, ahead = (
        services(run(network((2.0, 0.5), arrivals=arrivals, **more)).tracks[0])
        for more in ({"station__speedup": [1.0]}, {"plan__overlap": True})
    )
    assert [one[0] for one in plain] == [one[0] for one in ahead]
    gained_s = [end - sooner for (_, end), (_, sooner) in zip(plain, ahead, strict=True)]
    assert min(gained_s) >= -1e-9
    assert max(gained_s) > 1.0


def services(track: Track) -> list[tuple[tuple[int, ...], float]]:
    """Give every task that was served and when it ended."""
    tasks = track.tasks
    columns = (tasks.server, tasks.prompt, tasks.stage, tasks.slot)
    names = zip(*(column.tolist() for column in columns), strict=True)
    return sorted(zip(names, tasks.ended_s.tolist(), strict=True))
