"""A node's configuration: what it becomes, and every complaint with file and line."""

import re
import shutil

import pytest

from dmoa.errors import ScenarioError
from dmoa.live.config import read_node
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.init import init_cluster
from dmoa.live.keys import make_keys, write_secret
from dmoa.live.node_schema import NodeFile
from dmoa.live.toml_lines import line_of
from dmoa.scenario.fields import key_table

RING = {"overlay.topology": "ring", "overlay.nodes": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a ring of four nodes once; each test changes a copy."""
    folder = tmp_path_factory.mktemp("cluster") / "ring"
    init_cluster(folder, RING)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    copy = tmp_path / "ring"
    shutil.copytree(made, copy)
    return copy


def node_file(folder, name="0"):
    return folder / "nodes" / name / "node.toml"


def change(file, pattern, replacement):
    """Change the one place that a pattern finds, and give its line."""
    text = file.read_text("utf-8")
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, pattern
    file.write_text(text[: match.start()] + replacement + text[match.end() :], "utf-8")
    return text[: match.start()].count("\n") + 1


def add(file, line):
    """Put a line at the head of a node's file."""
    file.write_text(f"{line}\n{file.read_text('utf-8')}", "utf-8")


def remove_table(file, name):
    """Take a table out of a file, up to the empty line after it."""
    tables = file.read_text("utf-8").split("\n\n")
    kept = [table for table in tables if not table.startswith(f"[{name}]")]
    assert len(kept) == len(tables) - 1
    file.write_text("\n\n".join(kept), "utf-8")


def refused(folder, name="0"):
    with pytest.raises(ScenarioError) as caught:
        read_node(node_file(folder, name))
    assert caught.value.remedy
    return caught.value


# --- what it becomes ------------------------------------------------------------------------


def test_a_new_node_is_complete(folder):
    node = read_node(node_file(folder, "1"))
    assert (node.name, node.index, node.setup.names[node.index]) == ("1", 1, "1")
    assert set(node.peers) == set(node.asks) == {"0", "2"}
    assert node.peers["2"].address == "tcp://127.0.0.1:7403"
    assert node.listen == "tcp://127.0.0.1:7402"
    assert node.gateway == ("127.0.0.1", 8402)
    assert node.gateways["3"] == "http://127.0.0.1:8404"
    assert (node.engine.kind, node.engine.model) == ("llama", DEFAULT_MODEL)
    assert (node.engine.max_tokens, node.engine.context_tokens) == (256, 4096)
    assert read_node(node_file(folder, "0")).peers["1"].public_key == node.keys.public
    assert node.state == folder / "nodes" / "1"
    assert node.journal == node.state / "journal.sqlite"
    assert node.trace_folder == node.state / "trace"
    assert (node.durability, node.retention_s) == ("full", 604_800)
    assert node.cluster_file == folder / "cluster.toml"
    assert node.limits.heartbeat_timeout_s == 3.0


def test_no_text_of_it_shows_the_secret(folder):
    node = read_node(node_file(folder))
    assert node.keys.secret not in repr(node)
    assert node.keys.secret in node.secret_key.read_text()


def test_who_may_only_ask_is_let_in_but_not_asked(tmp_path):
    overlay = tmp_path / "one-way.json"
    overlay.write_text(
        '{"directed": true, "nodes": [{"id": "a"}, {"id": "b"}], '
        '"edges": [{"source": "a", "target": "b"}]}'
    )
    init_cluster(tmp_path / "two", {"overlay.topology": str(overlay)})
    asked = read_node(node_file(tmp_path / "two", "b"))
    assert set(asked.peers) == {"a"}
    assert asked.asks == frozenset()


def test_a_nodes_own_values_come_before_those_of_all(folder):
    change(folder / "cluster.toml", "^durability.*", 'durability = "process"')
    file = node_file(folder)
    add(file, 'model = "models/own.gguf"\nthreads = 2\ncontext_tokens = 512\nstate = "elsewhere"')
    change(file, '^state = "\\.".*', "")
    change(file, "^# heartbeat_timeout_s.*", "heartbeat_timeout_s = 9.5")
    node = read_node(file)
    assert node.engine.model == str(file.parent / "models" / "own.gguf")
    assert (node.engine.threads, node.engine.context_tokens) == (2, 512)
    assert node.state == file.parent / "elsewhere"
    assert node.limits.heartbeat_timeout_s == 9.5
    assert node.limits.heartbeat_s == 1.0
    assert node.durability == "process"


def test_a_node_with_another_engine_has_its_own_model(folder):
    add(node_file(folder), 'engine = "scripted"\nservice_time_s = 0.5')
    add(
        node_file(folder, "1"),
        'engine = "openai"\nmodel = "qwen3:0.6b"\nurl = "http://127.0.0.1:11434/v1"\n'
        'api_key_file = "server.key"\ntimeout_s = 60',
    )
    scripted = read_node(node_file(folder)).engine
    assert (scripted.kind, scripted.model, scripted.service_time_s) == (
        "scripted",
        "scripted",
        0.5,
    )
    served = read_node(node_file(folder, "1")).engine
    assert (served.model, served.url) == ("qwen3:0.6b", "http://127.0.0.1:11434/v1")
    assert served.api_key_file == str(folder / "nodes" / "1" / "server.key")
    assert served.timeout_s == 60


def test_a_cluster_without_a_model_has_the_default_one(folder):
    change(folder / "cluster.toml", "^model = .*", "")
    assert read_node(node_file(folder)).engine.model == DEFAULT_MODEL


def test_a_path_to_a_model_is_relative_to_the_file_that_names_it(folder):
    change(folder / "cluster.toml", "^model = .*", 'model = "models/all.gguf"')
    assert read_node(node_file(folder)).engine.model == str(folder / "models" / "all.gguf")


def test_without_listen_a_node_listens_where_its_peers_find_it(folder):
    change(node_file(folder), "^listen = .*", "")
    assert read_node(node_file(folder)).listen == "tcp://127.0.0.1:7401"


def test_a_door_beyond_this_machine_has_keys(folder):
    file = node_file(folder)
    change(file, '^gateway_listen = "127.0.0.1:8401"', 'gateway_listen = "0.0.0.0:8401"')
    change(file, '^# api_keys_file = "api.keys"', 'api_keys_file = "api.keys"')
    (file.parent / "api.keys").write_text("a-key-of-more-than-16-characters\n")
    node = read_node(file)
    assert node.api_keys_file == file.parent / "api.keys"
    assert node.gateway.port == 8401


def test_a_node_may_change_its_key_while_both_are_let_in(folder):
    file = folder / "cluster.toml"
    new = make_keys()
    old = read_node(node_file(folder)).keys.public
    change(file, '^public_key = ".*', f'public_key = "{new.public}"\nother_public_keys = ["{old}"]')
    assert read_node(node_file(folder)).keys.public == old
    assert read_node(node_file(folder, "1")).peers["0"].other_public_keys == (old,)
    secret = node_file(folder).with_name("secret.key")
    secret.unlink()
    write_secret(secret, new)
    assert read_node(node_file(folder)).keys == new


def test_the_best_weights_are_computed(folder):
    change(
        folder / "cluster.toml", '^selection = "uniform"', 'selection = "weighted"\nweights="best"'
    )
    node = read_node(node_file(folder))
    assert node.setup.inclusion is not None
    assert sum(node.setup.inclusion[0]) == pytest.approx(2.0)


# --- complaints: the node's file ------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "replacement", "text"),
    [
        ('^name = "0"', 'name = "7"', "name: there is no such node"),
        ('^name = "0"', "name = 0", "name: must be a text of at most 4,096 characters, but 0"),
        ("^listen = .*", 'listen = "127.0.0.1:7401"', "listen: must be an address tcp://HOST:PORT"),
        ("^listen = .*", 'listen = "tcp://127.0.0.1:70000"', "listen: its port must be 0 to 65535"),
        (
            "^gateway_listen = .*",
            'gateway_listen = "8401"',
            "gateway_listen: must be an address HOST:PORT",
        ),
        (
            "^gateway_listen = .*",
            'gateway_listen = "0.0.0.0:8401"',
            "gateway_listen: can be reached from other machines, so it needs API keys",
        ),
        ("^# api_keys_file = ", "api_keys_file = ", "api_keys_file: there is no such file"),
        ("^cluster = .*", 'cluster = "cluster.toml"', "cluster: there is no such file"),
        ("^state = .*", 'stat = "."', "stat: unknown key, but '.' was given; did you mean 'state'"),
        ("^# threads = .*", "threads = 0", "threads: must be a whole number from 1 to 1,024"),
        ("^# threads = .*", 'url = "http://x/v1"', "url: engine 'llama' does not take this key"),
        (
            "^# threads = .*",
            "context_tokens = 100",
            "context_tokens: has to leave room for a prompt beside live.max_tokens, 256",
        ),
        ("^# threads = .*", 'engine = "lama"', "engine: must be 'llama' or 'openai' or 'scripted'"),
        (
            "^# threads = .*",
            'engine = "openai"',
            "model: engine 'openai' needs the name of a model",
        ),
        ("^# messages_per_s = .*", "messages = 3", "limits.messages: unknown key, but 3 was given"),
        (
            "^# messages_per_s = .*",
            "messages_per_s = -1",
            "limits.messages_per_s: is no such limit (Expected `float` > 0.0), but -1 was given",
        ),
        ("^\\[limits\\]", "limits = 3", "limits: must be a table, but 3 was given"),
    ],
)
def test_what_is_wrong_in_a_nodes_file_is_told_with_its_line(folder, pattern, replacement, text):
    file = node_file(folder)
    line = change(file, pattern, replacement)
    error = refused(folder)
    assert text in str(error)
    place, _, key = error.path.partition(": ")
    assert key == text.partition(":")[0] or ":" not in text
    if key == "model":
        assert place == str(file)  # a key that is missing has no line
    else:
        assert place == f"{file}:{line}"


