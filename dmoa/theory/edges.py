"""Numbers on the edges of an overlay: what formulas see of a dense or a sparse matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from dmoa.errors import ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmoa.theory.checks import BoolArray, FloatArray

    Indices: TypeAlias = NDArray[np.integer[Any]]


def totals(places: Indices, amounts: FloatArray, count: int) -> FloatArray:
    """Add up amounts by place, (count,)."""
    return np.bincount(places, amounts, count).astype(np.float64, copy=False)


class Edges(NamedTuple):
    """A number on each directed edge, origins first and ascending; e edges.

    ``origin``, ``server`` and ``value`` are (e,). ``sparse`` tells how they were given.
    """

    nodes: int
    origin: Indices
    server: Indices
    value: FloatArray
    sparse: bool

    @classmethod
    def of_dense(cls, array: FloatArray) -> Edges:
        """Take the entries of a matrix (n, n) that are not 0."""
        origin, server = np.nonzero(array)
        return cls(len(array), origin, server, array[origin, server], sparse=False)

    @classmethod
    def of_sparse(cls, matrix: Any) -> Edges:
        """Take the stored entries of a matrix (n, n) of scipy.sparse, each edge once."""
        rows = matrix.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        nodes, server = rows.shape[0], rows.indices
        origin = np.repeat(np.arange(nodes, dtype=server.dtype), np.diff(rows.indptr))
        return cls(nodes, origin, server, rows.data.astype(np.float64, copy=False), sparse=True)

    def matrix(self) -> Any:
        """Give the matrix (n, n) back, dense or sparse as it was given."""
        shape = (self.nodes, self.nodes)
        if self.sparse:
            from scipy.sparse import csr_array  # imported here: who gave a sparse one has it

            offsets = np.searchsorted(self.origin, np.arange(self.nodes + 1))
            return csr_array((self.value, self.server, offsets), shape=shape)
        array = np.zeros(shape)
        array[self.origin, self.server] = self.value
        return array

    def only(self, kept: BoolArray) -> Edges:
        """Leave out edges."""
        origin, server, value = self.origin[kept], self.server[kept], self.value[kept]
        return Edges(self.nodes, origin, server, value, self.sparse)

    def diagonal(self) -> FloatArray:
        """Give the numbers of the nodes themselves, (n,); 0 where there is none."""
        own = self.origin == self.server
        found = np.zeros(self.nodes)
        found[self.origin[own]] = self.value[own]
        return found

    def received(self, amounts: FloatArray) -> FloatArray:
        """Add up for each server what its edges bring: (e,) to (n,)."""
        return totals(self.server, amounts, self.nodes)

    def sent(self, amounts: FloatArray) -> FloatArray:
        """Add up for each origin what it sends along its edges: (e,) to (n,)."""
        return totals(self.origin, amounts, self.nodes)

    def refuse(self, bad: BoolArray, path: str, problem: str, remedy: str) -> None:
        """Raise an error that names the first bad edge, if there is one."""
        if bad.any():
            edge = int(np.argmax(bad))
            raise ScenarioError(
                problem,
                path=f"{path}[{self.origin[edge]}, {self.server[edge]}]",
                given=float(self.value[edge]),
                remedy=remedy,
            )

    def find(self, other: Edges) -> FloatArray:
        """Look up the numbers of another matrix on these edges, (e,); 0 where it has none."""
        keys, wanted = (
            one.origin.astype(np.int64) * self.nodes + one.server for one in (other, self)
        )
        if not keys.size:
            return np.zeros(wanted.size)
        places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return np.where(keys[places] == wanted, other.value[places], 0.0)


class PerTask(NamedTuple):
    """The mean of a quantity per task, by stage: layers 1 to M, then the aggregation.

    ``own`` (M + 1, n) is that of an origin's own tasks. ``asked`` (M + 1, e) is that of the tasks
    which origins send along each edge; None where it depends on the server alone, as in ``own``.
    """

    own: FloatArray
    asked: FloatArray | None

    def on(self, edges: Edges) -> FloatArray:
        """Give the quantity of tasks sent along each edge, (M + 1, e)."""
        return self.own[:, edges.server] if self.asked is None else self.asked

    def per_layer_sum(self, edges: Edges) -> FloatArray:
        """Add up over the layers the quantity of tasks sent along each edge, (e,)."""
        if self.asked is None:
            by_server: FloatArray = self.own[:-1].sum(axis=0)[edges.server]
            return by_server
        total: FloatArray = self.asked[:-1].sum(axis=0)
        return total
