"""Which peers to ask how often, so that the network carries the highest arrival rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, overload

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks
from dmoa.theory.balance import balance
from dmoa.theory.load import uniform_edges
from dmoa.theory.program import Program

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array, sparray

    from dmoa.theory.checks import FloatArray, Matrix, Quantity

EDGES_MAX: Final = 100_000
"""Directed edges of the linear program: seconds, not minutes, on one core."""

SOLVER_TIME_MAX_S: Final = 120.0

GAP: Final = 0.001
"""Share of the largest load that larger overlays may be from the optimum."""

# The first program's optimum is attainable but for the rounding of sums over all nodes.
_ROOM: Final = 1e-11


class BestWeights(NamedTuple):
    """The best inclusion probabilities (n, n), and by what share λ* may be below the optimum.

    The ``gap`` is 0 where the linear program was solved.
    """

    inclusion: FloatArray | csr_array
    gap: float


@overload
def best_inclusion(
    adjacency: sparray,
    arrival_rate_hz: ArrayLike,
    proposers: int,
    service_time_s: Quantity,
    layers: int,
    *,
    slots: ArrayLike = 1.0,
) -> csr_array: ...
@overload
def best_inclusion(
    adjacency: ArrayLike,
    arrival_rate_hz: ArrayLike,
    proposers: int,
    service_time_s: Quantity,
    layers: int,
    *,
    slots: ArrayLike = 1.0,
) -> FloatArray: ...
def best_inclusion(
    adjacency: Matrix,
    arrival_rate_hz: ArrayLike,
    proposers: int,
    service_time_s: Quantity,
    layers: int,
    *,
    slots: ArrayLike = 1.0,
) -> FloatArray | csr_array:
    """Return the inclusion probabilities p[j, i] that maximise the critical rate λ*.

    They minimise max_i a_i / slots_i over 0 ≤ p_ji ≤ 1 and Σ_i p_ji = min(k, d_j), a linear
    program over the edges of the overlay. Of all optimal choices a second program takes one
    nearest to the uniform choice u, by the sum of all abs(p - u), so that prompts still meet as
    many different peers as the optimum allows; where the uniform choice is optimal, it is
    returned. The result is the same on every call.

    With more than 100 000 edges at nodes that have a choice (0 < k < d_j), the programs would take
    minutes and more. There the choice begins with the uniform one and moves away from overloaded
    peers until it is proven to be within 0.1 % of the optimum; ``best_weights`` tells how near.

    Args:
        adjacency: (n, n), 0 and 1, zero diagonal, origins in rows, dense or of scipy.sparse. A node
            may be isolated.
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,); not all 0.
        proposers: k ≥ 0.
        service_time_s: mean service times in seconds, in any shape that ``offered_load`` takes.
        layers: M ≥ 0.
        slots: tasks served at once, ≥ 1, a number or (n,).

    Returns:
        (n, n), origins in rows; sparse if the adjacency is. A node realises its row by systematic
        sampling without replacement.

    Raises:
        ScenarioError: if an argument is out of range, the shapes disagree or the solver gives up.

    >>> from dmoa.theory import critical_rate_hz, offered_load, uniform_inclusion
    >>> grid = np.zeros((16, 16))
    >>> for i in range(16):
    ...     for j in [i + 1] * (i % 4 < 3) + [i + 4] * (i < 12):
    ...         grid[i, j] = grid[j, i] = 1
    >>> for p in uniform_inclusion(grid, 2), best_inclusion(grid, 0.1, 2, 1.0, layers=2):
    ...     print(round(critical_rate_hz(0.1, offered_load(0.1, p, 1.0, layers=2)), 4))
    0.1304
    0.1429
    """
    return best_weights(
        adjacency, arrival_rate_hz, proposers, service_time_s, layers, slots=slots
    ).inclusion


def best_weights(
    adjacency: Matrix,
    arrival_rate_hz: ArrayLike,
    proposers: int,
    service_time_s: Quantity,
    layers: int,
    *,
    slots: ArrayLike = 1.0,
) -> BestWeights:
    """Return the chances of ``best_inclusion``, and how near to the optimum they are proven to be.

    Args:
        adjacency: as of ``best_inclusion``, and so are all others.
        arrival_rate_hz: λ.
        proposers: k.
        service_time_s: mean service times in seconds.
        layers: M.
        slots: tasks served at once.

    Raises:
        ScenarioError: if an argument is out of range, the shapes disagree or the solver gives up.

    >>> best_weights([[0, 1, 1], [1, 0, 1], [1, 1, 0]], 0.1, 1, 1.0, layers=1).gap
    0.0
    """
    overlay = checks.overlay(adjacency)
    nodes, stages = overlay.nodes, checks.layer_count(layers)
    rates = checks.arrival_rates(arrival_rate_hz, nodes)
    service = checks.by_class(service_time_s, overlay, stages, "service_time_s")
    places = checks.slot_counts(slots, nodes)
    uniform = uniform_edges(overlay, proposers)
    # An origin has a choice only where 0 < p < 1, and only an origin with prompts makes use of it.
    free = (uniform.value > 0) & (uniform.value < 1) & (rates > 0)[uniform.origin]
    if stages == 0 or not free.any():
        return BestWeights(uniform.matrix(), 0.0)
    program, chances, gap = Program.of(free, rates, uniform, service, places), uniform.value, 0.0
    chances = chances.copy()
    if len(program.origin) <= EDGES_MAX:
        chances[free] = _nearest_optimum(program)
    else:
        balanced = balance(program, GAP)
        chances[free], gap = balanced.chances, balanced.gap
    return BestWeights(uniform._replace(value=chances).matrix(), gap)


def _nearest_optimum(program: Program) -> FloatArray:
    """Solve for the least load, then for the least change that attains it."""
    edges = len(program.origin)
    any_change = np.concatenate([np.zeros(2 * edges), [1.0]])
    optimum = _solve(program, any_change, load_max=1.0)
    least = program.filled(optimum).max() * (1 + _ROOM)
    if least >= 1:
        return program.uniform
    least_change = np.concatenate([np.ones(2 * edges), [0.0]])
    return _solve(program, least_change, load_max=least)


def _solve(program: Program, cost: FloatArray, load_max: float) -> FloatArray:
    """Minimise a cost over [up, down, load], each node's work at most its slots times load.

    Returns:
        The chances of the free edges, whose sums per origin are kept exactly.
    """
    # scipy takes a second to import, and most callers never solve a program.
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    edges, nodes = len(program.origin), len(program.base)
    columns = np.arange(2 * edges)
    work = csr_array(
        (
            np.concatenate([program.work, -program.work, -program.slots]),
            (
                np.concatenate([program.server, program.server, np.arange(nodes)]),
                np.concatenate([columns, np.full(nodes, 2 * edges)]),
            ),
        ),
        shape=(nodes, 2 * edges + 1),
    )
    kept = csr_array(
        (
            np.concatenate([np.ones(edges), -np.ones(edges)]),
            (np.concatenate([program.origin, program.origin]), columns),
        ),
        shape=(nodes, 2 * edges + 1),
    )
    upper = np.concatenate([1 - program.uniform, program.uniform, [load_max]])
    # The interior point method: the simplex method stalls on overlays whose nodes are all alike.
    result = linprog(  # type: ignore[call-overload]  # its types leave out sparse matrices
        cost,
        A_ub=work,
        b_ub=-program.base,
        A_eq=kept,
        b_eq=np.zeros(nodes),
        bounds=np.column_stack([np.zeros(2 * edges + 1), upper]),
        method="highs-ipm",
        options={"time_limit": SOLVER_TIME_MAX_S},
    )
    if not result.success:
        raise ScenarioError(
            f"the linear program for the best weights was not solved: {result.message}",
            remedy="bring rates and service times closer together, or use the uniform choice",
        )
    up, down = result.x[:edges], result.x[edges : 2 * edges]
    return program.exact_sums(program.uniform + up - down)
