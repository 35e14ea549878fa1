"""Scenarios with the output they had: nothing changes a trace unnoticed.

After an intended change of the steps a run takes: ``pytest tests/golden --update-golden``, and say
in CHANGELOG.md that digests changed. The digest of ``exact`` needs arithmetic alone; the others
use logarithms and exponentials, whose last digit a machine's C library may round otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmoa import load
from tests.sim.runs import run

SCENARIOS = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize("file", SCENARIOS, ids=[file.stem for file in SCENARIOS])
def test_a_scenario_gives_the_output_it_gave(file: Path, pytestconfig: pytest.Config):
    said = run(load(file)).to_dict()
    found = {key: said[key] for key in ("digest", "prompts", "verdict", "summary", "notes")}
    expected_file = file.with_suffix(".json")
    if pytestconfig.getoption("--update-golden", default=False):
        expected_file.write_text(json.dumps(found, indent=2) + "\n")
    expected = json.loads(expected_file.read_text())
    for measure, interval in expected.pop("summary").items():
        assert found["summary"][measure] == pytest.approx(interval, rel=1e-9), measure
    del found["summary"]
    assert found == expected
