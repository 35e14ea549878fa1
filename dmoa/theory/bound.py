"""Theorem 1 of the paper, and what is known about a_i < 1 being enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from dmoa.theory import checks
from dmoa.theory.load import tasks_per_prompt

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from dmoa.theory.checks import FloatArray, Quantity

# Means that differ by less than this share are equal: they went through floating-point sums.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Sufficiency:
    """Whether an offered load below the slots at every node is enough for stability.

    ``case`` is ``"proven"``, ``"conjectured"``, ``"class-dependent"`` or ``"necessary"``; ``text``
    explains it in full sentences with the source.
    """

    case: Literal["proven", "conjectured", "class-dependent", "necessary"]
    text: str


_PROVEN: Final = Sufficiency(
    "proven",
    "Offered load below the slots at every node is necessary and sufficient: without forks each "
    "node works alone, and its unfinished work is that of a single queue (a network of Kelly "
    "type, Bramson 1996, is a more general case).",
)
_CONJECTURED: Final = Sufficiency(
    "conjectured",
    "Offered load below the slots at every node is necessary. Service does not depend on the "
    "task's class, and for such FIFO networks without forks it is also sufficient (Bramson "
    "1996); with forks and joins no proof is known, but every simulation tried agrees.",
)
_CLASS_DEPENDENT: Final = Sufficiency(
    "class-dependent",
    "Offered load below the slots at every node is necessary, but may not be enough: the mean "
    "service time at a node depends on the task's class, and FIFO networks of this kind can be "
    "unstable below it (Bramson 1994). Check by simulation.",
)
_FULL_BATCH: Final = {
    "proven": "Offered load below what each node serves with all slots busy is necessary and "
    "sufficient: without forks each node works alone, and while more tasks than slots are present "
    "its unfinished work shrinks at that speed.",
    "conjectured": "Offered load below what each node serves with all slots busy is necessary. "
    "With forks and joins no proof is known that it is also sufficient, but every simulation "
    "tried agrees.",
    "class-dependent": "Offered load below what each node serves with all slots busy is "
    "necessary, but may not be enough: the mean service time at a node depends on the task's "
    "class, and FIFO networks of this kind can be unstable below it (Bramson 1994). Check by "
    "simulation.",
}
_MIXED: Final = Sufficiency(
    "necessary",
    "λ* at full batch is necessary, but not enough: while one task reads, fewer write than there "
    "are slots. Batching never makes a node slower than one slot where no total speed is below 1, "
    "so the limit lies between λ* with one slot and λ* at full batch. Check by simulation.",
)
_HOSTS: Final = Sufficiency(
    "necessary",
    "The limits of nodes and of their host are necessary, but not enough: a node that is always "
    "busy gets only its share of the cores whenever others are busy too, even if they leave cores "
    "idle at other times. Check by simulation.",
)
_MEMORY: Final = Sufficiency(
    "necessary",
    "λ* at full batch is necessary, but not enough: the memory of the language model may hold "
    "fewer tasks than there are slots. Check by simulation.",
)


def theorem1_critical_rate_hz(layers: int, proposers: int, service_time_s: ArrayLike) -> float:
    """Return the critical rate of Theorem 1, λ* = 1 / (α ((k + 1) M + 1)).

    Holds on a complete overlay of equal nodes, and wherever every node is asked as often as it
    asks. Elsewhere it promises too much: compare ``critical_rate_hz``. With unequal service times
    the largest counts (Remark 1).

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        service_time_s: α > 0 in seconds, a number or (n,).

    Returns:
        Prompts per second and node.

    Raises:
        ScenarioError: if an argument is out of range.

    Source: arXiv 2412.21200, Theorem 1 and Remark 1.

    >>> round(theorem1_critical_rate_hz(layers=2, proposers=2, service_time_s=1.0), 4)
    0.1429
    """
    slowest = checks.vector(service_time_s, "service_time_s").max()
    return float(1 / (slowest * tasks_per_prompt(layers, proposers)))


def sufficient(layers: int, proposers: int, service_time_s: Quantity = 1.0) -> Sufficiency:
    """Return whether a_i < slots_i at every node, which is necessary, is also sufficient.

    Three cases: no forks (M = 0 or k = 0), proven; forks with a mean service time that depends on
    the server alone, conjectured; forks with a mean that also depends on the task's class (its
    stage or origin, as with service by tokens), open in both directions.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        service_time_s: mean service times in seconds, in any shape that ``offered_load`` takes.

    Raises:
        ScenarioError: if an argument is out of range or the shape does not fit.

    Sources: M. Bramson, "Convergence to equilibria for fluid models of FIFO queueing networks",
    Queueing Systems 22, 1996; "Instability of FIFO queueing networks", Annals of Applied
    Probability 4(2), 1994.

    >>> sufficient(layers=0, proposers=2).case
    'proven'
    >>> sufficient(layers=1, proposers=2).case
    'conjectured'
    >>> sufficient(layers=1, proposers=2, service_time_s=[[1.0, 1.0], [3.0, 3.0]]).case
    'class-dependent'
    """
    stages, peers = checks.layer_count(layers), checks.proposer_count(proposers)
    low, high = _extremes(service_time_s, stages)
    if stages == 0 or peers == 0:
        return _PROVEN
    return _CLASS_DEPENDENT if (high - low > _EQUAL * high).any() else _CONJECTURED


def _extremes(service_time_s: Quantity, stages: int) -> tuple[FloatArray, FloatArray]:
    """Give the least and the largest mean service time of a class at each server, (n,)."""
    path = "service_time_s"
    matrices = checks.sparse_stages(service_time_s, stages, path)
    if matrices is not None:
        # An aggregation is served by its own origin.
        last = matrices[-1]
        matrices[-1] = last.only(last.origin == last.server)
        low, high = np.full(last.nodes, np.inf), np.zeros(last.nodes)
        for one in matrices:
            checks.signed(one.value, path, zero=False)
            np.minimum.at(low, one.server, one.value)
            np.maximum.at(high, one.server, one.value)
        return low, high
    means = checks.numbers(service_time_s, path)  # type: ignore[arg-type]  # it is not sparse
    nodes = means.shape[-1] if means.ndim else 1
    means = checks.by_stage(means, nodes, stages, path)
    if means.ndim == 3:
        aggregating = np.diagonal(means[-1])[np.newaxis]
        means = np.concatenate([means[:-1].reshape(-1, nodes), aggregating])
    return means.min(axis=0), means.max(axis=0)


def sufficient_at_full_batch(
    layers: int,
    proposers: int,
    service_time_s: Quantity = 1.0,
    *,
    mixed: bool = False,
    hosts: bool = False,
    memory: bool = False,
) -> Sufficiency:
    """Return whether the limits of nodes whose slots share a processor are also sufficient.

    Without reading beside writing, shared hosts and bounded memory the three cases are those of
    ``sufficient``; with any of them the limits are known to be necessary only.

    Args:
        layers: M ≥ 0.
        proposers: k ≥ 0.
        service_time_s: mean service times at full batch in seconds, in any shape that
            ``offered_load`` takes.
        mixed: whether tasks read while others write: several slots, and prompts that take time.
        hosts: whether nodes share a host that cannot serve all of them at full speed.
        memory: whether the tasks in service are also bounded by their tokens.

    Raises:
        ScenarioError: if an argument is out of range or the shape does not fit.

    Source: as of ``sufficient``.

    >>> sufficient_at_full_batch(0, 0).case, sufficient_at_full_batch(0, 0, mixed=True).case
    ('proven', 'necessary')
    """
    found = sufficient(layers, proposers, service_time_s)
    if hosts:
        return _HOSTS
    if mixed:
        return _MIXED
    return _MEMORY if memory else Sufficiency(found.case, _FULL_BATCH[found.case])
