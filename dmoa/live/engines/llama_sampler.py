"""How the next token is drawn: llama.cpp's chain of samplers, and a grammar over it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dmoa.errors import EngineError
from dmoa.live.engines.llama_library import array_of

if TYPE_CHECKING:
    from dmoa.live.engines.llama_binding import Context, Model

_PENALTY_TOKENS = 64


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn; temperature 0 takes the likeliest."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.1
    seed: int = 0
    grammar: str | None = None


class Sampler:
    """llama.cpp's chain of samplers, for one generation."""

    def __init__(self, model: Model, vocabulary: Any, sampling: Sampling) -> None:
        lib = self._lib = model.lib
        self._model = model
        self._grammar = self._make_grammar(vocabulary, sampling.grammar)
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if sampling.repeat_penalty != 1:
            self._add(
                lib.llama_sampler_init_penalties(
                    model.words, _PENALTY_TOKENS, sampling.repeat_penalty, 0.0, 0.0
                )
            )
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            self._add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(lib.llama_sampler_init_temp(sampling.temperature))
        self._add(lib.llama_sampler_init_dist(sampling.seed))

    def _add(self, sampler: Any) -> None:
        self._lib.llama_sampler_chain_add(self._chain, sampler)

    def _make_grammar(self, vocabulary: Any, grammar: str | None) -> Any:
        if grammar is None:
            return None
        made = None
        if grammar.strip():  # an empty one would allow everything
            made = self._lib.llama_sampler_init_grammar(
                vocabulary, grammar.encode("utf-8", "replace"), b"root"
            )
        if not made:
            raise EngineError("the grammar is no valid GBNF with a rule `root`; correct it")
        return made

    def draw(self, context: Context, place: int) -> int:
        """Draw the token that follows a place in the batch that was computed last."""
        if self._grammar is not None:
            return self._draw_by_grammar(context.logits(place))
        token: int = self._lib.llama_sampler_sample(self._chain, context.handle, place)
        return token

    def _draw_by_grammar(self, logits: NDArray[np.float32]) -> int:
        """Draw among the tokens that the grammar allows.

        Were a token accepted that it forbids, llama.cpp would end the process.
        """
        lib, words = self._lib, self._model.words
        kinds = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        table = np.zeros(words, dtype=kinds)
        table["id"] = np.arange(words)
        table["logit"] = logits
        # Not `data_as`, whose result and argument would keep each other, and megabytes, in memory.
        data = array_of(lib.llama_token_data, words).from_buffer(table.data)
        array = lib.llama_token_data_array(data=data, size=words, selected=-1, sorted=False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
        if not np.isfinite(table["logit"]).any():
            raise EngineError("the grammar allows nothing that this model could write next")
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        if not np.isfinite(array.data[array.selected].logit):
            raise EngineError("the grammar allows nothing that this model would write next")
        if not self._model.is_end(token):
            lib.llama_sampler_accept(self._grammar, token)
            lib.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Give the memory back."""
        self._lib.llama_sampler_free(self._chain)
        if self._grammar is not None:
            self._lib.llama_sampler_free(self._grammar)
