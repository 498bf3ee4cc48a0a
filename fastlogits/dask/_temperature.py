"""One temperature for all rows of a dask array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common.exact import ExactSum
from fastlogits.calibration import TemperatureFit, _figures, _intake, _temperature
from fastlogits.dask import _blocks
from fastlogits.dask._calibration import nothing
from fastlogits.dask._calibration_sums import Binning, Part, Sums

COLUMNS = (_temperature.AT_ONE, _core.MIDDLE)  # where the calibration error may be wanted
HOW = Binning(15, "uniform", "netcal")


@dataclass(frozen=True)
class Totals:
    """What rows say at eight inverse temperatures: sums of losses and slopes, and bins at two of them."""

    betas: NDArray[np.float64]
    losses: tuple[ExactSum, ...]
    slopes: ExactSum
    bins: Sums
    count: int
    flat: bool
    like_probabilities: bool

    def __add__(self, other: Totals) -> Totals:
        losses = tuple(a + b for a, b in zip(self.losses, other.losses, strict=True))
        sums = self.slopes + other.slopes, self.bins + other.bins
        both = self.flat and other.flat, self.like_probabilities and other.like_probabilities
        return Totals(self.betas, losses, *sums, self.count + other.count, *both)

    def loss(self, k: int) -> float:
        """Mean loss at b_k."""
        return self.losses[k].over(1) / self.count

    def slope(self) -> float:
        """Derivative of the mean loss at `_core.MIDDLE`."""
        return self.slopes.over(1) / self.count

    def error(self, k: int) -> float:
        """The expected calibration error at b_k."""
        return _figures.error_of([self.bins.curves(HOW, 0.95)[COLUMNS.index(k)]], "l1")


def fit_temperature(
    logits: Any,
    targets: Any,
    *,
    from_logits: bool | None = None,
    bounds: tuple[float, float] = _temperature.BOUNDS,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> TemperatureFit:
    """Temperature scaling: `fastlogits.fit_temperature`, chunk by chunk, at once.

    Each of the usually 3 to 5 reads decides on the next, so this is computed when called, on the scheduler that dask is
    set to. Logits that fit into the memory of the cluster are worth a ``logits.persist()`` before.

    Parameters
    ----------
    logits : dask array [..., V] or [...]
        float32, float16, bfloat16 or float64; one per target is the logit of a single event.
    targets : dask array or array_like of int or bool [...]
        The true token of each row, or whether the event happened.
    from_logits, bounds, ignore_index
        As in `fastlogits.fit_temperature`.
    threads : int >= 0, optional
        Threads within each chunk, in addition to those that dask runs.

    Returns
    -------
    TemperatureFit
        Equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.fit_temperature`, by the row of the whole.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> logits = da.from_array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], chunks=(3, 2))
    >>> round(fd.fit_temperature(logits, [0, 1, 1, 0]).temperature, 4)
    3.641
    """
    x = _blocks.rows_of("logits", logits, 0)
    classes = _intake.are_classes("logits", x, targets)
    x = _blocks.rows_of("logits", x, int(classes))
    wide, narrow = ({"logits": x}, {}) if classes else ({}, {"logits": x})
    limits = _temperature.limits(bounds)
    _inputs.thread_count(threads)

    def reader(step: float, power: int) -> Totals:
        chunk = partial(_part, (step, power), (from_logits, ignore_index, threads))
        parts = _blocks.Call(chunk, x.ndim - classes, wide, {**narrow, "targets": targets}).blocks()
        found: Totals = _blocks.delayed(_blocks.total(parts)).compute().some("logits")
        if found.like_probabilities:
            _intake.refuse_probabilities(classes)
        return found

    return _temperature.fit(reader, limits)


def _part(betas: tuple[float, int], how: tuple[bool | None, int | None, int | None], logits: Any, targets: Any) -> Part:
    """What the rows of a chunk add; how: from_logits, ignore_index and threads."""
    from_logits, ignore, threads = how
    if nothing(targets, ignore):
        return Part()
    classes = _intake.are_classes("logits", logits, targets)
    x, ids = _intake.fitted(logits, targets, from_logits is None or from_logits, ignore)
    like = from_logits is None and _intake.look_like_probabilities(x, ids, classes)
    seen = _temperature.read(x, ids, classes, *betas, threads)
    losses = tuple(ExactSum.of(seen.losses(k)) for k in range(_core.TEMPERATURES))
    bins = Sums.of([seen.column(k) for k in COLUMNS], HOW)
    return Part(Totals(seen.betas, losses, ExactSum.of(seen.means + seen.gaps), bins, seen.count, seen.flat, like))
