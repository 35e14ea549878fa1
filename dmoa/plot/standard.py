"""The set of figures that a simulation comes with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dmoa.plot.files import check_writable, save
from dmoa.plot.overlay import NODES_MAX, overlay
from dmoa.plot.queues import queue_length_over_time
from dmoa.plot.sojourn import sojourn_distribution
from dmoa.plot.timeline import prompt_timeline

if TYPE_CHECKING:
    from dmoa.study import SimulationResult


def standard_figures(result: SimulationResult, folder: str | Path) -> list[Path]:
    """Write the figures of one simulation, each as PNG and SVG, into a folder.

    They are ``overlay`` (left out above 2000 nodes), ``queue-length``, ``sojourn-time`` and
    ``prompt-timeline``, the last two replications pooled and of the first replication.

    Args:
        result: what `dmoa.simulate` returned.
        folder: where to write; made if it is missing.

    Returns:
        The files written.

    Raises:
        ScenarioError: they cannot be written.
    """
    check_writable(folder, folder=True)
    figures = {}
    if len(result.setup.names) <= NODES_MAX:
        figures["overlay"] = overlay(result.setup, result.theory.offered_load)
    figures["queue-length"] = queue_length_over_time(result)
    figures["sojourn-time"] = sojourn_distribution(result)
    figures["prompt-timeline"] = prompt_timeline(result.tracks[0])
    return [file for stem, ax in figures.items() for file in save(ax, Path(folder) / stem)]
