"""The bound of a running cluster: its critical rate at the service times that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

#: Where no prompt has arrived there is a limit all the same: any rate finds it.
ANY_RATE_HZ = 1.0


class LiveBound(msgspec.Struct, frozen=True):
    """The critical rate λ* of a running cluster, and on which side of it it is.

    Rates are prompts per second and node; ``verdict`` is ``idle`` where no prompt arrives. Of a
    node whose slots share a processor the measured service times are those in batches, which are
    longer than alone: then the limit errs on the safe side.
    """

    verdict: str
    critical_rate_hz: float
    arrival_rate_hz: float
    offered_load_max: float
    bottleneck: str


def live_bound(cluster_file: Path, nodes: Sequence[dict[str, Any]]) -> LiveBound | None:
    """Compute the bound of a cluster from what its nodes measured; None if that is too little.

    A node that has not served a task yet, or does not answer, is taken as fast as the mean of
    the others, and as one where no prompt arrives.
    """
    measured = {node["name"]: node.get("mean_service_time_s") for node in nodes}
    known = [value for value in measured.values() if value]
    if not known:
        return None
    rates = {node["name"]: node.get("arrival_rate_hz") or 0.0 for node in nodes}
    idle = not any(rates.values())
    mean_s = sum(known) / len(known)
    from dmoa import study  # numpy and scipy load slowly
    from dmoa.scenario import from_dict, load, to_dict

    scenario = load(str(cluster_file))
    table = to_dict(scenario)
    table.pop("live", None)
    table["service"] = {"service_time_s": mean_s}
    table["arrivals"] = {"arrival_rate_hz": ANY_RATE_HZ}
    values = table.get("nodes", {})
    table["nodes"] = {
        name: {
            **{key: old[key] for key in ("slots", "queue_max", "host") if key in old},
            "service_time_s": measured.get(name) or mean_s,
            **({} if idle else {"arrival_rate_hz": rates.get(name, 0.0)}),
        }
        for name, old in ((name, values.get(name, {})) for name in study.prepare(scenario).names)
    }
    limit = study.bound(from_dict(table))
    stable = limit.arrival_rate_hz < limit.critical_rate_hz
    return LiveBound(
        verdict="idle" if idle else "stable" if stable else "unstable",
        critical_rate_hz=limit.critical_rate_hz,
        arrival_rate_hz=0.0 if idle else limit.arrival_rate_hz,
        offered_load_max=0.0 if idle else limit.offered_load_max,
        bottleneck=limit.bottleneck,
    )
