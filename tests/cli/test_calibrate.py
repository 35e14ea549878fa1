"""`dmoa calibrate`: what it measures of whom, what it writes, and when it writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmoa.live import calibration
from dmoa.live.calibration import Calibration
from dmoa.live.calibration_target import Target, choose_target, load_problem
from dmoa.live.cores import cores
from dmoa.live.engines.spec import DEFAULT_MODEL, EngineSpec
from dmoa.live.init import init_cluster
from dmoa.scenario import load
from tests.cli.conftest import Answer, Run
from tests.live.test_calibration import found_of
from tests.live.virtual_processor import VirtualProcessor

Measures = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> Measures:
    """Put an engine of known speed in the place of the real one; give what was asked for."""

    def put(*, noise: float = 0.0) -> list[dict[str, Any]]:
        asked = []

        def calibrate(spec: EngineSpec, **how: Any) -> Calibration:
            asked.append({"spec": spec, **how})
            return found_of(VirtualProcessor(noise=noise), host=how["host"])

        monkeypatch.setattr(calibration, "calibrate", calibrate)
        return asked

    return put


def test_the_page_tells_all_numbers_and_the_scenario(dmoa: Run, measures: Measures) -> None:
    asked = measures()
    result = dmoa("calibrate", "--threads", "1", "--slots", "4", "--repeats", "7", "--host")
    assert result.exit_code == 0, result.stderr
    page = " ".join(result.stdout.split())
    assert "virtual (llama) · 1 thread · 4 slots · 5 rounds" in page
    assert "for each token read 4 ms 4 to 4 ms" in page
    assert "4 85 1.70 1.70 to 1.70" in page
    assert "This machine gives 1.50 (1.50 to 1.50) threads' worth of computing at once." in page
    assert "Every prompt begins with the same 20 tokens" in page
    assert "[station] slots = 4 speedup = [1.0, 1.4, 1.6, 1.7] reuse = true" in page
    (how,) = asked
    assert (how["spec"].model, how["spec"].threads, how["spec"].slots) == (DEFAULT_MODEL, 1, 4)
    assert (how["rounds"], how["host"]) == (7, True)


def test_one_json_object(answer: Answer, measures: Measures) -> None:
    measures()
    found = answer("calibrate", "--slots", "4")
    assert found["output_token_s"]["value"] == pytest.approx(0.02)
    assert found["output_token_s"]["low"] <= found["output_token_s"]["high"]
    assert [each["value"] for each in found["speedup"]] == pytest.approx([1.0, 1.4, 1.6, 1.7])
    assert (found["chunk_tokens"], found["cores"], found["wide"]) == (64, None, [])
    assert found["written"] is None
    assert found["scenario"]["service.distribution"] == "tokens"


def test_it_writes_a_scenario_that_can_be_checked_and_simulated(
    dmoa: Run, answer: Answer, measures: Measures
) -> None:
    measures()
    result = dmoa("calibrate", "--write", "box.toml")
    assert result.stdout.endswith("Written into box.toml\n")
    assert dmoa("check", "box.toml").exit_code == 0
    assert load("box.toml").station.slots == 4
    assert answer("calibrate", "--write", "box.toml")["written"] == "box.toml"


def test_what_is_uncertain_is_shown_and_not_written_unless_told_to(
    dmoa: Run, measures: Measures, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures()
    monkeypatch.setattr(Calibration, "wide", lambda _: ["output_token_s 0.02 (0.01 to 0.04)"])
    result = dmoa("calibrate", "--write", "box.toml", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["wide"] == ["output_token_s 0.02 (0.01 to 0.04)"]
    assert json.loads(result.stdout)["written"] is None
    assert "too uncertain to be relied on: output_token_s 0.02 (0.01 to 0.04)" in result.stderr
    assert "--force" in result.stderr
    assert list(workdir.iterdir()) == []
    assert dmoa("calibrate", "--write", "box.toml", "--force").exit_code == 0
    assert load("box.toml").service.distribution == "tokens"


def test_a_busy_machine_is_refused_before_anything_is_loaded(
    dmoa: Run, measures: Measures, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measures()
    monkeypatch.setattr(os, "getloadavg", lambda: (cores() + 0.5, 0.0, 0.0))
    result = dmoa("calibrate")
    assert result.exit_code == 2
    assert f"machine: it is busy: its load average is {cores() + 0.5}" in result.stderr
    assert asked == []
    assert dmoa("calibrate", "--force").exit_code == 0


def test_a_system_without_a_load_average_is_not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert load_problem() == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "m", "--node", "n.toml"], "--model and --node contradict each other"),
        (["--node", "n.toml", "--name", "0"], "--node and --dir and --name contradict each other"),
        (["--node", "missing.toml"], "there is no such file"),
        (["--dir", "nowhere"], "there is no cluster in this folder"),
        (["--name", "0"], "there is no cluster in this folder"),
        (["--model", "missing.gguf"], "missing.gguf"),
        (["--repeats", "2"], "--repeats"),
        (["--slots", "0"], "--slots"),
        (["--threads", "0"], "--threads"),
        (["--write", "no/such/folder/box.toml"], "there is no such folder"),
    ],
)
def test_bad_input(dmoa: Run, arguments: list[str], expected: str) -> None:
    result = dmoa("calibrate", *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stdout == ""


def test_a_scripted_node_has_no_speed(dmoa: Run) -> None:
    assert dmoa("init", "lab", "--engine", "scripted").exit_code == 0
    result = dmoa("calibrate", "--dir", "lab")
    assert result.exit_code == 2
    assert "the engine scripted has no speed of its own" in result.stderr


def test_ctrl_c_stops_cleanly(dmoa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "calibrate", interrupted)
    result = dmoa("calibrate")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\ninterrupted\n")


def cluster(folder: Path, **values: Any) -> Path:
    return init_cluster(folder, values.pop("values", {}), **values).folder


def test_a_node_is_measured_as_its_files_describe_it(tmp_path: Path) -> None:
    folder = cluster(tmp_path / "lab", values={"station.slots": 3}, node_models={"1": "own.gguf"})
    target = choose_target(folder=folder, name="1")
    assert target.spec.slots == 3
    assert target.spec.model.endswith("own.gguf")
    assert target.host is True  # all its peers are on this machine
    same = choose_target(node=folder / "nodes" / "1" / "node.toml", host=False, slots=5, threads=2)
    assert (same.spec.model, same.spec.slots, same.spec.threads) == (target.spec.model, 5, 2)
    assert same.host is False
    assert choose_target(folder=folder).spec.model == DEFAULT_MODEL


def test_a_node_alone_on_its_machine_shares_it_with_nobody(tmp_path: Path) -> None:
    hosts = {str(node): f"10.0.0.{node + 1}" for node in range(4)}
    folder = cluster(tmp_path / "lab", hosts=hosts)
    assert choose_target(folder=folder, name="2").host is False


def test_a_model_alone_is_no_cluster() -> None:
    assert choose_target(model="a.gguf") == Target(EngineSpec(model="a.gguf", slots=8), host=False)
