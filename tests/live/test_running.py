"""Running nodes: prompts are answered by all, ends are told once, crashes lose nothing."""

import asyncio

import pytest

from dmoa.core import Options
from dmoa.errors import ScenarioError
from dmoa.live.door import Ended, LayerJoined, Proposal, Refused, Token
from dmoa.live.engines.scripted import Scripted
from dmoa.scenario import from_dict, resolve
from dmoa.study import replay
from tests.live.overlay import live_overlay
from tests.live.wires import until

RING = {
    "overlay": {"topology": "ring", "nodes": 4},
    "plan": {"layers": 1, "proposers": 2, "patience": 50.0, "attempts": 2},
    "service": {"service_time_s": 0.1},
    "live": {},
}


def setup_of(**changes):
    return resolve(from_dict({**RING, **changes}))


async def ask(node, question="What is a ring?", **how):
    ticket = await node.submit(question, Options(), **how)
    return ticket, [progress async for progress in node.watch(ticket.id)]


def state(node, ticket):
    view = node.find(ticket.id)
    return view and view.state


def test_a_prompt_is_proposed_on_by_its_node_and_two_peers(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            ticket, story = await ask(overlay.nodes["0"])
            view = overlay.nodes["0"].find(ticket.id)
            for node in overlay.nodes.values():
                node.flush()
            return story, view

    story, view = asyncio.run(scenario())
    proposals = [one for one in story if isinstance(one, Proposal)]
    assert {one.node for one in proposals if one.layer == 1} == {"0", "1", "3"}
    assert all(one.text.startswith("[scripted]") for one in proposals)
    assert LayerJoined(layer=1, layers=1) in story
    ended = story[-1]
    assert isinstance(ended, Ended)
    assert ended.state == "answered"
    assert "".join(one.text for one in story if isinstance(one, Token)) == ended.answer
    assert ended.prompt_tokens == 4
    assert view.answer == ended.answer
    assert view.sojourn_time_s > 0
    report = replay(tmp_path)
    assert report.agrees, report.difference
    assert report.agreed > 10


def test_whoever_comes_late_gets_the_answer_in_one_piece(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            node = overlay.nodes["0"]
            ticket, story = await ask(node)
            return story, [progress async for progress in node.watch(ticket.id)]

    first, again = asyncio.run(scenario())
    assert [one for one in first if not isinstance(one, Token)] == [
        one for one in again if not isinstance(one, Token)
    ]
    assert [one.text for one in again if isinstance(one, Token)] == [first[-1].answer]


def test_a_restarted_node_takes_up_what_it_had_accepted(tmp_path):
    speeds = iter((30.0, 0.0, 0.0, 0.0))

    async def scenario():
        setup = setup_of(plan={"layers": 0})
        async with live_overlay(setup, tmp_path, lambda _: Scripted(next(speeds, 0.0))) as overlay:
            node = overlay.nodes["0"]
            ticket = await node.submit("Shall I be forgotten?", Options())
            assert state(node, ticket) == "waiting"
            await overlay.stop("0")
            again = await overlay.start("0")
            await until(lambda: state(again, ticket) == "answered")
            return overlay.journals["0"].counts()

    assert asyncio.run(scenario()) == {"accepted": 1, "answered": 1, "failed": 0, "expired": 0}


def test_without_its_peers_a_node_answers_alone(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            for name in ("1", "3"):
                await overlay.stop(name)
            node = overlay.nodes["0"]
            await until(lambda: not any(p.connected and p.asks for p in node.status().peers))
            return (await ask(node))[1]

    story = asyncio.run(scenario())
    assert {one.node for one in story if isinstance(one, Proposal)} == {"0"}
    assert story[-1].state == "answered"


def test_a_prompt_past_its_deadline_expires(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path, lambda _: Scripted(30.0)) as overlay:
            return (await ask(overlay.nodes["0"], timeout_s=0.2))[1]

    assert asyncio.run(scenario())[-1].state == "expired"


def test_a_full_queue_refuses_with_its_length(tmp_path):
    async def scenario():
        setup = setup_of(station={"queue_max": 7})
        async with live_overlay(setup, tmp_path, lambda _: Scripted(30.0)) as overlay:
            node = overlay.nodes["0"]
            for _ in range(2):
                await node.submit("Room?", Options())
            with pytest.raises(Refused) as caught:
                await node.submit("Room?", Options())
            return caught.value, overlay.journals["0"].counts()["accepted"]

    refused, accepted = asyncio.run(scenario())
    assert "queue full" in refused.reason
    assert refused.retry_after_s >= 1
    assert accepted == 2


def test_a_request_sent_again_is_the_same_prompt(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            node = overlay.nodes["0"]
            once = [node.submit("Once?", Options(), idempotency_key="k") for _ in range(5)]
            tickets = await asyncio.gather(*once)
            return {one.id for one in tickets}, overlay.journals["0"].counts()["accepted"]

    assert asyncio.run(scenario()) == ({"p0"}, 1)


def test_what_the_nodes_engine_cannot_do_is_refused_by_name(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            node = overlay.nodes["0"]
            with pytest.raises(ScenarioError, match="scripted of node 0 follows no grammar"):
                await node.submit("Why?", Options(grammar="root ::= [a-z]"))
            return node.status().notes

    assert asyncio.run(scenario()) == ["its texts come from a script, not from a language model"]


@pytest.mark.parametrize(
    ("question", "how", "text"),
    [
        ("  \n", {}, "the prompt is empty"),
        ("word " * 5000, {}, "has 5000 tokens with its history, and the context of scripted has"),
        ("Why?", {"proposers": 3}, "node 0 has 2 peers to ask, but 3 was given"),
        ("Why?", {"layers": 1001}, "must be 0 to 1000 layers"),
    ],
)
def test_a_bad_prompt_is_refused_before_it_is_accepted(tmp_path, question, how, text):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            with pytest.raises(ScenarioError) as caught:
                await overlay.nodes["0"].submit(question, Options(), **how)
            return str(caught.value), overlay.journals["0"].counts()["accepted"]

    message, accepted = asyncio.run(scenario())
    assert text in message
    assert accepted == 0


def test_layers_and_proposers_can_differ_from_prompt_to_prompt(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path) as overlay:
            return await ask(overlay.nodes["0"], layers=2, proposers=1)

    ticket, story = asyncio.run(scenario())
    assert (ticket.layers, ticket.proposers) == (2, 1)
    layers = [one.layer for one in story if isinstance(one, Proposal)]
    assert sorted(layers) == [1, 1, 2, 2, 3]


def test_a_draining_node_ends_what_it_has_and_refuses_the_rest(tmp_path):
    async def scenario():
        async with live_overlay(setup_of(), tmp_path, lambda _: Scripted(0.05)) as overlay:
            node = overlay.nodes["0"]
            ticket = await node.submit("The last?", Options())
            assert await node.drain(10.0)
            assert state(node, ticket) == "answered"
            with pytest.raises(Refused, match="draining"):
                await node.submit("One more?", Options())
            return await node.ready()

    assert "draining" in asyncio.run(scenario())
