"""What the formulas accept: every public function of the package checks its arguments here."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    BoolArray: TypeAlias = NDArray[np.bool_]

NODES_MAX: Final = 5_000
"""Overlays are dense (n, n) matrices; above this size one of them passes 200 MB."""
LAYERS_MAX: Final = 1_000
PROPOSERS_MAX: Final = 10_000
NUMBER_MAX: Final = 1e50
"""Numbers beyond it, or below its inverse, are mistakes, and their squares would overflow."""

_INCLUSION_REMEDY: Final = "p[j, i] is the chance that origin j asks i, from 0 to 1"
_SHAPES: Final = "a number, (n,), (layers + 1, n) or (layers + 1, n, n)"


def whole(value: object, path: str, *, at_least: int, at_most: int) -> int:
    """Return a whole number in a range, or say what is wrong with it.

    >>> whole(2, "layers", at_least=0, at_most=1000)
    2
    """
    remedy = f"give a whole number from {at_least} to {at_most}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what it cannot take, it refuses
    except TypeError:
        raise ScenarioError("must be whole", path=path, given=value, remedy=remedy) from None
    if not at_least <= number <= at_most:
        raise ScenarioError("is out of range", path=path, given=number, remedy=remedy)
    return number


def layer_count(value: object) -> int:
    """Return the number of layers M, checked."""
    return whole(value, "layers", at_least=0, at_most=LAYERS_MAX)


def proposer_count(value: object) -> int:
    """Return the number of proposers k, checked."""
    return whole(value, "proposers", at_least=0, at_most=PROPOSERS_MAX)


def numbers(value: ArrayLike, path: str) -> FloatArray:
    """Return finite numbers as an array of any shape."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScenarioError(
            "must be numbers", path=path, given=value, remedy="give a number or an array of numbers"
        ) from None
    refuse(array, ~np.isfinite(array), path, "must be finite", "replace NaN and infinities")
    size = np.abs(array)
    refuse(
        array,
        (size > NUMBER_MAX) | ((size < 1 / NUMBER_MAX) & (size > 0)),
        path,
        "is out of range",
        f"choose units so that it lies between {1 / NUMBER_MAX:g} and {NUMBER_MAX:g}",
    )
    return array


def refuse(array: FloatArray, bad: BoolArray, path: str, problem: str, remedy: str) -> None:
    """Raise an error that names the first bad entry of an array, if there is one."""
    if bad.any():
        index = tuple(int(axis) for axis in np.argwhere(bad)[0])
        place = f"{path}[{', '.join(map(str, index))}]" if index else path
        raise ScenarioError(problem, path=place, given=float(array[index]), remedy=remedy)


def number(value: ArrayLike, path: str) -> FloatArray:
    """Return one finite number of either sign, shape ()."""
    array = numbers(value, path)
    if array.ndim:
        raise ScenarioError(
            "must be one number", path=path, given=array.shape, remedy="give a number, not an array"
        )
    return array


def scalar(value: ArrayLike, path: str, *, zero: bool = False) -> float:
    """Return one finite number above zero, or from zero on.

    >>> scalar(0.2, "arrival_rate_hz")
    0.2
    """
    return float(signed(number(value, path), path, zero=zero))


def signed(array: FloatArray, path: str, *, zero: bool) -> FloatArray:
    """Return an array whose entries are above zero, or from zero on."""
    if zero:
        refuse(array, array < 0, path, "must not be negative", "give 0 or more")
    else:
        refuse(array, array <= 0, path, "must be above 0", "give a positive number")
    return array


def per_node(value: ArrayLike, nodes: int, path: str, *, zero: bool = False) -> FloatArray:
    """Return one number per node, shape (n,), from a number or an array (n,)."""
    array = signed(numbers(value, path), path, zero=zero)
    if array.shape not in ((), (nodes,)):
        raise ScenarioError(
            "has the wrong shape",
            path=path,
            given=array.shape,
            remedy=f"give one number or one per node, shape ({nodes},)",
        )
    return np.broadcast_to(array, (nodes,))


