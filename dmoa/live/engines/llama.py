"""The engine llama: a quantized model in this process, through llama.cpp."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dmoa.core import Options, TaskId, Turn
from dmoa.core.streams import derive
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.cores import cores
from dmoa.live.engines import templates
from dmoa.live.engines.base import (
    TOP_MAX,
    Cancellation,
    Capabilities,
    Embedding,
    Generation,
    TokenScore,
)
from dmoa.live.engines.llama_batching import OUTPUTS_MAX, Batching
from dmoa.live.engines.llama_binding import Model
from dmoa.live.engines.llama_cache import KEPT_MAX
from dmoa.live.engines.llama_embedding import Embedder
from dmoa.live.engines.llama_jobs import Calling, Scoring, Writing
from dmoa.live.engines.llama_prompts import Prompts
from dmoa.live.engines.llama_sampler import Sampling
from dmoa.live.engines.memory import check_room
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, DEFAULT_MAX_TOKENS
from dmoa.live.gguf import read_gguf

#: What a prompt's options may say of how tokens are drawn.
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")
GRAMMAR_CHARACTERS_MAX, GRAMMAR_DEPTH_MAX = 16_384, 64
#: A truncated prompt leaves at least this share of the context to the response.
RESPONSE_SHARE = 4
#: Beginnings kept for later prompts take at most this share of a context: they slow attention down.
KEPT_SHARE = 2

_log = logging.getLogger("dmoa.llama")


class Llama:
    """Serves several tasks at once with a GGUF model.

    Args:
        path: The model's file.
        model: Its name for answers; by default that of the file.
        context_tokens: Room for prompt and response; at most what the model was trained for.
        max_tokens: Limit of a response whose options give none.
        slots: How many tasks are served at once.
        cache_tokens: Room for prompts and responses of all of them; by default each may fill its
            context. What does not fit beside the others waits.
        threads: How many compute; None is one per core.
        template: A chat template instead of the model's own: a name or Jinja.
        truncate: Whether a prompt beyond the context loses its middle, instead of being refused.
        key: Key of this node's random stream: the same seed of a prompt draws other tokens at
            other nodes, and the same at this one.
        whole_window: Whether a model with a sliding window keeps what has left the window, so
            that beginnings of its prompts can be used again.

    Raises:
        ScenarioError: The file is missing or damaged, memory does not suffice, or
            llama-cpp-python is not installed.
    """

    kind = "llama"

    def __init__(
        self,
        path: Path,
        *,
        model: str | None = None,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        slots: int = 1,
        cache_tokens: int | None = None,
        threads: int | None = None,
        template: str | None = None,
        truncate: bool = False,
        key: int = 0,
        whole_window: bool = True,
    ) -> None:
        facts = read_gguf(path)
        trained = facts.context_tokens or context_tokens
        self.context_tokens = min(context_tokens, trained)
        self.model = model or path.stem
        cells = max(self.context_tokens, cache_tokens or slots * self.context_tokens)
        check_room(facts, cells=cells, context_tokens=self.context_tokens, slots=slots)
        self._weights = Model(path, whole_window=whole_window)
        threads = threads or cores()
        with ExitStack() as undo:
            undo.callback(self._weights.close)
            form, note = templates.choose(template, self._weights.template)
            self._form, self._prompts = form, Prompts(self._weights, form)
            self._context = self._weights.context(
                cells,
                threads,
                sequences=slots + 1 + KEPT_MAX,
                outputs=slots + OUTPUTS_MAX,
            )
            undo.pop_all()
        can_cut = self._weights.can_cut
        self.capabilities = Capabilities(
            slots=slots, grammar=True, logprobs=True, embeddings=True, prefill=can_cut
        )
        self._batching = Batching(
            self._context,
            slots=slots,
            cells=cells,
            kept_tokens=self.context_tokens // KEPT_SHARE,
            can_cut=can_cut,
        )
        self._embedder = Embedder(self._weights, self.context_tokens, threads)
        self.notes: tuple[str, ...] = tuple(filter(None, [note, self._shrunk(context_tokens)]))
        for each in self.notes:
            _log.warning("%s: %s", self.model, each)
        self._max_tokens, self._truncate, self._key = max_tokens, truncate, key
        self._reading = threading.Lock()  # held while the vocabulary is used, or freed
        self._generations = 0
        self._closed = False

    @property
    def computed_tokens(self) -> int:
        """Tokens of prompts computed so far; what was still known or shared is not among them."""
        return self._batching.computed_tokens

    def _shrunk(self, wanted: int) -> str:
        if self.context_tokens == wanted:
            return ""
        return (
            f"context_tokens is {self.context_tokens:,}, what the model was trained for, "
            f"instead of {wanted:,}"
        )

    def count_tokens(self, prompt: str, options: Options) -> int:
        """Count the tokens of a prompt with its history in the model's form.

        Raises:
            EngineError: The template refuses the conversation, or the engine is closed.
        """
        with self._reading:
            self._check_open()
            return self._prompts.count(templates.turns_of(prompt, options))

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: Cancellation,
    ) -> Generation:
        """Serve a task, beside those that are being served.

        Raises:
            EngineError: The prompt does not fit, its grammar is invalid, or llama.cpp failed.
        """
        if cancelled.is_set():
            return Generation(text="", tokens=0, prompt_tokens=0, finish="cancelled")
        limit = options.max_tokens or self._max_tokens
        with self._reading:
            self._check_open()
            tokens = self._read(prompt, options, limit)
            pieces = Pieces(
                [*self._form.stops, *options.stop], on_text, skip_space=self._form.skip_space
            )
            self._generations += 1
            writing = Writing(
                tokens,
                cancelled,
                limit=min(limit, self.context_tokens - len(tokens)),
                sampler=self._weights.sampler(self._sampling(options)),
                pieces=pieces,
                top=options.logprobs,
                model=self._weights,
            )
        self._batching.serve(writing)
        return writing.result()

    def prefill(self, task: TaskId, prompt: str, options: Options) -> None:
        """Read the beginning of a task's prompt while nothing is served."""
        if not self.capabilities.prefill:
            return
        try:
            with self._reading:
                self._check_open()
                tokens = self._prompts.beginning(templates.turns_of(prompt, options))
        except EngineError as error:
            # The task itself will say so.
            _log.debug("nothing is read ahead: %s", error)
            return
        if len(tokens) < self.context_tokens:
            self._batching.read_ahead(task, tokens)

    def drop(self, task: TaskId) -> None:
        """Forget what was to be read ahead for a task."""
        self._batching.forget(task)

    def score(
        self, prompt: str | Sequence[int], *, top: int, cancelled: Cancellation
    ) -> tuple[TokenScore, ...]:
        """Tell the log-probability of every token of a text, then the likeliest token after it.

        Raises:
            ScenarioError: It is empty, does not fit, or has tokens that the model does not know.
            EngineError: llama.cpp failed, or it was cancelled.
        """
        if not 0 <= top <= TOP_MAX:
            raise EngineError(f"at each place 0 to {TOP_MAX} likeliest tokens can be told")
        with self._reading:
            self._check_open()
            tokens, given = self._text(prompt)
            scoring = Scoring(tokens, given, top, cancelled, self._weights)
        self._batching.serve(scoring)
        if cancelled.is_set():
            raise EngineError("the scoring was cancelled")
        return tuple(scoring.scores)

    def embed(self, text: str, cancelled: Cancellation) -> Embedding:
        """Turn a text into a vector: the mean of its tokens' last hidden states, of length one.

        Raises:
            ScenarioError: It is empty, or does not fit.
            EngineError: llama.cpp failed, or it was cancelled.
        """
        with self._reading:
            self._check_open()
            tokens, _ = self._text(text)
        total = np.zeros(self._weights.width)
        done = 0

        def step() -> bool:
            nonlocal done
            done += self._embedder.add(tokens, done, total)
            return done == len(tokens)

        self._batching.serve(Calling(step, cancelled))
        if cancelled.is_set():
            raise EngineError("the embedding was cancelled")
        values = total / (np.linalg.norm(total) or 1.0)
        return Embedding(values.tolist(), len(tokens))

    def close(self) -> None:
        """Give the memory back, after all tasks under way."""
        with self._reading:
            if self._closed:
                return
            self._closed = True
        self._batching.close()
        self._embedder.close()
        self._context.close()
        self._weights.close()

    def _text(self, text: str | Sequence[int]) -> tuple[list[int], int]:
        """Give the tokens of a text that stands alone, and how many of them begin any text."""
        model, given = self._weights, 0
        if isinstance(text, str):
            begin = model.tokenize(model.begin) if model.begins else []
            tokens, given = begin + model.tokenize(text, control=False), len(begin)
        else:
            tokens = list(text)
            strange = [token for token in tokens if not 0 <= token < model.words]
            if strange:
                raise ScenarioError(
                    f"{strange[0]} is no token of {self.model}, whose vocabulary has "
                    f"{model.words:,}",
                    remedy="tokenize with this model",
                )
        if len(tokens) == given:
            raise ScenarioError("the text is empty", remedy="give at least one token")
        if len(tokens) > self.context_tokens:
            raise ScenarioError(
                f"the text has {len(tokens):,} tokens, but the context has {self.context_tokens:,}",
                remedy="shorten it, or raise context_tokens",
            )
        return tokens, given

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed; start the node again")

    def _read(self, prompt: str, options: Options, limit: int) -> list[int]:
        """Give the tokens of the conversation, shortened if that is allowed and needed."""
        turns: Sequence[Turn] = templates.turns_of(prompt, options)
        tokens = self._prompts.tokens(turns)
        if len(tokens) < self.context_tokens:
            return tokens
        room = self.context_tokens - min(limit, max(1, self.context_tokens // RESPONSE_SHARE))
        shorter = None
        if self._truncate:
            shorter = templates.shorten(turns, room, self._prompts.count)
        if shorter is None:
            raise EngineError(
                f"the prompt has {len(tokens):,} tokens, but the context has "
                f"{self.context_tokens:,} for prompt and response; shorten it, raise "
                f"context_tokens (the model can {self._weights.context_tokens:,}), or set "
                "truncate = true"
            )
        _log.warning("a prompt of %d tokens was truncated to fit into %d", len(tokens), room)
        return self._prompts.tokens(shorter)

    def _sampling(self, options: Options) -> Sampling:
        grammar = options.grammar
        if grammar is not None and (
            len(grammar) > GRAMMAR_CHARACTERS_MAX or _depth(grammar) > GRAMMAR_DEPTH_MAX
        ):
            raise EngineError(
                f"a grammar may have {GRAMMAR_CHARACTERS_MAX:,} characters and "
                f"{GRAMMAR_DEPTH_MAX} open parentheses; give a smaller one"
            )
        drawn = self._generations if options.seed is None else options.seed
        given = {name: getattr(options, name) for name in SAMPLING}
        return Sampling(
            **{name: value for name, value in given.items() if value is not None},
            # The largest seed means a random one to llama.cpp.
            seed=derive(self._key, "sampling", drawn) % (2**32 - 1),
            grammar=grammar,
        )


def _depth(grammar: str) -> int:
    """Give how deep the parentheses of a text nest; more closing than opening count as none."""
    deepest = depth = 0
    for letter in grammar:
        depth = max(0, depth + (letter == "(") - (letter == ")"))
        deepest = max(deepest, depth)
    return deepest
