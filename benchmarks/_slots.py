"""What a node's engine gets out of a processor: by slots, beside a bare loop, and by reuse."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from _bare import Bare

from dmoa.core import Content, Options, Template, Turn, augment
from dmoa.live.calibration_runs import Request, serve, speed_hz
from dmoa.live.engines import templates
from dmoa.live.engines.base import Cancellation
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.llama_binding import Model
from dmoa.live.engines.llama_prompts import Prompts
from dmoa.live.models import find_model

SLOTS, CONTEXT_TOKENS = 8, 512
GREEDY_SLOTS, GREEDY_TOKENS, HOLE = (2, 4, 8), 48, 100
OPTIONS = Options(
    temperature=0.7, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1, seed=7
)  # fmt: skip
_THINGS = (
    "a lighthouse keeper and the sea", "a train that never stops", "two foxes in the winter",
    "the last clockmaker of a town", "a river that changes its mind", "a letter found in an attic",
    "a garden on the moon", "the night of the great storm",
)  # fmt: skip
STORIES = [f"Write a very long story about {thing}." for thing in _THINGS]
QUESTIONS = (
    "Why is the sky blue?", "How does a bicycle stay upright?", "What is a black hole?",
    "How do I boil an egg?", "Why do cats purr?", "What makes bread rise?",
    "How do vaccines work?", "Why is the sea salty?", "What is inflation?", "How does a lock work?",
)  # fmt: skip


class Rates:
    """Tokens per second of four ways to write, measured in turns so that noise is shared."""

    def __init__(self, model: str, threads: int) -> None:
        self.path, self.threads = find_model(model), threads
        self.measured: dict[str, list[float]] = {
            name: [] for name in ("slots1", "slots8", "bare1", "bare8")
        }

    def measure(self, repeats: int, tokens: int) -> dict[str, float]:
        """Measure; give medians and ratios."""
        with ExitStack() as held:
            one = held.enter_context(engine(self.path, self.threads, 1))
            eight = held.enter_context(engine(self.path, self.threads, SLOTS))
            bare_one = held.enter_context(closing(self._bare(1)))
            bare_eight = held.enter_context(closing(self._bare(SLOTS)))
            prompts = prompt_tokens(self.path, STORIES)
            ways = {
                "slots1": lambda: _ours(one, STORIES[:1], tokens),
                "bare1": lambda: _theirs(bare_one, prompts[:1], tokens),
                "slots8": lambda: _ours(eight, STORIES, tokens),
                "bare8": lambda: _theirs(bare_eight, prompts, tokens),
            }
            for repeat in range(repeats + 1):
                order = list(ways) if repeat % 2 else list(reversed(ways))
                for name in order:
                    rate = ways[name]()
                    if repeat:  # the first round warms caches up
                        self.measured[name].append(rate)
        return self.summary()

    def summary(self) -> dict[str, float]:
        """Give medians, and ratios of medians."""
        found = {name: statistics.median(rates) for name, rates in self.measured.items()}
        return found | {
            "gain": found["slots8"] / found["slots1"],
            "bare_gain": found["bare8"] / found["bare1"],
            "slots1_to_bare1": found["slots1"] / found["bare1"],
            "slots8_to_bare8": found["slots8"] / found["bare8"],
        }

    def _bare(self, sequences: int) -> Bare:
        return Bare(str(self.path), self.threads, sequences, CONTEXT_TOKENS)


@contextmanager
def engine(path: Path, threads: int, slots: int) -> Iterator[Llama]:
    """Load an engine for a while."""
    made = Llama(path, context_tokens=CONTEXT_TOKENS, threads=threads, slots=slots)
    with closing(made):
        yield made


def prompt_tokens(path: Path, texts: list[str]) -> list[list[int]]:
    """Give the tokens that the engine makes of prompts, for the bare loop."""
    with closing(Model(path)) as model:
        form, _ = templates.choose(None, model.template)
        written = Prompts(model, form)
        return [written.tokens([Turn("user", text)]) for text in texts]


def _ours(made: Llama, texts: list[str], tokens: int) -> float:
    requests = [Request(prompt=text, tokens=tokens) for text in texts]
    rate = speed_hz(serve(made, requests))
    assert rate is not None, "the responses ended too early; ask for more tokens"
    return rate


def _theirs(bare: Bare, prompts: list[list[int]], tokens: int) -> float:
    drawn, elapsed_s = bare.run(prompts, tokens, OPTIONS)
    return sum(len(each) - 1 for each in drawn) / elapsed_s


def greedy(model: str) -> dict[str, Any]:
    """Compare greedy answers beside others with those alone, letter by letter.

    llama.cpp adds up attention in the order of the cache's cells, and a small change in rounding
    grows in a quantized model until words that are almost equally likely change places. Where
    sequences come and go, as in the engine, their cells are in no order. The bare loop shows how
    many answers that alone changes: ``bare8`` are eight sequences whose cells are in order,
    ``bare_cells`` is one sequence whose cells are not.

    Returns:
        For each number of slots, and for the bare loop, how many of how many answers are the same
        as alone, and at which share of its letters the first one parts.
    """
    path = find_model(model)
    questions = list(QUESTIONS[:SLOTS])
    options = Options(temperature=0.0, repeat_penalty=1.1, max_tokens=GREEDY_TOKENS)
    with engine(path, 1, 1) as one:
        alone = [together(one, [question], options)[0] for question in questions]
    found = {}
    for slots in GREEDY_SLOTS:
        with engine(path, 1, slots) as several:
            found[str(slots)] = _same(alone, together(several, questions, options))
    prompts = prompt_tokens(path, questions)
    with closing(Bare(str(path), 1, SLOTS, CONTEXT_TOKENS)) as bare:
        single = [bare.run([each], GREEDY_TOKENS, options)[0][0] for each in prompts]
        batched, _ = bare.run(prompts, GREEDY_TOKENS, options)
        holes = [bare.run([each], GREEDY_TOKENS, options, hole=HOLE)[0][0] for each in prompts]
        texts = [[bare.text(each) for each in drawn] for drawn in (single, batched, holes)]
    found["bare8"], found["bare_cells"] = _same(texts[0], texts[1]), _same(texts[0], texts[2])
    return found


def _same(alone: list[str], beside: list[str]) -> dict[str, Any]:
    pairs = [pair for pair in zip(alone, beside, strict=True) if pair[0] != pair[1]]
    return {
        "equal": len(alone) - len(pairs),
        "of": len(alone),
        "parts_at": min((_common(*pair) for pair in pairs), default=None),
    }


def together(made: Llama, prompts: list[str], options: Options) -> list[str]:
    """Ask all at once, from a thread each; the engine serves as many at once as it has slots."""
    with ThreadPoolExecutor(len(prompts)) as threads:
        futures = [
            threads.submit(made.generate, prompt, options, _ignore, Cancellation())
            for prompt in prompts
        ]
        return [future.result().text for future in futures]


def _common(one: str, other: str) -> float:
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    return same / max(1, len(one))


def _ignore(_: str) -> None: ...


def prefill(model: str) -> dict[str, int]:
    """Count the prompt tokens that ten MoA prompts have at their origin, and those computed.

    Each is proposed on here, then aggregated here with two more proposals, M = 1 and k = 2. The
    proposals of the peers are those that this engine gives to two questions of its own.
    """
    path = find_model(model)
    options = Options(max_tokens=48, temperature=0.0)
    whole = 0
    with engine(path, 1, 2) as made:
        begun = made.computed_tokens
        peers = 0
        for question in QUESTIONS:
            own = made.generate(question, options, _ignore, Cancellation())
            before = made.computed_tokens
            others = [
                made.generate(f"{word} {question}", options, _ignore, Cancellation()).text
                for word in ("Briefly:", "As an expert:")
            ]
            peers += made.computed_tokens - before
            texts = [own.text, *others]
            prompt = augment(
                Content(1, question), [Content(1, text) for text in texts], Template()
            ).text
            assert prompt is not None
            last = made.generate(prompt, options, _ignore, Cancellation())
            whole += own.prompt_tokens + last.prompt_tokens
        computed = made.computed_tokens - begun - peers
    return {"prompts": len(QUESTIONS), "prompt_tokens": whole, "computed_tokens": computed}
