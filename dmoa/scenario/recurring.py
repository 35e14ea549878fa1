"""How much of a prompt's beginning recurs in its later tasks, so that it need not be read again."""

from __future__ import annotations

from typing import NamedTuple

from dmoa.core import Content, Template
from dmoa.core.augment import INSTRUCTION, beginning
from dmoa.scenario.schema import Plan


def template(plan: Plan) -> Template:
    """Give the aggregation instruction of a plan, with its length.

    >>> template(Plan(instruction_tokens=50)).tokens
    50
    """
    text = INSTRUCTION if plan.template is None else plan.template
    return Template(text, plan.instruction_tokens, plan.closing_tokens)


class Recurring(NamedTuple):
    """What the tasks of one prompt have in common, from the beginning, by its template.

    A task of a first layer reads the question. All later ones read the instruction with the
    question and with responses, which differ. ``question`` tells whether they begin with the
    question; ``instruction_tokens`` stand before the responses, and ``asks`` tells whether the
    question does too.
    """

    question: bool
    asks: bool
    instruction_tokens: int

    @classmethod
    def of(cls, plan: Plan) -> Recurring:
        """Look at the template of a plan.

        >>> Recurring.of(Plan(instruction_tokens=50))
        Recurring(question=True, asks=True, instruction_tokens=47)
        >>> Recurring.of(Plan(template="{responses} {prompt}"))
        Recurring(question=False, asks=False, instruction_tokens=0)
        """
        made = template(plan)
        without, with_question = (beginning(Content(n), (), made).tokens for n in (0, 1))
        return cls(made.text.startswith("{prompt}"), with_question > without, without)

    def after(self, stage: int, question_tokens: float) -> float:
        """Count the tokens that recur once a task of a stage was read.

        >>> Recurring.of(Plan(instruction_tokens=50)).after(1, 100)
        147
        """
        if stage == 0:
            return question_tokens if self.question else 0
        return self.instruction_tokens + (question_tokens if self.asks else 0)
