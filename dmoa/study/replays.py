"""Replay: feed a trace through the core again and see whether the actions agree."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup, from_dict, resolve
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.trace import Header, Meter, ReplayReport, Track, read_trace
from dmoa.trace import replay as replay_entries

TRACK_CHUNK = 4096


def replay(path: Path | str) -> ReplayReport:
    """Feed the events of a trace through nodes of the core, and compare actions and states.

    The nodes are built from the scenario in the trace's header; no other file is needed.

    Raises:
        ScenarioError: the file cannot be read or is no trace.
    """
    header, entries = read_trace(path)
    setup = setup_of(header)
    return replay_entries(entries, build_nodes(setup, run_key(header.seed, header.replication)))


def setup_of(header: Header) -> Setup:
    """Rebuild from a trace's header what the nodes were built from, without any other file.

    Only what the core needs is there: plan, overlay, stations; not arrivals and service.
    """
    import networkx as nx  # imported here: the command line's help does not need it

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(header.names)
    for origin, peers in enumerate(header.peers):
        graph.add_edges_from((header.names[origin], header.names[peer]) for peer in peers)
    kept = {key: header.scenario[key] for key in ("plan", "station", "nodes")}
    kept["nodes"] = {
        name: {key: own[key] for key in ("slots", "queue_max") if key in own}
        for name, own in kept["nodes"].items()
    }
    return resolve(from_dict(kept), graph, inclusion=header.inclusion)


def load_track(path: Path | str) -> tuple[Header, Track]:
    """Read a trace into the columns that measures and figures are made from.

    The run is taken to have ended with its last entry.

    Raises:
        ScenarioError: the file cannot be read, is no trace, or holds no entries.
    """
    header, entries = read_trace(path)
    meter = Meter(header.names, links=True)
    last_s = None
    while chunk := list(islice(entries, TRACK_CHUNK)):
        meter.extend(chunk)
        last_s = chunk[-1][0]
    if last_s is None:
        raise ScenarioError("the trace has no entries", path=str(path))
    return header, meter.track(last_s)
