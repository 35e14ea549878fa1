"""A new cluster: complete, commented, valid, all or nothing."""

import tomllib
from typing import Any

import pytest

from dmoa.errors import ScenarioError
from dmoa.live import init
from dmoa.live.config import read_node
from dmoa.live.init import init_cluster
from dmoa.live.init_again import differences
from dmoa.scenario import load, value_at


def nodes_of(layout):
    return [read_node(layout.folder / node.folder / "node.toml") for node in layout.nodes]


def names_in(folder):
    return {file.name for file in folder.iterdir()}


def refused(folder, values=None, **more):
    before = names_in(folder.parent)
    with pytest.raises(ScenarioError) as caught:
        init_cluster(folder, values, **more)
    assert names_in(folder.parent) == before
    assert caught.value.remedy
    return str(caught.value)


def test_without_a_word_it_is_a_ring_of_four(tmp_path):
    layout = init_cluster(tmp_path / "new")
    nodes = nodes_of(layout)
    assert [node.name for node in nodes] == ["0", "1", "2", "3"]
    plan = nodes[0].setup.scenario.plan
    assert (plan.layers, plan.proposers) == (1, 2)
    assert (plan.patience, plan.prompt_deadline_s, plan.attempts) == (4.0, 600.0, 3)
    assert nodes[0].setup.queue_max == (64,) * 4
    assert nodes[0].setup.service_time_s == (5.0,) * 4
    assert layout.notes == ()
    assert len({node.keys.public for node in nodes}) == 4


@pytest.mark.parametrize(
    "values",
    [
        {"overlay.topology": "star"},
        {"overlay.topology": "grid", "overlay.rows": 2, "overlay.columns": 3},
        {"overlay.topology": "nsfnet", "plan.layers": 2},
        {"overlay.topology": "barabasi-albert", "overlay.nodes": 6},
        {"plan.selection": "weighted", "plan.weights": {"0": {"1": 1.0, "3": 1.0}}},
        {"plan.layer_deadline_s": 20.0, "plan.quorum": 2},
        {"plan.prompt_deadline_s": 30.0},
        {"service.distribution": "gamma", "service.cv": 0.5},
        {"service.distribution": "tokens", "service.output_token_s": 0.02},
        {"arrivals.process": "burst", "arrivals.prompts": 9},
        {"nodes.2.speed": 4.0, "live.max_tokens": 64, "run.seed": 7},
        {"plan.template": '{prompt}\n"{responses}"'},
    ],
    ids=lambda values: next(iter(values)) + "=" + str(next(iter(values.values())))[:8],
)
def test_what_is_asked_for_is_what_the_files_say(tmp_path, values):
    if "plan.weights" in values:
        even = [{"1": 1.0, "3": 1.0}, {"0": 1.0, "2": 1.0}]
        values = {**values, "plan.weights": {str(node): even[node % 2] for node in range(4)}}
    layout = init_cluster(tmp_path / "new", values)
    nodes = nodes_of(layout)
    assert len(nodes) == len(nodes[0].setup.names)
    scenario = load(layout.file)
    for path, value in values.items():
        assert value_at(scenario, path) == value, path


@pytest.mark.parametrize(
    ("engine", "given", "overlap"),
    [
        ("llama", {}, True),
        ("llama", {"plan.overlap": False}, False),
        ("scripted", {}, False),
        ("scripted", {"plan.overlap": True}, True),
    ],
)
def test_nodes_read_ahead_where_their_engine_can(tmp_path, engine, given, overlap):
    layout = init_cluster(tmp_path / "cluster", given, engine=engine)
    assert load(layout.file).plan.overlap is overlap


def test_a_deadline_in_seconds_takes_the_place_of_patience(tmp_path):
    layout = init_cluster(tmp_path / "new", {"plan.layer_deadline_s": 20.0})
    assert load(layout.file).plan.patience is None


def test_models_and_machines_of_single_nodes(tmp_path):
    layout = init_cluster(
        tmp_path / "new",
        model="hf:owner/name/all.gguf",
        node_models={"3": "own.gguf"},
        hosts={"1": "10.0.0.7", "2": "edge-2.lan", "3": "localhost"},
        base_port=9000,
    )
    nodes = nodes_of(layout)
    assert nodes[0].engine.model == "hf:owner/name/all.gguf"
    assert nodes[3].engine.model.startswith("/")
    assert nodes[3].engine.model.endswith("/own.gguf")
    assert [node.listen for node in nodes] == [
        "tcp://127.0.0.1:9000",
        "tcp://10.0.0.7:9001",
        "tcp://0.0.0.0:9002",
        "tcp://127.0.0.1:9003",
    ]
    assert nodes[1].peers["2"].address == "tcp://edge-2.lan:9002"
    assert nodes[0].gateways == {"0": "http://127.0.0.1:10000", "3": "http://127.0.0.1:10003"}
    assert layout.notes == (
        "2 nodes are at 127.0.0.1, where no other machine can reach them: 0, 3",
    )


