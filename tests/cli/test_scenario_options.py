"""From options to a scenario: what starts from what, and what replaces what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Run


def test_without_anything_the_ring_is_studied(answer: Answer) -> None:
    assert answer("check")["scenario"] == answer("check", "ring")["scenario"]


def test_a_topology_with_a_preset_of_its_name_starts_from_the_preset(answer: Answer) -> None:
    assert answer("check", "--topology", "star")["scenario"] == answer("check", "star")["scenario"]


def test_another_topology_starts_from_the_defaults_and_gives_its_name(answer: Answer) -> None:
    scenario = answer("check", "--topology", "nsfnet")["scenario"]
    assert scenario["name"] == "nsfnet"
    assert scenario["plan"]["layers"] == 1
    assert scenario["plan"]["proposers"] == 2


def test_every_option_replaces_its_key(answer: Answer) -> None:
    scenario = answer(
        "check", "ring", "--topology", "grid", "--nodes", "12", "--layers", "2", "--proposers",
        "3", "--arrival-rate", "0.05", "--service-time", "2.5", "--service", "gamma", "--set",
        "service.cv=0.5", "--selection", "weighted", "--horizon", "1000", "--replications", "4",
        "--seed", "7",
    )["scenario"]  # fmt: skip
    assert scenario["overlay"] == {"topology": "grid", "nodes": 12}
    assert (scenario["plan"]["layers"], scenario["plan"]["proposers"]) == (2, 3)
    assert scenario["plan"]["selection"] == "weighted"
    assert scenario["arrivals"]["arrival_rate_hz"] == 0.05
    assert scenario["service"] == {"distribution": "gamma", "service_time_s": 2.5, "cv": 0.5}
    assert scenario["run"] == {
        "replications": 4, "seed": 7, "horizon_s": 1000.0, "queue_length_max": 1_000_000
    }  # fmt: skip


def test_set_replaces_an_option(answer: Answer) -> None:
    given = answer("check", "ring", "--layers", "2", "--set", "plan.layers=3")
    assert given["scenario"]["plan"]["layers"] == 3


def test_a_scenario_file_is_read_and_its_overlay_found_beside_it(
    answer: Answer, workdir: Path
) -> None:
    folder = workdir / "mine"
    folder.mkdir()
    (folder / "two.edgelist").write_text("a b\n")
    (folder / "two.toml").write_text('name = "two"\n[overlay]\ntopology = "two.edgelist"\n')
    found = answer("bound", "mine/two.toml")
    assert found["nodes"] == ["a", "b"]


def test_what_check_prints_is_the_same_scenario(dmoa: Run, answer: Answer, workdir: Path) -> None:
    options = ["paper-table-1", "--set", "nodes.0.slots=2", "--set", 'description=a "b"']
    page = dmoa("check", *options)
    assert page.exit_code == 0
    (workdir / "saved.toml").write_text(page.stdout, encoding="utf-8")
    assert answer("check", "saved.toml") == answer("check", *options)


def test_check_says_what_a_simulation_would_do(answer: Answer, dmoa: Run) -> None:
    size = answer("check", "ring", "--horizon", "100", "--replications", "3")["simulation"]
    # 8 nodes, 0.2 prompts/s, 4 tasks a prompt, 100 s, 3 replications
    assert size == {"nodes": 8, "replications": 3, "horizon_s": 100.0, "tasks": 1920}
    assert "about 1,920 tasks" in dmoa("check", "ring", "--horizon", "100", "--replications",
                                       "3").stdout  # fmt: skip


def test_check_says_what_is_unusual(dmoa: Run) -> None:
    page = dmoa("check", "star", "--proposers", "3")
    assert page.exit_code == 0
    assert "7 nodes have fewer than 3 neighbours and ask all of them" in page.stdout


@pytest.mark.parametrize("name", ["nsfnet", "torus"])
def test_an_overlay_given_as_a_scenario_is_refused_with_the_right_option(
    dmoa: Run, name: str
) -> None:
    result = dmoa("simulate", name)
    assert result.exit_code == 2
    assert f"--topology {name}" in result.stderr


def test_presets_are_listed_with_a_sentence_each(answer: Answer, dmoa: Run) -> None:
    listed = answer("presets")["presets"]
    assert {"ring", "paper-table-1"} <= {preset["name"] for preset in listed}
    assert all(preset["description"] for preset in listed)
    assert "paper-table-1" in dmoa("presets").stdout
