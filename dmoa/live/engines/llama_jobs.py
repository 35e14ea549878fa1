"""What the engine's thread works on: a text to be written, or one to be scored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmoa.live.engines.base import Cancellation, Finish, Generation, TokenScore
from dmoa.live.engines.pieces import Pieces

if TYPE_CHECKING:
    from dmoa.live.engines.llama_binding import Context, Model
    from dmoa.live.engines.llama_cache import Held
    from dmoa.live.engines.llama_sampler import Sampler


class Job:
    """A sequence of tokens to be computed, and someone who waits for what comes of it.

    ``tokens`` is all that is known of the sequence: what is not yet in ``held`` is computed next.
    """

    outputs_all = False
    """Whether every token's output is wanted, or only the last one's."""

    def __init__(self, tokens: list[int], need: int, cancelled: Cancellation) -> None:
        self.tokens, self.need, self.cancelled = tokens, need, cancelled
        self.prompt_tokens = len(tokens)
        self.held: Held | None = None
        self.computed = 0
        self.error: Exception | None = None
        self.ended = threading.Event()

    @property
    def pending(self) -> int:
        """How many of its tokens are to be computed."""
        return len(self.tokens) - (len(self.held.tokens) if self.held is not None else 0)

    @property
    def reading(self) -> bool:
        """Whether it still reads its prompt."""
        return self.held is None or len(self.held.tokens) < self.prompt_tokens

    def hear(self, context: Context, place: int, count: int) -> bool:
        """Take what was computed: ``count`` tokens from a place of the batch; say if it ends."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        self.error = error
        self.end()

    def end(self) -> None:
        """End it as it is."""
        self.ended.set()


class Writing(Job):
    """A response to be written after a prompt.

    Args:
        tokens: The prompt.
        cancelled: Once set, it ends.
        limit: Tokens of the response at most, at least 1.
        sampler: Draws its tokens; closed when this ends, by the thread that drew with it.
        pieces: Takes its text.
        top: With a number, each token's log-probability is told, with as many of the likeliest.
        model: Whose tokens they are.
    """

    def __init__(
        self,
        tokens: list[int],
        cancelled: Cancellation,
        *,
        limit: int,
        sampler: Sampler,
        pieces: Pieces,
        top: int | None,
        model: Model,
    ) -> None:
        super().__init__(tokens, len(tokens) + limit, cancelled)
        self._limit, self._sampler, self._pieces, self._top = limit, sampler, pieces, top
        self._model = model
        self._scores: list[TokenScore] = []
        self._finish: Finish = "cancelled"

    @property
    def drawn(self) -> int:
        """How many tokens it has written."""
        return len(self.tokens) - self.prompt_tokens

    def hear(self, context: Context, place: int, count: int) -> bool:
        """Draw the next token, once the prompt is read."""
        if self.pending:
            return False
        last = place + count - 1
        token = self._sampler.draw(context, last)
        if self._model.is_end(token):
            self._finish = "stop"
            return True
        if self._top is not None:
            self._scores.append(score(self._model, context.logits(last), token, self._top))
        self.tokens.append(token)
        if self._pieces.feed(self._model.piece(token)):
            self._finish = "stop"
        elif self.drawn == self._limit:
            self._finish = "length"
        else:
            return False
        return True

    def end(self) -> None:
        """End it as it is."""
        self._sampler.close()
        super().end()

    def overflow(self) -> bool:
        """End it where the cache is full; say whether it has written anything."""
        self._finish = "length"
        return self.drawn > 0

    def result(self) -> Generation:
        """Give what was written."""
        text = self._pieces.finish()
        return Generation(
            text=text,
            tokens=self.drawn,
            prompt_tokens=self.prompt_tokens,
            computed_tokens=min(self.computed, self.prompt_tokens),
            finish=self._finish,
            scores=tuple(self._scores),
        )


class Scoring(Job):
    """A text whose tokens' log-probabilities are wanted, and the likeliest token after it.

    Args:
        tokens: The text.
        given: How many of them, from the first, are not told: what the model puts before a text.
        top: How many of the likeliest to tell at each place.
        cancelled: Once set, it ends.
        model: Whose tokens they are.
    """

    outputs_all = True

    def __init__(
        self, tokens: list[int], given: int, top: int, cancelled: Cancellation, model: Model
    ) -> None:
        super().__init__(tokens, len(tokens), cancelled)
        self._given, self._top, self._model = given, top, model
        first = TokenScore(model.piece(tokens[0]), None)
        self.scores: list[TokenScore] = [first][given:]

    def hear(self, context: Context, place: int, count: int) -> bool:
        """Score the tokens that follow those computed."""
        if self.held is None:
            raise AssertionError("what was computed is held")
        after = len(self.held.tokens) - count + 1
        # What is computed again, because a failed batch took it away, is told once.
        del self.scores[after - self._given :]
        for step in range(count):
            logits, following = context.logits(place + step), after + step
            known = following < len(self.tokens)
            token = self.tokens[following] if known else int(logits.argmax())
            self.scores.append(score(self._model, logits, token, self._top))
        return self.pending == 0


def score(model: Model, logits: NDArray[np.float32], token: int, top: int) -> TokenScore:
    """Tell a token's log-probability among all words, and the likeliest words'."""
    values = logits.astype(np.float64)
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    likeliest: list[int] = []
    if top:
        among = np.argpartition(values, -top)[-top:]
        # Ties in the order of the vocabulary, so that the same text always gives the same list.
        likeliest = sorted(among.tolist(), key=lambda word: (-values[word], word))
    return TokenScore(
        model.piece(token),
        float(values[token]),
        tuple((model.piece(word), float(values[word])) for word in likeliest),
    )


class Calling(Job):
    """Something that the engine's thread does for a caller between its batches."""

    def __init__(self, step: Callable[[], bool], cancelled: Cancellation) -> None:
        super().__init__([], 0, cancelled)
        self.step = step
