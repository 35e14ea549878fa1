"""The choice of peers as a program: which chances are free, and what each of them loads whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dmoa.theory.edges import totals
from dmoa.theory.load import class_load

if TYPE_CHECKING:
    from dmoa.theory.checks import BoolArray, FloatArray
    from dmoa.theory.edges import Edges, Indices, PerTask

# Chances this close to 0 or 1 are a solver's rounding of it.
_SURE: Final = 1e-8


class Program(NamedTuple):
    """Minimise max_i load_i / slots_i over the chances of the free edges, those with 0 < u < 1.

    With the chances p of the free edges, (e,) each, load = base + Σ work (p - uniform) by server,
    in units in which the uniform choice loads its bottleneck with 1. Each chance lies between 0
    and 1, and those of an origin add up to what its uniform ones add up to.
    """

    origin: Indices
    server: Indices
    uniform: FloatArray
    work: FloatArray
    base: FloatArray
    slots: FloatArray

    @classmethod
    def of(
        cls,
        free: BoolArray,
        rates: FloatArray,
        uniform: Edges,
        service: PerTask,
        slots: FloatArray,
    ) -> Program:
        """Write down the program over the free edges of an overlay."""
        load = class_load(rates, uniform, service)
        unit = (load / slots).max()
        return cls(
            origin=uniform.origin[free],
            server=uniform.server[free],
            uniform=uniform.value[free],
            work=(rates[uniform.origin] * service.per_layer_sum(uniform))[free] / unit,
            base=load / unit,
            slots=slots,
        )

    def received(self, amounts: FloatArray) -> FloatArray:
        """Add up for each server what the free edges bring: (e,) to (n,)."""
        return totals(self.server, amounts, len(self.base))

    def filled(self, chances: FloatArray) -> FloatArray:
        """Give load / slots of every server for chances of the free edges, (n,)."""
        moved = self.received(self.work * (chances - self.uniform))
        filled: FloatArray = (self.base + moved) / self.slots
        return filled

    def exact_sums(self, chosen: FloatArray) -> FloatArray:
        """Return a solver's choice without its rounding: within [0, 1], every row's sum kept.

        A node draws a fixed number of peers, so its row must add up to that number.
        """
        chosen = np.where(chosen < _SURE, 0.0, np.where(chosen > 1 - _SURE, 1.0, chosen))
        open_ends = (chosen > 0) & (chosen < 1)
        missing = np.bincount(self.origin, self.uniform - chosen)[self.origin]
        # Rows of nothing but zeros and ones already add up: their error is below one half.
        sharing = np.maximum(np.bincount(self.origin, open_ends)[self.origin], 1)
        exact: FloatArray = np.clip(chosen + open_ends * missing / sharing, 0.0, 1.0)
        return exact
