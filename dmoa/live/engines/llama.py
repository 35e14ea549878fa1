"""The engine llama: a quantized model in this process, through llama.cpp."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from dmoa.core import Options, Turn
from dmoa.core.streams import derive
from dmoa.errors import EngineError
from dmoa.live.cores import cores
from dmoa.live.engines import templates
from dmoa.live.engines.base import Capabilities, Finish, Generation
from dmoa.live.engines.llama_binding import (
    ABORTED,
    DONE,
    FULL,
    Model,
    Sampler,
    Sampling,
    reason,
)
from dmoa.live.engines.llama_prompts import Prompts
from dmoa.live.engines.memory import check_room
from dmoa.live.engines.pieces import Pieces
from dmoa.live.engines.spec import DEFAULT_CONTEXT_TOKENS, DEFAULT_MAX_TOKENS
from dmoa.live.gguf import read_gguf

#: What a prompt's options may say of how tokens are drawn.
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")
GRAMMAR_CHARACTERS_MAX, GRAMMAR_DEPTH_MAX = 16_384, 64
#: A truncated prompt leaves at least this share of the context to the response.
RESPONSE_SHARE = 4

_log = logging.getLogger("dmoa.llama")


class Llama:
    """Serves tasks one after the other with a GGUF model.

    Args:
        path: The model's file.
        model: Its name for answers; by default that of the file.
        context_tokens: Room for prompt and response; at most what the model was trained for.
        max_tokens: Limit of a response whose options give none.
        threads: How many compute; None is one per core.
        template: A chat template instead of the model's own: a name or Jinja.
        truncate: Whether a prompt beyond the context loses its middle, instead of being refused.
        key: Key of this node's random stream: the same seed of a prompt draws other tokens at
            other nodes, and the same at this one.

    Raises:
        ScenarioError: The file is missing or damaged, memory does not suffice, or
            llama-cpp-python is not installed.
    """

    kind = "llama"
    capabilities = Capabilities(grammar=True)

    def __init__(
        self,
        path: Path,
        *,
        model: str | None = None,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        threads: int | None = None,
        template: str | None = None,
        truncate: bool = False,
        key: int = 0,
    ) -> None:
        facts = read_gguf(path)
        trained = facts.context_tokens or context_tokens
        self.context_tokens = min(context_tokens, trained)
        self.model = model or path.stem
        check_room(
            facts.size_bytes,
            facts.cache_bytes(self.context_tokens),
            context_tokens=self.context_tokens,
        )
        self._weights = Model(path)
        with ExitStack() as undo:
            undo.callback(self._weights.close)
            form, note = templates.choose(template, self._weights.template)
            self._form, self._prompts = form, Prompts(self._weights, form)
            self._context = self._weights.context(self.context_tokens, threads or cores())
            undo.pop_all()
        self.notes: tuple[str, ...] = tuple(filter(None, [note, self._shrunk(context_tokens)]))
        for each in self.notes:
            _log.warning("%s: %s", self.model, each)
        self._max_tokens, self._truncate, self._key = max_tokens, truncate, key
        self._serving = threading.Lock()  # held by the one generation under way
        self._reading = threading.Lock()  # held while the vocabulary is used, or freed
        self._generations = 0
        self._closed = False

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
        cancelled: threading.Event,
    ) -> Generation:
        """Serve a task, after any that is being served.

        Raises:
            EngineError: The prompt does not fit, its grammar is invalid, or llama.cpp failed.
        """
        with self._serving:
            if cancelled.is_set():
                return Generation(text="", tokens=0, prompt_tokens=0, finish="cancelled")
            limit = options.max_tokens or self._max_tokens
            with self._reading:
                self._check_open()
                tokens = self._read(prompt, options, limit)
            self._generations += 1
            pieces = Pieces(
                [*self._form.stops, *options.stop], on_text, skip_space=self._form.skip_space
            )
            with (
                closing(self._weights.sampler(self._sampling(options))) as sampler,
                self._context.abortable(cancelled),
            ):
                self._context.clear()
                finish = self._prefill(tokens, cancelled)
                drawn = 0
                if finish is None:
                    limit = min(limit, self.context_tokens - len(tokens))
                    drawn, finish = self._decode(len(tokens), limit, sampler, pieces, cancelled)
            return Generation(
                text=pieces.finish(), tokens=drawn, prompt_tokens=len(tokens), finish=finish
            )

    def close(self) -> None:
        """Give the memory back, after a generation under way."""
        with self._serving, self._reading:
            if not self._closed:
                self._closed = True
                self._context.close()
                self._weights.close()

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

    def _prefill(self, tokens: list[int], cancelled: threading.Event) -> Finish | None:
        """Compute the prompt in chunks; say why it ended early, if it did."""
        step = self._context.batch_tokens
        for position in range(0, len(tokens), step):
            if cancelled.is_set():
                return "cancelled"
            chunk = tokens[position : position + step]
            last = position + step >= len(tokens)
            result = self._context.extend(chunk, position, draw=last)
            if result == ABORTED:
                return "cancelled"
            if result != DONE:
                raise _failed(result, position + len(chunk))
        return None

    def _decode(
        self,
        position: int,
        limit: int,
        sampler: Sampler,
        pieces: Pieces,
        cancelled: threading.Event,
    ) -> tuple[int, Finish]:
        """Draw token after token; give how many, and why the last was the last."""
        model, context = self._weights, self._context
        for drawn in range(limit):
            if cancelled.is_set():
                return drawn, "cancelled"
            token = sampler.draw(context)
            if model.is_end(token):
                return drawn, "stop"
            if pieces.feed(model.piece(token)):
                return drawn + 1, "stop"
            if drawn + 1 < limit:
                result = context.extend((token,), position + drawn, draw=True)
                if result == ABORTED:
                    return drawn + 1, "cancelled"
                if result == FULL:
                    return drawn + 1, "length"
                if result != DONE:
                    raise _failed(result, position + drawn)
        return limit, "length"


def _failed(result: int, position: int) -> EngineError:
    return EngineError(
        f"llama_decode returned {result} at token {position:,} ({reason()}); "
        "if it happens again, restart the node or lower context_tokens"
    )


def _depth(grammar: str) -> int:
    """Give how deep the parentheses of a text nest; more closing than opening count as none."""
    deepest = depth = 0
    for letter in grammar:
        depth = max(0, depth + (letter == "(") - (letter == ")"))
        deepest = max(deepest, depth)
    return deepest