@pytest.mark.parametrize("url", ["", "127.0.0.1:11434", "ftp://host/v1", "http://"])
def test_an_openai_node_needs_a_url(folder, url):
    add(node_file(folder), f'engine = "openai"\nmodel = "m"\nurl = "{url}"')
    assert "url: engine 'openai' needs the URL of a server" in str(refused(folder))


def test_a_name_is_required(folder):
    change(node_file(folder), "^name = .*", "")
    error = refused(folder)
    assert error.path == f"{node_file(folder)}: name"
    assert "must be given; give a text" in str(error)


def test_a_file_that_is_no_toml_is_told_with_its_line(folder):
    line = change(node_file(folder), "^listen = .*", "listen = = 3")
    error = refused(folder)
    assert error.path == str(node_file(folder))
    assert f"is not valid TOML: Invalid value (at line {line}, column 10)" in str(error)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match="there is no such file") as caught:
        read_node(tmp_path / "node.toml")
    assert caught.value.given == str(tmp_path / "node.toml")


# --- complaints: the cluster's file ---------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "replacement", "text"),
    [
        ("^layers = .*", "layers = -1", "plan.layers: must be a whole number from 0"),
        ("^\\[live.peers.2\\]", "[live.peers.9]", "live.peers.9: there is no such node"),
        (
            '^address = "tcp://127.0.0.1:7403"',
            'address = "tcp://127.0.0.1"',
            "live.peers.2.address: must be an address tcp://HOST:PORT",
        ),
        ("^durability = .*", 'durability = "some"', "live.durability: must be 'full' or 'process'"),
    ],
)
def test_what_is_wrong_in_the_clusters_file_is_told_with_its_line(
    folder, pattern, replacement, text
):
    file = folder / "cluster.toml"
    line = change(file, pattern, replacement)
    error = refused(folder)
    assert text in str(error)
    assert error.path == f"{file}:{line}: {text.partition(':')[0]}"


