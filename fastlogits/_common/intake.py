"""Rows of logits read once for what they say at several inverse temperatures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import mismatch as _mismatch
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Fault, refuse_row, row_name

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def logits_of(logits: Any, name: str = "logits") -> NDArray[Any]:
    """Logits [..., V] with V >= 1."""
    x = _inputs.logits_array(name, logits)
    if x.shape[-1] == 0:
        raise ValueError(f"{name} must have at least one token per row, got shape {x.shape}")
    return x


def target_array(name: str, targets: Any, outer: tuple[int, ...], n: int, ignore_index: int | None = None) -> Ids:
    """One id in [0, n) per row, [rows]; -1 where it was ``ignore_index``."""
    given = _inputs.plain_array(name, targets)
    if given.size == 0 or (given.dtype.kind == "b" and n == 2):
        given = given.astype(np.int64)
    if given.dtype.kind not in "iu":
        if (large := _mismatch.beyond_64_bits(targets)) is not None:
            raise ValueError(f"{name} must hold ids in [0, {n}), got {large}")
        raise TypeError(f"{name} must be integers, got dtype {given.dtype}")
    if given.shape != outer:
        raise ValueError(f"{name} must have shape {outer}, one per row, got {given.shape}")
    if ignore_index is None or not 0 <= ignore_index < n:
        few = given.size < 9  # a call on one row takes no longer than it must
        if all(0 <= i < n for i in given.reshape(-1).tolist()) if few else given.min() >= 0 and given.max() < n:
            return given.astype(np.int64).reshape(-1)
    ignored = np.zeros(given.shape, np.bool_) if ignore_index is None else given == ignore_index
    outside = ~ignored & ((given < 0) | (given >= n))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ValueError(f"{row_name(name, row, outer)}: {given.reshape(-1)[row]} must be in [0, {n})")
    ids: Ids = np.where(ignored, -1, given).astype(np.int64).reshape(-1)
    return ids


@dataclass(frozen=True)
class Reading:
    """One read at the inverse temperatures b_k = (power + k) step of the rows that take part, R of them.

    ``tails[:, k]`` is logsumexp(b_k x) - b_k max(x) = -log p(top), ``gaps`` max(x) - x_target, ``means`` the mean of x
    under softmax(b_k x), k = `_core.MIDDLE`, less max(x).
    """

    betas: Floats
    rows: Ids
    tops: Ids
    targets: Ids
    tails: Floats
    gaps: Floats
    means: Floats

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the first maximum is the target, [R]."""
        right: NDArray[np.bool_] = self.tops == self.targets
        return right

    def column(self, k: int, classes: bool = True) -> tuple[Floats, NDArray[np.bool_]]:
        """Confidence and truth of each row at b_k: of the top token, or of the second of two, which is an event."""
        if classes:
            return np.exp(-self.tails[:, k]), self.correct
        truth, losses = self.targets == 1, self.losses(k)
        return np.where(truth, np.exp(-losses), -np.expm1(-losses)), truth

    def losses(self, k: int) -> Floats:
        """-log p(target) at b_k, [R]."""
        with np.errstate(invalid="ignore", over="ignore"):
            scores: Floats = self.tails[:, k] + np.where(self.gaps == 0, 0.0, self.gaps * self.betas[k])
        return scores

    def loss(self, k: int) -> float:
        """Mean of `losses`, exactly summed: the same for any order of the rows."""
        return mean(self.losses(k))

    @property
    def flat(self) -> bool:
        """Whether no loss changes around b_k, k = `_core.MIDDLE`: only equals of the target have probability there."""
        return not (self.means.any() or self.gaps.any())

    def slope(self) -> float:
        """Derivative of `loss` by the inverse temperature at k = `_core.MIDDLE`."""
        return mean(self.means + self.gaps)


def mean(values: Floats) -> float:
    """Mean, exactly summed; where the sum is too large for a double, of what is divided before."""
    try:
        return math.fsum(values.tolist()) / len(values)
    except OverflowError:
        return float(np.sum(values / len(values)))


class Tops(NamedTuple):
    """Of each row: the largest logit, its first id, and -log p(top) at one temperature, all [rows]."""

    logits: Floats
    ids: Ids
    tails: Floats


def tops(name: str, logits: Any, temperature: float, threads: int | None = None, first: int = 0) -> Tops:
    """Reads rows [..., V] once at one temperature; a bad one is a ValueError that names it, counting from ``first``."""
    task = _core.TemperaturesTask(logits, 1.0 / temperature, 1, 1)
    _run(task, name, logits, threads, first)
    return Tops(task.tops, task.ids, task.tails[:, 0])


def _run(task: _core.TemperaturesTask, name: str, logits: Any, threads: int | None, first: int = 0) -> None:
    """All rows of a task; the first bad one raises."""
    _threads.run_blocks(task.run, task.status.size, _inputs.thread_count(threads), logits.shape[-1])
    bad = np.flatnonzero(task.status)
    if bad.size:
        row, outer = int(bad[0]), logits.shape[:-1]
        if first:
            outer = (first + outer[0],)
        refuse_row(outer, first + row, Fault(int(task.status[row])), name)


def read(name: str, logits: Any, targets: Ids, betas: tuple[float, int, int], threads: int | None = None) -> Reading:
    """Reads the rows of ``logits`` whose target is not negative; a bad one is a ValueError that names it.

    ``betas`` are step, power and count: the inverse temperatures (power + k) step, k < count.
    """
    step, power, count = betas
    task = _core.TemperaturesTask(logits, step, power, count, targets)
    _run(task, name, logits, threads)
    rows = np.flatnonzero(targets >= 0)
    at = task.targets_at
    assert at is not None
    with np.errstate(over="ignore"):  # of two doubles near the largest: infinite, as of a target without a probability
        gaps = task.tops[rows] - at[rows]
    return Reading(
        (power + np.arange(count)) * np.float64(step),
        rows,
        task.ids[rows],
        targets[rows],
        task.tails[rows],
        gaps,
        task.means[rows],
    )
