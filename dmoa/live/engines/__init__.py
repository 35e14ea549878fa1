"""Engines: what turns a task's content into a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmoa.errors import ScenarioError
from dmoa.live.engines.spec import EngineSpec

if TYPE_CHECKING:
    from dmoa.live.engines.base import Engine


def make_engine(spec: EngineSpec, *, key: int = 0) -> Engine:
    """Make the engine of a node; it loads a model, which may take seconds.

    Args:
        spec: What it is to be.
        key: Key of the node's random stream: nodes of one model and one seed then draw different
            tokens, the same in every run.

    Raises:
        ScenarioError: What is configured does not exist, is damaged, or does not fit.
    """
    if spec.kind == "scripted":
        from dmoa.live.engines.scripted import Scripted

        return Scripted(
            spec.service_time_s,
            max_tokens=spec.max_tokens,
            context_tokens=spec.context_tokens,
            truncate=spec.truncate,
            slots=spec.slots,
        )
    if spec.kind == "openai":
        return _openai(spec, key)
    from dmoa.live.engines.llama import Llama  # a node of another engine needs no llama.cpp
    from dmoa.live.models import find_model

    return Llama(
        find_model(spec.model, spec.sha256),
        context_tokens=spec.context_tokens,
        max_tokens=spec.max_tokens,
        threads=spec.threads,
        template=spec.template,
        truncate=spec.truncate,
        slots=spec.slots,
        cache_tokens=spec.cache_tokens,
        key=key,
    )


def check_engine(spec: EngineSpec) -> None:
    """See that what an engine needs is on this machine, without loading its model.

    Raises:
        ScenarioError: llama.cpp or the model's file is missing, or is another one; a key is.
    """
    if spec.kind == "openai":
        _openai(spec, key=0).close()
    elif spec.kind == "llama":
        from dmoa.live.engines.llama_library import library
        from dmoa.live.models import find_model

        library()
        find_model(spec.model, spec.sha256)


def _openai(spec: EngineSpec, key: int) -> Engine:
    from dmoa.live.engines.api_keys import read_api_key
    from dmoa.live.engines.openai import OpenAI  # httpx takes a while to import

    if spec.url is None:
        raise ScenarioError(
            "the engine openai needs it", path="url", remedy="give it as http://HOST:PORT/v1"
        )
    if spec.model.startswith(("package:", "hf:")):
        raise ScenarioError(
            "the engine openai needs the name of a model at the server",
            path="model",
            given=spec.model,
            remedy="ask the server at its /v1/models",
        )
    return OpenAI(
        spec.url,
        model=spec.model,
        api_key=read_api_key(spec.api_key_env, spec.api_key_file),
        context_tokens=spec.context_tokens,
        max_tokens=spec.max_tokens,
        slots=spec.slots,
        timeout_s=spec.timeout_s,
        key=key,
    )
