"""Chat templates: how a conversation becomes the text that a model was taught to go on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dmoa.core import Options, Turn
from dmoa.errors import ScenarioError


class Form(NamedTuple):
    """A chat template in Jinja, and the strings at which a model leaves its turn."""

    source: str
    stops: tuple[str, ...] = ()
    skip_space: bool = False
    """Whether the space before the response belongs to the form, not to the response."""


PLAIN = Form(
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}Question: {{ message.content }}\n"
    "{% else %}Answer: {{ message.content }}\n\n"
    "{% endif %}{% endfor %}Answer:",
    stops=("\nQuestion:",),
    skip_space=True,
)
"""For models that were taught none: any of them has read questions with their answers."""

NAMED = {
    "plain": PLAIN,
    "chatml": Form(
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{{ message.content }}<|im_end|>\n{% endfor %}"
        # Within an expression, because Jinja drops a line break that ends a template.
        "{{ '<|im_start|>assistant\n' }}",
        stops=("<|im_end|>",),
    ),
    "gemma": Form(
        "{{ bos_token }}{% for message in messages %}"
        "{% if message.role == 'system' %}{{ raise_exception('Gemma has no system turns') }}"
        "{% endif %}<start_of_turn>{{ 'model' if message.role == 'assistant' else 'user' }}\n"
        "{{ message.content }}<end_of_turn>\n{% endfor %}"
        "{{ '<start_of_turn>model\n' }}",
        stops=("<end_of_turn>",),
    ),
}
"""The templates that a configuration can name."""


def choose(configured: str | None, own: str | None) -> tuple[Form, str]:
    """Give the form to use and what the user should know about the choice, if anything.

    Args:
        configured: Name of one, or its Jinja source; it goes before the model's own.
        own: The model's own, if it has one.

    Raises:
        ScenarioError: There is no template of that name.
    """
    if configured is not None:
        if "{" in configured:
            return Form(configured), ""
        if configured in NAMED:
            return NAMED[configured], ""
        raise ScenarioError(
            "neither a template's name nor Jinja",
            path="template",
            given=configured,
            remedy=f"use one of {', '.join(NAMED)}, or the text of a Jinja template",
        )
    if own:
        return Form(own), ""
    return PLAIN, (
        "the model has no chat template, so questions are put in the plain form "
        "'Question: ... Answer:'; configure `template` if it was taught another"
    )


def turns_of(prompt: str, options: Options) -> list[Turn]:
    """Give the whole conversation; the prompt is its last turn."""
    return [*options.history, Turn("user", prompt)]


def fold(turns: Sequence[Turn]) -> list[Turn]:
    r"""Put system turns into the user's, and join neighbours of one role.

    Many templates accept nothing but user and assistant, taking turns, the user first.

    >>> fold([Turn("system", "Be brief."), Turn("user", "Why?")])
    [Turn(role='user', text='Be brief.\n\nWhy?')]
    """
    folded: list[Turn] = []
    for turn in turns:
        role = "user" if turn.role == "system" else turn.role
        if folded and folded[-1].role == role:
            folded[-1] = Turn(role, f"{folded[-1].text}\n\n{turn.text}")
        elif folded or role == "user":
            folded.append(Turn(role, turn.text))
    return folded


def shorten(
    turns: Sequence[Turn], room_tokens: int, count: Callable[[Sequence[Turn]], int]
) -> list[Turn] | None:
    """Make a conversation fit: the oldest turns go first, then the middle of the last one.

    Its beginning and its end stay: there stand the instruction and the question.

    Args:
        turns: The conversation; the last turn is the prompt.
        room_tokens: What it may take.
        count: Counts the tokens of a conversation.

    Returns:
        A conversation that fits, or None if even the system's turns do not.
    """
    kept = list(turns)
    while count(kept) > room_tokens:
        old = next((i for i, turn in enumerate(kept[:-1]) if turn.role != "system"), None)
        if old is None:
            break
        del kept[old]
    else:
        return kept
    text = kept[-1].text
    low, high, best = 0, len(text), None
    while low <= high:
        characters = (low + high) // 2
        head = characters // 2
        tail = text[len(text) - (characters - head) :] if characters > head else ""
        tried = [*kept[:-1], Turn("user", f"{text[:head]} … {tail}")]
        if count(tried) <= room_tokens:
            best, low = tried, characters + 1
        else:
            high = characters - 1
    return best
