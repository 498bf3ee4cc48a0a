"""What chunks of rows add to calibration figures, merged by ``+``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits._common.exact import ExactSum
from fastlogits.calibration import ReliabilityCurve, _bins, _curve

Array = NDArray[Any]


class Binning(NamedTuple):
    """How confidences are put into bins."""

    bins: int
    strategy: str
    rule: str


@dataclass(frozen=True)
class Sums:
    """Bins of equal width: events, those that happened, and sums of confidences, of one column or one per class."""

    counts: Array
    hits: Array
    promised: tuple[tuple[ExactSum, ...], ...]

    @classmethod
    def of(cls, columns: list[Any], how: Binning) -> Sums:
        """Of pairs (confidences, correct)."""
        counts, hits, promised = zip(*(_binned(column[0], column[1], how) for column in columns), strict=True)
        return cls(np.array(counts), np.array(hits), promised)

    def __add__(self, other: Sums) -> Sums:
        pairs = zip(self.promised, other.promised, strict=True)
        promised = tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in pairs)
        return Sums(self.counts + other.counts, self.hits + other.hits, promised)

    def curves(self, how: Binning, level: float) -> list[ReliabilityCurve]:
        """One curve per column."""
        _, lower, upper = _bins.assign(np.empty(0), *how)
        curves = []
        for counts, hits, sums in zip(self.counts, self.hits, self.promised, strict=True):
            full = np.maximum(counts, 1)
            means = np.array([total.over(1) for total in sums]) / full
            promised, kept = (np.where(counts, each, np.nan) for each in (means, hits / full))
            bins = _curve.Bins(lower, upper, counts, promised, kept)
            curves.append(_curve.curve_of(bins, how.rule, level))
        return curves


@dataclass(frozen=True)
class Columns:
    """Confidences and truths themselves: the edges of bins of equal mass need all of them at once."""

    columns: tuple[tuple[Array, Array], ...]

    def __add__(self, other: Columns) -> Columns:
        pairs = zip(self.columns, other.columns, strict=True)
        return Columns(tuple((np.append(a, c), np.append(b, d)) for (a, b), (c, d) in pairs))

    def curves(self, how: Binning, level: float) -> list[ReliabilityCurve]:
        """One curve per column."""
        return [_curve.curve_from(confidences, correct, *how, level) for confidences, correct in self.columns]


@dataclass(frozen=True)
class Part:
    """What the rows of some chunks add, None where none of them takes part."""

    value: Any = None

    def __add__(self, other: Part) -> Part:
        if self.value is None or other.value is None:
            return other if self.value is None else self
        return Part(self.value + other.value)

    def some(self, name: str = "predictions") -> Any:
        """What all rows add; an error if none takes part."""
        if self.value is None:
            raise ValueError(f"{name} must hold one row at least that counts, got none")
        return self.value


@dataclass(frozen=True)
class Mean:
    """An exact sum and how many values it holds."""

    total: ExactSum
    count: int

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.count + other.count)


def _binned(confidences: Array, correct: Array, how: Binning) -> tuple[Array, Array, tuple[ExactSum, ...]]:
    """Events, those that happened and the sum of the confidences of each bin."""
    confidences = _bins.clipped(confidences, how.rule)
    index, lower, _ = _bins.assign(confidences, *how)
    counts, hits = (np.bincount(each, minlength=len(lower)) for each in (index, index[correct]))
    parts = np.split(confidences[np.argsort(index, kind="stable")], np.cumsum(counts)[:-1])
    return counts, hits, tuple(map(ExactSum.of, parts))
