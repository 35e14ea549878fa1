"""Studies: what a researcher asks of a scenario, in one call each."""

from dmoa.study.bounds import Bound, HostLoad, Sufficiency, bound, prepare
from dmoa.study.capacities import at_rate, capacity
from dmoa.study.grid import parse_grid, parse_grids
from dmoa.study.measured import MeasuredNode, MeasuredResult, measure_traces
from dmoa.study.replays import load_track, replay
from dmoa.study.results import CapacityResult, NodeSummary, RateVerdict, SimulationResult
from dmoa.study.simulation import expected_tasks, simulate
from dmoa.study.sweeps import SweepResult, sweep
from dmoa.study.tidy import export_csv, load_sweep

__all__ = [
    "Bound",
    "CapacityResult",
    "HostLoad",
    "MeasuredNode",
    "MeasuredResult",
    "NodeSummary",
    "RateVerdict",
    "SimulationResult",
    "Sufficiency",
    "SweepResult",
    "at_rate",
    "bound",
    "capacity",
    "expected_tasks",
    "export_csv",
    "load_sweep",
    "load_track",
    "measure_traces",
    "parse_grid",
    "parse_grids",
    "prepare",
    "replay",
    "simulate",
    "sweep",
]
