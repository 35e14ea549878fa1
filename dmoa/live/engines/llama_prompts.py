"""From a conversation to the tokens of a model, without its texts taking over the form."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from dmoa.core import Turn
from dmoa.errors import EngineError, ScenarioError
from dmoa.live.engines.llama_binding import Model
from dmoa.live.engines.templates import Form, fold

#: A character that no text has (Unicode reserves it for such uses): splits what must not join.
SPLIT = "\ufdd0"
#: Another one: stands where a text that is not yet whole goes on.
END = "\ufdd1"


class Prompts:
    """Writes conversations in a model's form.

    Args:
        model: Whose vocabulary is used.
        form: The chat template. It runs in a sandbox, since it comes with a downloaded file.

    Raises:
        ScenarioError: The template is no valid Jinja.
    """

    def __init__(self, model: Model, form: Form) -> None:
        self._model = model
        formats = importlib.import_module("llama_cpp.llama_chat_format")
        self._jinja = importlib.import_module("jinja2")
        try:
            self._format = formats.Jinja2ChatFormatter(
                template=form.source, eos_token=model.end, bos_token=model.begin
            )
        except self._jinja.TemplateError as error:
            raise ScenarioError(
                f"the chat template is no valid Jinja ({error})",
                path="template",
                remedy="correct it, or name one of the known templates, such as chatml",
            ) from error

    def tokens(self, turns: Sequence[Turn]) -> list[int]:
        """Give the tokens of a conversation, ending where the response begins.

        Raises:
            EngineError: The template refuses the conversation, or writes nothing of it.
        """
        tokens = self._split(
            self._write([Turn(turn.role, self._defused(turn.text)) for turn in turns])
        )
        if not tokens:
            raise EngineError(
                "the model's chat template writes nothing; configure another template"
            )
        return tokens

    def _split(self, written: str) -> list[int]:
        model, tokens = self._model, []
        if model.begins and not written.startswith(model.begin):
            tokens = model.tokenize(model.begin)
        for part in written.split(SPLIT):
            tokens += model.tokenize(part)
        return tokens

    def beginning(self, turns: Sequence[Turn]) -> list[int]:
        """Give the tokens with which every conversation begins whose last turn goes on from here.

        Raises:
            EngineError: The template refuses the conversation.
        """
        *before, last = turns
        written = self._write(
            [
                *(Turn(turn.role, self._defused(turn.text)) for turn in before),
                Turn(last.role, self._defused(last.text) + END),
            ]
        )
        return self._split(written.partition(END)[0])

    def count(self, turns: Sequence[Turn]) -> int:
        """Count the tokens of a conversation."""
        return len(self.tokens(turns))

    def _write(self, turns: Sequence[Turn]) -> str:
        try:
            return self._render(turns)
        except (ValueError, TypeError, self._jinja.TemplateError):
            # Many templates know no system turn, or insist on taking turns.
            try:
                return self._render(fold(turns))
            except (ValueError, TypeError, self._jinja.TemplateError) as error:
                raise EngineError(
                    f"the model's chat template refuses this conversation ({error}); "
                    "configure another template"
                ) from error

    def _render(self, turns: Sequence[Turn]) -> str:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        written: str = self._format(messages=messages).prompt
        return written

    def _defused(self, text: str) -> str:
        """Keep a text from speaking for others: control tokens written in it stay plain text."""
        model = self._model
        text = text.replace(SPLIT, "").replace(END, "")
        for token in sorted({token for token in model.tokenize(text) if model.is_control(token)}):
            control = model.text_of(token)
            text = text.replace(control, control[:1] + SPLIT + control[1:])
        return text