def arrival_rates(value: ArrayLike, nodes: int) -> FloatArray:
    """Return the arrival rates λ, shape (n,): a node may have none, but not all nodes."""
    path = "arrival_rate_hz"
    rates = per_node(value, nodes, path, zero=True)
    if not rates.any():
        raise ScenarioError(
            "must be above 0 at some node",
            path=path,
            given=0.0,
            remedy="give prompts per second and node, for example 0.2",
        )
    return rates


def vector(value: ArrayLike, path: str, *, zero: bool = False) -> FloatArray:
    """Return numbers, one per node, shape (n,) with n ≥ 1 (a single number has n = 1)."""
    array = signed(np.atleast_1d(numbers(value, path)), path, zero=zero)
    if array.ndim != 1 or not 1 <= array.size <= NODES_MAX:
        raise ScenarioError(
            "has the wrong shape",
            path=path,
            given=array.shape,
            remedy=f"give one number per node, shape (n,) with 1 to {NODES_MAX} nodes",
        )
    return array


def few(value: ArrayLike, path: str, *, at_least: int, at_most: int) -> FloatArray:
    """Return a short list of numbers of either sign, shape (K,)."""
    array = np.atleast_1d(numbers(value, path))
    if array.ndim != 1 or not at_least <= array.size <= at_most:
        raise ScenarioError(
            "has the wrong shape",
            path=path,
            given=array.shape,
            remedy=f"give {at_least} to {at_most} numbers; for more, equal nodes have closed forms",
        )
    return array


def slot_counts(value: ArrayLike, nodes: int) -> FloatArray:
    """Return the slots of every node, shape (n,), each at least 1."""
    slots = per_node(value, nodes, "slots")
    refuse(slots, slots < 1, "slots", "is out of range", "give 1 or more tasks served at once")
    return slots


def square(value: ArrayLike, path: str) -> FloatArray:
    """Return a matrix over the nodes, shape (n, n), with a zero diagonal."""
    array = numbers(value, path)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not 1 <= len(array) <= NODES_MAX:
        raise ScenarioError(
            "has the wrong shape",
            path=path,
            given=array.shape,
            remedy=f"give a matrix (n, n) with 1 to {NODES_MAX} nodes",
        )
    own = np.eye(len(array), dtype=np.bool_) & (array != 0)
    refuse(array, own, path, "must be 0 on the diagonal", "a node is not its own neighbour")
    return array


def overlay(adjacency: ArrayLike) -> FloatArray:
    """Return the adjacency matrix of an overlay, shape (n, n), entries 0 and 1, origins in rows."""
    path = "adjacency"
    array = square(adjacency, path)
    refuse(
        array,
        (array != 0) & (array != 1),
        path,
        "must be 0 or 1",
        "leave weights out, for example networkx.to_numpy_array(graph, weight=None)",
    )
    return array


def inclusion_matrix(inclusion: ArrayLike) -> FloatArray:
    """Return inclusion probabilities p, shape (n, n), entries from 0 to 1."""
    path = "inclusion"
    array = square(inclusion, path)
    refuse(array, (array < 0) | (array > 1), path, "is out of range", _INCLUSION_REMEDY)
    return array


def by_class(
    value: ArrayLike, nodes: int, layers: int, path: str, *, zero: bool = False
) -> FloatArray:
    """Return a quantity per class of tasks, shape (layers + 1, n) or (layers + 1, n, n).

    The axes are [stage, server] or [stage, origin, server]; the last stage is the aggregation.
    """
    array = signed(numbers(value, path), path, zero=zero)
    stages = layers + 1
    if array.shape in ((), (nodes,)):
        return np.broadcast_to(array, (stages, nodes))
    if array.shape in ((stages, nodes), (stages, nodes, nodes)):
        return array
    raise ScenarioError(
        "has the wrong shape",
        path=path,
        given=array.shape,
        remedy=f"give {_SHAPES}, here with n = {nodes} and layers + 1 = {stages}",
    )
