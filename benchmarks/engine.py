"""Tokens per second of the engine llama against a bare `llama_decode` loop, in one run.

    python benchmarks/engine.py [--json] [--repeats 9] [--tokens 100] [--threads 1] [--model M]

The bare loop is the least that generates text with the same library: the same prompt in one
batch, the same chain of samplers in C, `llama_batch_get_one`, no template, no text, no
cancelling, no limit. Both must draw the same tokens before their speed counts. What is timed is
the decoding of one stream, from the first token of the response to the last.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import threading
import time
from typing import Any

import msgspec

from dmoa.core import Options, Turn
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_binding import library
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.models import find_model

QUESTION = "Write a long story about a lighthouse keeper and the sea."
CONTEXT_TOKENS, SEED = 2048, 7
NEVER = "\x00"


class Bare:
    """The loop that one would write by hand."""

    def __init__(self, path: str, threads: int) -> None:
        self.lib = library()
        self.model = self.lib.llama_model_load_from_file(
            path.encode(), self.lib.llama_model_default_params()
        )
        params = self.lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT_TOKENS, 512, 512
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self.context = self.lib.llama_init_from_model(self.model, params)

    def run(self, prompt: list[int], tokens: int, options: Options) -> tuple[list[int], float]:
        """Decode; return the tokens and the seconds from the first to the last."""
        lib, context = self.lib, self.context
        lib.llama_memory_clear(lib.llama_get_memory(context), True)  # noqa: FBT003 - C's order
        chain = self.chain(options)
        read = (lib.llama_token * len(prompt))(*prompt)
        assert lib.llama_decode(context, lib.llama_batch_get_one(read, len(prompt))) == 0
        one = (lib.llama_token * 1)()
        drawn = []
        started = 0.0
        for _ in range(tokens):
            one[0] = lib.llama_sampler_sample(chain, context, -1)
            drawn.append(one[0])
            started = started or time.perf_counter()
            if len(drawn) < tokens:
                lib.llama_decode(context, lib.llama_batch_get_one(one, 1))
        elapsed_s = time.perf_counter() - started
        lib.llama_sampler_free(chain)
        return drawn, elapsed_s

    def chain(self, options: Options) -> Any:
        """Make the same chain of samplers."""
        lib = self.lib
        vocabulary = lib.llama_model_get_vocab(self.model)
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        words = lib.llama_vocab_n_tokens(vocabulary)
        for sampler in (
            lib.llama_sampler_init_penalties(words, 64, options.repeat_penalty, 0.0, 0.0),
            lib.llama_sampler_init_top_k(options.top_k),
            lib.llama_sampler_init_top_p(options.top_p, 1),
            lib.llama_sampler_init_min_p(options.min_p, 1),
            lib.llama_sampler_init_temp(options.temperature),
            lib.llama_sampler_init_dist(options.seed),
        ):
            lib.llama_sampler_chain_add(chain, sampler)
        return chain

    def text(self, tokens: list[int]) -> str:
        """Write tokens as text."""
        lib = self.lib
        vocabulary = lib.llama_model_get_vocab(self.model)
        buffer = ctypes.create_string_buffer(1 << 16)
        array = (lib.llama_token * len(tokens))(*tokens)
        size = lib.llama_detokenize(
            vocabulary,
            array,
            len(tokens),
            buffer,
            len(buffer),
            False,  # noqa: FBT003 - C's order
            False,  # noqa: FBT003 - C's order
        )
        return buffer.raw[:size].decode("utf-8", "ignore")


def ours(engine: Llama, tokens: int, options: Options) -> tuple[str, int, float]:
    """Generate with the engine; return text, tokens, and seconds from the first to the last."""
    times: list[float] = []
    made = engine.generate(
        QUESTION, options, lambda _: times.append(time.perf_counter()), threading.Event()
    )
    assert made.tokens == tokens, "the response ended early; ask for fewer tokens"
    return made.text, made.tokens, times[-1] - times[0]


def measure(model: str, repeats: int, tokens: int, threads: int) -> dict[str, list[float]]:
    """Measure tokens per second of both, taking turns so that noise is shared."""
    path = find_model(model)
    engine = Llama(path, context_tokens=CONTEXT_TOKENS, threads=threads)
    bare = Bare(str(path), threads)
    options = Options(
        max_tokens=tokens, temperature=0.7, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1,
        seed=SEED, stop=(NEVER,),
    )  # fmt: skip
    # The engine mixes its node's key into the seed; the bare loop is given the result.
    mixed = engine._sampling(options).seed  # noqa: SLF001 - the same draws
    same = msgspec.structs.replace(options, seed=mixed)
    prompt = engine._prompts.tokens([Turn("user", QUESTION)])  # noqa: SLF001 - the same prompt
    rates: dict[str, list[float]] = {"bare llama_decode": [], "dmoa, engine llama": []}
    for repeat in range(repeats + 1):
        turns = ["bare", "ours"] if repeat % 2 else ["ours", "bare"]
        texts = {}
        for turn in turns:
            if turn == "bare":
                drawn, elapsed_s = bare.run(prompt, tokens, same)
                texts[turn], name = bare.text(drawn), "bare llama_decode"
            else:
                texts[turn], _, elapsed_s = ours(engine, tokens, options)
                name = "dmoa, engine llama"
            if repeat:  # the first round warms caches up
                rates[name].append((tokens - 1) / elapsed_s)
        assert texts["bare"].strip() == texts["ours"].strip(), "the two drew different tokens"
    engine.close()
    return rates


def main() -> None:
    """Print medians, spread and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each (default 9)")
    parser.add_argument("--tokens", type=int, default=100, help="tokens of a run (default 100)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default 1)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="where the model is")
    arguments = parser.parse_args()
    rates = measure(
        arguments.model, max(1, arguments.repeats), max(2, arguments.tokens), arguments.threads
    )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    bare, engine = medians.values()
    if arguments.json:
        print(json.dumps({"tokens_per_s": medians, "ratio_to_bare": engine / bare}))
        return
    print(f"{'':24}{'tokens/s':>10}{'spread':>18}{'ratio':>8}")
    for name, values in rates.items():
        spread = f"{min(values):.1f}-{max(values):.1f}"
        print(f"{name:24}{medians[name]:10.1f}{spread:>18}{medians[name] / bare:8.3f}")


if __name__ == "__main__":
    main()
