"""What is known of an augmented prompt is its beginning, whatever the template and the texts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dmoa.core import Content, Template, augment
from dmoa.core.augment import beginning


@given(
    template=st.text("abc {}", max_size=20).flatmap(
        lambda literal: st.permutations([*"ab", "{prompt}", "{responses}", literal, "{prompt}"])
    ),
    lengths=st.tuples(st.integers(0, 50), st.none() | st.integers(0, 50)),
    prompt=st.builds(Content, st.integers(0, 9), st.text("a{prompt}", max_size=9)),
    responses=st.lists(
        st.builds(Content, st.integers(0, 9), st.text("x{responses}", max_size=9), st.booleans()),
        max_size=4,
    ),
)
def test_what_is_known_so_far_only_grows_and_the_whole_goes_on_from_it(
    template, lengths, prompt, responses
):
    tokens, closing = lengths
    made = Template("".join(template), tokens, closing and min(closing, tokens))
    steps = [beginning(prompt, responses[:count], made) for count in range(len(responses) + 1)]
    for shorter, longer in pairwise([*steps, augment(prompt, responses, made)]):
        assert (longer.text or "").startswith(shorter.text or "")
        assert shorter.tokens <= longer.tokens
