"""Bad arguments: a ScenarioError that names the argument, the value and the remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from dmoa import theory
from dmoa.errors import ScenarioError
from dmoa.theory import checks

PAIR = [[0, 1], [1, 0]]
# What a caller without a type checker may pass.
HALF: Any = 1.5
NAN: Any = float("nan")
WORD: Any = "fast"
SEVERAL: Any = [0.1, 0.2]
BAD = {
    "layers negative": (lambda: theory.tasks_per_prompt(-1, 2), "layers: .*-1 was given"),
    "layers not whole": (lambda: theory.tasks_per_prompt(HALF, 2), "layers: must be whole.*1.5"),
    "layers nan": (lambda: theory.tasks_per_prompt(NAN, 2), "layers: must be whole"),
    "layers huge": (lambda: theory.tasks_per_prompt(10**9, 2), "layers: .*from 0 to 1000"),
    "layers too many": (lambda: theory.node_means(0.1, PAIR, 1, 1001), "layers: is out of"),
    "proposers negative": (lambda: theory.uniform_inclusion(PAIR, -1), "proposers: .*-1"),
    "proposers a word": (lambda: theory.tasks_per_prompt(1, WORD), "proposers: .*'fast'"),
    "harmonic below zero": (lambda: theory.harmonic(-1), "number: is out of range"),
    "arrival rate zero": (lambda: theory.offered_load(0, PAIR, 1, 1), "must be above 0 at some"),
    "arrival rate negative": (
        lambda: theory.offered_load([0.1, -0.2], PAIR, 1, 1),
        r"arrival_rate_hz\[1\]: must not be negative, but -0.2 was given; give 0 or more",
    ),
    "arrival rate nan": (
        lambda: theory.task_rate_hz(float("nan"), PAIR, 1),
        "arrival_rate_hz: must be finite, but nan",
    ),
    "arrival rate infinite": (lambda: theory.mm1(float("inf"), 1.0), "finite, but inf"),
    "arrival rate a word": (lambda: theory.mm1(WORD, 1.0), "must be numbers, but 'fast'"),
    "arrival rate an array": (lambda: theory.mm1(SEVERAL, 1.0), r"one number, but \(2,\)"),
    "arrival rate absurd": (lambda: theory.mm1(1e60, 1.0), "choose units so that it lies"),
    "arrival rate minute": (lambda: theory.mm1(1e-60, 1.0), "choose units so that it lies"),
    "arrival rates of another network": (
        lambda: theory.offered_load([0.1, 0.1, 0.1], PAIR, 1, 1),
        r"arrival_rate_hz: has the wrong shape, but \(3,\) was given; .* shape \(2,\)",
    ),
    "service time zero": (lambda: theory.offered_load(1, PAIR, 0, 1), "service_time_s: must be"),
    "service time negative": (
        lambda: theory.theorem1_critical_rate_hz(1, 1, [1.0, -2.0]),
        r"service_time_s\[1\]: must be above 0, but -2.0",
    ),
    "service time in a matrix": (
        lambda: theory.theorem1_critical_rate_hz(1, 1, [[1.0]]),
        r"service_time_s: has the wrong shape, but \(1, 1\)",
    ),
    "service time of nobody": (lambda: theory.theorem1_critical_rate_hz(1, 1, []), "1 to 10000"),
    "service time by a wrong stage": (
        lambda: theory.offered_load(1, PAIR, np.ones((2, 2)), 2),
        r"\(2, 2\) was given; .*, here with n = 2 and layers \+ 1 = 3",
    ),
    "service time of a class nan": (
        lambda: theory.sufficient(1, 1, [[1.0, 1.0], [float("nan"), 1.0]]),
        r"service_time_s\[1, 0\]: must be finite",
    ),
    "second moment too small": (
        lambda: theory.mg1_waiting_time_s(0.5, 2.0, 3.0),
        "second_moment_s2: is below the square of the mean, but 3.0 .* at least 4",
    ),
    "variation negative": (lambda: theory.mg1(0.5, 1.0, -0.1), "cv: must not be negative"),
    "adjacency no matrix": (lambda: theory.uniform_inclusion([0, 1], 1), r"give a matrix \(n, n\)"),
    "adjacency not square": (lambda: theory.uniform_inclusion([[0, 1]], 1), r"\(1, 2\) was given"),
    "adjacency empty": (lambda: theory.uniform_inclusion(np.ones((0, 0)), 1), "1 to 5000 nodes"),
    "adjacency a graph": (lambda: theory.uniform_inclusion(nx.cycle_graph(3), 1), "a matrix"),
    "adjacency with a self-loop": (
        lambda: theory.uniform_inclusion([[0, 1], [1, 1]], 1),
        r"adjacency\[1, 1\]: must be 0 on the diagonal",
    ),
    "adjacency weighted": (
        lambda: theory.uniform_inclusion([[0, 3], [3, 0]], 1),
        r"adjacency\[0, 1\]: must be 0 or 1, but 3.0 was given; .*weight=None",
    ),
    "inclusion above one": (
        lambda: theory.task_rate_hz(1, [[0.0, 1.5], [1.0, 0.0]], 1),
        r"inclusion\[0, 1\]: is out of range, but 1.5",
    ),
    "inclusion negative": (
        lambda: theory.task_rate_hz(1, [[0.0, 1.0], [-1.0, 0.0]], 1),
        r"\[1, 0\]",
    ),
    "inclusion of oneself": (lambda: theory.task_rate_hz(1, [[1]], 1), "its own neighbour"),
    "sparse adjacency not square": (
        lambda: theory.uniform_inclusion(csr_array((2, 3)), 1),
        r"adjacency: has the wrong shape, but \(2, 3\) was given",
    ),
    "sparse adjacency with a self-loop": (
        lambda: theory.uniform_inclusion(csr_array([[0, 1], [1, 1]]), 1),
        r"adjacency\[1, 1\]: must be 0 on the diagonal",
    ),
    "sparse inclusion nan": (
        lambda: theory.task_rate_hz(1, csr_array([[0.0, 1.0], [float("nan"), 0.0]]), 1),
        r"inclusion\[1, 0\]: must be finite",
    ),
    "sparse inclusion above one": (
        lambda: theory.task_rate_hz(1, csr_array([[0.0, 1.5], [1.0, 0.0]]), 1),
        r"inclusion\[0, 1\]: is out of range, but 1.5",
    ),
    "sparse service times of too few stages": (
        lambda: theory.offered_load(1, PAIR, [csr_array(np.ones((2, 2)))], 1),
        r"service_time_s: has the wrong shape, but \(1, 2, 2\) .*sparse matrices",
    ),
    "sparse service times of another overlay": (
        lambda: theory.sufficient(1, 1, [csr_array(np.ones((2, 2))), csr_array(np.ones((3, 3)))]),
        "service_time_s: has the wrong shape",
    ),
    "sparse service times that leave out an edge": (
        lambda: theory.offered_load(1, PAIR, [csr_array(np.eye(2))] * 2, 1),
        "service_time_s.*: must be above 0",
    ),
    "sparse service times of nobody": (
        lambda: theory.offered_load(1, PAIR, [csr_array((2, 2))] * 2, 1),
        r"service_time_s\[0, 0\]: must be above 0",
    ),
    "spare rates of another overlay": (
        lambda: theory.sojourn_times_s(1, 1, [0.5], PAIR),
        r"spare_rate_hz: has the wrong shape, but \(1,\) was given; .* \(2,\)",
    ),
    "an overlay with too many neighbours": (
        lambda: theory.sojourn_times_s(1, 1, np.ones(21), 1 - np.eye(21)),
        "nodes of at most 19 neighbours",
    ),
    "load nowhere": (lambda: theory.bottleneck([0.0, 0.0]), "load: must be above 0 at some node"),
    "load negative": (lambda: theory.critical_rate_hz(1, [0.5, -0.5]), r"load\[1\]"),
    "slots below one": (lambda: theory.bottleneck([0.5, 0.5], [1, 0.5]), r"slots\[1\]: is out"),
    "slots zero": (lambda: theory.growth_rate_hz([0.5], 1.0, 0), "slots: must be above 0"),
    "one task does not fork": (lambda: theory.nelson_tantawi_s(1, 1.0, 0.5), "tasks: .*from 2"),
    "no task": (lambda: theory.independent_maximum_s(0, 1.0, 0.5), "tasks: .*from 1"),
    "too many tasks": (lambda: theory.varma_makowski_s(101, 1.0, 0.5), "from 1 to 100"),
    "too many subsets": (lambda: theory.expected_maximum_s(np.ones(21)), "give 1 to 20 numbers"),
    "no subset": (lambda: theory.expected_maximum_s([]), "give 1 to 20 numbers"),
    "spare rates in a matrix": (lambda: theory.expected_maximum_s([[1.0]]), "wrong shape"),
    "too many neighbours": (
        lambda: theory.sojourn_time_unequal_s(1, 1, 1.0, np.ones(20)),
        "peer_spare_rates_hz: .*give 0 to 19 numbers",
    ),
    "two origins": (
        lambda: theory.sojourn_time_unequal_s(1, 1, SEVERAL, [1.0]),
        "origin_spare_rate_hz: must be one number",
    ),
    "sojourn of minus one layer": (lambda: theory.sojourn_time_s(-1, 1, 1.0, 0.1), "layers: "),
    "task rate negative": (
        lambda: theory.sojourn_time_s(1, 1, 1.0, -0.1),
        "task_rate_hz: must not",
    ),
    "no speeds": (lambda: theory.speedup_queue(0.5, 1.0, []), "speedup: .*1 to 1,000,000 total"),
    "speeds in a matrix": (lambda: theory.speedup_queue(0.5, 1.0, [[1.0]]), "speedup: .*shape"),
    "a speed of 0": (
        lambda: theory.speedup_queue(0.5, 1.0, [1, 0]),
        r"speedup\[1\]: must be above",
    ),
    "half a host": (
        lambda: theory.host_load([0.1], 0.5, 1.0),
        r"host\[0\]: is no index.*count from 0",
    ),
    "a host too many": (lambda: theory.host_load([0.1, 0.1], [0, 2], 1.0), r"host\[1\]: is no"),
    "no cores": (lambda: theory.host_load([0.1], [0], 0.0), "cores: must be above 0"),
    "no threads": (lambda: theory.host_load([0.1], [0], 1.0, 0.0), "threads: must be above 0"),
    "join buffer of no prompts": (
        lambda: theory.join_buffer_responses(0, 1, 1, 1.0, 0.5),
        "arrival_rate_hz: must be above 0",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_its_place(call, message: str):
    with pytest.raises(ScenarioError, match=message) as caught:
        call()
    assert caught.value.remedy


def test_overlays_have_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "DENSE_NODES_MAX", 1)
    with pytest.raises(ScenarioError, match=r"1 to 1 nodes, or one of scipy\.sparse with"):
        theory.uniform_inclusion(PAIR, 1)
    monkeypatch.setattr(checks, "NODES_MAX", 1)
    with pytest.raises(ScenarioError, match=r"up to 1$"):
        theory.uniform_inclusion(csr_array(PAIR), 1)


def test_importing_theory_leaves_scipy_and_networkx_alone():
    code = "import sys, dmoa.theory; print({'scipy', 'networkx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
