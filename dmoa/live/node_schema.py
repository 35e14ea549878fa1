"""What node.toml is made of, key by key; the text of errors is written from it."""

from __future__ import annotations

from typing import Annotated

from dmoa.live.limits import TransportLimits
from dmoa.scenario.live_schema import CONTEXT_TOKENS_MAX, TEXT_MAX, Kind
from dmoa.scenario.records import Section, meta


class NodeFile(Section, frozen=True, kw_only=True):
    """One node: who it is, where it listens, what answers. Paths are relative to the file."""

    name: Annotated[str, meta("its name in the overlay", max_length=TEXT_MAX)]
    cluster: Annotated[str, meta("the cluster file, the same on all nodes", max_length=TEXT_MAX)]
    listen: (
        Annotated[
            str,
            meta(
                "where it hears its peers, tcp://HOST:PORT; absent: its address in the cluster"
                " file",
                max_length=TEXT_MAX,
            ),
        ]
        | None
    ) = None
    gateway_listen: Annotated[
        str, meta("where its HTTP door is, HOST:PORT", max_length=TEXT_MAX)
    ] = "127.0.0.1:8401"
    api_keys_file: (
        Annotated[
            str,
            meta(
                "keys of the door's clients, one a line; needed beyond this machine",
                max_length=TEXT_MAX,
            ),
        ]
        | None
    ) = None
    secret_key: Annotated[str, meta("file of its secret key", max_length=TEXT_MAX)] = "secret.key"  # noqa: S105 - a file's name
    state: Annotated[str, meta("folder of its journal and traces", max_length=TEXT_MAX)] = "."
    engine: Annotated[Kind, meta("what answers here; absent: as the cluster")] | None = None
    model: Annotated[str, meta("its model; absent: the cluster's", max_length=TEXT_MAX)] | None = (
        None
    )
    context_tokens: (
        Annotated[
            int,
            meta("room for prompt and response together", "tokens", ge=16, le=CONTEXT_TOKENS_MAX),
        ]
        | None
    ) = None
    sha256: Annotated[str, meta("what the model's file must hash to", max_length=64)] | None = None
    threads: (
        Annotated[
            int,
            meta("threads that compute; absent: the cores, shared with nodes here", ge=1, le=1024),
        ]
        | None
    ) = None
    template: (
        Annotated[
            str, meta("chat template, or the name of one; absent: the model's", max_length=100_000)
        ]
        | None
    ) = None
    url: (
        Annotated[
            str,
            meta("an OpenAI-compatible server, http://HOST:PORT/v1", max_length=TEXT_MAX),
        ]
        | None
    ) = None
    api_key_env: (
        Annotated[
            str, meta("environment variable that holds the server's key", max_length=TEXT_MAX)
        ]
        | None
    ) = None
    api_key_file: (
        Annotated[str, meta("file that holds the server's key", max_length=TEXT_MAX)] | None
    ) = None
    timeout_s: (
        Annotated[float, meta("longest response, with all retries", "s", gt=0, le=86_400)] | None
    ) = None
    service_time_s: (
        Annotated[float, meta("how long each scripted response takes", "s", ge=0, le=86_400)] | None
    ) = None
    limits: TransportLimits = TransportLimits()


#: The keys that each engine takes beyond engine, model and context_tokens.
TAKEN: dict[Kind, frozenset[str]] = {
    "llama": frozenset({"sha256", "threads", "template"}),
    "openai": frozenset({"url", "api_key_env", "api_key_file", "timeout_s"}),
    "scripted": frozenset({"service_time_s"}),
}
