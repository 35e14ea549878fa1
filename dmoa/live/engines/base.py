"""What an engine is: the one interface behind which a language model serves tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from dmoa.core import Options

Finish = Literal["stop", "length", "cancelled"]
"""Why a generation ended: by itself, at its limit of tokens or of context, or cancelled."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do beyond generating text."""

    grammar: bool = False


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one task, and why it ended; lengths are in the engine's own tokens."""

    text: str
    tokens: int
    prompt_tokens: int
    finish: Finish = "stop"


class Engine(Protocol):
    """A language model that serves one task at a time.

    ``generate`` blocks and runs in a thread of its own; all other methods return at once and may
    be called from any thread.
    """

    kind: str
    """llama, openai or scripted."""
    model: str
    """Name of the model, for answers and reports."""
    context_tokens: int
    """How many tokens of prompt and response fit."""
    capabilities: Capabilities
    notes: tuple[str, ...]
    """What its users should know, in sentences."""

    def count_tokens(self, prompt: str, options: Options) -> int:
        """Count the tokens that a prompt with its history would take."""
        ...

    def generate(
        self,
        prompt: str,
        options: Options,
        on_text: Callable[[str], None],
        cancelled: threading.Event,
    ) -> Generation:
        """Serve a task.

        Args:
            prompt: The question, or the augmented prompt.
            options: Turns before it, and the sampling.
            on_text: Called with each piece of the response as it is decoded.
            cancelled: Once it is set, the generation ends soon with finish ``cancelled``.

        Raises:
            EngineError: It cannot be served; the message says why, with numbers.
        """
        ...

    def close(self) -> None:
        """Give back memory and connections; a generation under way ends first."""
        ...
