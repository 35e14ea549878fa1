"""What studies return: plain records, the same for the command line, Python and figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.scenario import Setup
from dmoa.study.bounds import Bound, to_json
from dmoa.trace import Estimate, Totals, Track, Verdict


@dataclass(frozen=True)
class NodeSummary:
    """One node: offered load a_i in Erlang (theory), and what was measured, as means."""

    node: str
    offered_load: float
    utilization: float
    queue_length: float


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What `simulate` found out.

    ``summary`` maps each measure to its `Estimate` over replications: queue_length,
    number_in_system, utilization, throughput_hz and join_buffer are means per node;
    sojourn_time_s per prompt, waiting_time_s per task. ``prompts`` counts arrived, answered,
    failed, expired, refused and unfinished ones over all replications. The observation window of
    every replication starts at ``warmup_s``. ``digest`` is the SHA-256 of the trace; with several
    replications, of their digests. ``stopped`` says which limit ended a run early, if one did;
    with ``out_of_memory`` it was the machine's memory, and no limit of the scenario. ``kept`` is
    what was kept of every replication: its columns or, without a digest, totals.
    """

    engine: str
    seed: int
    replications: int
    horizon_s: float
    warmup_s: float
    stationary: bool
    verdict: Verdict
    theory: Bound
    summary: dict[str, Estimate]
    nodes: list[NodeSummary]
    prompts: dict[str, int]
    digest: str | None
    stopped: str | None
    notes: list[str]
    setup: Setup = field(repr=False)
    kept: tuple[Track | Totals, ...] = field(repr=False)
    out_of_memory: bool = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The columns of every replication, for figures.

        Raises:
            ScenarioError: only totals were kept.
        """
        tracks = tuple(track for track in self.kept if isinstance(track, Track))
        if len(tracks) < len(self.kept):
            raise ScenarioError(
                "a figure of single steps needs a run of which they were kept",
                path="totals",
                given=True,
                remedy="simulate with totals=False, and a shorter horizon if memory is short",
            )
        return tracks

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa simulate --json``."""
        limit = self.theory
        return to_json(
            {
                "engine": self.engine,
                "seed": self.seed,
                "replications": self.replications,
                "horizon_s": self.horizon_s,
                "warmup_s": self.warmup_s,
                "stationary": self.stationary,
                "verdict": self.verdict.status,
                "evidence": self.verdict,
                "theory": {
                    "critical_rate_hz": limit.critical_rate_hz,
                    "theorem1_critical_rate_hz": limit.theorem1_critical_rate_hz,
                    "best_critical_rate_hz": limit.best_critical_rate_hz,
                    "single_slot_critical_rate_hz": limit.single_slot_critical_rate_hz,
                    "host_critical_rate_hz": limit.host_critical_rate_hz,
                    "offered_load_max": limit.offered_load_max,
                    "bottleneck": limit.bottleneck,
                    "sojourn_time_s": limit.sojourn_time_s,
                    "sufficient": limit.sufficient.case,
                },
                "summary": self.summary,
                "nodes": self.nodes,
                "prompts": self.prompts,
                "digest": self.digest,
                "stopped": self.stopped,
                "notes": self.notes,
            }
        )


@dataclass(frozen=True)
class RateVerdict:
    """One arrival rate that `capacity` tried: prompts per second and node, and the verdict.

    In place of a verdict it is "out of memory" where a run outgrew that.
    """

    arrival_rate_hz: float
    verdict: str
    horizon_s: float


@dataclass(frozen=True)
class CapacityResult:
    """The critical rate λ* of theory, and its empirical bracket.

    ``low`` is the highest rate found stable, ``high`` the lowest found unstable (None where none
    was); ``estimate`` comes from the bottleneck's measured utilization below the limit. All are
    prompts per second and node.
    """

    critical_rate_hz: float
    low: float | None
    high: float | None
    estimate: float | None
    bottleneck: str
    verdicts: list[RateVerdict]

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa capacity --json``."""
        return to_json(
            {
                "critical_rate_hz": self.critical_rate_hz,
                "empirical": {"low": self.low, "high": self.high, "estimate": self.estimate},
                "bottleneck": self.bottleneck,
                "verdicts": self.verdicts,
            }
        )