def test_an_openai_cluster(tmp_path):
    layout = init_cluster(
        tmp_path / "new",
        engine="openai",
        model="qwen3:0.6b",
        node_models={"1": "gemma3:270m"},
        url="http://127.0.0.1:11434/v1",
        api_key_env="SERVER_KEY",
    )
    first, second, *_ = nodes_of(layout)
    assert (first.engine.model, second.engine.model) == ("qwen3:0.6b", "gemma3:270m")
    assert (first.engine.url, first.engine.api_key_env) == (
        "http://127.0.0.1:11434/v1",
        "SERVER_KEY",
    )


def test_a_scripted_cluster(tmp_path):
    layout = init_cluster(tmp_path / "new", engine="scripted")
    assert {node.engine.model for node in nodes_of(layout)} == {"scripted"}


def test_an_overlays_file_comes_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "office.edgelist").write_text("a b\nb c\nc a\n")
    layout = init_cluster(tmp_path / "new", {"overlay.topology": "office.edgelist"})
    (tmp_path / "office.edgelist").unlink()
    assert [node.name for node in nodes_of(layout)] == ["a", "b", "c"]
    (tmp_path / "new").rename(tmp_path / "moved")
    assert read_node(tmp_path / "moved" / "nodes" / "a" / "node.toml").asks == {"b", "c"}


def test_names_that_no_folder_could_have(tmp_path):
    names = ["../up", "a/b", "a b", "A_b", "Zürich", "..", "x" * 300]
    overlay = tmp_path / "odd.json"
    nodes = ", ".join(f'{{"id": "{name}"}}' for name in names)
    edges = ", ".join(f'{{"source": "../up", "target": "{name}"}}' for name in names[1:])
    overlay.write_text(f'{{"nodes": [{nodes}], "edges": [{edges}]}}')
    layout = init_cluster(tmp_path / "new", {"overlay.topology": str(overlay)})
    assert [node.name for node in nodes_of(layout)] == names
    folders = [node.folder for node in layout.nodes]
    assert {folder.parent.name for folder in folders} == {"nodes"}
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert names_in(tmp_path / "new") == {"cluster.toml", "nodes", "odd.json"}


def test_every_line_says_what_it_is_for(tmp_path):
    layout = init_cluster(tmp_path / "new")
    text = layout.file.read_text("utf-8")
    shared = text.partition("[live.peers")[0].partition("[overlay]")[2]
    values = [line for line in shared.splitlines() if " = " in line]
    assert len(values) > 15
    assert [line for line in values if "  # " not in line] == []
    own = (layout.folder / layout.nodes[0].folder / "node.toml").read_text("utf-8")
    assert [line for line in own.splitlines() if " = " in line and "  # " not in line] == []


@pytest.mark.parametrize("engine", ["llama", "scripted"])
def test_what_is_proposed_in_comments_is_valid(tmp_path, engine):
    layout = init_cluster(tmp_path / "new", engine=engine)
    file = layout.folder / layout.nodes[0].folder / "node.toml"
    lines = file.read_text("utf-8").splitlines()
    taken = [line.removeprefix("# ") if " = " in line else line for line in lines]
    file.write_text("\n".join(taken), "utf-8")
    (file.parent / "api.keys").write_text("x")
    assert set(tomllib.loads(file.read_text("utf-8"))) > {"name", "limits", "api_keys_file"}
    read_node(file)


def test_secrets_are_for_their_owner_alone(tmp_path):
    layout = init_cluster(tmp_path / "new")
    for node in layout.nodes:
        assert (layout.folder / node.folder / "secret.key").stat().st_mode & 0o777 == 0o600
    for node in nodes_of(layout):
        for file in (layout.file, node.file):
            assert node.keys.secret not in file.read_text("utf-8")


# --- all or nothing -------------------------------------------------------------------------


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "new").mkdir()
    assert len(nodes_of(init_cluster(tmp_path / "new"))) == 4


