"""From trace files: replay them through the core, or read them into columns to be measured."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path

import msgspec

from dmoa.core import StartService
from dmoa.errors import ScenarioError
from dmoa.scenario import Setup, from_dict, resolve
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.trace import Header, Meter, ReplayReport, Track, read_trace
from dmoa.trace import replay as replay_entries
from dmoa.trace.codec import Entry

TRACK_CHUNK = 4096


def trace_files(path: Path | str) -> list[Path]:
    """Find the traces of a run: the file itself, or in a cluster's folder those of its nodes.

    Raises:
        ScenarioError: a folder holds no traces.
    """
    source = Path(path)
    if not source.is_dir():
        return [source]
    found = sorted([*source.glob("*.trace"), *source.glob("nodes/*/trace/*.trace")])
    if not found:
        raise ScenarioError(
            "the folder holds no traces",
            path=str(source),
            remedy="give a cluster's folder, or a file written by `dmoa simulate --trace FILE`",
        )
    return found


def replay(path: Path | str) -> ReplayReport:
    """Feed the events of a trace through nodes of the core, and compare actions and states.

    The nodes are built from the scenario in the trace's header; no other file is needed. Of a
    cluster's folder every trace is replayed by itself: each began with a fresh node.

    Raises:
        ScenarioError: the file cannot be read or is no trace.
    """
    agreed = 0
    for file in trace_files(path):
        header, entries = read_trace(file)
        nodes = build_nodes(setup_of(header), run_key(header.seed, header.replication))
        report = replay_entries(entries, nodes)
        agreed += report.agreed
        if report.difference is not None:
            return ReplayReport(agreed, report.difference)
    return ReplayReport(agreed, None)


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
        name: {key: own[key] for key in ("slots", "queue_max", "arrival_rate_hz") if key in own}
        for name, own in kept["nodes"].items()
    }
    for name, service_time_s in zip(header.names, header.service_time_s, strict=False):
        kept["nodes"].setdefault(name, {})["service_time_s"] = service_time_s
    kept["tokens"] = {"response_tokens": header.response_tokens}
    if "live" in header.scenario:
        live = header.scenario["live"]
        kept["live"] = {key: live[key] for key in ("max_tokens", "context_tokens") if key in live}
    return resolve(from_dict(kept), graph, inclusion=header.inclusion)


def load_track(path: Path | str) -> tuple[Header, Track]:
    """Read a trace into the columns that measures and figures are made from.

    The traces of a cluster's folder are one run, from the first node's beginning. The run is
    taken to have ended with its last entry.

    Raises:
        ScenarioError: the file cannot be read, is no trace, or holds no entries.
    """
    opened = [read_trace(file) for file in trace_files(path)]
    first = min(opened, key=lambda one: one[0].began_s or 0.0)[0]
    for header, _ in opened:
        if header.names != first.names:
            raise ScenarioError(
                "the traces in this folder are of different overlays",
                path=str(path),
                remedy="give one of the files",
            )
    zero_s = first.began_s or 0.0
    runs = [_shifted(entries, (header.began_s or 0.0) - zero_s) for header, entries in opened]
    merged = runs[0] if len(runs) == 1 else heapq.merge(*runs, key=itemgetter(0))
    meter = Meter(first.names, links=True)
    last_s = None
    while chunk := list(islice(merged, TRACK_CHUNK)):
        meter.extend(chunk)
        last_s = chunk[-1][0]
    if last_s is None:
        raise ScenarioError("the trace has no entries", path=str(path))
    return first, meter.track(last_s)


def _shifted(entries: Iterator[Entry], by_s: float) -> Iterator[Entry]:
    """Move a node's entries onto the clock of the run."""
    if by_s == 0:
        return entries
    return (_moved(entry, by_s) for entry in entries)


def _moved(entry: Entry, by_s: float) -> Entry:
    time_s, node, event, actions, *counts = entry
    waiting, serving, joining, unfinished = counts
    moved = [
        msgspec.structs.replace(action, queued_s=action.queued_s + by_s)
        if isinstance(action, StartService)
        else action
        for action in actions
    ]
    return time_s + by_s, node, event, moved, waiting, serving, joining, unfinished
