"""Exact sums: the same bits for every order, chunking and number of threads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastlogits._core as _core

_UNIT = 1 << 1074


@dataclass(frozen=True, slots=True)
class ExactSum:
    """A sum of float64 values that no rounding has touched; sums are merged by ``+``, in any order.

    ``units`` is the sum of the finite values in units of 2^-1074, some 2,200 bits at most; ``others`` that of
    infinities and NaN.
    """

    units: int = 0
    others: float = 0.0

    @classmethod
    def of(cls, values: Any) -> ExactSum:
        """The sum of an array of floats of any shape."""
        return cls(*_core.exact_sum(np.ascontiguousarray(values, np.float64)))

    def __add__(self, other: ExactSum) -> ExactSum:
        if not isinstance(other, ExactSum):
            return NotImplemented
        return ExactSum(self.units + other.units, self.others + other.others)

    def over(self, count: int) -> float:
        """The float nearest to the sum divided by ``count``, infinite beyond the range; with 1 the sum itself."""
        if self.others:
            return self.others / count
        try:
            return self.units / (_UNIT * count)
        except OverflowError:
            return math.inf if self.units > 0 else -math.inf
