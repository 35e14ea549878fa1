"""What surrounds the nodes: arrivals, service, links, and their long-run averages."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmoa.core import MessageReceived, PromptArrived, Send, ServiceEnded, SetTimer, Withdrawal
from dmoa.scenario import Setup, presets
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.sim import Simulation, build_world
from dmoa.study import prepare
from dmoa.trace import ANSWERED, FAILED, UNFINISHED, Entry, Track, estimate, link_delay_s
from tests.sim.runs import misses, run, scenario


def entries_of(setup: Setup, replication: int = 0) -> list[Entry]:
    key, entries = run_key(1, replication), list[Entry]()
    simulation = Simulation(build_nodes(setup, key), build_world(setup, key), [entries.extend])
    simulation.run(setup.horizon_s)
    return entries


# --- links ----------------------------------------------------------------------------------


def delays_s(track: Track) -> NDArray[np.float64]:
    assert track.links is not None
    return link_delay_s(track.links)


@pytest.mark.parametrize(
    ("distribution", "cv"), [("exponential", 1.0), ("gamma", 0.5), ("lognormal", 0.8)]
)
def test_messages_take_times_of_the_links_distribution(distribution: str, cv: float):
    spread = {} if distribution == "exponential" else {"cv": cv}
    links = {"delay_s": 0.3, "distribution": distribution, **spread}
    result = run(scenario("ring", links=links, **{"run.horizon_s": 200, "run.replications": 40}))
    measured = {
        "mean": [float(delays_s(track).mean()) for track in result.tracks],
        "square": [float((delays_s(track) ** 2).mean()) for track in result.tracks],
    }
    exact = {"mean": 0.3, "square": 0.3**2 * (1 + cv**2)}
    assert misses(measured, exact, comparisons=6, precision=0.1) == {}


def test_a_constant_delay_is_exact_and_adds_two_ways_to_each_layer():
    result = run(
        scenario(
            overlay__nodes=3,
            plan={"layers": 2, "proposers": 2},
            arrivals={"process": "burst", "prompts": 1, "arrival_rate_hz": 1.0},
            service__distribution="deterministic",
            links__delay_s=0.25,
        )
    )
    for track in result.tracks:
        np.testing.assert_allclose(delays_s(track), 0.25, atol=1e-12)
    assert result.summary["sojourn_time_s"].mean == pytest.approx(3.0 + 4 * 0.25)


@pytest.mark.parametrize("loss", [0.05, 0.5])
def test_the_links_lose_their_share_of_the_messages(loss: float):
    setup = prepare(
        scenario("ring", **{"links.loss": loss, "plan.layer_deadline_s": 20, "run.horizon_s": 150})
    )
    shares = []
    for replication in range(20):
        entries = entries_of(setup, replication)
        # Withdrawals are lost with their tasks, which were late because they were lost.
        sent = sum(
            isinstance(action, Send) and not isinstance(action.message, Withdrawal)
            for entry in entries
            for action in entry[3]
        )
        heard = sum(
            isinstance(entry[2], MessageReceived) and not isinstance(entry[2].message, Withdrawal)
            for entry in entries
        )
        shares.append(1 - heard / sent)
    measured = estimate(shares)
    assert measured.low <= loss <= measured.high
    assert measured.relative_half_width < 0.1


@pytest.mark.parametrize("loss", [0.3, 0.9])
@pytest.mark.parametrize("changed", [{}, {"station.queue_max": 9}])
def test_with_a_deadline_every_prompt_ends_whatever_is_lost(loss: float, changed: dict):
    result = run(
        scenario(
            overlay__nodes=5,
            plan={"layers": 3, "proposers": 2, "layer_deadline_s": 3.0},
            arrivals={"process": "burst", "prompts": 200, "arrival_rate_hz": 0.1},
            links={"loss": loss, "delay_s": 0.1},
            run={"horizon_s": 1e6, "replications": 2},
            **changed,
        )
    )
    assert result.prompts["unfinished"] == 0
    assert result.prompts["answered"] > 100
    assert all(track.end_s < 1e5 for track in result.tracks)


# --- arrivals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrivals",
    [
        {"process": "poisson", "arrival_rate_hz": 0.5},
        {"process": "deterministic", "arrival_rate_hz": 0.5},
        {"process": "on-off", "arrival_rate_hz": 0.5, "on_s": 4.0, "off_s": 12.0},
    ],
)
def test_prompts_arrive_at_their_mean_rate(arrivals: dict):
    made = scenario(overlay__nodes=4, arrivals=arrivals, run={"horizon_s": 500, "replications": 20})
    rates = [len(track.prompts.number) / 500 / 4 for track in run(made).tracks]
    measured = estimate(rates)
    assert measured.low <= 0.5 <= measured.high
    assert measured.relative_half_width < 0.1


def test_on_off_arrivals_come_in_bursts():
    def dispersion(arrivals: dict) -> float:
        """Give the variance of the counts in windows of 10 s by their mean: 1 for Poisson."""
        made = scenario(arrivals=arrivals, run={"horizon_s": 4000, "replications": 2})
        counts = [
            np.histogram(track.prompts.arrived_s[track.prompts.origin == 0], 400, (0, 4000))[0]
            for track in run(made).tracks
        ]
        return float(np.var(counts) / np.mean(counts))

    rate = {"arrival_rate_hz": 0.5}
    assert dispersion({"process": "poisson", **rate}) == pytest.approx(1, abs=0.2)
    assert dispersion({"process": "on-off", "on_s": 5.0, "off_s": 20.0, **rate}) > 5
    assert dispersion({"process": "deterministic", **rate}) < 0.1


@pytest.mark.parametrize("prompts", [1, 10, 137])
def test_a_burst_has_exactly_its_number_of_prompts(prompts: int):
    made = scenario("paper-table-1", **{"arrivals.prompts": prompts, "run.replications": 5})
    for track in run(made).tracks:
        assert len(track.prompts.number) == prompts
        assert (track.prompts.outcome == ANSWERED).all()
        assert track.end_s == track.prompts.ended_s.max()


def test_a_burst_starts_at_nodes_in_proportion_to_their_rates():
    made = scenario(
        overlay__nodes=3,
        arrivals={"process": "burst", "prompts": 400, "arrival_rate_hz": 1.0},
        nodes={"0": {"arrival_rate_hz": 2.0}, "1": {"arrival_rate_hz": 0.0}},
        run={"replications": 10},
    )
    tracks = run(made).tracks
    shares = estimate([float((track.prompts.origin == 0).mean()) for track in tracks])
    assert shares.low <= 2 / 3 <= shares.high
    assert not any((track.prompts.origin == 1).any() for track in tracks)
    # All 400 come at the total rate of 3 prompts per second.
    spans = estimate([float(track.prompts.arrived_s.max()) for track in tracks])
    assert spans.low <= 400 / 3 <= spans.high


# --- a recorded trace -----------------------------------------------------------------------


@pytest.fixture
def azure(shared_data: Path) -> Path:
    file = shared_data / "azure_llm_trace_conv_2023.csv"
    if not file.is_file():
        pytest.skip("the recorded trace (../shared/data) is not on this machine")
    return file


def recorded(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the trace as a reader of its own would: seconds since the first, tokens in, out."""
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    tokens = [[int(row[name]) for row in rows] for name in ("ContextTokens", "GeneratedTokens")]
    at_s = np.array(times) - min(times)
    order = np.argsort(at_s, kind="stable")
    return at_s[order], np.array(tokens[0])[order], np.array(tokens[1])[order]


