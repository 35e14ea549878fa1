"""One small scenario of every kind, for what must hold in all of them."""

from __future__ import annotations

from typing import Any

import networkx as nx

from dmoa.scenario import Setup
from dmoa.study import prepare
from tests.sim.runs import scenario

SHORT = {"run.horizon_s": 60, "run.replications": 2}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ring": ("ring", {}),
    "one layer more": ("complete", {"plan.layers": 3, "plan.proposers": 1}),
    "no layers": ("star", {"plan.layers": 0}),
    "no proposers": ("ring", {"plan.layers": 2, "plan.proposers": 0}),
    "best weights": ("scale-free", {"plan.selection": "weighted", "plan.weights": "best"}),
    "by tokens": ("tokens", {"arrivals.arrival_rate_hz": 0.1}),
    "slots": ("complete", {"station.slots": 3, "arrivals.arrival_rate_hz": 0.6}),
    "overload": ("star", {"arrivals.arrival_rate_hz": 0.5}),
    "delay": ("ring", {"links": {"delay_s": 0.5, "distribution": "exponential"}}),
    "deadline": ("ring", {"plan.layer_deadline_s": 2.0, "arrivals.arrival_rate_hz": 0.3}),
    "deadline and quorum": (
        "complete",
        {"plan.proposers": 4, "plan.layer_deadline_s": 1.5, "plan.quorum": 3},
    ),
    "loss": (
        "ring",
        {"plan.layers": 2, "plan.layer_deadline_s": 4.0, "links": {"loss": 0.3, "delay_s": 0.1}},
    ),
    "full queues": ("star", {"station.queue_max": 4, "arrivals.arrival_rate_hz": 0.4}),
    "full queues, loss": (
        "complete",
        {
            "station.queue_max": 3,
            "arrivals.arrival_rate_hz": 0.5,
            "links.loss": 0.2,
            "plan.layer_deadline_s": 3.0,
        },
    ),
    "patience": (
        "complete",
        {
            "plan": {"layers": 2, "patience": 1.5, "attempts": 3, "quorum": 2},
            "arrivals.arrival_rate_hz": 0.15,
        },
    ),
    "replacements": (
        "complete",
        {
            "plan.attempts": 4,
            "plan.prompt_deadline_s": 6.0,
            "station.queue_max": 5,
            "arrivals.arrival_rate_hz": 0.3,
        },
    ),
    "loss, patience, expiry": (
        "ring",
        {
            "plan": {"layers": 2, "patience": 3.0, "attempts": 2, "prompt_deadline_s": 15.0},
            "links": {"loss": 0.3, "delay_s": 0.1},
        },
    ),
    "nodes that differ": (
        "ring",
        {"nodes": {"0": {"speed": 3.0, "slots": 2}, "3": {"queue_max": 1, "arrival_rate_hz": 0.0}}},
    ),
    "slots that share a processor": (
        "complete",
        {"station": {"slots": 3, "speedup": [1, 1.4, 1.6]}, "arrivals.arrival_rate_hz": 0.3},
    ),
    "nodes that share hosts": (
        "ring",
        {"host": {"cores": 2.5, "threads": 2}, "nodes": {"1": {"host": "b"}, "2": {"host": "b"}}},
    ),
    "overlap, reuse, small memory": (
        "tokens",
        {
            "plan": {"overlap": True, "layers": 2, "layer_deadline_s": 60.0},
            "station": {"slots": 4, "speedup": [1, 1.4, 1.6, 1.7], "reuse": True},
            "station.cache_tokens": 1500,
            "arrivals.arrival_rate_hz": 0.02,
            "links": {"loss": 0.1, "delay_s": 0.1},
            "run.horizon_s": 600,
        },
    ),
    "on-off": ("grid", {"arrivals": {"process": "on-off", "on_s": 3.0, "off_s": 9.0}}),
    "burst": ("paper-table-1", {"run.horizon_s": 1e6, "run.replications": 2}),
    "ties": (
        "complete",
        {"arrivals.process": "deterministic", "service.distribution": "deterministic"},
    ),
    "many at once": (
        "complete",
        {
            "overlay.nodes": 40,
            "plan.proposers": 39,
            "service.distribution": "deterministic",
            "links.delay_s": 0.25,
            "arrivals.arrival_rate_hz": 0.01,
        },
    ),
}


def kind(name: str, **values: Any) -> Setup:
    """Resolve the scenario of one kind."""
    preset, changes = KINDS[name]
    return prepare(scenario(preset, **{**SHORT, **changes, **values}))


def karate() -> Setup:
    """Resolve a scenario on a graph from Python, with weights given by hand for one node."""
    return prepare(
        scenario(plan={"layers": 1, "proposers": 1}, arrivals__arrival_rate_hz=0.05, **SHORT),
        nx.karate_club_graph(),
    )
