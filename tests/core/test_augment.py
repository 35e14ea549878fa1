"""Augmentation: tokens, text, and braces that are only text."""

import pytest

from dmoa.core import INSTRUCTION, Content, Template, augment
from dmoa.core.augment import beginning
from dmoa.errors import ScenarioError

SHORT = Template("Q: {prompt} P: {responses}", tokens=4)


@pytest.mark.parametrize(
    ("prompt", "responses", "tokens"),
    [
        (Content(3), [Content(5), Content(7)], 4 + 3 + 5 + 7),
        (Content(3), [], 4 + 3),
        (Content(3, "q"), [Content(5, "x")], 4 + 3 + 5),
    ],
)
def test_the_length_is_the_sum_of_the_parts(prompt, responses, tokens):
    assert augment(prompt, responses, SHORT).tokens == tokens


@pytest.mark.parametrize(
    ("prompt", "responses"),
    [
        (Content(1), [Content(1, "x")]),
        (Content(1, "q"), [Content(1, "x"), Content(1)]),
        (Content(1), [Content(1)]),
    ],
)
def test_there_is_no_text_where_a_part_has_none(prompt, responses):
    assert augment(prompt, responses, SHORT).text is None


def test_an_empty_text_is_a_text():
    assert augment(Content(0, ""), [Content(0, "")], SHORT).text == "Q:  P: [1] "


def test_responses_are_numbered_in_the_order_given():
    text = augment(Content(1, "q"), [Content(1, "x"), Content(1, "y")], SHORT).text
    assert text == "Q: q P: [1] x\n\n[2] y"


def test_braces_and_backslashes_in_a_question_or_a_response_stay():
    content = augment(
        Content(1, r"{responses} {0} \1 {"), [Content(1, r"{prompt} {x} \g<1> }")], SHORT
    )
    assert content.text == r"Q: {responses} {0} \1 { P: [1] {prompt} {x} \g<1> }"


def test_other_braces_of_the_template_stay():
    template = Template('{"question": "{prompt}", "proposals": "{responses}", "n": {}}')
    text = augment(Content(1, "q"), [Content(1, "x")], template).text
    assert text == '{"question": "q", "proposals": "[1] x", "n": {}}'


def test_the_default_instruction_holds_both_places():
    text = augment(Content(1, "THE QUESTION"), [Content(1, "A"), Content(1, "B")], Template()).text
    assert text is not None
    assert text.startswith("THE QUESTION\n\nSeveral assistants")
    assert text.endswith("Proposals:\n[1] A\n\n[2] B\n\nAnswer the question above.")
    assert Template() == Template(INSTRUCTION, tokens=0)


@pytest.mark.parametrize(
    "text", ["", "{prompt}", "{responses}", "{Prompt} {responses}", "{ prompt } {responses}"]
)
def test_a_template_that_loses_a_part_is_refused(text):
    with pytest.raises(ScenarioError, match=r"must hold \{prompt\} and \{responses\}") as caught:
        Template(text)
    assert (caught.value.path, caught.value.given) == ("plan.template", text)


@pytest.mark.parametrize(
    ("text", "tokens", "known"),
    [
        ("{prompt}{responses}", 7, 3),  # no letters, so no share of them
        ("{prompt}1234{responses}", 8, 3 + 8),
        ("{prompt}12{responses}34", 8, 3 + 4),
        ("12{responses}34{prompt}", 8, 4),  # the question comes later
        ("{responses}1234{prompt}", 8, 0),
    ],
)
def test_what_is_known_has_its_share_of_the_instruction(text, tokens, known):
    assert beginning(Content(3), [], Template(text, tokens)).tokens == known
    assert beginning(Content(3), [Content(5)], Template(text, tokens)).tokens == known + 5


def test_what_closes_an_instruction_is_not_known_before_the_last_response():
    made = Template("{prompt}1234{responses}", tokens=8, closing_tokens=3)
    assert beginning(Content(3), [], made).tokens == 3 + 5
    assert beginning(Content(3), [Content(5)], made).tokens == 3 + 5 + 5
    assert augment(Content(3), [Content(5)], made).tokens == 3 + 8 + 5


@pytest.mark.parametrize("closing", [-1, 9])
def test_what_closes_an_instruction_is_a_part_of_it(closing):
    with pytest.raises(ScenarioError, match="must be from 0 to 8") as caught:
        Template(tokens=8, closing_tokens=closing)
    assert (caught.value.path, caught.value.given) == ("plan.closing_tokens", closing)


def test_nothing_is_known_in_words_where_a_part_has_none():
    assert beginning(Content(3, "q"), [Content(5)], SHORT).text is None
    assert beginning(Content(3), [], SHORT).text is None
