"""The process of a node: it says what it waits for, serves, and leaves when it is told to."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dmoa.gateway import node_process
from dmoa.live.config import read_node
from dmoa.live.init import init_cluster
from dmoa.live.journal import Journal
from tests.live.wires import until

SCORE = {"prompt": "a text", "echo": True, "max_tokens": 0, "logprobs": 1}


class Unwilling(BaseHTTPRequestHandler):
    """A server that knows nobody's key."""

    def do_POST(self):
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def unwilling():
    with ThreadingHTTPServer(("127.0.0.1", 0), Unwilling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def process_of(folder, base_port, **cluster):
    layout = init_cluster(folder, base_port=base_port, **cluster)
    config = read_node(layout.folder / "nodes" / "0" / "node.toml")
    return node_process._Process(config, Journal.open(config.journal)), config


async def get(url, path):
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.get(path)


def run(process, config, scenario):
    """Run a process until a scenario that uses its door has ended."""

    async def both():
        url = f"http://{config.gateway.host}:{config.gateway.port}"
        ready = asyncio.Event()
        running = asyncio.create_task(process.run(ready.set))
        try:
            return await scenario(url, ready)
        finally:
            process._stop.set()
            await running

    try:
        return asyncio.run(both())
    finally:
        process._journal.close()


def test_a_node_whose_engine_does_not_answer_says_so_until_it_does(
    tmp_path, base_port, monkeypatch, unwilling
):
    monkeypatch.setattr(node_process, "ENGINE_RETRY_S", 0.05)
    process, config = process_of(
        tmp_path / "c", base_port, engine="openai", model="some", url=unwilling
    )

    async def scenario(url, ready):
        said = ""
        async with asyncio.timeout(60):
            while "no answer of its engine" not in said:
                try:
                    answer = await get(url, "/ready")
                except httpx.TransportError:
                    continue
                said = answer.text
                assert answer.status_code == 503
        body = {"model": "dmoa", "messages": [{"role": "user", "content": "Are you there?"}]}
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            refused = [
                await client.post("/v1/chat/completions", json=body),
                await client.post("/v1/embeddings", json={"input": "a text"}),
                await client.post("/v1/completions", json=SCORE),
            ]
        status = (await get(url, "/v1/dmoa/status")).json()
        return refused, status, ready.is_set()

    refused, status, was_ready = run(process, config, scenario)
    for each in refused:
        assert each.status_code == 503
        assert "no answer of its engine" in each.json()["error"]["message"]
    assert status["state"] == "starting"
    assert status["capabilities"] is None
    assert not was_ready


def test_a_node_serves_and_keeps_a_few_of_its_old_traces(tmp_path, base_port, monkeypatch):
    monkeypatch.setattr(node_process, "TRACES_KEPT", 2)
    process, config = process_of(tmp_path / "c", base_port, engine="scripted")
    config.trace_folder.mkdir()
    for number in (-3, -2, -1):
        (config.trace_folder / f"{number:06d}.trace").write_bytes(b"old")

    async def scenario(url, ready):
        await asyncio.wait_for(ready.wait(), 60)
        await until(lambda: len(list(config.trace_folder.iterdir())) == 2)
        return (await get(url, "/ready")).status_code, (await get(url, "/v1/dmoa/status")).json()

    code, status = run(process, config, scenario)
    assert code == 200
    assert (status["name"], status["state"], status["incarnation"]) == ("0", "ready", 1)
    assert (config.trace_folder / "000001.trace").stat().st_size > 100


def test_what_the_engine_cannot_do_is_refused_by_name_with_one_that_can(tmp_path, base_port):
    process, config = process_of(tmp_path / "c", base_port, engine="scripted")
    chat = {"messages": [{"role": "user", "content": "Why?"}]}

    async def scenario(url, ready):
        await asyncio.wait_for(ready.wait(), 60)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            return [
                await client.post("/v1/chat/completions", json={**chat, "logprobs": True}),
                await client.post("/v1/chat/completions", json={**chat, "grammar": "root ::= x"}),
                await client.post("/v1/completions", json=SCORE),
                await client.post("/v1/embeddings", json={"input": "a text"}),
            ], (await get(url, "/v1/dmoa/status")).json()

    answers, status = run(process, config, scenario)
    for answer, param in zip(answers, ("logprobs", "grammar", "logprobs", "model"), strict=True):
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param)
        assert "ask a node that has the engine llama" in error["message"]
    able = status["capabilities"]
    assert able.pop("slots") >= 1
    assert not any(able.values())


def test_a_bug_of_the_node_ends_its_process_with_it(tmp_path, base_port):
    process, config = process_of(tmp_path / "c", base_port, engine="scripted")

    async def scenario(_url, ready):
        await asyncio.wait_for(ready.wait(), 60)
        process._fatal(ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(process, config, scenario)