@pytest.mark.parametrize("split", ["random", "round-robin"])
def test_a_recorded_trace_is_replayed_prompt_by_prompt(azure: Path, split: str):
    setup = prepare(
        scenario(
            overlay__nodes=6,
            arrivals={"process": "trace", "file": str(azure), "time_scale": 2.0, "split": split},
            service={"distribution": "tokens", "base_s": 0.01, "output_token_s": 0.0001},
            run={"replications": 1, "horizon_s": 1e5},
        )
    )
    entries = entries_of(setup)
    at_s, tokens_in, tokens_out = recorded(azure)
    came = [
        (time_s, node, event.content.tokens)
        for time_s, node, event, *_ in entries
        if isinstance(event, PromptArrived)
    ]
    times_s, origins, tokens = np.transpose(came)
    np.testing.assert_allclose(times_s, 2.0 * at_s, atol=1e-5)
    assert sorted(tokens) == sorted(np.maximum(tokens_in, 1))
    counts = np.bincount(origins.astype(int), minlength=6)
    if split == "round-robin":
        assert np.ptp(counts) <= 1
    else:
        assert (abs(counts - len(at_s) / 6) < 5 * np.sqrt(len(at_s) / 6)).all()
    responses = [entry[2].content.tokens for entry in entries if isinstance(entry[2], ServiceEnded)]
    assert sum(responses) == int(np.maximum(tokens_out, 1).sum())


