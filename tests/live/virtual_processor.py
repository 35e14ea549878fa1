"""An engine of known speed in virtual time: what a calibration measures is known exactly."""

from __future__ import annotations

from collections.abc import Sequence

from dmoa.core.streams import uniform
from dmoa.live.calibration_runs import Request, Timeline

TEMPLATE_TOKENS = 20


class VirtualProcessor:
    """Serves requests in turns: a token of each response, and a chunk of one prompt.

    Args:
        base_s: What a task takes before it writes, s.
        input_token_s: Time to read a token, s.
        output_token_s: Time to write one alone, s.
        speedup: Tokens per second by 1, 2, … tasks at once, by those of one.
        chunk: Tokens of a prompt that are read in one turn while others write.
        noise: Every time varies by so much of it, either way.
        tokens_max: No response is longer.
    """

    def __init__(
        self,
        *,
        base_s: float = 0.01,
        input_token_s: float = 0.004,
        output_token_s: float = 0.02,
        speedup: Sequence[float] = (1.0, 1.4, 1.6, 1.7),
        chunk: int = 64,
        noise: float = 0.0,
        tokens_max: int = 1000,
    ) -> None:
        self.base_s, self.input_token_s, self.output_token_s = base_s, input_token_s, output_token_s
        self.speedup, self.chunk, self.noise = speedup, chunk, noise
        self.tokens_max = tokens_max
        self.now_s, self._turns = 0.0, 0

    def run(self, requests: Sequence[Request]) -> list[Timeline]:
        served = [_Served(request, self.tokens_max) for request in requests]
        while any(not each.pieces or not each.done for each in served):
            self._turn(served)
        return [each.timeline() for each in served]

    def hosted(self, request: Request, together: bool) -> list[Timeline]:
        """Two such engines, on a machine that gives one and a half of them."""
        slower = VirtualProcessor(
            output_token_s=self.output_token_s * (2 / 1.5 if together else 1), noise=self.noise
        )
        return slower.run([request]) * (2 if together else 1)

    def _turn(self, served: list[_Served]) -> None:
        first = served[0]
        for each in served:
            begins = first.done or len(first.pieces) >= each.request.after
            if each.started_s is None and begins:
                each.started_s = self.now_s
        writing = [each for each in served if each.left_tokens == 0 and not each.done]
        reading = next(
            (each for each in served if each.started_s is not None and each.left_tokens), None
        )
        took_s = 0.0
        if writing:
            count = len(writing)
            took_s += self.output_token_s * count / self.speedup[count - 1]
        if reading is not None:
            chunk = min(reading.left_tokens, self.chunk if writing else reading.left_tokens)
            reading.left_tokens -= chunk
            took_s += chunk * self.input_token_s
            if not reading.left_tokens:
                took_s += self.base_s
        self._turns += 1
        self.now_s += took_s * (1 + self.noise * (2 * uniform(7, self._turns) - 1))
        for each in writing:
            each.pieces.append(self.now_s)


class _Served:
    def __init__(self, request: Request, tokens_max: int) -> None:
        self.request = request
        self.read_tokens = self.left_tokens = len(request.prompt.split())
        self.tokens = min(request.tokens, tokens_max)
        self.started_s: float | None = None
        self.pieces: list[float] = []

    @property
    def done(self) -> bool:
        return len(self.pieces) == self.tokens

    def timeline(self) -> Timeline:
        assert self.started_s is not None
        return Timeline(
            started_s=self.started_s,
            pieces_s=tuple(self.pieces),
            ended_s=self.pieces[-1],
            read_tokens=self.read_tokens,
            known_tokens=TEMPLATE_TOKENS,
            tokens=self.tokens,
        )
