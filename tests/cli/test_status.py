"""`dmoa status`: all nodes of a cluster, also those that do not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmoa.cli import status
from dmoa.cli.live_bound import live_bound
from tests.cli.conftest import Run
from tests.cli.played import PlayedCluster, playing


@pytest.fixture
def cluster(workdir: Path) -> Iterator[PlayedCluster]:
    with playing(workdir) as cluster:
        yield cluster


def test_the_table(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0", "1", "2")
    result = dmoa("status", COLUMNS="120")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if " ready " in line]
    assert rows == [
        [name, "ready", "scripted", "3+1", "1.23", "42", "%", "0.05", "6/9", "1/2"]
        for name in "012"
    ]
    # λ* on this ring with α = 1.234 s: 1/((M(k + 1) + 1) α) = 1/(4 · 1.234).
    assert "STABLE  λ = 0.05 is below λ* = 0.2026 prompts/s per node" in result.stdout
    assert "node 0: 1 failed; `dmoa logs --node 0` tells more" in result.stdout
    able = "2 slots; grammars, log-probabilities, embeddings, reading ahead"
    assert f"nodes 0, 1, 2: engine scripted, {able}\n" in result.stdout
    assert "node 0 is not connected to 3" in result.stdout
    assert f"any OpenAI client at {cluster.urls['0']}/v1" in result.stdout


def test_json(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("status", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    first, second, _ = found["nodes"]
    assert (first["name"], first["pid"], first["state"]) == ("0", 4711, "ready")
    assert first["url"] == cluster.urls["0"]
    assert first["prompts"] == {"accepted": 9, "answered": 6, "failed": 1, "expired": 0}
    assert (first["queue_length"], first["utilization"]) == (3, 0.42)
    assert first["capabilities"]["slots"] == 2
    assert first["capabilities"]["beams"] is False
    assert (second["state"], second["pid"], second["prompts"]) == ("unreachable", None, None)
    assert second["capabilities"] is None
    assert second["reason"] == "nothing listens there"
    assert found["bound"]["verdict"] == "stable"
    assert found["bound"]["critical_rate_hz"] > found["bound"]["arrival_rate_hz"] > 0


def test_engines_that_can_different_things_are_told_apart() -> None:
    little = {"slots": 1, **dict.fromkeys(status.ABILITIES, False)}
    nodes: list[dict[str, Any]] = [
        {"name": "0", "engine": "llama", "capabilities": {**little, "slots": 4, "grammar": True}},
        {"name": "1", "engine": "scripted", "capabilities": little},
        {"name": "2", "engine": "llama", "capabilities": None},  # it is starting
        {"name": "3", "engine": "scripted", "capabilities": little},
    ]
    assert status._abilities(nodes) == [
        "node 0: engine llama, 4 slots; grammars",
        "nodes 1, 3: engine scripted, 1 slot; texts only",
    ]


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_does_not_run(dmoa: Run) -> None:
    result = dmoa("status")
    assert result.exit_code == 1
    assert result.stdout.count("unreachable") == 3
    assert "Next: `dmoa up` starts what does not run." in result.stdout
    assert "No verdict: no task has been served yet." in result.stdout


def test_a_door_that_does_not_open_is_not_called_unreachable(
    dmoa: Run, cluster: PlayedCluster
) -> None:
    cluster.start("0", keys=("0123456789abcdef",))
    result = dmoa("status", "--node", "0", COLUMNS="120")
    assert result.exit_code == 1
    assert "unknown" in result.stdout
    assert "give --key-file FILE" in result.stdout


def test_a_single_door(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("1")
    result = dmoa("status", "--url", cluster.urls["1"], COLUMNS="120")
    assert result.exit_code == 0
    assert "No verdict: the overlay is not known without --dir." in result.stdout


def test_watch_renews_the_page_until_it_is_interrupted(
    dmoa: Run, cluster: PlayedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start("0")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("dmoa.cli.status.time.sleep", wait)
    result = dmoa("status", "--watch")
    assert result.exit_code == 0
    assert waits == [status.WATCH_S] * 3
    assert "ready" in result.stdout


@pytest.mark.usefixtures("cluster")
def test_watch_and_json_exclude_each_other(dmoa: Run) -> None:
    result = dmoa("status", "--watch", "--json")
    assert result.exit_code == 2
    assert "--json" in result.stderr


def measured(name: str, service_time_s: float | None, rate_hz: float = 0.0) -> dict[str, object]:
    return {"name": name, "mean_service_time_s": service_time_s, "arrival_rate_hz": rate_hz}


def test_a_cluster_beyond_its_critical_rate(cluster: PlayedCluster) -> None:
    limit = live_bound(cluster.file, [measured(name, 2.0, 0.2) for name in "012"])
    assert limit is not None
    assert limit.verdict == "unstable"
    assert limit.critical_rate_hz == pytest.approx(1 / 8)


def test_a_cluster_where_no_prompt_arrives(cluster: PlayedCluster) -> None:
    limit = live_bound(cluster.file, [measured("0", 1.0), measured("1", None), measured("2", 3.0)])
    assert limit is not None
    assert (limit.verdict, limit.arrival_rate_hz, limit.bottleneck) == ("idle", 0.0, "2")


def test_nodes_that_are_not_asked_count_as_idle_ones(cluster: PlayedCluster) -> None:
    limit = live_bound(cluster.file, [measured("0", 1.0, 0.3)])
    assert limit is not None
    assert limit.arrival_rate_hz == pytest.approx(0.1)
    # Node 0 proposes and aggregates for itself alone: 2 tasks of 1 s per prompt.
    assert limit.offered_load_max == pytest.approx(0.6)


def test_one_node_alone_gives_no_verdict(dmoa: Run, cluster: PlayedCluster) -> None:
    cluster.start("0")
    result = dmoa("status", "--node", "0")
    assert "No verdict: it takes all nodes; leave --node out." in result.stdout


def test_an_idle_cluster_says_so(cluster: PlayedCluster) -> None:
    limit = live_bound(cluster.file, [measured(name, 1.0) for name in "012"])
    assert limit is not None
    assert "IDLE  no prompts arrive; λ* = 0.25 prompts/s" in str(status._verdict(limit))


def test_a_cluster_file_that_is_no_scenario_gives_no_verdict(
    dmoa: Run, cluster: PlayedCluster
) -> None:
    cluster.start("0")
    text = cluster.file.read_text(encoding="utf-8").replace('"ring"', '"rign"')
    cluster.file.write_text(text, encoding="utf-8")
    result = dmoa("status", COLUMNS="200")
    assert "No verdict: overlay.topology:" in result.stdout
