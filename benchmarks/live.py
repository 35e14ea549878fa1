"""What the runtime itself costs: prompts through four real nodes whose engines answer at once.

A ring of four processes on this machine, CURVE on, M = 1 and k = 2: four tasks and eight messages
a prompt, four journal commits. Printed is the sojourn time that the node itself reports, beside
the round trip of a request that needs no task, in the same run.

    python benchmarks/live.py [--prompts N] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

WARM_UP = 20


def main() -> None:
    """Start a cluster, measure, stop it, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--base-port", type=int, default=27400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "cluster")
        dmoa(
            "up", "--dir", place, "--topology", "ring", "--nodes", "4", "--engine", "scripted",
            "--layers", "1", "--proposers", "2", "--base-port", str(arguments.base_port),
            "--detach",
        )  # fmt: skip
        try:
            found = measure(place, arguments.prompts)
        finally:
            dmoa("down", "--dir", place)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['prompts']} prompts, one after another, to one node")
    for name, label in (
        ("sojourn_ms", "sojourn time of a prompt, as the node reports it"),
        ("request_ms", "its HTTP request as the client sees it"),
        ("empty_request_ms", "an HTTP request that needs no task"),
    ):
        row = found[name]
        print(f"{label:50} median {row['median']:6.2f} ms, 95 % below {row['p95']:6.2f} ms")
    print(f"proposals used: {found['proposals']:.3f} of 3 on average")


def measure(folder: str, prompts: int) -> dict[str, object]:
    """Ask one node again and again."""
    status = json.loads(dmoa("status", "--json", "--dir", folder))
    url = status["nodes"][0]["url"]
    sojourn, request, empty, used = [], [], [], []
    body = {"model": "dmoa", "messages": [{"role": "user", "content": "What does it cost?"}]}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for number in range(prompts + WARM_UP):
            began_s = time.perf_counter()
            client.get("/health").raise_for_status()
            between_s = time.perf_counter()
            answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
            ended_s = time.perf_counter()
            if number >= WARM_UP:
                empty.append(between_s - began_s)
                request.append(ended_s - between_s)
                sojourn.append(answer["dmoa"]["sojourn_time_s"])
                used.append(sum(bool(p["text"]) for p in answer["dmoa"]["layers"][0]["proposals"]))
    return {
        "prompts": prompts,
        "sojourn_ms": spread(sojourn),
        "request_ms": spread(request),
        "empty_request_ms": spread(empty),
        "proposals": statistics.fmean(used),
    }


def spread(times_s: list[float]) -> dict[str, float]:
    """Give median and 95th percentile, in milliseconds."""
    return {
        "median": 1e3 * statistics.median(times_s),
        "p95": 1e3 * statistics.quantiles(times_s, n=20)[-1],
    }


def dmoa(*arguments: str) -> str:
    """Run a command of dmoa, as a user would."""
    made = subprocess.run(  # noqa: S603 - our own command with our own arguments
        [sys.executable, "-m", "dmoa", *arguments], capture_output=True, text=True, check=False
    )
    if made.returncode:
        sys.exit(made.stderr)
    return made.stdout


if __name__ == "__main__":
    main()
