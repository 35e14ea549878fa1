"""Measure traces that exist: of the simulator, or of a live cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmoa.errors import ScenarioError
from dmoa.study.bounds import to_json
from dmoa.study.observation import count_prompts, observe
from dmoa.study.replays import load_track, setup_of
from dmoa.trace import Estimate, Track, Verdict


@dataclass(frozen=True)
class MeasuredNode:
    """One node: utilization and mean queue length, as means over the runs."""

    node: str
    utilization: float
    queue_length: float


@dataclass(frozen=True, eq=False)
class MeasuredResult:
    """What `measure_traces` found: the same measures as of a simulation, without its theory."""

    traces: list[str]
    engine: str
    duration_s: float
    warmup_s: float
    verdict: Verdict
    summary: dict[str, Estimate]
    nodes: list[MeasuredNode]
    prompts: dict[str, int]
    tasks_per_prompt: float
    tracks: tuple[Track, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object of ``dmoa measure --json``."""
        return to_json(
            {
                "traces": self.traces,
                "engine": self.engine,
                "duration_s": self.duration_s,
                "warmup_s": self.warmup_s,
                "verdict": self.verdict.status,
                "evidence": self.verdict,
                "summary": self.summary,
                "nodes": self.nodes,
                "prompts": self.prompts,
                "tasks_per_prompt": self.tasks_per_prompt,
            }
        )


def measure_traces(paths: Sequence[Path | str], *, whole: bool = False) -> MeasuredResult:
    """Measure one run or several replications of it, each a trace file or a cluster's folder.

    A verdict needs several: one run cannot tell drift from chance.

    Args:
        paths: The runs; of the same nodes.
        whole: Whether to measure from the beginning, instead of from the end of the warm-up.

    Raises:
        ScenarioError: A trace cannot be read, has no entries, or is of another overlay.
    """
    loaded = [load_track(path) for path in paths]
    if not loaded:
        raise ScenarioError("there is nothing to measure", path="paths", given=list(paths))
    header, first = loaded[0]
    for (_, track), path in zip(loaded, paths, strict=True):
        if track.names != first.names:
            raise ScenarioError(
                "is of another overlay than the first", path=str(path), given=len(track.names)
            )
    tracks = tuple(track for _, track in loaded)
    seen = observe(tracks, setup_of(header).slots, finite=whole)
    counts = count_prompts(tracks)
    tasks = sum(len(track.tasks.server) for track in tracks)
    accepted = counts["arrived"] - counts["refused"]
    return MeasuredResult(
        traces=[str(path) for path in paths],
        engine=header.engine,
        duration_s=min(track.end_s for track in tracks),
        warmup_s=seen.warmup_s,
        verdict=seen.verdict(),
        summary=seen.summary,
        nodes=[
            MeasuredNode(
                name,
                float(sum(one.utilization[i] for one in seen.measures)) / len(tracks),
                float(sum(one.queue_length[i] for one in seen.measures)) / len(tracks),
            )
            for i, name in enumerate(first.names)
        ],
        prompts=counts,
        tasks_per_prompt=tasks / accepted if accepted else 0.0,
        tracks=tracks,
    )
