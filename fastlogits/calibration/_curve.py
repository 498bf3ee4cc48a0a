"""The reliability curve: bins of events with their confidence and accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits._common.plain import to_dict
from fastlogits.calibration import _bins

Floats = NDArray[np.float64]


class ReliabilityCurve(NamedTuple):
    """One entry per bin: its edges, how many events it holds, confidence and accuracy; all [bins].

    Attributes
    ----------
    lower, upper : float64 array
        Edges. Under the rule "torchmetrics" the last bin is the point 1.
    counts : int64 array
        Events in the bin.
    confidences, accuracies : float64 array
        Mean confidence and accuracy; NaN for an empty bin.
    low, high : float64 array
        Wilson's score interval of the accuracy at the level asked for; NaN for an empty bin.

    Examples
    --------
    >>> import fastlogits as fl
    >>> curve = fl.reliability_curve([0.2, 0.9, 0.8], [0, 1, 1], bins=2)
    >>> curve.counts, curve.accuracies
    (array([1, 2]), array([0., 1.]))
    """

    lower: Floats
    upper: Floats
    counts: NDArray[np.int64]
    confidences: Floats
    accuracies: Floats
    low: Floats
    high: Floats

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


def curve_from(confidences: Any, correct: Any, bins: int, strategy: str, rule: str, level: float) -> ReliabilityCurve:
    """The curve of two columns; the rule "sklearn" drops empty bins."""
    confidences = _bins.clipped(confidences, rule)
    index, lower, upper = _bins.assign(confidences, bins, strategy, rule)
    counts, promised = _bins.binned_means(index, len(lower), confidences)
    _, kept = _bins.binned_means(index, len(lower), correct)
    return curve_of(Bins(lower, upper, counts, promised, kept), rule, level)


class Bins(NamedTuple):
    """Edges of bins, their events, and the mean confidence and accuracy of these."""

    lower: Floats
    upper: Floats
    counts: NDArray[np.int64]
    promised: Floats
    kept: Floats


def curve_of(bins: Bins, rule: str, level: float) -> ReliabilityCurve:
    """The curve of bins that are counted."""
    curve = ReliabilityCurve(*bins, *_bins.wilson(bins.kept, bins.counts, level))
    return ReliabilityCurve._make(part[bins.counts > 0] for part in curve) if rule == "sklearn" else curve
