"""What is simulated: scenarios, overlays, arrivals and service times."""

from dmoa.scenario.fields import reference
from dmoa.scenario.load import load, presets
from dmoa.scenario.overrides import override, parse_set, parse_sets, paths, value_at, with_values
from dmoa.scenario.parse import from_dict, to_dict
from dmoa.scenario.ready import ready_file, ready_overlays
from dmoa.scenario.schema import Scenario
from dmoa.scenario.setup import Setup, resolve

__all__ = [
    "Scenario",
    "Setup",
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
    "to_dict",
    "value_at",
    "with_values",
]
