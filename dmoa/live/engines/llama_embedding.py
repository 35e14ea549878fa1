"""Texts as vectors, out of the hidden states of the model that also generates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines.llama_binding import DONE, Context, Model, Part
from dmoa.live.engines.llama_library import reason


class Embedder:
    """Sums up hidden states, in a context of its own that is made when first needed.

    It is used by one thread alone.

    Args:
        model: Whose hidden states they are.
        context_tokens: The longest text.
        threads: How many compute.
    """

    def __init__(self, model: Model, context_tokens: int, threads: int) -> None:
        self._model, self._tokens, self._threads = model, context_tokens, threads
        self._context: Context | None = None

    def add(self, tokens: Sequence[int], done: int, total: NDArray[np.float64]) -> int:
        """Compute some more of a text and add its states to a total; say how many tokens.

        Raises:
            EngineError: llama.cpp failed, or there is not enough memory.
        """
        if self._context is None:
            try:
                self._context = self._model.embedder(self._tokens, self._threads)
            except ScenarioError as error:
                raise EngineError(str(error)) from error
        context = self._context
        if done == 0:
            context.cut(0, 0)
        chunk = tokens[done : done + context.batch_tokens]
        result = context.compute([Part(0, done, chunk, len(chunk))])
        if result != DONE:
            raise EngineError(f"llama_decode returned {result} for an embedding ({reason()})")
        total += context.states(len(chunk)).sum(axis=0)
        return len(chunk)

    def close(self) -> None:
        """Give the memory back."""
        if self._context is not None:
            self._context.close()
