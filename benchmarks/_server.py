"""A node beside the batched server of llama-cpp-python's source distribution, over HTTP.

That server is one script, `examples/server/server.py`, which `pip download --no-deps --no-binary
:all: llama-cpp-python==0.3.36` brings. It needs fastapi, safetensors and websockets beside what
dmoa's gates need; install them where the Python that runs this finds them, for example with
`pip install --target DIR` and PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
from _slots import CONTEXT_TOKENS, SLOTS, STORIES

from dmoa.live.engines import templates
from dmoa.live.engines.llama_binding import Model
from dmoa.live.models import find_model

TOKENS, START_S = 64, 120.0


def compare(model: str, server: str, repeats: int) -> dict[str, float]:
    """Put the same load on both, in turns; give tokens per second of each, with one thread."""
    path = find_model(model)
    rates: dict[str, list[float]] = {"dmoa": [], "server": []}
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            "server": held.enter_context(_server(folder, path, _script(Path(server), folder))),
            "dmoa": held.enter_context(_node(folder, path)),
        }
        names = {"server": "model", "dmoa": "dmoa:local"}
        for repeat in range(repeats + 1):
            for name in ("dmoa", "server") if repeat % 2 else ("server", "dmoa"):
                rate = _load(urls[name], names[name], repeat)
                if repeat:  # the first round warms caches up
                    rates[name].append(rate)
    found = {name: statistics.median(measured) for name, measured in rates.items()}
    return found | {"ratio": found["dmoa"] / found["server"]}


def _load(url: str, model: str, seed: int) -> float:
    """Let eight clients ask at once; give all tokens written by the time that it took."""

    def ask(story: str) -> int:
        answer = httpx.post(
            f"{url}/chat/completions",
            json={
                "model": model,
                "messages": [{"role": "user", "content": story}],
                "max_tokens": TOKENS,
                "temperature": 0.7,
                "top_p": 0.95,
                "seed": seed,
            },
            timeout=START_S,
        )
        answer.raise_for_status()
        return int(answer.json()["usage"]["completion_tokens"])

    with ThreadPoolExecutor(SLOTS) as clients:
        started_s = time.perf_counter()
        written = sum(clients.map(ask, STORIES))
        return written / (time.perf_counter() - started_s)


def _script(given: Path, folder: Path) -> Path:
    if given.suffix == ".py":
        return given
    with tarfile.open(given) as archive:
        name = next(n for n in archive.getnames() if n.endswith("examples/server/server.py"))
        archive.extract(name, folder, filter="data")
    return folder / name


@contextmanager
def _server(folder: Path, path: Path, script: Path) -> Iterator[str]:
    port = _free_port()
    with closing(Model(path)) as model:
        form, _ = templates.choose(None, model.template)
    config = {
        "server": {"host": "127.0.0.1", "port": port},
        "model": {
            "path": str(path),
            "alias": "model",
            "n_ctx": CONTEXT_TOKENS * SLOTS,
            "n_seq_max": SLOTS,
            "n_batch": 128,
            "n_ubatch": 128,
            "threads": 1,
            "threads_batch": 1,
            "kv_unified": True,
            "max_output_tokens": TOKENS,
            "chat_template": form.source,
        },
    }
    file = folder / "server.json"
    file.write_text(json.dumps(config), "utf-8")
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - the script that the user named
            [sys.executable, str(script), "-C", str(file)], stdout=log, stderr=log
        )
        try:
            _wait(f"http://127.0.0.1:{port}/v1/models", process, folder / "server.log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _node(folder: Path, path: Path) -> Iterator[str]:
    """Run a node with eight slots and one thread; its peer is scripted and is never asked."""
    cluster = folder / "cluster"
    values = ["station.slots=8", f"live.context_tokens={CONTEXT_TOKENS}", "live.max_tokens=64"]
    sets = [part for value in values for part in ("--set", value)]
    port = str(_free_port())
    dmoa = [sys.executable, "-m", "dmoa"]
    made = [*dmoa, "init", str(cluster), "--topology", "path", "--nodes", "2", *sets]
    subprocess.run(  # noqa: S603 - fixed commands
        [*made, "--proposers", "1", "--model", str(path), "--base-port", port],
        check=True,
        capture_output=True,
    )
    for node, line in (("0", "threads = 1"), ("1", 'engine = "scripted"')):
        file = cluster / "nodes" / node / "node.toml"
        text = file.read_text("utf-8").replace("\n[limits]", f"\n{line}\n\n[limits]")
        file.write_text(text, "utf-8")
    up = [*dmoa, "up", "--dir", str(cluster), "--detach"]
    subprocess.run(up, check=True, capture_output=True)  # noqa: S603
    try:
        yield f"http://127.0.0.1:{int(port) + 1000}/v1"
    finally:
        down = [*dmoa, "down", "--dir", str(cluster)]
        subprocess.run(down, check=False, capture_output=True)  # noqa: S603


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            sys.exit(f"the server did not start:\n{log.read_text()[-2000:]}")
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    sys.exit(f"the server did not answer within {START_S:.0f} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # The port above it by a thousand has to exist too.
        port = int(probe.getsockname()[1])
    return port if port < 64_000 else port - 5_000 - os.getpid() % 1000
