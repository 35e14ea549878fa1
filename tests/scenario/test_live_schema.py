"""The [live] section, addresses, and the keys of a plan that real nodes need."""

import pytest

from dmoa.errors import ScenarioError
from dmoa.scenario import from_dict, load, resolve, to_dict, value_at, with_values
from dmoa.scenario.addresses import (
    Address,
    is_http_url,
    is_loopback,
    parse_address,
    written,
)

KEYS = ["".join(chr(97 + (first + place) % 26) for place in range(40)) for first in range(8)]


def peer(number, **more):
    return {"address": f"tcp://127.0.0.1:{7400 + number}", "public_key": KEYS[number], **more}


def cluster(live=None, **sections):
    peers = {str(number): peer(number) for number in range(4)}
    return {
        "overlay": {"topology": "ring", "nodes": 4},
        "live": {"peers": peers} if live is None else live,
        **sections,
    }


def refused(data):
    with pytest.raises(ScenarioError) as caught:
        resolve(from_dict(data))
    return caught.value


def test_a_cluster_file_is_a_scenario():
    scenario = from_dict(cluster())
    live = scenario.live
    assert live is not None
    assert (live.engine, live.model) == ("llama", None)
    assert (live.durability, live.truncate) == ("full", False)
    assert live.peers["2"].address == "tcp://127.0.0.1:7402"
    assert from_dict(to_dict(scenario)) == scenario
    assert resolve(scenario).names == ("0", "1", "2", "3")


def test_a_scenario_without_the_section_says_nothing_of_it():
    assert from_dict({}).live is None
    assert "live" not in to_dict(from_dict({}))
    assert from_dict({"live": {}}).live is not None
    assert "live" in to_dict(from_dict({"live": {}}))


@pytest.mark.parametrize(
    ("live", "path", "text"),
    [
        (3, "live", "write [live] above its keys"),
        ({"engin": "llama"}, "live.engin", "did you mean 'engine'?"),
        ({"engine": "lama"}, "live.engine", "did you mean 'llama'?"),
        ({"max_tokens": 0}, "live.max_tokens", "a whole number from 1"),
        ({"max_tokens": 4096}, "live.max_tokens", "leaves no room for a prompt"),
        ({"truncate": "yes"}, "live.truncate", "must be true or false, but 'yes' was given"),
        ({"durability": "none"}, "live.durability", "'full' or 'process'"),
        ({"retention_s": 1}, "live.retention_s", "from 60"),
        ({"trace_bytes_max": 1}, "live.trace_bytes_max", "from 1,000,000"),
        ({"peers": 3}, "live.peers", "write [live.peers.NAME] above its keys"),
        ({"peers": {"0": 3}}, "live.peers.0", "write [live.peers.0] above its keys"),
        (
            {"peers": {"0": {"public_key": KEYS[0]}}},
            "live.peers.0.address",
            "must be given; give a text of at most 4,096 characters (where it hears its peers",
        ),
        (
            {"peers": {"0": peer(0, adress="x")}},
            "live.peers.0.adress",
            "did you mean 'address'?",
        ),
        (
            {"peers": {"0": peer(0, address="127.0.0.1:7401")}},
            "live.peers.0.address",
            "must be an address tcp://HOST:PORT, but '127.0.0.1:7401' was given; for example",
        ),
        (
            {"peers": {"0": peer(0, gateway="127.0.0.1:8401")}},
            "live.peers.0.gateway",
            "must be an address http://HOST:PORT",
        ),
        (
            {"peers": {"0": peer(0, public_key="short")}},
            "live.peers.0.public_key",
            "40 characters of Z85, but 'short' was given; `dmoa keys show FILE` prints",
        ),
        (
            {"peers": {"0": peer(0, public_key="ä" * 40)}},
            "live.peers.0.public_key",
            "40 characters of Z85",
        ),
        (
            {"peers": {"0": peer(0), "1": peer(1, public_key=KEYS[0])}},
            "live.peers.1.public_key",
            "is live.peers.0.public_key too",
        ),
        (
            {"peers": {"0": peer(0), "1": peer(1, other_public_keys=[KEYS[2], KEYS[0]])}},
            "live.peers.1.other_public_keys[1]",
            "is live.peers.0.public_key too",
        ),
        (
            {"peers": {"0": peer(0, other_public_keys=["short"])}},
            "live.peers.0.other_public_keys[0]",
            "40 characters of Z85",
        ),
        (
            {"peers": {"0": peer(0), "1": peer(0, public_key=KEYS[1])}},
            "live.peers.1.address",
            "is live.peers.0.address too",
        ),
        ({"peers": {"7": peer(0)}}, "live.peers.7", "known are: 0, 1, 2, 3"),
    ],
)
def test_a_bad_value_is_refused_with_its_path_and_remedy(live, path, text):
    error = refused(cluster(live))
    assert error.path == path
    assert text in str(error)


