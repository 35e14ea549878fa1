"""Does the engine llama hold out? Everything at once, in random order, with too little memory.

    python benchmarks/endurance.py [--minutes 10] [--seed 1] [--threads 1] [--json]

Six clients ask one engine with four slots and a cache for two of them: questions, prompts of random
length, drawn answers, grammars, answers that fill the context; they cancel, read ahead and drop,
score and embed, and make mistakes. Four things must hold, or the exit status is 1.

- Every call ends, with what it should end with.
- No answer is mixed with another's. Questions whose greedy answer hangs on no rounding get exactly
  that. Every other greedy answer is scored afterwards behind its own prompt alone, and each of its
  tokens must be the likeliest there, up to a near tie. Some are scored behind the prompt before
  theirs as well, to see that such a mistake would be found.
- The cache loses no number: in the end each is free or kept.
- Memory does not grow: the resident set after the warm-up, against that at the end, in runs of
  at least five minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmoa.core import Options, TaskId, Turn
from dmoa.errors import EngineError
from dmoa.live.engines.base import Cancellation, Generation
from dmoa.live.engines.llama import Llama
from dmoa.live.engines.spec import DEFAULT_MODEL
from dmoa.live.models import find_model

CLIENTS, SLOTS, CONTEXT_TOKENS, CACHE_TOKENS = 6, 4, 384, 768
#: Each word of these answers leads by 0.5 or more in log-probability.
CAPITALS = {
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "Poland": "Warsaw",
    "Greece": "Athens",
    "Egypt": "Cairo",
    "Germany": "Berlin",
    "Austria": "Vienna",
}
WORDS = ["ring", "node", "queue", "river", "stone", "tea", "green", "seven", "bread", "salt"]
#: Log-probability by which the likeliest token may lead one that was written: rounding alone makes
#: up to 0.4 of it, an answer to another prompt several.
NEAR_TIE = 1.5
#: No call takes longer, s, even on a machine that is busy with other things.
CALL_S_MAX = 600.0
#: Share of the run that warms up, and what memory may grow by after that.
WARM_UP, GROWTH_MIB_MAX, JUDGED_MINUTES = 0.25, 16.0, 5.0
SAMPLES = 200


class MistakeError(Exception):
    """What a client does wrong on purpose."""


class Client(threading.Thread):
    """Asks one thing after another, and checks what comes of it."""

    def __init__(self, engine: Llama, number: int, seed: int, until_s: float) -> None:
        super().__init__(daemon=True)
        self.engine, self.number, self.until_s = engine, number, until_s
        self.chance = random.Random(f"{seed} {number}")  # noqa: S311 - a load, not a secret
        self.did: Counter[str] = Counter()
        self.faults: list[str] = []
        self.tokens = self.prompt_tokens = self.computed_tokens = 0
        self.began_s = time.monotonic()
        self.vectors: dict[str, list[float]] = {}
        self.before: list[int] = []

    def run(self) -> None:
        """Work until the time is over."""
        kinds: dict[Callable[[], str], int] = {
            self.ask: 30, self.write: 25, self.draw: 10, self.cancel: 12, self.fill: 3,
            self.read_ahead: 8, self.score: 4, self.embed: 4, self.spell: 2, self.err: 2,
        }  # fmt: skip
        while (now := time.monotonic()) < self.until_s:
            self.began_s = now
            kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
            try:
                fault = kind()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                fault = f"{type(error).__name__}: {error}"
            self.did[kind.__name__] += 1
            if fault:
                self.faults.append(f"client {self.number}, {kind.__name__}: {fault}")

    def generate(
        self, prompt: str, cancelled: Cancellation | None = None, **more: Any
    ) -> Generation:
        """Ask the engine; what is heard must be what is given in the end."""
        heard: list[str] = []
        options = Options(**{"temperature": 0.0, "repeat_penalty": 1.0, "max_tokens": 24, **more})
        made = self.engine.generate(prompt, options, heard.append, cancelled or Cancellation())
        if "".join(heard) != made.text:
            raise AssertionError(f"heard {heard!r}, but was given {made.text!r}")
        self.tokens += made.tokens
        self.prompt_tokens += made.prompt_tokens
        self.computed_tokens += made.computed_tokens
        return made

    def text(self, words_max: int = 150) -> str:
        """Make up a text; often one that begins like others."""
        begin = self.chance.choice(("", "The ring has eight nodes. ", "Tell me of a " + WORDS[0]))
        count = int(words_max ** self.chance.random())
        return begin + " ".join(self.chance.choice(WORDS) for _ in range(count))

    # --- what it does -------------------------------------------------------------------------

    def ask(self) -> str:
        """Ask for a capital."""
        land = self.chance.choice(list(CAPITALS))
        expected = f"The capital of {land} is {CAPITALS[land]}."
        text = self.generate(f"What is the capital of {land}?").text
        return "" if text == expected else f"{text!r} instead of {expected!r}"

    def write(self) -> str:
        """Have something written, and see that it belongs to its prompt."""
        prompt = self.text()
        made = self.generate(prompt, logprobs=0, max_tokens=self.chance.randint(1, 40))
        return self.belongs(prompt, made)

    def belongs(self, prompt: str, made: Generation) -> str:
        """Score an answer behind its prompt: each token must be the likeliest, or nearly."""
        model = self.engine._weights  # noqa: SLF001 - the tokens, not their text
        answer = model.tokenize(made.text, control=False)
        if [model.piece(token) for token in answer] != [one.token for one in made.scores]:
            self.did["not scored: other tokens than drawn"] += 1
            return ""
        tokens = self.engine._prompts.tokens([Turn("user", prompt)])  # noqa: SLF001
        lead = self.lead(tokens, answer)
        self.did["answers scored behind their prompts"] += 1
        if self.before and len(answer) > 3 and self.chance.random() < 0.1:
            self.did["answers scored behind another prompt"] += 1
            self.did["of these found"] += self.lead(self.before, answer) > NEAR_TIE
        self.before = tokens
        return f"{made.text!r} does not follow {prompt!r} by {lead:.2f}" if lead > NEAR_TIE else ""

    def lead(self, tokens: list[int], answer: list[int]) -> float:
        """Say by how much the likeliest token leads the one that was written, at most."""
        told = self.engine.score([*tokens, *answer], top=1, cancelled=Cancellation())
        return max(
            (one.top[0][1] - (one.logprob or 0.0) for one in told[len(tokens) : -1]), default=0.0
        )

    def draw(self) -> str:
        """Have an answer drawn at random."""
        made = self.generate(self.text(), temperature=1.0, max_tokens=self.chance.randint(1, 60))
        return "" if made.finish in {"stop", "length"} else f"it ended with {made.finish}"

    def cancel(self) -> str:
        """Cancel after a while, or even before."""
        cancelled = Cancellation()
        timer = threading.Timer(self.chance.random() ** 2 * 2, cancelled.set)
        timer.start()
        made = self.generate(self.text(), cancelled, max_tokens=100)
        timer.cancel()
        timer.join()
        fine = made.finish != "cancelled" or cancelled.is_set()
        return "" if fine else "it was cancelled, but nobody did"

    def fill(self) -> str:
        """Write until the context is full."""
        made = self.generate(self.text(), max_tokens=9999, grammar='root ::= "a"+')
        full = made.prompt_tokens + made.tokens == CONTEXT_TOKENS
        return "" if made.finish == "length" and full else f"{made.finish} at {made.tokens}"

    def read_ahead(self) -> str:
        """Tell how a prompt begins, then ask for it or drop it."""
        task = TaskId(str(self.number), self.did["read_ahead"], 1, 0)
        prompt = self.text()
        for share in (3, 2, 1):
            self.engine.prefill(task, prompt[: len(prompt) // share], Options())
        time.sleep(self.chance.random() / 10)
        fault = ""
        if self.chance.random() < 0.7:
            fault = self.belongs(prompt, self.generate(prompt, logprobs=0))
        self.engine.drop(task)
        return fault

    def score(self) -> str:
        """Score a text; one in three is given up."""
        text, cancelled = self.text(60) + " ring", Cancellation()
        if self.chance.random() < 0.3:
            cancelled.set()
        try:
            told = self.engine.score(text, top=2, cancelled=cancelled)
        except EngineError as error:
            return "" if cancelled.is_set() else str(error)
        said = b"".join(one.token for one in told[:-1]).decode()
        return "" if said == text else f"scored {said!r} instead of {text!r}"

    def embed(self) -> str:
        """Embed one of a few texts; each has one vector."""
        text = " ".join([self.chance.choice(WORDS)] * 20)
        values = self.engine.embed(text, Cancellation()).values
        expected = self.vectors.setdefault(text, values)
        fine = math.isclose(sum(a * b for a, b in zip(values, expected, strict=True)), 1)
        return "" if fine else f"{text!r} has two vectors"

    def spell(self) -> str:
        """Hold an answer to a word of its own."""
        word = f"{self.number}-{self.chance.randint(0, 999)}"
        text = self.generate(self.text(), grammar=f'root ::= "{word}"').text
        return "" if word.startswith(text) and text else f"{text!r} instead of {word!r}"

    def err(self) -> str:
        """Make a mistake: it comes back, and harms nobody else."""

        def hear(_: str) -> None:
            raise MistakeError

        try:
            if self.chance.random() < 0.5:
                self.generate(self.text(), grammar="root ::= (")
            else:
                self.engine.generate(self.text(), Options(), hear, Cancellation())
        except (EngineError, MistakeError):
            return ""
        return "a mistake did not come back"


def resident_mib() -> float:
    """Give the resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def lost(engine: Llama) -> list[str]:
    """Tell what the cache lost, once nothing is served."""
    batching = engine._batching  # noqa: SLF001 - nobody else sees it
    cache, context = batching._cache, engine._context  # noqa: SLF001
    numbers = sorted([*cache._free, *(held.number for held in cache._kept)])  # noqa: SLF001
    found = []
    if numbers != list(range(len(numbers))) or len(numbers) != SLOTS + 1 + 8:
        found.append(f"the cache has only the numbers {numbers}")
    if batching._working or batching._waiting or cache._working:  # noqa: SLF001
        found.append("something is still at work")
    found += [f"{n} is free, but has cells" for n in cache._free if context.length(n)]  # noqa: SLF001
    return found


