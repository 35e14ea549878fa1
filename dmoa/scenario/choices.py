"""Which keys belong to which choice, and what they are when they are not given.

One table serves three purposes: a key that its section's choice does not take is refused, a key
that is not given gets its default, and an override that changes a choice drops the keys which
the new choice does not take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The key has no default: the choice cannot do without it.
REQUIRED: Final = "required"
#: The key may be absent, and its absence means something.
OPTIONAL: Final = None

Keys = Mapping[str, object]

_SPREAD: Final[dict[str, Keys]] = {
    "deterministic": {},
    "exponential": {},
    "lognormal": {"cv": REQUIRED},
    "gamma": {"cv": REQUIRED},
}
_MEAN: Final[Keys] = {"service_time_s": 1.0}
_RATE: Final[Keys] = {"arrival_rate_hz": 0.2}

GENERATED: Final[dict[str, Keys]] = {
    "ring": {"nodes": 8},
    "path": {"nodes": 8},
    "star": {"nodes": 8},
    "complete": {"nodes": 8},
    "grid": {"nodes": OPTIONAL, "rows": OPTIONAL, "columns": OPTIONAL},
    "torus": {"nodes": OPTIONAL, "rows": OPTIONAL, "columns": OPTIONAL},
    "tree": {"nodes": 8, "branching": 2},
    "random-regular": {"nodes": 8, "degree": 3, "seed": 1},
    "erdos-renyi": {"nodes": 8, "probability": 0.4, "seed": 1},
    "watts-strogatz": {"nodes": 8, "neighbours": 4, "probability": 0.1, "seed": 1},
    "barabasi-albert": {"nodes": 8, "attachments": 2, "seed": 1},
    "geometric": {"nodes": 8, "radius": 0.5, "seed": 1},
    "hierarchy": {"nodes": 8, "branching": 3, "attachments": 2, "seed": 1},
}

#: What ``overlay.topology`` says when the overlay was given as a graph from Python.
GRAPH: Final = "graph"

#: Section -> (the key that chooses, choice -> keys it takes with their defaults).
CHOICES: Final[dict[str, tuple[str, dict[str, Keys]]]] = {
    "overlay": ("topology", GENERATED),
    "plan": ("selection", {"uniform": {}, "weighted": {"weights": "best"}}),
    "arrivals": (
        "process",
        {
            "poisson": _RATE,
            "deterministic": _RATE,
            "on-off": {**_RATE, "on_s": REQUIRED, "off_s": REQUIRED},
            "burst": {**_RATE, "prompts": REQUIRED},
            "trace": {"file": REQUIRED, "time_scale": 1.0, "split": "random"},
        },
    ),
    "tokens": ("distribution", _SPREAD),
    "service": (
        "distribution",
        {
            **{name: {**_MEAN, **keys} for name, keys in _SPREAD.items()},
            "empirical": {"values": OPTIONAL, "file": OPTIONAL},
            "tokens": {"base_s": 0.0, "input_token_s": 0.0, "output_token_s": 0.0},
        },
    ),
    "links": ("distribution", _SPREAD),
}


def taken(section: str, choice: object) -> Keys:
    """Keys that a choice takes, with their defaults; nothing for an overlay that is not generated.

    >>> sorted(taken("service", "gamma"))
    ['cv', 'service_time_s']
    >>> taken("overlay", "nsfnet")
    {}
    """
    return CHOICES[section][1].get(str(choice), {})


def bound_keys(section: str) -> frozenset[str]:
    """Keys of a section that only some of its choices take.

    >>> sorted(bound_keys("links"))
    ['cv']
    """
    return frozenset(key for keys in CHOICES[section][1].values() for key in keys)


def takers(section: str, key: str) -> list[str]:
    """Choices of a section that take a key, in the order of the table.

    >>> takers("service", "cv")
    ['lognormal', 'gamma']
    """
    return [choice for choice, keys in CHOICES[section][1].items() if key in keys]
