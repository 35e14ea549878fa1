"""What a scenario is made of: frozen records whose annotations carry range, unit and meaning.

The annotations are the one source of the schema: the parser checks values against them, error
messages quote them, and the table of ``docs/scenario.md`` is generated from them. A field whose
default is ``None`` belongs to some choices only (``cv`` to gamma service, ``nodes`` to generated
overlays): :mod:`dmoa.scenario.choices` says to which, and with which default.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dmoa.core.plan import ATTEMPTS_MAX
from dmoa.scenario.live_schema import Live
from dmoa.scenario.records import Section, meta
from dmoa.scenario.station_schema import SLOTS_MAX, Host, Service, Station

NODES_MAX = 1_000_000
SEED_MAX = 2**63 - 1


class Overlay(Section, frozen=True):
    """Who may ask whom."""

    topology: Annotated[
        str, meta("name of a generated or ready overlay, or a file", max_length=4096)
    ] = "ring"
    nodes: Annotated[int, meta("number of nodes in all", "nodes", ge=2, le=NODES_MAX)] | None = None
    seed: Annotated[int, meta("seed of a random overlay", ge=0, le=SEED_MAX)] | None = None
    rows: Annotated[int, meta("rows of a grid or torus", "nodes", ge=1, le=NODES_MAX)] | None = None
    columns: (
        Annotated[int, meta("columns of a grid or torus", "nodes", ge=1, le=NODES_MAX)] | None
    ) = None
    branching: (
        Annotated[int, meta("children of each node of a tree", "nodes", ge=1, le=NODES_MAX)] | None
    ) = None
    degree: Annotated[int, meta("neighbours of every node", "nodes", ge=1, le=NODES_MAX)] | None = (
        None
    )
    probability: (
        Annotated[
            float,
            meta(
                "chance of each edge (erdos-renyi) or of rewiring it (watts-strogatz)", ge=0, le=1
            ),
        ]
        | None
    ) = None
    neighbours: (
        Annotated[int, meta("neighbours on the ring before rewiring", "nodes", ge=2, le=NODES_MAX)]
        | None
    ) = None
    attachments: (
        Annotated[int, meta("edges that each new node brings", "nodes", ge=1, le=NODES_MAX)] | None
    ) = None
    radius: (
        Annotated[
            float,
            meta("distance below which two nodes in the unit square are neighbours", gt=0, le=1.5),
        ]
        | None
    ) = None


class Plan(Section, frozen=True):
    """What happens to a prompt: layers of proposals, then aggregation."""

    layers: Annotated[
        int, meta("layers M of proposals before the aggregation", "layers", ge=0, le=1000)
    ] = 1
    proposers: Annotated[
        int,
        meta(
            "peers k asked in each layer; the node itself comes on top", "nodes", ge=0, le=NODES_MAX
        ),
    ] = 2
    selection: Annotated[
        Literal["uniform", "weighted"], meta("how the k peers are chosen among the neighbours")
    ] = "uniform"
    weights: (
        Annotated[
            Literal["best"] | dict[str, dict[str, float]],
            meta("chance of asking each peer in a layer; `best` solves the linear program"),
        ]
        | None
    ) = None
    layer_deadline_s: (
        Annotated[
            float,
            meta(
                "time after which a layer is joined with the responses at hand", "s", gt=0, le=1e9
            ),
        ]
        | None
    ) = None
    patience: (
        Annotated[
            float,
            meta(
                "deadline of a layer, as a multiple of the time its proposers are expected to take",
                gt=0,
                le=1e6,
            ),
        ]
        | None
    ) = None
    quorum: (
        Annotated[
            int,
            meta(
                "responses without which a layer is not joined at its deadline",
                "responses",
                ge=1,
                le=NODES_MAX,
            ),
        ]
        | None
    ) = None
    attempts: (
        Annotated[
            int,
            meta(
                "peers tried for one response, where one refuses, fails or is late; absent: 1",
                "nodes",
                ge=1,
                le=ATTEMPTS_MAX,
            ),
        ]
        | None
    ) = None
    prompt_deadline_s: (
        Annotated[float, meta("time after which a prompt expires", "s", gt=0, le=1e9)] | None
    ) = None
    overlap: Annotated[
        bool,
        meta(
            "whether an idle node reads the beginning of its next task while its peers still write"
        ),
    ] = False
    template: (
        Annotated[
            str,
            meta("text of an augmented prompt, with {prompt} and {responses}", max_length=100_000),
        ]
        | None
    ) = None
    instruction_tokens: Annotated[
        int, meta("length of the aggregation instruction", "tokens", ge=0, le=10_000_000)
    ] = 60
    closing_tokens: (
        Annotated[
            int,
            meta(
                "part of the instruction that cannot be read before the last response: what stands "
                "after the responses, and their marks; absent: its share of the letters",
                "tokens",
                ge=0,
                le=10_000_000,
            ),
        ]
        | None
    ) = None


class Arrivals(Section, frozen=True):
    """When users ask."""

    process: Annotated[
        Literal["poisson", "deterministic", "on-off", "burst", "trace"],
        meta("arrival process of each node"),
    ] = "poisson"
    arrival_rate_hz: (
        Annotated[
            float,
            meta("prompts per second at each node, always per node", "prompts/s", gt=0, le=1e9),
        ]
        | None
    ) = None
    on_s: (
        Annotated[float, meta("mean length of a phase with arrivals", "s", gt=0, le=1e9)] | None
    ) = None
    off_s: (
        Annotated[float, meta("mean length of a phase without arrivals", "s", gt=0, le=1e9)] | None
    ) = None
    prompts: (
        Annotated[int, meta("prompts of the burst in all", "prompts", ge=1, le=10_000_000)] | None
    ) = None
    file: (
        Annotated[
            str, meta("CSV file with TIMESTAMP,ContextTokens,GeneratedTokens", max_length=4096)
        ]
        | None
    ) = None
    time_scale: (
        Annotated[
            float, meta("factor on the times of the trace; above 1 stretches it", gt=0, le=1e9)
        ]
        | None
    ) = None
    split: (
        Annotated[
            Literal["random", "round-robin"],
            meta("how the prompts of the trace are dealt to the nodes"),
        ]
        | None
    ) = None


class Tokens(Section, frozen=True):
    """How long prompts and responses are."""

    prompt_tokens: Annotated[
        float, meta("mean length of a prompt", "tokens", ge=1, le=10_000_000)
    ] = 100.0
    response_tokens: Annotated[
        float, meta("mean length of a response", "tokens", ge=1, le=10_000_000)
    ] = 200.0
    distribution: Annotated[
        Literal["deterministic", "exponential", "lognormal", "gamma"],
        meta("distribution of both lengths"),
    ] = "deterministic"
    cv: Annotated[float, meta("standard deviation over mean", ge=0.01, le=100)] | None = None


class Links(Section, frozen=True):
    """What lies between neighbours."""

    delay_s: Annotated[float, meta("mean one-way delay of a message", "s", ge=0, le=1e9)] = 0.0
    distribution: Annotated[
        Literal["deterministic", "exponential", "lognormal", "gamma"],
        meta("distribution of the delay"),
    ] = "deterministic"
    cv: Annotated[float, meta("standard deviation over mean", ge=0.01, le=100)] | None = None
    loss: Annotated[float, meta("chance that a message is lost", ge=0, lt=1)] = 0.0


class NodeValues(Section, frozen=True):
    """What one node has of its own; an absent value is that of all nodes."""

    service_time_s: Annotated[float, meta("its mean service time", "s", gt=0, le=1e9)] | None = None
    speed: (
        Annotated[
            float,
            meta(
                "factor by which it is faster than the others, instead of service_time_s",
                ge=1e-6,
                le=1e6,
            ),
        ]
        | None
    ) = None
    arrival_rate_hz: (
        Annotated[
            float,
            meta("its own prompts per second; 0: it only serves others", "prompts/s", ge=0, le=1e9),
        ]
        | None
    ) = None
    slots: (
        Annotated[int, meta("tasks that it serves at once", "tasks", ge=1, le=SLOTS_MAX)] | None
    ) = None
    queue_max: (
        Annotated[
            int, meta("waiting tasks beyond which it refuses", "tasks", ge=1, le=1_000_000_000)
        ]
        | None
    ) = None
    host: (
        Annotated[
            str,
            meta("machine that it runs on; nodes that name none share one", max_length=200),
        ]
        | None
    ) = None


class Run(Section, frozen=True):
    """How much to simulate."""

    replications: Annotated[int, meta("independent runs", "runs", ge=1, le=100_000)] = 10
    seed: Annotated[int, meta("seed of all random streams", ge=0, le=SEED_MAX)] = 1
    horizon_s: (
        Annotated[
            float,
            meta(
                "simulated time; absent: 5000 mean service times, after the last prompt of a trace",
                "s",
                gt=0,
                le=1e13,
            ),
        ]
        | None
    ) = None
    relative_half_width: (
        Annotated[
            float,
            meta(
                "half the interval of the mean sojourn time by the mean, above which more"
                " replications are run",
                gt=0,
                lt=1,
            ),
        ]
        | None
    ) = None
    replications_max: (
        Annotated[
            int,
            meta(
                "replications at most, with relative_half_width; absent: 1000",
                "runs",
                ge=1,
                le=100_000,
            ),
        ]
        | None
    ) = None
    queue_length_max: Annotated[
        int,
        meta(
            "tasks waiting at one node at which a run stops as unstable",
            "tasks",
            ge=1,
            le=1_000_000_000,
        ),
    ] = 1_000_000


class Scenario(Section, frozen=True):
    """Everything a run depends on; made by :func:`dmoa.scenario.load`, equal if it means the same.

    >>> Scenario().plan.layers
    1
    """

    name: Annotated[str, meta("short name, for titles", max_length=200)] = "scenario"
    description: Annotated[str, meta("a sentence about it", max_length=10_000)] = ""
    overlay: Overlay = Overlay()
    plan: Plan = Plan()
    arrivals: Arrivals = Arrivals()
    tokens: Tokens = Tokens()
    service: Service = Service()
    station: Station = Station()
    host: Host | None = None
    links: Links = Links()
    nodes: dict[str, NodeValues] = msgspec.field(default_factory=dict)
    run: Run = Run()
    live: Live | None = None
