"""A prompt's plan: a DAG of stages of tasks, with placement and join rules.

A stage is a cluster of tasks that read the same thing: the prompt itself, or the joined responses
of the stages it names in ``reads``. The paper's layers, a tree of clusters and a list of named
models are all stages; only their placements, reads and joins differ. The last stage has one task,
and its response is the answer.
"""

from __future__ import annotations

from math import inf
from typing import Literal

import msgspec

from dmoa.errors import ScenarioError

STAGES_MAX = 1024
ATTEMPTS_MAX = 1024
"""Peers that may be tried for one response."""


class Origin(msgspec.Struct, frozen=True, tag="origin"):
    """Place one task on the node whose prompt it is."""


class Peers(msgspec.Struct, frozen=True, tag="peers"):
    """Place one task on each of ``count`` peers chosen by the node's selection policy.

    A node with fewer peers than that asks them all.
    """

    count: int

    def __post_init__(self) -> None:
        """Refuse to ask nobody."""
        if self.count < 1:
            raise ScenarioError("must be 1 or more peers", path="plan.proposers", given=self.count)


Placement = Origin | Peers


class Join(msgspec.Struct, frozen=True):
    """When a stage's responses are enough: all of them, or a quorum once a deadline passed.

    The deadline is ``deadline_s`` seconds, at least 0, or ``patience`` times as long as the nodes
    asked are expected to take. After it, the stage is joined as soon as it has ``quorum``
    responses, at least 1 (or all that can still come). Without a deadline it waits for all.

    A peer that refuses, fails or cannot be reached, or that is late where the quorum is not met,
    is replaced by another until ``attempts`` peers, at least 1, were tried for that response.

    A stage whose lost messages leave it without a quorum waits until its prompt's deadline, if
    there is one; else, where links lose messages, the quorum has to be at most the number of its
    tasks placed at the origin.
    """

    deadline_s: float | None = None
    quorum: int = 1
    patience: float | None = None
    attempts: int = 1

    def __post_init__(self) -> None:
        """Refuse a join that would read nothing, or at no time."""
        if self.deadline_s is not None and not 0 <= self.deadline_s < inf:
            raise ScenarioError(
                "must be a finite number of seconds, 0 or more",
                path="plan.layer_deadline_s",
                given=self.deadline_s,
            )
        if self.quorum < 1:
            raise ScenarioError(
                "must be 1 or more responses", path="plan.quorum", given=self.quorum
            )
        if self.patience is not None and not 0 < self.patience < inf:
            raise ScenarioError(
                "must be a finite factor above 0", path="plan.patience", given=self.patience
            )
        if self.patience is not None and self.deadline_s is not None:
            raise ScenarioError(
                "excludes plan.layer_deadline_s", path="plan.patience", given=self.patience
            )
        if not 1 <= self.attempts <= ATTEMPTS_MAX:
            raise ScenarioError(
                f"must be 1 to {ATTEMPTS_MAX} peers", path="plan.attempts", given=self.attempts
            )


class Stage(msgspec.Struct, frozen=True):
    """Tasks that read the same thing and are joined together."""

    placements: tuple[Placement, ...]
    reads: tuple[int, ...] = ()
    join: Join = Join()
    role: Literal["propose", "aggregate"] = "propose"


class Plan(msgspec.Struct, frozen=True):
    """Stages in an order in which each reads only earlier ones.

    A prompt that is not answered ``deadline_s`` seconds after its arrival expires. Raises
    `ScenarioError` where the stages do not form such a DAG with one answer.
    """

    stages: tuple[Stage, ...]
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that could not end in one answer."""
        if self.deadline_s is not None and not 0 < self.deadline_s < inf:
            raise ScenarioError(
                "must be a finite number of seconds above 0",
                path="plan.prompt_deadline_s",
                given=self.deadline_s,
            )
        last = len(self.stages) - 1
        if not 0 <= last < STAGES_MAX:
            raise ScenarioError(
                f"a plan has 1 to {STAGES_MAX} stages", path="plan.stages", given=last + 1
            )
        read: set[int] = set()
        for index, stage in enumerate(self.stages):
            path = f"plan.stages[{index}]"
            if not stage.placements:
                raise ScenarioError("a stage needs at least one task", path=path)
            earlier = set(stage.reads) & set(range(index))
            if len(earlier) != len(stage.reads):
                raise ScenarioError(
                    "a stage reads only earlier stages, each once",
                    path=f"{path}.reads",
                    given=stage.reads,
                )
            read.update(stage.reads)
        if read != set(range(last)):
            unread = sorted(set(range(last)) - read)
            raise ScenarioError(
                "every stage but the last must be read",
                path="plan.stages",
                given=unread,
            )
        if self.stages[last].placements != (Origin(),):
            raise ScenarioError(
                "the last stage is one task at the origin, whose response is the answer",
                path=f"plan.stages[{last}].placements",
                given=self.stages[last].placements,
            )

    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Give, for each stage, the stages that read it.

        >>> layered(2, 1).readers()
        ((1,), (2,), ())
        """
        return tuple(
            tuple(later for later, stage in enumerate(self.stages) if index in stage.reads)
            for index in range(len(self.stages))
        )

    def tasks(self, degree: int) -> int:
        """Count the tasks of a prompt whose origin has ``degree`` peers.

        >>> layered(2, 3).tasks(degree=8), layered(2, 3).tasks(degree=1)
        (9, 5)
        """
        return sum(
            min(placement.count, degree) if isinstance(placement, Peers) else 1
            for stage in self.stages
            for placement in stage.placements
        )


def layered(
    layers: int,
    proposers: int,
    *,
    join: Join = Join(),  # noqa: B008 - frozen, so sharing it is safe
    deadline_s: float | None = None,
) -> Plan:
    """Build the paper's plan: M layers of the origin and k fresh peers, then aggregation.

    Each layer has this ``join``; the prompt expires after ``deadline_s`` seconds.

    With ``layers`` M = 0 the origin answers alone. Tasks per prompt: (k + 1) M + 1 where the
    origin has at least ``proposers`` k peers. Source: Mitra, Kaswan, Ulukus, arXiv 2412.21200,
    Algorithm 1.

    >>> plan = layered(2, 3)
    >>> [len(stage.placements) for stage in plan.stages], plan.stages[2].role
    ([2, 2, 1], 'aggregate')
    >>> plan.stages[1].reads
    (0,)
    """
    if layers < 0:
        raise ScenarioError("must be 0 or more layers", path="plan.layers", given=layers)
    if proposers < 0:
        raise ScenarioError("must be 0 or more proposers", path="plan.proposers", given=proposers)
    placements: tuple[Placement, ...] = (Origin(), Peers(proposers)) if proposers else (Origin(),)
    stages = [
        Stage(placements, reads=() if layer == 0 else (layer - 1,), join=join)
        for layer in range(layers)
    ]
    reads = (layers - 1,) if layers else ()
    stages.append(Stage((Origin(),), reads=reads, role="aggregate"))
    return Plan(tuple(stages), deadline_s)
