"""What is simulated: scenarios, overlays, arrivals and service times."""

from dmoa.scenario.fields import reference
from dmoa.scenario.nodes import build_nodes, run_key
from dmoa.scenario.overrides import override, parse_set, parse_sets, paths, value_at, with_values
from dmoa.scenario.parse import from_dict, to_dict
from dmoa.scenario.ready import ready_file, ready_overlays
from dmoa.scenario.resolution import resolve
from dmoa.scenario.schema import Scenario
from dmoa.scenario.setup import Setup
from dmoa.scenario.sources import load, presets

__all__ = [
    "Scenario",
    "Setup",
    "build_nodes",
    "from_dict",
    "load",
    "override",
    "parse_set",
    "parse_sets",
    "paths",
    "presets",
    "ready_file",
    "ready_overlays",
    "reference",
    "resolve",
    "run_key",
    "to_dict",
    "value_at",
    "with_values",
]
