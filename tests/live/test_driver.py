"""The driver carries out what a node asks for, in order, and nothing promised is lost."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from dmoa.core import (
    Content,
    Message,
    Node,
    PromptArrived,
    Response,
    ServiceEnded,
    StartService,
    TaskId,
    TimerFired,
    TimerId,
    Uniform,
    layered,
)
from dmoa.core.invariants import check
from dmoa.errors import EngineError, InvariantError, ScenarioError
from dmoa.live import driver as module
from dmoa.live.clock import RunClock
from dmoa.live.driver import Driver
from dmoa.live.engines.base import Generation, TokenScore
from dmoa.live.engines.scripted import Scripted
from dmoa.live.services import NOTHING_WRITTEN, Services
from tests.live.wires import until

TEXT = Content(3, "Why is that?")


class Stage:
    """Everything around a driver, writing down what it is told in one list."""

    def __init__(self, *, full=False):
        self.told, self.full = [], full
        self.known = True

        self.on_send: Callable[[Message], None] = lambda _message: None

    # wire, serving
    def send(self, to, message):
        self.told.append(("send", to, message))
        self.on_send(message)
        return True

    def start(self, action):
        self.told.append(("start", action.task))

    def prefill(self, action):
        self.told.append(("prefill", action.task))

    def cancel(self, task):
        self.told.append(("cancel", task))

    # safe
    def persist(self, record, *, idempotency_key=None):
        if self.full:
            raise ScenarioError("the disk is full")
        self.told.append(("persist", type(record).__name__, idempotency_key))
        return self.known

    # audience
    def stepped(self, _now, event, _actions, *, heard):
        self.told.append(("step", type(event).__name__, heard))

    def accepted(self, event):
        self.told.append(("accepted", event.prompt))

    def ended(self, end):
        self.told.append(("ended", type(end).__name__, end.prompt))


def _never(bug):
    raise AssertionError(bug)


def drive(stage, plan=None, *, fatal=None, check=check, **node):
    made = Driver(
        Node("a", plan=plan or layered(1, 1), selection=Uniform(("b",)), key=1, **node),
        clock=RunClock(0.0, unix_s=lambda: 0.0),
        wire=stage,
        safe=stage,
        audience=stage,
        fatal=fatal or _never,
        check=check,
    )
    made.serving = stage
    return made


def kinds(stage):
    return [one[0] for one in stage.told]


def test_a_promise_is_durable_before_anything_else_happens():
    stage = Stage()
    drive(stage).arrive(PromptArrived(0, TEXT), "key")
    assert kinds(stage) == ["step", "persist", "accepted", "send", "start"]
    assert stage.told[1] == ("persist", "PromptArrived", "key")


def test_an_end_is_durable_before_it_is_told():
    stage = Stage()
    one = drive(stage, layered(0, 0))
    one.arrive(PromptArrived(0, TEXT))
    one.hear(ServiceEnded(TaskId("a", 0, 0, 0), TEXT))
    assert stage.told[-2:] == [("persist", "Answer", None), ("ended", "Answer", 0)]


def test_an_end_that_does_not_count_is_not_told():
    stage = Stage()
    one = drive(stage, layered(0, 0))
    one.arrive(PromptArrived(0, TEXT))
    stage.known = False
    one.hear(ServiceEnded(TaskId("a", 0, 0, 0), TEXT))
    assert stage.told[-1] == ("persist", "Answer", None)


def test_a_prompt_that_could_not_be_promised_is_never_told_of():
    stage = Stage(full=True)
    one = drive(stage, layered(0, 0))
    one.arrive(PromptArrived(0, TEXT))
    one.hear(ServiceEnded(TaskId("a", 0, 0, 0), TEXT))
    assert "accepted" not in kinds(stage)
    assert "ended" not in kinds(stage)
    assert not one.journal_fails


def test_an_end_that_could_not_be_written_is_told_once_it_is(monkeypatch):
    monkeypatch.setattr(module, "RETRY_JOURNAL_S", 0.01)

    async def scenario():
        stage = Stage()
        one = drive(stage, layered(0, 0))
        for prompt in (0, 1):
            one.arrive(PromptArrived(prompt, TEXT))
        stage.full = True
        for prompt in (0, 1):
            one.hear(ServiceEnded(TaskId("a", prompt, 0, 0), TEXT))
        assert one.journal_fails
        assert "ended" not in kinds(stage)
        await asyncio.sleep(0.03)
        assert "ended" not in kinds(stage)
        stage.full = False
        await until(lambda: not one.journal_fails)
        return [told for told in stage.told if told[0] == "ended"]

    assert asyncio.run(scenario()) == [("ended", "Answer", 0), ("ended", "Answer", 1)]


def test_a_refusal_is_told_and_never_written():
    stage = Stage()
    one = drive(stage, layered(0, 0), queue_max=0)
    one.arrive(PromptArrived(0, TEXT))
    one.arrive(PromptArrived(1, TEXT))
    assert stage.told[-1] == ("ended", "Refuse", 1)
    assert stage.told.count(("persist", "PromptArrived", None)) == 1


def test_what_is_heard_during_a_step_waits_for_its_end():
    stage = Stage()
    one = drive(stage)
    stage.on_send = lambda message: one.receive("b", Response(message.id, TEXT))
    one.arrive(PromptArrived(0, TEXT))
    assert kinds(stage) == ["step", "persist", "accepted", "send", "start", "step"]


def test_a_flood_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(module, "INBOX_MAX", 2)
    stage = Stage()
    one = drive(stage)

    def flood(message):
        for _ in range(5):
            one.receive("b", Response(message.id, TEXT))

    stage.on_send = flood
    one.arrive(PromptArrived(0, TEXT))
    assert one.dropped == 3


def test_a_message_that_the_node_ignores_is_said_to_be_unheard():
    stage = Stage()
    drive(stage).receive("b", Response(TaskId("a", 9, 0, 1), TEXT))
    assert stage.told == [("step", "MessageReceived", False)]


def test_timers_fire_and_those_of_an_ended_prompt_do_not():
    async def scenario():
        stage = Stage()
        one = drive(stage, layered(0, 0, deadline_s=0.05))
        for prompt in (0, 1):
            one.arrive(PromptArrived(prompt, TEXT))
        one.hear(ServiceEnded(TaskId("a", 0, 0, 0), TEXT))
        await until(lambda: ("ended", "Expire", 1) in stage.told)
        one.close()
        return Counter(told[1] for told in stage.told if told[0] == "step")

    steps = asyncio.run(scenario())
    assert steps["TimerFired"] == 1


def test_a_service_that_nobody_waits_for_is_cancelled():
    async def scenario():
        stage = Stage()
        one = drive(stage, layered(0, 0, deadline_s=0.01))
        one.arrive(PromptArrived(0, TEXT))
        await until(lambda: ("ended", "Expire", 0) in stage.told)
        return stage.told

    assert ("cancel", TaskId("a", 0, 0, 0)) in asyncio.run(scenario())


def test_a_bug_ends_the_node_with_its_story_and_nothing_is_heard_any_more():
    stage = Stage()
    bugs: list[BaseException] = []

    def broken(node):
        raise InvariantError("it is broken", node.story())

    one = drive(stage, fatal=bugs.append, check=broken)
    one.arrive(PromptArrived(0, TEXT))
    assert isinstance(bugs[0], InvariantError)
    assert "PromptArrived" in str(bugs[0])
    one.hear(TimerFired(TimerId(0, 0)))
    assert not stage.told


# --- services -------------------------------------------------------------------------------


class Engine(Scripted):
    """An engine that does what a test says."""

    model = "test"

    def __init__(self, does):
        super().__init__()
        self.does = does

    def generate(self, prompt, options, on_text, cancelled):
        return self.does(prompt, options, on_text, cancelled)


def serve(does, *, cancel=False):
    """Serve one task; give the events and texts told."""

    async def scenario():
        events: list[Any] = []
        texts: list[str] = []
        services = Services(
            Engine(does),
            slots=1,
            max_tokens=7,
            ended=events.append,
            wrote=lambda _task, text: texts.append(text),
            scored=lambda *told: events.append(told),
        )
        task = TaskId("a", 0, 0, 0)
        services.start(StartService(task, TEXT, 0.0))
        if cancel:
            services.cancel(task)
            await asyncio.to_thread(services.close)
            await asyncio.sleep(0)
        else:
            await until(lambda: bool(events))
            services.close()
        return events, texts

    return asyncio.run(scenario())


def made(text="so", finish="stop"):
    return Generation(text=text, tokens=2, prompt_tokens=3, finish=finish)


def test_log_probabilities_come_before_the_end_of_their_task():
    scores = (TokenScore(b"so", -0.5),)
    scored = msgspec.structs.replace(made(), scores=scores)
    told, event = serve(lambda *_: scored)[0]
    assert told == (TaskId("a", 0, 0, 0), scores)
    assert event.content.text == "so"


def test_a_response_comes_with_its_model_and_whether_it_was_cut():
    (event,), texts = serve(lambda _p, _o, on_text, _c: (on_text("so"), made(finish="length"))[1])
    assert event.content == Content(2, "so", cut=True)
    assert event.model == "test"
    assert texts == ["so"]


def test_responses_are_as_long_as_the_node_says_where_the_user_does_not():
    seen: list[int | None] = []

    def note(_prompt, options, _on_text, _cancelled):
        seen.append(options.max_tokens)
        return made()

    serve(note)
    assert seen == [7]


def test_an_empty_response_is_a_failure():
    (event,), _ = serve(lambda *_: made(text=" \n"))
    assert event.reason == NOTHING_WRITTEN


def test_an_engines_error_is_told_with_its_reason_and_its_bug_frees_the_slot():
    def refuse(*_):
        raise EngineError("too long")

    assert serve(refuse)[0][0].reason == "too long"
    assert "ZeroDivisionError" in serve(lambda *_: 1 / 0)[0][0].reason


def test_a_cancelled_task_has_no_end():
    def wait(_p, _o, on_text, cancelled):
        cancelled.wait(20)
        on_text("too late")
        return made(finish="cancelled")

    assert serve(wait, cancel=True) == ([], [])
