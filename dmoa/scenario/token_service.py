"""Service time by tokens, S = a + b·tokens_in + g·tokens_out, and its means by stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dmoa.scenario.station_schema import Service


class TokenService(NamedTuple):
    """The coefficients a, b and g of S = a + b·tokens_in + g·tokens_out, in seconds."""

    base_s: float
    input_token_s: float
    output_token_s: float

    @classmethod
    def of(cls, service: Service) -> TokenService:
        """Take the coefficients from a scenario; an absent one is 0.

        >>> TokenService.of(Service(distribution="tokens", base_s=1.0))
        TokenService(base_s=1.0, input_token_s=0.0, output_token_s=0.0)
        """
        return cls(
            service.base_s or 0.0, service.input_token_s or 0.0, service.output_token_s or 0.0
        )

    def at_speed(self, speed: float) -> TokenService:
        """Give the coefficients of a node that is so many times as fast.

        >>> TokenService(1.0, 0.5, 2.0).at_speed(2.0)
        TokenService(base_s=0.5, input_token_s=0.25, output_token_s=1.0)
        """
        return TokenService(*(value / speed for value in self))

    def timer(self) -> Callable[[int, int], float]:
        """Make the function ``(tokens_in, tokens_out) -> service time, s``.

        >>> TokenService(1.0, 0.5, 2.0).timer()(2, 3)
        8.0
        """
        base, per_input, per_output = self
        return lambda tokens_in, tokens_out: base + per_input * tokens_in + per_output * tokens_out

    def stage_times_s(
        self,
        layers: int,
        asked: int,
        prompt_tokens: float,
        response_tokens: float,
        instruction_tokens: float,
    ) -> list[float]:
        """Mean service time, s, of layers 1 to M and of the aggregation, ``(M + 1,)``.

        The first stage reads the prompt; each later one reads the instruction, the prompt and
        the responses of the stage before: of ``asked`` peers and of the origin itself.

        >>> TokenService(0.0, 1.0, 0.0).stage_times_s(2, 1, 100, 50, 10)
        [100.0, 210.0, 210.0]
        """
        augmented = instruction_tokens + prompt_tokens + (asked + 1) * response_tokens
        read = [prompt_tokens, *[augmented] * layers]
        return [
            self.base_s + self.input_token_s * tokens + self.output_token_s * response_tokens
            for tokens in read
        ]

    def task_time_s(
        self,
        layers: int,
        asked: int,
        prompt_tokens: float,
        response_tokens: float,
        instruction_tokens: float,
    ) -> float:
        """Mean service time, s, over the (k + 1) M + 1 tasks of a prompt.

        >>> TokenService(0.0, 1.0, 0.0).task_time_s(1, 1, 100, 50, 10)
        136.66666666666666
        """
        times = self.stage_times_s(
            layers, asked, prompt_tokens, response_tokens, instruction_tokens
        )
        tasks = (asked + 1) * layers + 1
        return ((asked + 1) * sum(times[:-1]) + times[-1]) / tasks