def test_a_scenario_of_the_simulator_is_no_cluster(folder):
    file = folder / "cluster.toml"
    file.write_text(file.read_text("utf-8").partition("\n[live]")[0], "utf-8")
    error = refused(folder)
    assert "live: there is no [live] section: this is a scenario for the simulator" in str(error)
    assert "`dmoa init` writes a cluster" in error.remedy


@pytest.mark.parametrize(("name", "why"), [("1", "is a neighbour of node 0"), ("0", "runs")])
def test_a_node_of_which_nobody_says_where_it_is(folder, name, why):
    remove_table(folder / "cluster.toml", f"live.peers.{name}")
    error = refused(folder)
    assert f"live.peers.{name}: node {name} {why}, and nobody says where it is" in str(error)


def test_a_stranger_needs_no_address(folder):
    """Node 2 is no neighbour of node 0 in a ring of four."""
    remove_table(folder / "cluster.toml", "live.peers.2")
    assert set(read_node(node_file(folder)).peers) == {"1", "3"}


# --- complaints: keys -----------------------------------------------------------------------


def test_a_key_that_is_not_the_clusters_names_both_files(folder):
    secret = node_file(folder).with_name("secret.key")
    secret.unlink()
    keys = make_keys()
    write_secret(secret, keys)
    error = refused(folder)
    text = (folder / "cluster.toml").read_text("utf-8")
    line = text[: text.index("public_key")].count("\n") + 1
    assert error.path == f"{folder / 'cluster.toml'}:{line}: live.peers.0.public_key"
    assert f"the public key of {secret} is {keys.public}" in str(error)
    assert keys.secret not in str(error)


