"""The stories of prompts: what is kept of those that have ended."""

from __future__ import annotations

import asyncio

from dmoa.live.door import Ended
from dmoa.live.engines.base import TokenScore
from dmoa.live.prompts import SCORED, Prompts, PromptStory

SCORES = (TokenScore(b"so", -0.5),)


def story(number: int) -> PromptStory:
    return PromptStory(
        number=number, layers=1, proposers=2, accepted_s=0.0, prompt_tokens=3, began_s=0.0
    )


async def last(prompts: Prompts, number: int) -> Ended:
    told = prompts.find(number)
    assert told is not None
    end = [progress async for progress in told.watch()][-1]
    assert isinstance(end, Ended)
    return end


def test_log_probabilities_are_kept_for_the_last_prompts_that_asked_for_them() -> None:
    async def scenario() -> list[Ended]:
        prompts, ended = Prompts(), Ended(state="answered", answer="so")
        for number in range(SCORED + 2):
            prompts.open(story(number))
            if number != 1:  # it did not ask for them
                prompts.score(number, SCORES)
            prompts.end(number, ended, now_s=1.0, unix_s=1.0)
        return [await last(prompts, number) for number in range(SCORED + 2)]

    ends = asyncio.run(scenario())
    assert [bool(end.scores) for end in ends] == [False, False, *[True] * SCORED]
    assert {(end.answer, end.prompt_tokens) for end in ends} == {("so", 3)}


def test_whoever_watches_keeps_the_log_probabilities_that_were_told() -> None:
    async def scenario() -> Ended:
        prompts = Prompts()
        prompts.open(story(0))
        watching = asyncio.ensure_future(last(prompts, 0))
        await asyncio.sleep(0)
        prompts.score(0, SCORES)
        prompts.end(0, Ended(state="answered", answer="so"), now_s=1.0, unix_s=1.0)
        told = prompts.find(0)
        assert told is not None
        told.forget_scores()
        return await watching

    assert asyncio.run(scenario()).scores == SCORES


def test_a_prompt_that_is_not_there_has_no_log_probabilities() -> None:
    prompts = Prompts()
    prompts.score(7, SCORES)
    assert prompts.find(7) is None
