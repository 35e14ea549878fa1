"""What was calibrated is written into a scenario, which can then be loaded; or nothing is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.calibration import Calibration
from dmoa.live.calibration_file import calibrated_toml, check_place, write_calibration
from dmoa.live.init import init_cluster
from dmoa.scenario import load
from tests.live.test_calibration import found_of
from tests.live.virtual_processor import VirtualProcessor


@pytest.fixture(scope="module")
def found() -> Calibration:
    return found_of(VirtualProcessor(), host=True)


def check_written(file: Path) -> None:
    scenario = load(file)
    service = scenario.service
    assert service.distribution == "tokens"
    assert (service.base_s, service.input_token_s, service.output_token_s) == (0.01, 0.004, 0.02)
    assert scenario.station.slots == 4
    assert scenario.station.speedup == [1.0, 1.4, 1.6, 1.7]
    assert scenario.station.chunk_tokens == 64
    assert scenario.station.reuse is True
    assert scenario.host is not None
    assert (scenario.host.cores, scenario.host.threads) == (1.5, 1)


def test_a_new_scenario(found: Calibration, tmp_path: Path):
    file = tmp_path / "box.toml"
    check_place(file)
    write_calibration(found, file)
    check_written(file)
    assert load(file).name == "box"
    assert file.stat().st_mode & 0o444 == 0o444 & ~0  # others may read it as far as the umask lets
    assert [path.name for path in tmp_path.iterdir()] == ["box.toml"]


def test_a_cluster_keeps_all_else(found: Calibration, tmp_path: Path):
    cluster = init_cluster(tmp_path / "cluster", engine="scripted")
    before = cluster.file.read_text("utf-8")
    cluster.file.chmod(0o640)
    check_place(cluster.file)
    write_calibration(found, cluster.file)
    check_written(cluster.file)
    after = cluster.file.read_text("utf-8")
    lost = [line for line in before.splitlines() if line not in after.splitlines()]
    assert all("service" in line or "slots" in line for line in lost), lost
    assert tomllib.loads(after)["live"] == tomllib.loads(before)["live"]
    assert cluster.file.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_one(found: Calibration, tmp_path: Path):
    (tmp_path / "real.toml").write_text("name = 'x'\n", "utf-8")
    link = tmp_path / "link.toml"
    link.symlink_to("real.toml")
    write_calibration(found, link)
    assert link.is_symlink()
    check_written(tmp_path / "real.toml")


def test_what_would_be_no_scenario_is_left_as_it_was(found: Calibration, tmp_path: Path):
    file = tmp_path / "own.toml"
    text = "[nodes.0]\nservice_time_s = 3.0\n"
    file.write_text(text, "utf-8")
    with pytest.raises(ScenarioError, match=r"nodes\.0\.service_time_s"):
        write_calibration(found, file)
    assert file.read_text("utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_places_that_cannot_be_written_are_refused_before_measuring(tmp_path: Path):
    with pytest.raises(ScenarioError, match="there is no such folder"):
        check_place(tmp_path / "no" / "box.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = = 1", "utf-8")
    with pytest.raises(ScenarioError):
        check_place(broken)


def test_a_folder_that_vanished_is_an_error_of_the_place(found: Calibration, tmp_path: Path):
    with pytest.raises(ScenarioError, match="cannot be written"):
        write_calibration(found, tmp_path / "gone" / "box.toml")


def test_the_text_is_what_a_scenario_needs(found: Calibration):
    assert tomllib.loads(calibrated_toml(found)) == {
        "service": {
            "distribution": "tokens",
            "base_s": 0.01,
            "input_token_s": 0.004,
            "output_token_s": 0.02,
        },
        "station": {
            "slots": 4,
            "speedup": [1.0, 1.4, 1.6, 1.7],
            "reuse": True,
            "chunk_tokens": 64,
        },
        "host": {"cores": 1.5, "threads": 1},
    }
