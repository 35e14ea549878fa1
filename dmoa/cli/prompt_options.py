"""The options of a prompt, for `dmoa ask` and `dmoa chat`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click

Function = Callable[..., Any]

_OPTIONS: tuple[Callable[[Function], Function], ...] = (
    rich_click.option("--show", is_flag=True, help="Print every layer's proposals too."),
    rich_click.option(
        "--layers", type=int, metavar="M", help="Layers of proposals; 0: the node alone."
    ),
    rich_click.option("--proposers", type=int, metavar="K", help="Peers asked in each layer."),
    rich_click.option(
        "--max-tokens", type=int, metavar="N", help="Limit of each response's length."
    ),
    rich_click.option(
        "--temperature", type=float, metavar="T", help="0: always the likeliest token."
    ),
    rich_click.option("--seed", type=int, metavar="N", help="Seed of the sampling."),
    rich_click.option(
        "--system", metavar="TEXT", help="What the models are told before all questions."
    ),
    rich_click.option("--timeout", type=float, metavar="SECONDS", help="When a prompt expires."),
)


def prompt_options(function: Function) -> Function:
    """Add them; the command gets ``show``, ``system``, ``timeout`` and the parameters by name."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