def test_the_preset_of_a_recorded_day_drains_with_its_trace(azure: Path):
    result = run(
        scenario(
            "office-day",
            **{"arrivals.file": str(azure), "run.horizon_s": 2000, "run.replications": 1},
        )
    )
    assert result.prompts["arrived"] == int((24.7 * recorded(azure)[0] < 2000).sum())
    assert result.prompts["failed"] == result.prompts["refused"] == 0


# --- service --------------------------------------------------------------------------------


def test_later_layers_read_all_responses_and_cost_more():
    setup = prepare(
        scenario(
            overlay__nodes=3,
            plan={"layers": 2, "proposers": 2, "instruction_tokens": 7},
            arrivals={"process": "burst", "prompts": 1, "arrival_rate_hz": 1.0},
            tokens={"prompt_tokens": 100, "response_tokens": 50},
            service={
                "distribution": "tokens",
                "base_s": 1.0,
                "input_token_s": 0.01,
                "output_token_s": 0.1,
            },
            run={"replications": 1},
        )
    )
    track = run(setup).tracks[0]
    took = track.tasks.ended_s - track.tasks.started_s
    for stage, tokens_in in enumerate([100, 7 + 100 + 150, 7 + 100 + 150]):
        expected = 1.0 + 0.01 * tokens_in + 0.1 * 50
        np.testing.assert_allclose(took[track.tasks.stage == stage], expected, atol=1e-9)


def test_a_faster_node_takes_its_share_of_the_time_for_the_same_task():
    def served(speed: float) -> float:
        made = scenario(nodes={"0": {"speed": speed}}, run={"horizon_s": 50, "replications": 1})
        tasks = run(made).tracks[0].tasks
        mine = (tasks.server == 0) & (tasks.prompt == 0)
        return float((tasks.ended_s - tasks.started_s)[mine][0])

    assert served(4.0) == pytest.approx(served(1.0) / 4)


def test_empirical_service_takes_only_the_measured_times():
    made = scenario(
        service={"distribution": "empirical", "values": [0.5, 0.25, 2.0]},
        run={"horizon_s": 100, "replications": 1},
    )
    tasks = run(made).tracks[0].tasks
    took = (tasks.ended_s - tasks.started_s)[~np.isnan(tasks.ended_s)]
    assert set(np.round(took, 9)) == {0.25, 0.5, 2.0}


# --- the presets ----------------------------------------------------------------------------


@pytest.mark.parametrize("preset", sorted(presets()))
def test_every_preset_runs(preset: str, request: pytest.FixtureRequest):
    values: dict[str, object] = {"run.replications": 2, "run.horizon_s": 100}
    if preset == "office-day":
        values["arrivals.file"] = str(request.getfixturevalue("azure"))
        values["run.horizon_s"] = 2000
    result = run(scenario(preset, **values))
    assert result.prompts["arrived"] > 0
    outcomes = np.concatenate([track.prompts.outcome for track in result.tracks])
    assert set(outcomes) <= {ANSWERED, UNFINISHED}
    assert FAILED not in outcomes


def test_deadlines_are_set_only_where_a_scenario_has_them():
    def timers(**values: object) -> int:
        entries = entries_of(prepare(scenario("ring", **{"run.horizon_s": 20, **values})))
        return sum(isinstance(action, SetTimer) for entry in entries for action in entry[3])

    assert timers() == 0
    assert timers(**{"plan.layer_deadline_s": 1.0}) > 10
