"""Killed nodes lose nothing that they accepted, stopped ones delay nobody beyond a deadline.

Real processes, started and supervised as a user's; their engines are scripted.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import httpx
import pytest

from dmoa.study import replay
from tests.live.wires import until

ROUNDS = 10


def dmoa(*arguments, folder, check=True):
    made = subprocess.run(
        [sys.executable, "-m", "dmoa", *arguments, "--dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or made.returncode == 0, made.stderr + made.stdout
    return made


def state(folder):
    """Tell how the nodes are, by name."""
    found = json.loads(dmoa("status", "--json", folder=folder, check=False).stdout)
    return {node["name"]: node for node in found["nodes"]}


@pytest.fixture
def cluster(tmp_path, base_port):
    """Start a ring of four nodes whose tasks take a moment; stop it at the end."""
    folder = tmp_path / "cluster"
    dmoa(
        "up", "--topology", "ring", "--nodes", "4", "--engine", "scripted", "--detach",
        "--base-port", str(base_port), folder=folder,
    )  # fmt: skip
    try:
        yield folder
    finally:
        dmoa("down", folder=folder, check=False)


async def accept(client, url, question):
    """Have a prompt accepted and go away; give its id, or None where the node is not there."""
    body = {
        "model": "dmoa",
        "stream": True,
        "messages": [{"role": "user", "content": question}],
    }
    try:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            return answer.headers.get("x-dmoa-prompt-id") if answer.status_code == 200 else None
    except httpx.TransportError:
        return None


async def ended(client, url, identifier):
    """Tell how a prompt stands; None where the node is not there."""
    try:
        answer = await client.get(f"{url}/v1/dmoa/prompts/{identifier}")
    except httpx.TransportError:
        return None
    return answer.json()["state"] if answer.status_code == 200 else None


async def end_of(client, url, identifier):
    """Wait until a prompt has ended, and tell how."""
    while (now := await ended(client, url, identifier)) in (None, "waiting"):
        await asyncio.sleep(0.05)
    return now


def test_whatever_a_killed_node_accepted_ends_exactly_once(cluster):
    nodes = state(cluster)
    urls = {name: node["url"] for name, node in nodes.items()}
    accepted = defaultdict(list)

    async def round_of(client, victim, number):
        pid = state(cluster)[victim]["pid"]
        killed = asyncio.Event()

        async def go_on(name):
            """Ask a node until the victim is dead, and once more."""
            while True:
                after = killed.is_set()
                identifier = await accept(client, urls[name], f"{number} on {name}?")
                if identifier is not None:
                    accepted[name].append(identifier)
                if after and (identifier is not None or name == victim):
                    return

        async def kill():
            await until(lambda: len(accepted[victim]) > number * 2)
            os.kill(pid, signal.SIGKILL)
            killed.set()

        await asyncio.gather(kill(), *(go_on(name) for name in urls))
        async with asyncio.timeout(30):
            while await ended(client, urls[victim], accepted[victim][-1]) is None:
                await asyncio.sleep(0.05)

    async def scenario():
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            for number in range(ROUNDS):
                await round_of(client, str(number % 4), number)
            async with asyncio.timeout(60):
                return {
                    (name, one): await end_of(client, urls[name], one)
                    for name, identifiers in accepted.items()
                    for one in identifiers
                }

    states = asyncio.run(scenario())
    assert len(states) == sum(map(len, accepted.values())) >= ROUNDS * 4
    assert set(states.values()) == {"answered"}
    for name, node in state(cluster).items():
        counts = node["prompts"]
        told = counts["answered"] + counts["failed"] + counts["expired"]
        assert counts["accepted"] == told >= len(accepted[name])


def test_a_stopped_peer_delays_an_answer_by_its_deadline_at_most(cluster):
    nodes = state(cluster)
    url, victim = nodes["0"]["url"], nodes["1"]["pid"]

    async def scenario():
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            body = {"model": "dmoa", "messages": [{"role": "user", "content": "Slow?"}]}

            async def ask():
                began_s = time.monotonic()
                answer = await client.post(f"{url}/v1/chat/completions", json=body)
                assert answer.status_code == 200
                return time.monotonic() - began_s, answer.json()

            await ask()
            os.kill(victim, signal.SIGSTOP)
            try:
                return await ask(), await ask()
            finally:
                os.kill(victim, signal.SIGCONT)

    (first_s, first), (second_s, _) = asyncio.run(scenario())
    # Its tasks take no time, so its deadline is soon: long before it is taken for lost, which
    # takes three seconds.
    assert first_s < 2.5
    assert second_s < 2.5
    used = [one["node"] for one in first["dmoa"]["layers"][0]["proposals"] if one["text"]]
    assert "0" in used


def test_the_traces_of_a_killed_cluster_replay(cluster):
    urls = {name: node["url"] for name, node in state(cluster).items()}

    async def scenario():
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            for name, url in urls.items():
                assert await accept(client, url, f"From {name}?") is not None

    asyncio.run(scenario())
    dmoa("down", folder=cluster)
    report = replay(cluster)
    assert report.agrees, report.difference
    assert report.agreed >= 4 * 10