def test_its_values_are_set_and_found_by_path():
    scenario = with_values(
        from_dict(cluster()),
        {"live.max_tokens": 64, "live.peers.1.gateway": "http://edge-1:8401"},
    )
    assert value_at(scenario, "live.max_tokens") == 64
    assert value_at(scenario, "live.peers.1.gateway") == "http://edge-1:8401"
    assert value_at(scenario, "live.peers.0.gateway") is None
    assert value_at(scenario, "live.peers.9.gateway") is None
    assert value_at(from_dict({}), "live.peers.9.gateway") is None
    assert value_at(from_dict({}), "live.max_tokens") is None
    with pytest.raises(ScenarioError, match="no such key"):
        value_at(scenario, "live.peers.1.gatewa")


def test_a_name_with_dots_is_one_step():
    scenario = with_values(
        load({"overlay": {"topology": "ring", "nodes": 4}}),
        {f"live.peers.edge.lab.{key}": value for key, value in peer(0).items()},
    )
    assert value_at(scenario, "live.peers.edge.lab.address") == "tcp://127.0.0.1:7400"


@pytest.mark.parametrize(
    ("plan", "path", "text"),
    [
        ({"patience": 0}, "plan.patience", "a number above 0"),
        ({"patience": 4, "layer_deadline_s": 5}, "plan.patience", "a layer has one deadline"),
        ({"prompt_deadline_s": 0}, "plan.prompt_deadline_s", "(s), but 0 was given"),
        ({"attempts": 0}, "plan.attempts", "a whole number from 1 to 1,024"),
        ({"quorum": 2}, "plan.quorum", "give plan.layer_deadline_s too, or plan.patience"),
    ],
)
def test_deadlines_of_a_plan_have_to_make_sense(plan, path, text):
    error = refused({"plan": plan})
    assert error.path == path
    assert text in str(error)


def test_patience_is_a_deadline_as_good_as_seconds():
    plan = from_dict({"plan": {"patience": 4, "quorum": 2, "prompt_deadline_s": 600}}).plan
    assert (plan.patience, plan.quorum, plan.prompt_deadline_s) == (4.0, 2, 600.0)
    assert from_dict({"plan": {"patience": 4}, "links": {"loss": 0.1}}).links.loss == 0.1


@pytest.mark.parametrize(
    ("text", "scheme", "address"),
    [
        ("tcp://127.0.0.1:1", "tcp", Address("127.0.0.1", 1)),
        ("tcp://edge-3.lan:65535", "tcp", Address("edge-3.lan", 65535)),
        ("http://[fe80::1]:80/", "http", Address("fe80::1", 80)),
        ("10.0.0.7:8401", "", Address("10.0.0.7", 8401)),
    ],
)
def test_addresses_are_read(text, scheme, address):
    assert parse_address(text, scheme=scheme, path="listen") == address
    assert written(address.host, address.port, scheme) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://:7401",
        "tcp://256.0.0.1:7401",
        "tcp://[::x]:7401",
        "tcp://::1:7401",
        "tcp://a b:7401",
        "tcp://-a:7401",
        "tcp://a..b:7401",
        "tcp://*:7401",
        "tcp://127.0.0.1:port",
        "udp://127.0.0.1:7401",
        "tcp://127.0.0.1:7401/x",
        "tcp://127.0.0.1:7401\n",
        "tcp://" + "a" * 64 + ":7401",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ScenarioError, match="must be an address tcp://HOST:PORT") as caught:
        parse_address(text, scheme="tcp", path="listen")
    assert (caught.value.path, caught.value.given) == ("listen", text)


@pytest.mark.parametrize(("port", "least"), [("0", 1), ("65536", 0), ("999999999", 0)])
def test_ports_have_a_range(port, least):
    with pytest.raises(ScenarioError, match=f"its port must be {least} to 65535"):
        parse_address(f"tcp://edge:{port}", scheme="tcp", path="listen", port_min=least)


def test_the_system_may_choose_a_port_where_that_is_allowed():
    assert parse_address("tcp://edge:0", scheme="tcp", path="listen", port_min=0).port == 0


def test_loopback_is_what_only_this_machine_reaches():
    assert [is_loopback(host) for host in ("127.8.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("192.168.0.7", "::", "edge")] == [False] * 3


@pytest.mark.parametrize(
    "text", ["", "edge:80/v1", "ftp://edge/v1", "http://", "http://[::x]/v1", "http://edge:99999"]
)
def test_what_is_no_url_of_a_server(text):
    assert not is_http_url(text)


def test_urls_of_servers():
    assert is_http_url("http://127.0.0.1:11434/v1")
    assert is_http_url("https://[fe80::1]/v1")
