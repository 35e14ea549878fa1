"""Recorded prompts and service times: what is read, what is refused, and how long a replay runs."""

import numpy as np
import pytest

import dmoa
from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, resolve
from dmoa.scenario.recorded import read_prompts, read_service_times

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
MINUTE = "2023-11-16 18:15:"


@pytest.fixture
def write(tmp_path):
    def written(text, name="trace.csv"):
        file = tmp_path / name
        file.write_text(text, "utf-8")
        return str(file)

    return written


def replayed(file, /, **sections):
    return from_dict({"arrivals": {"process": "trace", "file": file}, **sections})


def test_prompts_are_read_in_order_of_time_from_the_first(write):
    file = write(
        "GeneratedTokens, ContextTokens ,TIMESTAMP\n"
        f"7,20,{MINUTE}46.6805905\n"
        "\n"
        f"5, 10 ,{MINUTE}46.6805900\n"
        f"9,30,{MINUTE}48\n"
    )
    assert read_prompts(file) == ((0.0, 10, 5), (5e-7, 20, 7), (1.31941, 30, 9))
    assert read_prompts(file, time_scale=2.0)[2].time_s == 2.63882


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        (HEADER, "it has no prompts, only a header"),
        ("TIMESTAMP,ContextTokens\n", "line 1, column 1: the header lacks GeneratedTokens"),
        (f"{HEADER}{MINUTE}46,1\n", "line 2, column 22: a value is missing"),
        (f"{HEADER}yesterday,1,2\n", "line 2, column 1: is no time"),
        (f"{HEADER}2023-11-16 18:15:99,1,2\n", "line 2, column 1: is no time"),
        (f"{HEADER}{MINUTE}46.5e1,1,2\n", "line 2, column 1: is no time"),
        (f"{HEADER}\n{MINUTE}46,-1,2\n", "line 3, column 21: is no number of tokens"),
        (f"{HEADER}{MINUTE}46,1,many\n", "line 2, column 23: is no number of tokens"),
        (f"{HEADER}{MINUTE}46,1,10000001\n", "from 0 to 10,000,000"),
        (f"{HEADER}{MINUTE}46,1,{'9' * 5000}\n", "from 0 to 10,000,000"),
    ],
)
def test_malformed_prompts_are_refused_with_line_and_column(write, text, problem):
    with pytest.raises(ScenarioError) as caught:
        read_prompts(write(text))
    assert caught.value.path == "arrivals.file"
    assert problem in caught.value.problem


def test_a_missing_trace_is_refused_with_where_to_get_one():
    with pytest.raises(ScenarioError, match="there is no such file") as caught:
        read_prompts("no-such.csv")
    assert "github.com/Azure/AzurePublicDataset" in caught.value.remedy


def test_prompts_that_all_come_at_once_have_no_rate(write):
    with pytest.raises(ScenarioError, match="has no rate") as caught:
        resolve(replayed(write(f"{HEADER}{MINUTE}46,1,2\n{MINUTE}46,3,4\n")))
    assert caught.value.remedy == "use process 'burst'"


def test_service_times_are_read_one_a_line(write):
    file = write("# measured\n1.5\n\n 2e1 # slow\n", "times.txt")
    assert read_service_times(file) == (1.5, 20.0)
    setup = resolve(from_dict({"service": {"distribution": "empirical", "file": file}}))
    assert setup.service_time_s == (10.75,) * 8


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# nothing\n", "it has no service times"),
        ("1\n  fast\n", "line 2, column 3: must be a service time"),
        ("0\n", "line 1, column 1: must be a service time"),
        ("nan\n", "line 1, column 1: must be a service time"),
        ("2e9\n", "at most 1,000,000,000 (s)"),
    ],
)
def test_malformed_service_times_are_refused_with_line_and_column(write, text, problem):
    with pytest.raises(ScenarioError) as caught:
        read_service_times(write(text, "times.txt"))
    assert caught.value.path == "service.file"
    assert problem in caught.value.problem


def test_a_trace_gives_rate_and_lengths(write):
    setup = resolve(replayed(write(f"{HEADER}{MINUTE}46,10,5\n{MINUTE}50,30,9\n")))
    assert setup.arrival_rate_hz == (2 / 4 / 8,) * 8
    assert (setup.prompt_tokens, setup.response_tokens) == (20.0, 7.0)


def test_the_default_horizon_leaves_time_for_the_last_prompt_of_a_trace(write):
    file = write(f"{HEADER}{MINUTE}46,10,5\n{MINUTE}50,30,9\n")
    service = {"service_time_s": 2.0}
    assert resolve(replayed(file, service=service)).horizon_s == 4.0 + 5000 * 2.0
    given = {"horizon_s": 3.0}
    assert resolve(replayed(file, service=service, run=given)).horizon_s == 3.0


def test_a_replay_answers_every_prompt_and_is_averaged_over_the_time_it_took(write):
    lines = [f"2023-11-16 18:{s // 60:02}:{s % 60:02},10,5\n" for s in range(0, 3000, 3)]
    scenario = replayed(
        write(HEADER + "".join(lines)),
        overlay={"topology": "complete", "nodes": 2},
        plan={"layers": 1, "proposers": 1},
        service={"service_time_s": 0.5},
        run={"replications": 3},
    )
    result = dmoa.simulate(scenario, workers=1)
    assert result.prompts["arrived"] == result.prompts["answered"] == 3 * len(lines)
    assert result.verdict.status == "stable"
    assert result.verdict.horizon_s == 2997.0
    assert result.verdict.arrived == 3 * len(lines)
    busy_s = []
    for track in result.tracks:
        assert 2997.0 < track.end_s == track.prompts.ended_s.max() < 3100.0
        busy_s.append((track.tasks.ended_s - track.tasks.started_s).sum() / track.end_s / 2)
    assert result.summary["utilization"].mean == pytest.approx(np.mean(busy_s))
