"""Which peers to ask how often, so that the network carries the highest arrival rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory import checks
from dmoa.theory.load import class_load, uniform_inclusion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dmoa.theory.checks import BoolArray, FloatArray

EDGES_MAX: Final = 100_000
"""Directed edges of the linear program: seconds, not minutes, on one core."""

SOLVER_TIME_MAX_S: Final = 120.0

# The first program's optimum is attainable but for the rounding of sums over all nodes.
_ROOM: Final = 1e-11
# Chances this close to 0 or 1 are the solver's rounding of it.
_SURE: Final = 1e-8


class _Program(NamedTuple):
    """The choice as a linear program around the uniform one: p = u + up - down on every edge."""

    origin: NDArray[np.intp]
    server: NDArray[np.intp]
    uniform: FloatArray
    work: FloatArray
    base: FloatArray
    slots: FloatArray


def best_inclusion(
    adjacency: ArrayLike,
    arrival_rate_hz: ArrayLike,
    proposers: int,
    service_time_s: ArrayLike,
    layers: int,
    *,
    slots: ArrayLike = 1.0,
) -> FloatArray:
    """Return the inclusion probabilities p[j, i] that maximise the critical rate λ*.

    They minimise max_i a_i / slots_i over 0 ≤ p_ji ≤ 1 and Σ_i p_ji = min(k, d_j), a linear
    program over the edges of the overlay. Of all optimal choices a second program takes one
    nearest to the uniform choice u, by the sum of all abs(p - u), so that prompts still meet as
    many different peers as the optimum allows; where the uniform choice is optimal, it is
    returned. The result is the same on every call.

    Args:
        adjacency: (n, n), 0 and 1, zero diagonal, origins in rows; at most 100 000 ones in rows
            where there is a choice (d_j > k). A node may be isolated.
        arrival_rate_hz: λ ≥ 0 prompts per second and node, a number or (n,); not all 0.
        proposers: k ≥ 0.
        service_time_s: mean service times in seconds, in any shape that ``offered_load`` takes.
        layers: M ≥ 0.
        slots: tasks served at once, ≥ 1, a number or (n,).

    Returns:
        (n, n), origins in rows. A node realises its row by systematic sampling without
        replacement.

    Raises:
        ScenarioError: if an argument is out of range, the shapes disagree or the overlay has too
            many edges.

    >>> from dmoa.theory import critical_rate_hz, offered_load
    >>> grid = np.zeros((16, 16))
    >>> for i in range(16):
    ...     for j in [i + 1] * (i % 4 < 3) + [i + 4] * (i < 12):
    ...         grid[i, j] = grid[j, i] = 1
    >>> for p in uniform_inclusion(grid, 2), best_inclusion(grid, 0.1, 2, 1.0, layers=2):
    ...     print(round(critical_rate_hz(0.1, offered_load(0.1, p, 1.0, layers=2)), 4))
    0.1304
    0.1429
    """
    overlay = checks.overlay(adjacency)
    nodes, stages = len(overlay), checks.layer_count(layers)
    rates = checks.arrival_rates(arrival_rate_hz, nodes)
    service = checks.by_class(service_time_s, nodes, stages, "service_time_s")
    places = checks.slot_counts(slots, nodes)
    chances = uniform_inclusion(overlay, proposers)
    # An origin has a choice only where 0 < p < 1, and only an origin with prompts makes use of it.
    free = (chances > 0) & (chances < 1) & (rates > 0)[:, np.newaxis]
    if stages == 0 or not free.any():
        return chances
    program = _program(free, rates, chances, service, places)
    chances[program.origin, program.server] = _nearest_optimum(program)
    return chances


def _program(
    free: BoolArray, rates: FloatArray, chances: FloatArray, service: FloatArray, slots: FloatArray
) -> _Program:
    """Write down the program over the free edges, in units of the uniform choice's largest load."""
    origin, server = np.nonzero(free)
    if len(origin) > EDGES_MAX:
        raise ScenarioError(
            "has too many edges for the linear program",
            path="adjacency",
            given=len(origin),
            remedy=f"use the uniform choice, or an overlay with at most {EDGES_MAX} directed edges",
        )
    proposing = np.broadcast_to(service[:-1].sum(axis=0), free.shape)
    load = class_load(rates, chances, service)
    unit = (load / slots).max()
    return _Program(
        origin=origin,
        server=server,
        uniform=chances[origin, server],
        work=rates[origin] * proposing[origin, server] / unit,
        base=load / unit,
        slots=slots,
    )


def _nearest_optimum(program: _Program) -> FloatArray:
    """Solve for the least load, then for the least change that attains it."""
    edges = len(program.origin)
    any_change = np.concatenate([np.zeros(2 * edges), [1.0]])
    optimum = _solve(program, any_change, load_max=1.0)
    moved = program.work * (optimum - program.uniform)
    load = program.base + np.bincount(program.server, moved, len(program.base))
    least = (load / program.slots).max() * (1 + _ROOM)
    if least >= 1:
        return program.uniform
    least_change = np.concatenate([np.ones(2 * edges), [0.0]])
    return _solve(program, least_change, load_max=least)


def _solve(program: _Program, cost: FloatArray, load_max: float) -> FloatArray:
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
    return _exact_sums(program, program.uniform + up - down)


def _exact_sums(program: _Program, chosen: FloatArray) -> FloatArray:
    """Return the solver's choice without its rounding: within [0, 1], every row's sum kept.

    A node draws a fixed number of peers, so its row must add up to that number.
    """
    chosen = np.where(chosen < _SURE, 0.0, np.where(chosen > 1 - _SURE, 1.0, chosen))
    open_ends = (chosen > 0) & (chosen < 1)
    missing = np.bincount(program.origin, program.uniform - chosen)[program.origin]
    # Rows of nothing but zeros and ones already add up: their error is below one half.
    sharing = np.maximum(np.bincount(program.origin, open_ends)[program.origin], 1)
    exact: FloatArray = np.clip(chosen + open_ends * missing / sharing, 0.0, 1.0)
    return exact
