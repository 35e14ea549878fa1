"""`dmoa init`: write a new cluster of real nodes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.cluster_options import DEFAULT_FOLDER
from dmoa.cli.new_cluster import NewCluster, new_cluster_options
from dmoa.cli.output import console, print_json

if TYPE_CHECKING:
    from dmoa.live.init import ClusterLayout


@rich_click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", default=DEFAULT_FOLDER)
@new_cluster_options
@options.json_option
def command(folder: Path, *, new: NewCluster, as_json: bool) -> None:
    """Write the files and keys of a new cluster of real nodes.

    DIR is ./dmoa-cluster unless you name another; it must not exist, or be empty. cluster.toml is
    the same for all nodes, and a scenario too. nodes/NAME holds what is a node's own, with its
    secret key. Every line says what it is for. Without options it is a ring of 4 nodes with a
    small model each.
    """
    layout = new.write(folder)
    steps = _next_steps(layout)
    if as_json:
        print_json({**_facts(layout), "next": steps})
        return
    from dmoa.cli import tables

    out = console()
    table = tables.plain_table("node", "address", "HTTP door", "model", left=4)
    for node in layout.nodes:
        model = (node.model or layout.model).rpartition("/")[2]
        table.add_row(node.name, node.address, node.gateway_listen, model)
    out.print(table)
    tables.print_notes(out, layout.notes)
    out.print(f"{len(layout.nodes)} nodes are written to {layout.folder}. Next:", soft_wrap=True)
    for step in steps:
        out.print(f"  {step}", soft_wrap=True)


def _facts(layout: ClusterLayout) -> dict[str, Any]:
    return {
        "folder": str(layout.folder),
        "cluster": str(layout.file),
        "nodes": [
            {
                "name": node.name,
                "file": str(layout.folder / node.folder / "node.toml"),
                "address": node.address,
                "gateway_listen": node.gateway_listen,
                "engine": node.engine,
                "model": node.model or layout.model,
                "public_key": node.public_key,
            }
            for node in layout.nodes
        ],
        "notes": list(layout.notes),
    }


def _next_steps(layout: ClusterLayout) -> list[str]:
    """Say what to do with the files: on one machine, or on several."""
    folder = layout.folder
    at = "" if str(folder) == DEFAULT_FOLDER else f" --dir {shlex.quote(str(folder))}"
    if all(node.gateway is not None for node in layout.nodes):
        return [f"dmoa up{at}", f'dmoa ask{at} "Why is the sky blue?"']
    place = shlex.quote(str(folder))
    return [
        f"copy {place}/cluster.toml and its own {place}/nodes/NAME to the machine of each node",
        f"there: dmoa node {place}/nodes/NAME/node.toml",
    ]
