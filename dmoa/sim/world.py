"""The world of one replication: who arrives when, how long service takes, what links do.

Every draw is keyed by what it is for (origin, prompt, stage, slot), so scenarios that share a
seed share their prompts and their service demands, whatever happens around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dmoa.core import (
    Content,
    Message,
    Response,
    Task,
    TaskId,
    Withdrawal,
    derive,
    task_position,
    uniform,
)
from dmoa.scenario import Setup
from dmoa.scenario.arrivals import Arrival, arrivals
from dmoa.scenario.distributions import token_sampler
from dmoa.sim.hosts import Hosts, Serve, build_hosts

Transmit = Callable[[Message], float | None]


@dataclass(frozen=True)
class World:
    """What surrounds the nodes in one replication.

    Attributes:
        arrivals: for each node its prompts to come, (time_s, tokens), in order of time.
        serve: (server, task, content) -> (service time in seconds, response): of a task alone.
        hosts: whose processors the tasks in service share; None where each has its own.
        transmit: message -> delay in seconds, None for a lost message; None in place
            of the function where messages take no time and none is lost.
        queue_length_max: tasks waiting at one node at which the run stops.
    """

    arrivals: Sequence[Iterator[tuple[float, int]]]
    serve: Serve
    transmit: Transmit | None
    queue_length_max: int
    hosts: Hosts | None = None


def build_world(setup: Setup, key: int) -> World:
    """Build what surrounds the nodes in the replication with this key (`run_key`)."""
    coming = arrivals(setup, key)
    lengths = Lengths([[] for _ in coming], [[] for _ in coming])
    respond = _responses(setup, key, lengths.responses if setup.recorded else None)
    serve = _serve_by_tokens(setup, respond) if setup.by_tokens else _serve(setup, key, respond)
    return World(
        arrivals=[_noting(prompts, node, lengths) for node, prompts in enumerate(coming)],
        serve=serve,
        transmit=_transmit(setup, key),
        queue_length_max=setup.scenario.run.queue_length_max,
        hosts=build_hosts(setup, serve, lengths.prompts) if setup.shares_processor else None,
    )


class Lengths(NamedTuple):
    """For each node how long its prompts so far are, and the recorded lengths of responses."""

    prompts: list[list[int]]
    responses: list[list[int]]


def _noting(prompts: Iterator[Arrival], node: int, lengths: Lengths) -> Iterator[tuple[float, int]]:
    """Pass a node's arrivals on, and note the lengths of its prompts and their responses."""
    noted, responses = lengths.prompts[node], lengths.responses[node]
    for time_s, prompt_tokens, response_tokens in prompts:
        noted.append(prompt_tokens)
        if response_tokens >= 0:
            responses.append(response_tokens)
        yield time_s, prompt_tokens


def _responses(
    setup: Setup, key: int, recorded: list[list[int]] | None
) -> Callable[[TaskId], Content]:
    """Make the function task -> response: recorded with the prompt, constant, or drawn."""
    index = {name: node for node, name in enumerate(setup.names)}
    if recorded is not None:
        return lambda task: Content(recorded[index[task.origin]][task.prompt])
    draw = token_sampler(setup.response_length())
    if setup.scenario.tokens.distribution == "deterministic":
        constant = Content(draw(0, 0))
        return lambda _task: constant
    keys = {name: derive(key, "response", node) for name, node in index.items()}

    def drawn(task: TaskId) -> Content:
        return Content(draw(keys[task.origin], task_position(task.prompt, task.stage, task.slot)))

    return drawn


def _serve(setup: Setup, key: int, respond: Callable[[TaskId], Content]) -> Serve:
    """Service times that do not depend on the content."""
    keys = {name: derive(key, "service", node) for node, name in enumerate(setup.names)}
    samplers = [setup.service(node).sampler() for node in range(len(setup.names))]

    def serve(server: int, task: TaskId, _content: Content) -> tuple[float, Content]:
        position = (task.prompt << 10 | task.stage) << 20 | task.slot  # inlined task_position
        return samplers[server](keys[task.origin], position), respond(task)

    return serve


def _serve_by_tokens(setup: Setup, respond: Callable[[TaskId], Content]) -> Serve:
    """Service times a + b·tokens_in + g·tokens_out."""
    times = [setup.token_service(node).timer() for node in range(len(setup.names))]

    def serve(server: int, task: TaskId, content: Content) -> tuple[float, Content]:
        response = respond(task)
        return times[server](content.tokens, response.tokens), response

    return serve


def _transmit(setup: Setup, key: int) -> Transmit | None:
    """Delay and loss of messages, drawn by the kind of message and the task it is about."""
    links = setup.scenario.links
    if links.delay_s == 0 and links.loss == 0:
        return None
    index = {name: node for node, name in enumerate(setup.names)}
    draw, loss = setup.link_delay().sampler(), links.loss
    keys = {
        (kind, purpose, name): derive(key, purpose, kind.__name__, node)
        for kind in (Task, Response)
        for purpose in ("delay", "loss")
        for name, node in index.items()
    }

    def transmit(message: Message) -> float | None:
        task = message.id
        position = task_position(task.prompt, task.stage, task.slot)
        # A refusal takes the place of a response. A withdrawal fares as its task did, so that it
        # does not overtake it.
        kind = Task if type(message) in {Task, Withdrawal} else Response
        if loss and uniform(again(keys[kind, "loss", task.origin], task), position) < loss:
            return None
        return draw(again(keys[kind, "delay", task.origin], task), position)

    def again(stream: int, task: TaskId) -> int:
        """Give another attempt at a task another fate on its way."""
        return derive(stream, task.attempt) if task.attempt else stream

    return transmit