def test_a_folder_on_the_way_is_made(tmp_path):
    assert len(nodes_of(init_cluster(tmp_path / "a" / "b" / "new"))) == 4


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "note.txt").write_text("mine")
    assert "exists already, and what it holds is never overwritten" in refused(tmp_path / "new")
    assert (tmp_path / "new" / "note.txt").read_text() == "mine"
    assert "exists already" in refused(tmp_path / "new" / "note.txt")


def test_a_folder_that_somebody_filled_meanwhile_is_left(tmp_path, monkeypatch):
    def write_secret(*_):
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / "note.txt").write_text("mine")

    monkeypatch.setattr(init, "write_secret", write_secret)
    with pytest.raises(ScenarioError, match="cannot be written"):
        init_cluster(tmp_path / "new")
    assert names_in(tmp_path) == {"new"}
    assert names_in(tmp_path / "new") == {"note.txt"}


def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    def write_secret(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init, "write_secret", write_secret)
    assert "cannot be written (No space left on device)" in refused(tmp_path / "new")


def test_a_place_where_no_folder_can_be(tmp_path):
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(ScenarioError, match="cannot be written"):
        init_cluster(tmp_path / "note.txt" / "new")


@pytest.mark.parametrize(
    ("values", "more", "text"),
    [
        ({"overlay.topology": "rign"}, {}, "did you mean 'ring'?"),
        ({"overlay.topology": "missing.graphml"}, {}, "there is no such file"),
        ({"plan.layerz": 1}, {}, "plan.layerz"),
        ({"overlay.nodes": 1001}, {}, "at most 1000 nodes"),
        ({}, {"node_models": {"9": "m"}}, "known are: 0, 1, 2, 3"),
        ({}, {"hosts": {"9": "edge"}}, "known are: 0, 1, 2, 3"),
        ({}, {"hosts": {"1": "no host"}}, "host of 1: must be an address"),
        ({}, {"base_port": 0}, "must be 1 to 64532"),
        ({}, {"base_port": 65000}, "must be 1 to 64532"),
        ({}, {"engine": "openai", "model": "m"}, "engine 'openai' needs the URL of a server"),
        ({}, {"engine": "openai", "url": "http://x/v1"}, "needs the name of a model"),
        ({}, {"engine": "openai", "url": "x", "model": "m"}, "url: engine 'openai' needs the URL"),
        ({"station.queue_max": 1}, {}, "station.queue_max"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, values, more, text):
    assert text in refused(tmp_path / "new", values, **more)


# --- the same cluster again -----------------------------------------------------------------


def test_a_cluster_is_recognised_by_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "office.edgelist").write_text("a b\nb c\nc a\n")
    arguments: dict[str, Any] = {
        "values": {"overlay.topology": "./office.edgelist", "plan.layers": 2},
        "engine": "openai",
        "model": "m",
        "node_models": {"a": "own"},
        "hosts": {"b": "edge-1"},
        "url": "http://127.0.0.1:1/v1",
        "api_key_env": "KEY",
        "base_port": 9000,
    }
    init_cluster(tmp_path / "new", **arguments)
    assert differences(tmp_path / "new", arguments) == []
    assert differences(tmp_path / "new", {}) == []
    other = {
        "values": {"overlay.topology": "ring", "plan.layers": 3},
        "engine": "llama",
        "model": "n",
        "node_models": {"a": "other", "b": "own"},
        "hosts": {"b": "edge-2", "z": "edge-3"},
        "url": "http://127.0.0.1:2/v1",
        "base_port": 9001,
    }
    assert differences(tmp_path / "new", other) == [
        f"overlay.topology is {tmp_path}/new/office.edgelist, not ring",
        "plan.layers is 2, not 3",
        "live.engine is openai, not llama",
        "live.model is m, not n",
        "the model of node a is own, not other",
        "the model of node b is that of all, not own",
        *(
            f"url of node {name} is http://127.0.0.1:1/v1, not http://127.0.0.1:2/v1"
            for name in "abc"
        ),
        "node b is not at edge-2",
        "node z is not at edge-3",
        "its first port is 9000, not 9001",
    ]


def test_a_scenario_of_the_simulator_is_another_one(tmp_path):
    (tmp_path / "cluster.toml").write_text("[plan]\nlayers = 1\n")
    node = tmp_path / "nodes" / "0"
    node.mkdir(parents=True)
    (node / "node.toml").write_text('name = "0"\n')
    assert differences(tmp_path, {"base_port": 7401}) == ["its first port is None, not 7401"]