def test_a_secret_that_others_can_read_is_refused(folder):
    secret = node_file(folder).with_name("secret.key")
    secret.chmod(0o640)
    error = refused(folder)
    assert error.path == str(secret)
    assert f"chmod 600 {secret}" in str(error)


def test_a_missing_secret_is_named(folder):
    node_file(folder).with_name("secret.key").unlink()
    assert "the secret key file is missing" in str(refused(folder))


# --- lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 1),
        ("plan.layers", 4),
        ("plan.weights.a.b", 5),
        ("plan.nothing", 3),
        ("live.peers.a b.address", 9),
        ("live.peers.a b", 8),
        ("live.peers.a b.other_public_keys[1]", 10),
        ("live.model", 12),
        ("live.x.y", 11),
        ("nowhere", None),
        ("", None),
    ],
)
def test_lines_are_found(path, line):
    text = (
        'name = "x" # [plan]\n'
        "\n"
        "[plan] # layers = 1\n"
        "layers = 2\n"
        "weights = {a = {b = 1}}\n"
        "# [live]\n"
        "\n"
        '[live . peers."a b"]\n'
        "  address='tcp://a:1'\n"
        '"other_public_keys" = []\n'
        "[live]\n"
        'model = "m"\n'
    )
    assert line_of(text, path) == line


def test_the_page_shows_the_keys_of_a_node_as_they_are(root):
    page = (root / "docs" / "runtime.md").read_text("utf-8")
    assert key_table(NodeFile) in page, "put fields.key_table(NodeFile) into docs/runtime.md"


def test_a_cluster_whose_prompts_may_wait_for_ever_is_told_so(folder):
    assert read_node(node_file(folder)).notes == ()
    cluster = folder / "cluster.toml"
    change(cluster, r"^patience = .*$", "")
    change(cluster, r"^prompt_deadline_s = .*$", "")
    (note,) = read_node(node_file(folder)).notes
    assert "one lost message can keep a prompt for ever" in note
