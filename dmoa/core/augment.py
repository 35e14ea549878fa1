"""Augmentation: responses and the question become the prompt of the next layer. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from dmoa.core.messages import Content
from dmoa.errors import ScenarioError

INSTRUCTION = """\
{prompt}

Several assistants have each proposed an answer to the question above. Write one answer that is \
better than any of them: accurate, complete and well organised. Weigh every proposal critically, \
because some may be incomplete, biased or wrong; keep what holds, correct what does not, and do \
not repeat a claim merely because several make it. Answer the question directly, without \
mentioning the proposals or how this answer came about.

Proposals:
{responses}

Answer the question above."""
"""The default aggregation instruction, with the places of the question and of the responses.

What is known first stands first. So a language model that has answered the question has already
read how this begins, and can read on while the responses are still being written. The last line is
for small models, which else take the proposals for a talk with them and reply to that.
"""

CUT = " [cut off]"
"""Marks a response that its proposer could not finish."""

_PLACE = re.compile(r"\{(prompt|responses)\}")


class Template(msgspec.Struct, frozen=True):
    """An aggregation instruction with ``{prompt}`` and ``{responses}``, and its own length.

    ``tokens`` counts the instruction alone; the simulator charges it to every augmented prompt.
    ``closing_tokens`` are those of them that are not known before the last response; None: as many
    as is their share of the letters.
    """

    text: str = INSTRUCTION
    tokens: int = 0
    closing_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse an instruction that would lose a part, or whose end is longer than the whole."""
        places = set(_PLACE.findall(self.text))
        if places != {"prompt", "responses"}:
            raise ScenarioError(
                "must hold {prompt} and {responses}",
                path="plan.template",
                given=self.text[:80],
                remedy="write both where they belong",
            )
        if self.closing_tokens is not None and not 0 <= self.closing_tokens <= self.tokens:
            raise ScenarioError(
                f"must be from 0 to {self.tokens}, the length of the whole instruction",
                path="plan.closing_tokens",
                given=self.closing_tokens,
                remedy="count the rest of it too, in plan.instruction_tokens",
            )


def augment(prompt: Content, responses: Sequence[Content], template: Template) -> Content:
    r"""Concatenate the responses and the question under the template's instruction.

    The length is the sum of the parts'. There is a text only where every part has one. Braces
    inside a question or a response stay as they are.

    >>> template = Template("Merge: {responses} Question: {prompt}", tokens=4)
    >>> augment(Content(3), [Content(5), Content(7)], template)
    Content(tokens=19, text=None, cut=False)
    >>> augment(Content(1, "{responses}?"), [Content(1, "x"), Content(1, "y")], template).text
    'Merge: [1] x\n\n[2] y Question: {responses}?'
    """
    tokens = template.tokens + prompt.tokens
    for response in responses:
        tokens += response.tokens
    if prompt.text is None:  # as in every simulation
        return Content(tokens)
    return Content(tokens, _fill(template.text, prompt.text, responses))


def beginning(prompt: Content, responses: Sequence[Content], template: Template) -> Content:
    r"""Give what is known of an augmented prompt while more responses may come, from its start.

    It ends where the next response would stand: whatever comes, or if nothing does, the augmented
    prompt goes on from there. Of the instruction's length it has all but the closing tokens.

    >>> template = Template("{prompt} Merge: {responses} Now!", tokens=13)
    >>> beginning(Content(3, "why?"), [], template)
    Content(tokens=11, text='why? Merge: ', cut=False)
    >>> beginning(Content(3, "why?"), [Content(5, "so")], template).text
    'why? Merge: [1] so'
    >>> beginning(Content(3), [], Template(tokens=13, closing_tokens=7)).tokens
    9
    """
    text, tokens, asks = _opening(template)
    if asks:
        tokens += prompt.tokens
    for response in responses:
        tokens += response.tokens
    if prompt.text is None:
        return Content(tokens)
    return Content(tokens, _fill(text, prompt.text, responses))


@lru_cache(maxsize=64)
def _opening(template: Template) -> tuple[str, int, bool]:
    """Cut a template after its first place of responses; give that, its tokens, if it asks."""
    head, place, _ = template.text.partition("{responses}")
    known, letters = (len(_PLACE.sub("", text)) for text in (head, template.text))
    if template.closing_tokens is not None:
        tokens = template.tokens - template.closing_tokens
    else:
        tokens = template.tokens * known // letters if letters else 0
    return head + place, tokens, "{prompt}" in head


def _fill(template: str, prompt: str, responses: Sequence[Content]) -> str | None:
    """Put texts into a template's places; None where a response has no text."""
    texts = []
    for index, response in enumerate(responses, 1):
        if response.text is None:
            return None
        texts.append(f"[{index}] {response.text}{CUT if response.cut else ''}")
    parts = {"prompt": prompt, "responses": "\n\n".join(texts)}
    return _PLACE.sub(lambda place: parts[place[1]], template)
