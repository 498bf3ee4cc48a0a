"""Reliability curves as pictures take them: one, or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits.calibration import ReliabilityCurve


def named(curves: Any, argument: str = "curves") -> dict[str, ReliabilityCurve]:
    """The curves by name, checked; a single one is named ""."""
    found = {"": curves} if isinstance(curves, ReliabilityCurve) else curves
    if not isinstance(found, Mapping):
        raise TypeError(f"{argument} must be a ReliabilityCurve or a mapping of them, got {type(curves).__name__}")
    if not found:
        raise ValueError(f"{argument} must hold one curve at least, got none")
    for name, curve in found.items():
        if not isinstance(name, str) or not isinstance(curve, ReliabilityCurve):
            raise TypeError(
                f"{argument} must map a str to a ReliabilityCurve, got {type(name).__name__}: {type(curve).__name__}"
            )
        if not np.sum(curve.counts):
            raise ValueError(f"{argument}: the curve {name!r} holds no event")
    return dict(found)


def shares(curve: ReliabilityCurve) -> NDArray[np.float64]:
    """The share of the events that each bin holds."""
    counts: NDArray[np.float64] = np.asarray(curve.counts, np.float64)
    shares: NDArray[np.float64] = np.divide(counts, counts.sum())
    return shares


def ece(curve: ReliabilityCurve) -> float:
    """Expected calibration error of the curve's own bins."""
    off = np.abs(np.asarray(curve.accuracies) - np.asarray(curve.confidences))
    return float(np.sum(shares(curve)[curve.counts > 0] * off[curve.counts > 0]))


def label(name: str, curve: ReliabilityCurve) -> str:
    """What a legend says: the name and the error."""
    return f"{name} (ECE {ece(curve):.3f})" if name else f"ECE {ece(curve):.3f}"
