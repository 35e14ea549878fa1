"""`dmoa measure` prints what traces say, for people and as one object."""

import json


def test_traces_are_measured(dmoa):
    made = dmoa(
        "simulate", "ring", "--horizon", "200", "--replications", "2",
        "--trace", "t-{replication}.trace",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    page = dmoa("measure", "t-0.trace", "t-1.trace")
    assert page.exit_code == 0, page.stderr
    assert "sojourn time W" in page.stdout
    assert "2 × 3 min 20 s (simpy)" in " ".join(page.stdout.split())
    found = json.loads(dmoa("measure", "t-0.trace", "t-1.trace", "--whole", "--json").stdout)
    assert found["warmup_s"] == 0
    assert found["prompts"]["arrived"] > 100
    assert set(found["summary"]["sojourn_time_s"]) == {"mean", "low", "high"}


def test_one_run_cannot_tell(dmoa):
    dmoa("simulate", "ring", "--horizon", "200", "--replications", "1", "--trace", "t.trace")
    found = json.loads(dmoa("measure", "t.trace", "--json").stdout)
    assert found["verdict"] == "undetermined"
    assert found["summary"]["utilization"]["low"] is None


def test_a_file_that_is_no_trace_is_bad_input(dmoa):
    assert dmoa("measure", "nothing.trace").exit_code == 2
