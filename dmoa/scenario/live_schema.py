"""The part of a scenario that only real nodes read: their engines, their promises, their doors.

A scenario with a ``[live]`` section is a cluster file; the simulator ignores that section.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dmoa.scenario.records import Section, meta

TEXT_MAX = 4096
CONTEXT_TOKENS_MAX = 10_000_000

Kind = Literal["llama", "openai", "scripted"]
Durability = Literal["full", "process"]


class LivePeer(Section, frozen=True):
    """Where a node of the overlay is, and how it is recognised."""

    address: Annotated[str, meta("where it hears its peers, tcp://HOST:PORT", max_length=TEXT_MAX)]
    public_key: Annotated[str, meta("its public key; `dmoa keys show` prints it", max_length=100)]
    other_public_keys: (
        Annotated[
            list[Annotated[str, meta("a public key", max_length=100)]],
            meta("further keys it may have, while it changes from one to another", max_length=8),
        ]
        | None
    ) = None
    gateway: (
        Annotated[str, meta("where its HTTP door is, http://HOST:PORT", max_length=TEXT_MAX)] | None
    ) = None


class Live(Section, frozen=True):
    """What all nodes of a cluster have in common; each may have an engine of its own."""

    engine: Annotated[
        Kind,
        meta(
            "what answers: llama.cpp in the node, a URL that speaks OpenAI's protocol, or a script"
        ),
    ] = "llama"
    model: (
        Annotated[
            str,
            meta(
                "llama: package:NAME/FILE, a path, or hf:OWNER/REPO/FILE; openai: its name there",
                max_length=TEXT_MAX,
            ),
        ]
        | None
    ) = None
    max_tokens: Annotated[
        int,
        meta(
            "longest response, unless the client says otherwise",
            "tokens",
            ge=1,
            le=CONTEXT_TOKENS_MAX,
        ),
    ] = 256
    context_tokens: Annotated[
        int,
        meta("room for prompt and response together", "tokens", ge=16, le=CONTEXT_TOKENS_MAX),
    ] = 4096
    truncate: Annotated[
        bool, meta("whether a prompt beyond the context loses its middle; else it is refused")
    ] = False
    durability: Annotated[
        Durability,
        meta("full: accepted prompts survive a crash of the machine; process: of the node alone"),
    ] = "full"
    retention_s: Annotated[
        float, meta("how long a prompt is remembered after its end", "s", ge=60, le=1e9)
    ] = 604_800.0
    trace_bytes_max: Annotated[
        int,
        meta("size at which a node stops to write its trace", "bytes", ge=1_000_000, le=10**12),
    ] = 1_000_000_000
    peers: dict[str, LivePeer] = msgspec.field(default_factory=dict)
