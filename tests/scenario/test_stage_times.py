"""What a prompt's tasks cost: alone, at full batch, and what need not be read again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup, from_dict, resolve, setup, stage_times
from dmoa.scenario.recurring import Recurring
from dmoa.scenario.schema import Plan

PATH = {"topology": "path", "nodes": 3}
TOKENS = {
    "distribution": "tokens",
    "base_s": 1.0,
    "input_token_s": 0.01,
    "output_token_s": 0.02,
}
CURVE = [1.0, 1.5]
INSTRUCTION = {"instruction_tokens": 50, "template": "{prompt} Merge: {responses}"}
"""All of it stands before the responses."""


def resolved(**sections: Any) -> Setup:
    return resolve(from_dict(sections))


def dense(times: stage_times.Times) -> NDArray[np.float64]:
    """Give mean times by stage, origin and server, (M + 1, n, n); 0 where nobody asks."""
    assert isinstance(times, tuple)
    return np.array([stage.toarray() for stage in times])


def test_without_anything_shared_slots_are_servers():
    times = stage_times.stage_times(resolved(overlay=PATH, station={"slots": 3}))
    assert times.alone_s is times.full_s
    assert times.servers.tolist() == [3.0, 3.0, 3.0]


def test_only_writing_becomes_faster_in_a_batch():
    plan = {"layers": 0}
    made = resolved(
        service=TOKENS, plan=plan, station={"slots": 2, "speedup": CURVE}, nodes={"1": {"speed": 2}}
    )
    times = stage_times.stage_times(made)
    # 100 tokens are read in 1 s; 200 are written in 4 s, after 1 s of its own.
    assert np.asarray(times.alone_s)[:, :2].tolist() == [[6.0, 3.0]]
    np.testing.assert_allclose(np.asarray(times.full_s)[:, :2], [[1 + 5 / 1.5, (1 + 5 / 1.5) / 2]])
    assert times.servers.tolist() == [1.0] * 8


def test_an_origin_does_not_read_its_question_again():
    plan = {"layers": 2, "proposers": 1, **INSTRUCTION}
    values = {"overlay": {"nodes": 3}, "service": TOKENS, "plan": plan}
    again = stage_times.stage_times(resolved(**values, station={"speedup": [1.0]}))
    once = stage_times.stage_times(resolved(**values, station={"reuse": True}))
    assert isinstance(again.alone_s, np.ndarray)
    saved = again.alone_s[:, None, :] - dense(once.alone_s)
    np.testing.assert_allclose(saved[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(saved[1], np.eye(3), atol=1e-12)  # the question
    np.testing.assert_allclose(saved[2], 1.5 * np.eye(3), atol=1e-12)  # with the instruction


def test_origins_may_read_unequally_much():
    plan = {"layers": 1, "proposers": 2, **INSTRUCTION}
    made = resolved(overlay=PATH, service=TOKENS, plan=plan, station={"reuse": True})
    alone_s = dense(stage_times.stage_times(made).alone_s)
    # Beside 5 s: the instruction, and responses of one peer or of two, and their own.
    np.testing.assert_allclose(np.diagonal(alone_s[1]), [9.5, 11.5, 9.5])


def test_a_peer_may_have_been_asked_before():
    plan = {"layers": 2, "proposers": 1, **INSTRUCTION}
    made = resolved(overlay=PATH, service=TOKENS, plan=plan, station={"reuse": True})
    chances = np.array([1.0, 0.5, 0.5, 1.0])
    without, with_peers = (
        dense(stage_times.stage_times(made, given).alone_s) for given in (None, chances)
    )
    # The middle asks an end in layer 2 that it has asked in layer 1 with a chance of a half.
    np.testing.assert_allclose((without - with_peers)[1, 1], [0.5, 0.0, 0.5])
    # In the aggregation's place: asked in layer 2, or else in layer 1.
    np.testing.assert_allclose((without - with_peers)[2, 1], [0.5 * 1.5 + 0.25, 0.0, 1.0])


def test_reuse_counts_only_by_tokens():
    times = stage_times.stage_times(resolved(overlay=PATH, station={"reuse": True}))
    assert np.asarray(times.alone_s).tolist() == [1.0] * 3


def test_what_recurs_has_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(setup, "STAGE_TIMES_MAX", 17)
    made = resolved(overlay={"nodes": 3}, service=TOKENS, station={"reuse": True})
    with pytest.raises(ScenarioError, match="needs 2 x 9 mean times") as caught:
        stage_times.stage_times(made)
    assert caught.value.path == "station.reuse"


@pytest.mark.parametrize(
    ("text", "after_question", "after_augmented"),
    [
        (None, 100, 147),
        ("{prompt} now: {responses}", 100, 150),
        ("Look: {prompt} {responses}", 0, 150),
        ("abcd{responses}efgh{prompt}", 0, 25),
    ],
)
def test_a_template_says_what_its_prompts_have_in_common(text, after_question, after_augmented):
    recurring = Recurring.of(Plan(template=text, instruction_tokens=50))
    assert recurring.after(0, 100) == after_question
    assert recurring.after(1, 100) == pytest.approx(after_augmented, abs=1)
