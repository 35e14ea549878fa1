"""What the formulas accept: every public function of the package checks its arguments here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from dmoa.errors import ScenarioError
from dmoa.theory.edges import Edges, PerTask

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import sparray

    FloatArray: TypeAlias = NDArray[np.float64]
    BoolArray: TypeAlias = NDArray[np.bool_]
    Matrix: TypeAlias = ArrayLike | sparray
    Quantity: TypeAlias = ArrayLike | Sequence[sparray]

NODES_MAX: Final = 1_000_000
DENSE_NODES_MAX: Final = 5_000
"""Nodes of a dense matrix (n, n); above this size one of them passes 200 MB."""
LAYERS_MAX: Final = 1_000
PROPOSERS_MAX: Final = 10_000
NUMBER_MAX: Final = 1e50
"""Numbers beyond it, or below its inverse, are mistakes, and their squares would overflow."""

_INCLUSION_REMEDY: Final = "p[j, i] is the chance that origin j asks i, from 0 to 1"
_SHAPES: Final = (
    "a number, (n,), (layers + 1, n), (layers + 1, n, n) or layers + 1 sparse matrices (n, n)"
)


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


def is_sparse(value: object) -> bool:
    """Tell whether a value is a matrix of scipy.sparse, without importing it."""
    return hasattr(value, "tocsr")


def square(value: Matrix, path: str) -> Edges:
    """Return the entries of a matrix over the nodes, (n, n) with a zero diagonal."""
    if is_sparse(value):
        edges = sparse(value, path)
    else:
        array = numbers(value, path)  # type: ignore[arg-type]  # no sparse one is left here
        if array.ndim != 2 or array.shape[0] != array.shape[1]:
            raise _no_square(path, array.shape)
        if not 1 <= len(array) <= DENSE_NODES_MAX:
            raise _no_square(path, array.shape)
        edges = Edges.of_dense(array)
    own = (edges.origin == edges.server) & (edges.value != 0)
    edges.refuse(own, path, "must be 0 on the diagonal", "a node is not its own neighbour")
    return edges


def sparse(value: Any, path: str) -> Edges:
    """Return the stored entries of a sparse matrix (n, n), all of them finite."""
    shape = value.shape
    if len(shape) != 2 or shape[0] != shape[1] or not 1 <= shape[0] <= NODES_MAX:
        raise _no_square(path, shape)
    edges = Edges.of_sparse(value)
    edges.refuse(~np.isfinite(edges.value), path, "must be finite", "replace NaN and infinities")
    return edges


def _no_square(path: str, shape: tuple[int, ...]) -> ScenarioError:
    return ScenarioError(
        "has the wrong shape",
        path=path,
        given=shape,
        remedy=f"give a matrix (n, n) with 1 to {DENSE_NODES_MAX} nodes, or one of scipy.sparse "
        f"with up to {NODES_MAX}",
    )


def overlay(adjacency: Matrix) -> Edges:
    """Return the edges of an adjacency matrix (n, n), entries 0 and 1, origins in rows."""
    path = "adjacency"
    edges = square(adjacency, path)
    edges.refuse(
        (edges.value != 0) & (edges.value != 1),
        path,
        "must be 0 or 1",
        "leave weights out, for example networkx.to_numpy_array(graph, weight=None)",
    )
    there = edges.value == 1
    return edges if there.all() else edges.only(there)


def inclusion_matrix(inclusion: Matrix) -> Edges:
    """Return inclusion probabilities p, (n, n), entries from 0 to 1."""
    path = "inclusion"
    edges = square(inclusion, path)
    edges.refuse((edges.value < 0) | (edges.value > 1), path, "is out of range", _INCLUSION_REMEDY)
    return edges


def by_class(
    value: Quantity, edges: Edges, layers: int, path: str, *, zero: bool = False
) -> PerTask:
    """Return a quantity per class of tasks on the edges of an overlay.

    Args:
        value: a number, (n,), (layers + 1, n), (layers + 1, n, n) or layers + 1 sparse matrices
            (n, n); the axes are [stage, origin, server], the last stage is the aggregation.
        edges: who asks whom.
        layers: M, checked.
        path: of the argument, for errors.
        zero: whether 0 is allowed.
    """
    matrices = sparse_stages(value, layers, path, nodes=edges.nodes)
    if matrices is not None:
        own = np.array([one.diagonal() for one in matrices])
        asked = np.array([edges.find(one) for one in matrices])
        return PerTask(signed(own, path, zero=zero), signed(asked, path, zero=zero))
    array = by_stage(value, edges.nodes, layers, path, zero=zero)
    if array.ndim == 2:
        return PerTask(array, None)
    own = np.diagonal(array, axis1=1, axis2=2)
    return PerTask(own, array[:, edges.origin, edges.server])


def sparse_stages(
    value: Quantity, layers: int, path: str, nodes: int | None = None
) -> list[Edges] | None:
    """Return a sequence of sparse matrices as edges, one for each stage; None if it is no such."""
    if not (isinstance(value, list | tuple) and value and all(map(is_sparse, value))):
        return None
    matrices = [sparse(one, f"{path}[{stage}]") for stage, one in enumerate(value)]
    nodes = matrices[0].nodes if nodes is None else nodes
    if len(matrices) != layers + 1 or any(one.nodes != nodes for one in matrices):
        raise _wrong_class(path, (len(matrices), *value[0].shape), nodes, layers)
    return matrices


def by_stage(
    value: Quantity, nodes: int, layers: int, path: str, *, zero: bool = False
) -> FloatArray:
    """Return a dense quantity by stage, (layers + 1, n) or (layers + 1, n, n).

    The axes are [stage, server] or [stage, origin, server]; the last stage is the aggregation.
    """
    array = signed(numbers(value, path), path, zero=zero)  # type: ignore[arg-type]  # not sparse
    stages = layers + 1
    if array.shape in ((), (nodes,)):
        return np.broadcast_to(array, (stages, nodes))
    if array.shape in ((stages, nodes), (stages, nodes, nodes)):
        return array
    raise _wrong_class(path, array.shape, nodes, layers)


def _wrong_class(path: str, shape: tuple[int, ...], nodes: int, layers: int) -> ScenarioError:
    return ScenarioError(
        "has the wrong shape",
        path=path,
        given=shape,
        remedy=f"give {_SHAPES}, here with n = {nodes} and layers + 1 = {layers + 1}",
    )
