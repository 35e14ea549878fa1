"""The text of a new cluster's files, with a comment on every line that one may want to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.scenario import Scenario, to_dict
from dmoa.scenario.fields import SECTIONS, keys
from dmoa.scenario.live_schema import Kind
from dmoa.scenario.toml_text import toml_key, toml_value

_CLUSTER = """\
# A cluster of dmoa: the same file on all its nodes. `dmoa check {file}` explains it.
# It is a scenario too, so `dmoa simulate {file}` and `dmoa bound {file}` tell what to
# expect of it; the sections up to [live] are described in docs/scenario.md.
"""
_SIMULATED = {
    "arrivals": "for the simulator: how often users ask",
    "service": "what a task is expected to take, until nodes have measured it",
}
_NODE = """\
# Node {name} of a cluster of dmoa; paths are relative to this file.
# `dmoa check node.toml` explains it, `dmoa node node.toml` runs it.

"""
_ENGINE = """
# What answers here; what is absent is as [live] in the cluster file says.
"""
#: Key, example and meaning of what one may want to add for an engine.
_MORE: dict[Kind, tuple[tuple[str, object, str], ...]] = {
    "llama": (
        ("threads", 4, "threads that compute; absent: the cores, shared with nodes here"),
        ("template", "chatml", "a chat template, where the model has none"),
        ("sha256", "...", "what the model's file must hash to"),
    ),
    "openai": (("timeout_s", 300, "longest response, with all retries"),),
    "scripted": (("service_time_s", 1.0, "how long each response takes"),),
}
_LIMITS = (
    ("heartbeat_timeout_s", 3.0, "silence after which a peer is lost"),
    ("messages_per_s", 10_000, "what one peer may send"),
)
_COMMENT_COLUMN = 40


class NodeLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a new node is and what it has. ``folder`` is relative to the cluster's.

    ``gateway`` and ``model`` are None where the cluster file says nothing of them.
    """

    name: str
    folder: Path
    address: str
    listen: str
    gateway_listen: str
    gateway: str | None
    engine: Kind
    model: str | None
    public_key: str


def default_model(engine: Kind) -> str | None:
    """Name the model of an engine that was given none."""
    return DEFAULT_MODEL if engine == "llama" else None


def absolute_model(reference: str) -> str:
    """Make a path to a model hold in any folder; what is no path stays as it is.

    >>> absolute_model("hf:owner/repository/file.gguf"), absolute_model("qwen3:0.6b")
    ('hf:owner/repository/file.gguf', 'qwen3:0.6b')
    """
    if reference.startswith(("package:", "hf:")) or not reference.endswith(".gguf"):
        return reference
    return str(Path(reference).expanduser().absolute())


def cluster_text(scenario: Scenario, nodes: Sequence[NodeLayout]) -> str:
    """Write the cluster file: what differs from the defaults, and all of ``[live]``."""
    values, usual = to_dict(scenario), to_dict(Scenario())
    lines = [_CLUSTER.format(file="cluster.toml"), f"name = {toml_value(scenario.name)}"]
    for section in SECTIONS:
        if section in ("overlay", "plan", "live"):
            chosen = values[section]
        elif section in values:
            chosen = {
                key: value
                for key, value in values[section].items()
                if value != usual.get(section, {}).get(key)
            }
        else:
            continue
        lines += _section(section, chosen)
    for name, own in values["nodes"].items():
        lines += ["", f"[nodes.{toml_key(name)}]"]
        lines += [f"{key} = {toml_value(value)}" for key, value in own.items()]
    for node in nodes:
        lines += _peer(node)
    return "\n".join(lines) + "\n"


def _section(section: str, values: dict[str, Any]) -> Iterator[str]:
    known = keys(section)
    tables = [(key, value) for key, value in values.items() if isinstance(value, dict)]
    plain = [(key, value) for key, value in values.items() if not isinstance(value, dict)]
    if plain:
        note = f"  # {_SIMULATED[section]}" if section in _SIMULATED else ""
        yield from ("", f"[{section}]{note}")
    for key, value in plain:
        unit = f" [{known[key].unit}]" if known[key].unit else ""
        yield f"{key} = {toml_value(value)}  # {known[key].description}{unit}"
    for key, value in tables:
        if section == "plan":
            yield from _weights(key, value)


def _weights(key: str, table: dict[str, dict[str, float]]) -> Iterator[str]:
    for name, row in table.items():
        yield from ("", f"[plan.{key}.{toml_key(name)}]")
        yield from (f"{toml_key(peer)} = {toml_value(chance)}" for peer, chance in row.items())


def _peer(node: NodeLayout) -> Iterator[str]:
    yield from ("", f"[live.peers.{toml_key(node.name)}]")
    yield f"address = {toml_value(node.address)}"
    yield f"public_key = {toml_value(node.public_key)}"
    if node.gateway is not None:
        yield f"gateway = {toml_value(node.gateway)}"


def node_text(node: NodeLayout, url: str | None, api_key_env: str | None) -> str:
    """Write a node's file."""
    lines = [
        _NODE.format(name=" ".join(node.name.split())),
        _line("name", node.name, "its name in the overlay"),
        _line("cluster", "../../cluster.toml", "the same file on all nodes"),
        _line("listen", node.listen, "where its peers find it; only those in the cluster file"),
        _line("gateway_listen", node.gateway_listen, "its HTTP door; here clients need no key"),
        _line("# api_keys_file", "api.keys", "keys of clients; needed beyond 127.0.0.1"),
        _line("secret_key", "secret.key", "proves that it is this node; stays on this machine"),
        _line("state", ".", "folder of its journal and traces"),
        _ENGINE,
    ]
    if node.model is not None:
        lines.append(_line("model", node.model, ""))
    if url is not None:
        lines.append(_line("url", url, "the server's, with its /v1"))
    if api_key_env is not None:
        lines.append(_line("api_key_env", api_key_env, "holds the server's key"))
    lines += [_line(f"# {key}", value, why) for key, value, why in _MORE[node.engine]]
    lines.append("\n[limits]\n")
    lines += [_line(f"# {key}", value, why) for key, value, why in _LIMITS]
    return "".join(lines)


def _line(key: str, value: object, comment: str) -> str:
    """Write a key with its comment; a key that is only proposed comes with ``#`` before it."""
    text = f"{key} = {toml_value(value)}"
    return f"{text.ljust(_COMMENT_COLUMN)}  # {comment}\n" if comment else f"{text}\n"
