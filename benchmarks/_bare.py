"""The decode loop that one would write by hand, with as many sequences at once as it is given."""

from __future__ import annotations

import ctypes
import time
from typing import Any

from dmoa.core import Options
from dmoa.live.engines.llama_library import library


class Bare:
    """A context of llama.cpp and a loop: one batch with a token of every sequence, draw, again.

    Args:
        path: The model's file.
        threads: How many compute.
        sequences: How many sequences there are at most.
        context_tokens: Room for each.
    """

    def __init__(self, path: str, threads: int, sequences: int, context_tokens: int) -> None:
        self.lib = library()
        self.model = self.lib.llama_model_load_from_file(
            path.encode(), self.lib.llama_model_default_params()
        )
        params = self.lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context_tokens * sequences, 512, 512
        params.n_seq_max, params.kv_unified = sequences, True
        self.sequences = sequences
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self.context = self.lib.llama_init_from_model(self.model, params)
        self.batch = self.lib.llama_batch_init(512, 0, 1)

    def run(
        self, prompts: list[list[int]], tokens: int, options: Options, *, hole: int = 0
    ) -> tuple[list[list[int]], float]:
        """Decode; give the tokens of each sequence, and the seconds from the first to the last.

        With ``hole`` so many cells before each prompt's are given back when its first half was
        read, so that its second half comes into them: its cells are not in the order of its tokens.
        """
        lib, context = self.lib, self.context
        memory = lib.llama_get_memory(context)
        lib.llama_memory_clear(memory, True)  # noqa: FBT003 - C's order
        chains = [self.chain(options) for _ in prompts]
        drawn = []
        for sequence, prompt in enumerate(prompts):
            places = [(token, place, sequence) for place, token in enumerate(prompt)]
            if hole:
                half, passing = len(places) // 2, self.sequences - 1
                self.decode([(places[0][0], place, passing) for place in range(hole)])
                self.decode(places[:half], last_only=True)
                lib.llama_memory_seq_rm(memory, passing, -1, -1)
                places = places[half:]
            self.decode(places, last_only=True)
            drawn.append([lib.llama_sampler_sample(chains[sequence], context, -1)])
        started_s = time.perf_counter()
        for step in range(tokens - 1):
            self.decode(
                [
                    (drawn[sequence][-1], len(prompt) + step, sequence)
                    for sequence, prompt in enumerate(prompts)
                ]
            )
            for sequence, chain in enumerate(chains):
                drawn[sequence].append(lib.llama_sampler_sample(chain, context, sequence))
        elapsed_s = time.perf_counter() - started_s
        for chain in chains:
            lib.llama_sampler_free(chain)
        return drawn, elapsed_s

    def decode(self, places: list[tuple[int, int, int]], *, last_only: bool = False) -> None:
        """Compute tokens, each with its position and its sequence."""
        batch = self.batch
        for index, (token, position, sequence) in enumerate(places):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = not last_only or index == len(places) - 1
        batch.n_tokens = len(places)
        assert self.lib.llama_decode(self.context, batch) == 0

    def chain(self, options: Options) -> Any:
        """Make the chain of samplers that the engine makes for the same options."""
        lib = self.lib
        vocabulary = lib.llama_model_get_vocab(self.model)
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        words = lib.llama_vocab_n_tokens(vocabulary)
        samplers = [
            lib.llama_sampler_init_penalties(words, 64, options.repeat_penalty, 0.0, 0.0),
            lib.llama_sampler_init_greedy(),
        ]
        if options.temperature:
            samplers[1:] = [
                lib.llama_sampler_init_top_k(options.top_k),
                lib.llama_sampler_init_top_p(options.top_p, 1),
                lib.llama_sampler_init_min_p(options.min_p, 1),
                lib.llama_sampler_init_temp(options.temperature),
                lib.llama_sampler_init_dist(options.seed),
            ]
        for sampler in samplers:
            lib.llama_sampler_chain_add(chain, sampler)
        return chain

    def text(self, tokens: list[int]) -> str:
        """Write tokens as text."""
        vocabulary = self.lib.llama_model_get_vocab(self.model)
        data = b""
        buffer = ctypes.create_string_buffer(256)
        for token in tokens:
            size = self.lib.llama_token_to_piece(
                vocabulary, token, buffer, len(buffer), 0, False,  # noqa: FBT003 - C's order
            )  # fmt: skip
            data += buffer.raw[: max(0, size)]
        return data.decode("utf-8", "ignore")

    def close(self) -> None:
        """Give the memory back."""
        self.lib.llama_batch_free(self.batch)
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)