def means(samples: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Take together what was sampled in each twentieth of the time: neighbours are alike."""
    size = max(1, len(samples) // 20)
    parts = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [
        (statistics.fmean(time_s for time_s, _ in part), statistics.fmean(mib for _, mib in part))
        for part in parts
    ]


def slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Fit a line; give its slope in MiB per minute and half of its 95 % interval."""
    from scipy import stats

    if len(points) < 3:
        return math.nan, math.nan
    fit = stats.linregress([time_s / 60 for time_s, _ in points], [mib for _, mib in points])
    return float(fit.slope), float(fit.stderr * stats.t.ppf(0.975, len(points) - 2))


def endure(minutes: float, seed: int, threads: int) -> dict[str, Any]:
    """Run everything; give figures and faults."""
    engine = Llama(
        find_model(DEFAULT_MODEL),
        context_tokens=CONTEXT_TOKENS,
        slots=SLOTS,
        cache_tokens=CACHE_TOKENS,
        threads=threads,
    )
    engine.embed("makes its context", Cancellation())
    started_s = time.monotonic()
    clients = [Client(engine, number, seed, started_s + 60 * minutes) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    samples: list[tuple[float, float]] = []
    stuck: list[str] = []
    while any(client.is_alive() for client in clients) and not stuck:
        time.sleep(60 * minutes / SAMPLES)
        now = time.monotonic()
        if now - started_s > 60 * minutes * WARM_UP:
            samples.append((now - started_s, resident_mib()))
        stuck = [
            f"client {client.number} has waited {now - client.began_s:.0f} s"
            for client in clients
            if client.is_alive() and now - client.began_s > CALL_S_MAX
        ]
    elapsed_s = time.monotonic() - started_s
    did = sum((client.did for client in clients), Counter[str]())
    faults = [fault for client in clients for fault in client.faults] + stuck
    if not stuck:
        engine.score("the end", top=0, cancelled=Cancellation())
        wait_s = time.monotonic() + 30
        while engine._batching._ahead and time.monotonic() < wait_s:  # noqa: SLF001
            time.sleep(0.01)
        engine.score("is near", top=0, cancelled=Cancellation())
        faults += lost(engine)
        engine.close()
    points = means(samples)
    growth = points[-1][1] - points[0][1]
    if minutes >= JUDGED_MINUTES and growth > GROWTH_MIB_MAX:
        faults.append(f"memory grew by {growth:.1f} MiB")
    per_minute, half = slope(points)
    late, late_half = slope(points[len(points) // 2 :])
    return {
        "minutes": elapsed_s / 60,
        "seed": seed,
        "calls": dict(did.most_common()),
        "tokens_written": sum(client.tokens for client in clients),
        "prompt_tokens": sum(client.prompt_tokens for client in clients),
        "prompt_tokens_computed": sum(client.computed_tokens for client in clients),
        "memory_mib": {
            "after_warm_up": points[0][1],
            "end": points[-1][1],
            "growth": growth,
            "growth_per_minute": per_minute,
            "growth_per_minute_95": half,
            "later_growth_per_minute": late,
            "later_growth_per_minute_95": late_half,
        },
        "faults": faults,
    }


def main() -> int:
    """Endure, print, and say by the exit status whether all held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="that compute (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = endure(arguments.minutes, arguments.seed, arguments.threads)
    if arguments.json:
        print(json.dumps(found))
        return bool(found["faults"])
    print(f"{found['minutes']:.1f} minutes, {CLIENTS} clients, {SLOTS} slots, seed {found['seed']}")
    for name, count in found["calls"].items():
        print(f"  {name:40}{count:8,}")
    print(f"tokens written {found['tokens_written']:,}")
    print(
        f"prompt tokens {found['prompt_tokens']:,}, of which computed "
        f"{found['prompt_tokens_computed']:,}"
    )
    memory = found["memory_mib"]
    print(
        f"memory {memory['after_warm_up']:.1f} MiB after the warm-up, {memory['end']:.1f} at the "
        f"end; {memory['growth_per_minute']:+.3f} ± {memory['growth_per_minute_95']:.3f} a minute, "
        f"in the second half {memory['later_growth_per_minute']:+.3f} ± "
        f"{memory['later_growth_per_minute_95']:.3f}"
    )
    for fault in found["faults"][:20]:
        print(f"FAULT {fault}")
    print(f"{len(found['faults'])} faults", flush=True)
    if any(isinstance(thread, Client) for thread in threading.enumerate()):
        os._exit(1)  # the engine of a client that is stuck computes on, and cannot be closed
    return bool(found["faults"])


if __name__ == "__main__":
    sys.exit(main())
