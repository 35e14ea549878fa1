"""Augmentation: responses and the question become the prompt of the next layer. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from dmoa.core.messages import Content
from dmoa.errors import ScenarioError

INSTRUCTION = """\
Several assistants have each proposed an answer to the question below. Write one answer that is \
better than any of them: accurate, complete and well organised. Weigh every proposal critically, \
because some may be incomplete, biased or wrong; keep what holds, correct what does not, and do \
not repeat a claim merely because several make it. Answer the question directly, without \
mentioning the proposals or how this answer came about.

Proposals:
{responses}

Question:
{prompt}
"""
"""The default aggregation instruction, with the places of the responses and of the question."""

CUT = " [cut off]"
"""Marks a response that its proposer could not finish."""

_PLACE = re.compile(r"\{(prompt|responses)\}")


class Template(msgspec.Struct, frozen=True):
    """An aggregation instruction with ``{prompt}`` and ``{responses}``, and its own length.

    ``tokens`` counts the instruction alone; the simulator charges it to every augmented prompt.
    """

    text: str = INSTRUCTION
    tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse an instruction that would lose the question or the responses."""
        places = set(_PLACE.findall(self.text))
        if places != {"prompt", "responses"}:
            raise ScenarioError(
                "must hold {prompt} and {responses}",
                path="plan.template",
                given=self.text,
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
    texts = []
    for response in responses:
        tokens += response.tokens
        if response.text is not None:
            texts.append(response.text + CUT if response.cut else response.text)
    if prompt.text is None or len(texts) != len(responses):
        return Content(tokens)
    parts = {
        "prompt": prompt.text,
        "responses": "\n\n".join(f"[{i}] {text}" for i, text in enumerate(texts, 1)),
    }
    return Content(tokens, _PLACE.sub(lambda place: parts[place[1]], template.text))
