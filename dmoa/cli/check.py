"""`dmoa check`: a scenario with all its defaults and what simulating it would mean; or a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, duration, print_json
from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from dmoa.live.config import NodeConfig
    from dmoa.scenario import Scenario, Setup


@rich_click.command("check")
@options.source_options
@options.json_option
def command(
    source: str | None, given: dict[str, Any], sets: tuple[str, ...], *, as_json: bool
) -> None:
    """Check a scenario and print it with all its defaults, or check a cluster or a node.

    SCENARIO is a preset or a TOML file. What is printed is TOML: saved into a file, it is the
    same scenario, whatever the defaults of a later version are. Of a cluster.toml the nodes are
    checked too whose folders stand beside it; a node.toml is told with all that its node would
    use. What is wrong is told with file and line.
    """
    if source is not None and _is_node_file(source):
        if given or sets:
            raise ScenarioError(
                "a node's file takes no options", path=source, remedy="change the file itself"
            )
        _check_node(Path(source), as_json=as_json)
        return
    from dmoa import study  # the help page does without it
    from dmoa.scenario import to_dict

    scenario = _build(source, given, sets)
    setup = study.prepare(scenario)
    nodes = _check_cluster(Path(source or ""), scenario)
    values, size = to_dict(setup.scenario), _size(setup)
    if as_json:
        facts: dict[str, Any] = {
            "scenario": values,
            "simulation": size,
            "notes": list(setup.notes),
        }
        if scenario.live is not None:
            facts["nodes"] = [_facts(node) for node in nodes]
        print_json(facts)
        return
    from dmoa.cli import tables
    from dmoa.scenario.toml_text import to_toml

    out = console()
    # The rest of the page is TOML's comments, so that all of it can be saved.
    out.print(f"# {tables.title(setup)}", style="bold", soft_wrap=True)
    lines = [f"node {node.name} is in order: {node.engine.model}" for node in nodes]
    for line in (*_size_lines(size), *lines, *(f"note: {note}" for note in setup.notes)):
        out.print(f"# {line}", style="cyan", soft_wrap=True)
    out.print()
    out.print(to_toml(values), soft_wrap=True)


def _build(source: str | None, given: dict[str, Any], sets: tuple[str, ...]) -> Scenario:
    """Build the scenario; of a cluster's file, say in which line it is wrong."""
    if given or sets or source is None or not source.endswith(".toml"):
        return options.build_scenario(source, given, sets)
    from dmoa.live.toml_lines import locating, read_toml

    text, data = read_toml(Path(source))
    if "live" not in data:
        return options.build_scenario(source, given, sets)
    with locating(Path(source), text):
        return options.build_scenario(source, given, sets)


def _is_node_file(source: str) -> bool:
    """Tell a node's file: it names its cluster, which no scenario does."""
    import tomllib

    path = Path(source)
    if path.name == "node.toml":
        return True
    if path.suffix != ".toml" or not path.is_file():
        return False
    try:
        return "cluster" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever reads it next says why


def _check_cluster(path: Path, scenario: Scenario) -> list[NodeConfig]:
    """Check the nodes whose folders stand beside a cluster's file."""
    files = sorted(path.parent.glob("nodes/*/node.toml")) if scenario.live is not None else []
    if not files:
        return []
    from dmoa.live.config import read_node

    return sorted((read_node(file) for file in files), key=lambda node: node.index)


def _check_node(path: Path, *, as_json: bool) -> None:
    from dmoa.live.config import read_node

    node = read_node(path)
    facts = _facts(node)
    if as_json:
        print_json({"node": facts, "notes": list(node.notes)})
        return
    from dmoa.cli import tables

    out = console()
    out.print(f"Node {node.name} is in order.", style="bold", soft_wrap=True)
    table = tables.plain_table("", "", left=2)
    table.show_header = False
    for key, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value or "–")
        table.add_row(key.replace("_", " "), shown)
    out.print(table)
    tables.print_notes(out, node.notes)


def _facts(node: NodeConfig) -> dict[str, Any]:
    """Tell what a node would use; nothing of its secret key."""
    spec = node.engine
    return {
        "name": node.name,
        "file": str(node.file),
        "cluster": str(node.cluster_file),
        "listen": node.listen,
        "gateway_listen": f"{node.gateway.host}:{node.gateway.port}",
        "api_keys_file": None if node.api_keys_file is None else str(node.api_keys_file),
        "public_key": node.keys.public,
        "engine": spec.kind,
        "model": spec.model,
        "max_tokens": spec.max_tokens,
        "context_tokens": spec.context_tokens,
        "asks": sorted(node.asks),
        "peers": sorted(node.peers),
        "durability": node.durability,
        "state": str(node.state),
    }


def _size(setup: Setup) -> dict[str, Any]:
    """Tell how much a simulation would do; the tasks are expected in all replications."""
    from dmoa.study import expected_tasks

    return {
        "nodes": len(setup.names),
        "replications": setup.scenario.run.replications,
        "horizon_s": setup.horizon_s,
        "tasks": round(expected_tasks(setup)),
    }


def _size_lines(size: dict[str, Any]) -> list[str]:
    horizon_s = size["horizon_s"]
    return [
        f"{size['replications']} replications of {duration(horizon_s)} of simulated time each",
        f"about {size['tasks']:,} tasks in all",
    ]
