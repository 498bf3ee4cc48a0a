"""Bins of confidences under the edge rules of torchmetrics, scikit-learn and netcal."""

from __future__ import annotations

import math
import operator
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import params

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

RULES = ("netcal", "torchmetrics", "sklearn")
STRATEGIES = ("uniform", "quantile")
NORMS = ("l1", "l2", "max")


def word(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the words ``allowed``."""
    chosen = params.choice(name, value, allowed)
    if not isinstance(chosen, str):
        raise TypeError(f"{name} must be one word, got {value!r}")
    return chosen


def bin_count(bins: Any) -> int:
    """A checked number of bins."""
    try:
        count = operator.index(bins)
    except TypeError:
        raise TypeError(f"bins must be an integer >= 1, got {bins!r}") from None
    if isinstance(bins, bool) or count < 1:
        raise ValueError(f"bins must be an integer >= 1, got {bins}")
    if count >= 2**31:
        raise ValueError(f"bins must be an integer in [1, 2^31), got {bins}")
    return count


def fraction(name: str, value: Any) -> float:
    """A number strictly between 0 and 1."""
    number = params.number(name, value, 0.0, 1.0, off=0.95)
    if isinstance(number, tuple) or not 0 < number < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(number)


def assign(confidences: Array, bins: int, strategy: str, rule: str) -> tuple[Ids, Floats, Floats]:
    """The bin of each confidence, and the lower and upper edges of all bins.

    Edges are equally spaced (uniform) or quantiles of the confidences, by linear interpolation. torchmetrics: [low,
    high), and a confidence of 1 lies in its own further bin; edges in the type of the confidences. sklearn: (low,
    high] on the inner edges, percentiles in the type of the confidences. netcal: [low, high), the last bin closed.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    if strategy == "quantile" and rule == "sklearn":
        edges = np.percentile(confidences, edges * 100).astype(np.float64)  # 100 q / 100 is not q
    elif strategy == "quantile":
        edges = np.quantile(confidences.astype(np.float64), edges)
        edges[0], edges[-1] = 0.0, 1.0
    if rule == "torchmetrics":
        own = spaced(bins, confidences.dtype) if strategy == "uniform" else edges.astype(confidences.dtype)
        index = np.searchsorted(own, confidences, side="right") - 1
        return index, np.append(edges[:-1], 1.0), np.append(edges[1:], 1.0)
    if rule == "sklearn":
        return np.searchsorted(edges[1:-1], confidences, side="left"), edges[:-1], edges[1:]
    index = np.searchsorted(edges, confidences, side="right") - 1
    return np.minimum(index, bins - 1), edges[:-1], edges[1:]


def spaced(bins: int, dtype: np.dtype[Any]) -> Array:
    """Edges k / bins as torch.linspace rounds them: in steps from 0 in the lower half, from 1 in the upper one."""
    step, k = dtype.type(1) / dtype.type(bins), np.arange(bins + 1, dtype=dtype)
    edges: Array = np.where(k < (bins + 1) // 2, k * step, 1 - (bins - k) * step).astype(dtype)
    return edges


def clipped(confidences: Array, rule: str) -> Array:
    """The confidences as the rule counts them: netcal holds them eps = 2^-52 off 0 and 1."""
    if rule != "netcal":
        return confidences
    eps = float(np.finfo(np.float64).eps)
    return np.clip(confidences.astype(np.float64), eps, 1.0 - eps)


def binned_means(index: Ids, bins: int, values: Array) -> tuple[Ids, Floats]:
    """How many values each bin holds, and their mean by exact summation, NaN for an empty bin."""
    counts = np.bincount(index, minlength=bins)
    order = np.argsort(index, kind="stable")
    parts = np.split(values[order].astype(np.float64), np.cumsum(counts)[:-1])
    means = [math.fsum(part.tolist()) / len(part) if len(part) else math.nan for part in parts]
    return counts, np.array(means)


def wilson(share: Floats, counts: Ids, level: float) -> tuple[Floats, Floats]:
    """Wilson's score interval (1927) of a share of successes among ``counts`` trials; NaN without trials."""
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = z * z / counts
        centre = (share + weight / 2) / (1 + weight)
        radius = z * np.sqrt(share * (1 - share) / counts + weight / (4 * counts)) / (1 + weight)
    return np.maximum(centre - radius, 0.0), np.minimum(centre + radius, 1.0)


def norm_of(gaps: Floats, counts: Ids, norm: str) -> float:
    """Gaps |accuracy - confidence| of the bins, weighted by their share of the counts, as one figure."""
    full = counts > 0
    gaps, share = gaps[full], counts[full] / counts.sum()
    if norm == "max":
        return float(gaps.max())
    if norm == "l2":
        return math.sqrt(math.fsum((share * gaps * gaps).tolist()))
    return math.fsum((share * gaps).tolist())


def expected_error(confidences: Array, correct: Array) -> float:
    """The expected calibration error of the fits: l1, 15 bins of equal width, rule "netcal"."""
    confidences = clipped(confidences, "netcal")
    index, lower, _ = assign(confidences, 15, "uniform", "netcal")
    counts, promised = binned_means(index, len(lower), confidences)
    _, kept = binned_means(index, len(lower), correct)
    return norm_of(np.abs(kept - promised), counts, "l1")
