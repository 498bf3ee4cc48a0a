"""Calibration error, reliability curve, Brier score and negative log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits import arrays
from fastlogits._common import intake as _temperatures
from fastlogits.calibration import _bins, _intake
from fastlogits.calibration._curve import ReliabilityCurve, curve_from

Floats = NDArray[np.float64]


def reliability_curve(
    predictions: Any,
    targets: Any,
    *,
    bins: int = 15,
    strategy: str = "uniform",
    rule: str = "netcal",
    level: float = 0.95,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> ReliabilityCurve:
    """Confidence against accuracy, bin by bin, with a confidence interval: the reliability diagram as numbers.

    Parameters
    ----------
    predictions, targets, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.
    bins, strategy, rule
        As in `calibration_error`. The rule "sklearn" leaves empty bins out, as `sklearn.calibration.calibration_curve`.
    level : float in (0, 1), default 0.95
        Of Wilson's score interval (Wilson, 1927) around the accuracy of each bin.

    Returns
    -------
    ReliabilityCurve
        ``lower, upper, counts, confidences, accuracies, low, high``, each [bins].

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`; a level out of range.

    Examples
    --------
    >>> import fastlogits as fl
    >>> y, p = [0, 0, 0, 0, 1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8, 0.9, 1.0]
    >>> curve = fl.reliability_curve(p, y, bins=3, rule="sklearn")
    >>> curve.accuracies, curve.confidences.round(3)
    (array([0. , 0.5, 1. ]), array([0.2  , 0.525, 0.85 ]))
    >>> curve.low.round(2), curve.high.round(2)
    (array([0.  , 0.09, 0.51]), array([0.56, 0.91, 1.  ]))
    """
    count, how, edges = _bins.bin_count(bins), *binning(strategy, rule)
    level = _bins.fraction("level", level)
    columns = _intake.columns(predictions, targets, from_logits, temperature, ignore_index, threads)
    return curve_from(*columns, count, how, edges, level)


def binning(strategy: Any, rule: Any) -> tuple[str, str]:
    """Checked words."""
    return _bins.word("strategy", strategy, _bins.STRATEGIES), _bins.word("rule", rule, _bins.RULES)


def calibration_error(
    predictions: Any,
    targets: Any,
    *,
    norm: str = "l1",
    bins: int = 15,
    strategy: str = "uniform",
    rule: str = "netcal",
    per_class: bool = False,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> float:
    """Expected, maximum or adaptive calibration error: how far accuracy and confidence lie apart, over bins.

    Parameters
    ----------
    predictions : array_like [...], [..., C] or [..., V]
        Confidences in [0, 1] of single events; or probabilities of C classes, where the event is that the first
        most probable class is right (top-label); or, with ``from_logits``, logits of V tokens, read once in place, or
        one logit z per single event, whose confidence is 1 / (1 + exp(-z / T)).
    targets : array_like [...]
        For single events: 1 or True where the event happened, else 0. For classes and tokens: integer ids.
    norm : {"l1", "l2", "max"}, default "l1"
        With d_b = |accuracy - mean confidence| of bin b and w_b its share of the events: sum w_b d_b, the expected
        calibration error (ECE; Naeini et al., 2015; Guo et al., 2017); sqrt(sum w_b d_b^2); or max d_b, the maximum
        calibration error (MCE).
    bins : int >= 1, default 15
        How many.
    strategy : {"uniform", "quantile"}, default "uniform"
        Bins of equal width, or of equal mass, at the quantiles of the confidences: the adaptive calibration error
        (ACE; Nixon et al., 2019).
    rule : {"netcal", "torchmetrics", "sklearn"}, default "netcal"
        What happens at the edges. "torchmetrics": bins [low, high), and a confidence of 1 has a further bin of its
        own. "sklearn": bins (low, high]. "netcal": bins [low, high), the last one closed, confidences held 2^-52 off
        0 and 1.
    per_class : bool, default False
        With classes: the mean over the classes c of the error of "the class is c" with confidence p_c (static
        calibration error; Nixon et al., 2019) instead of the top label's. Logits are then turned into a matrix of
        probabilities.
    from_logits : bool, default False
        Whether ``predictions`` are logits.
    temperature : float > 0, default 1.0
        T of the logits.
    ignore_index : int, optional
        Rows with this target do not take part.
    threads : int >= 0, optional
        Threads that share the rows of logits; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    float
        In [0, 1]; sums are exact, so the order of the rows does not matter.

    Raises
    ------
    ValueError
        A confidence outside [0, 1]; a row that does not sum to 1; a target or word out of range; shapes that do not
        match; a row of logits with NaN or +inf; no row that takes part.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> round(fl.calibration_error([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1], bins=2, rule="torchmetrics"), 4)
    0.29
    >>> logits = [[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    >>> round(fl.calibration_error(logits, [0, 1, 1], from_logits=True, norm="max"), 3)
    0.881
    """
    norm = _bins.word("norm", norm, _bins.NORMS)
    count, how, edges = _bins.bin_count(bins), *binning(strategy, rule)
    columns: list[Any]
    if per_class:
        columns = class_columns(predictions, targets, from_logits, temperature, ignore_index, threads)
    else:
        columns = [_intake.columns(predictions, targets, from_logits, temperature, ignore_index, threads)]
    return error_of([curve_from(column[0], column[1], count, how, edges, 0.95) for column in columns], norm)


def error_of(curves: list[ReliabilityCurve], norm: str) -> float:
    """The mean of the errors of one curve per class."""
    gaps = ((np.abs(curve.accuracies - curve.confidences), curve.counts) for curve in curves)
    return _intake.mean(np.array([_bins.norm_of(gap, counts, norm) for gap, counts in gaps]))


def class_columns(predictions: Any, targets: Any, from_logits: bool, t: Any, ignore: Any, threads: Any) -> list[Any]:
    """Confidence and truth of each class."""
    t = _intake.temperature_of(t, from_logits)
    if not _intake.are_classes("predictions", predictions, targets):
        raise ValueError("per_class needs probabilities [..., C] or logits [..., C], got one number per target")
    if from_logits:
        x, ids = _intake.logits("predictions", predictions, targets, ignore)
        _temperatures.read("predictions", x, ids, (1.0 / t, 1, 1), threads)  # names a bad row
        p = arrays.softmax(x, temperature=t, dtype=np.float64, threads=threads).reshape(-1, x.shape[-1])
        p, ids = p[ids >= 0], ids[ids >= 0]
    else:
        p, ids = _intake.probabilities(predictions, targets, ignore)
    return [(p[:, c], ids == c) for c in range(p.shape[1])]


def brier_score(
    predictions: Any,
    targets: Any,
    *,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> float:
    """Brier score: the mean squared distance between probabilities and outcomes.

    Parameters
    ----------
    predictions, targets, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.

    Returns
    -------
    float
        For confidences p of single events y: mean (p - y)^2, in [0, 1]. For classes and tokens: mean over rows
        of sum_c (p_c - [c is the target])^2, in [0, 2] (Brier, 1950). Logits are read once.

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> round(fl.brier_score([0.9, 0.2], [1, 0]), 3)
    0.025
    >>> round(fl.brier_score([[0.1, 0.9], [0.8, 0.2]], [1, 0]), 3)
    0.05
    """
    return _intake.mean(squares(predictions, targets, from_logits, temperature, ignore_index, threads))


def squares(
    predictions: Any, targets: Any, from_logits: bool, temperature: Any, ignore_index: int | None, threads: Any
) -> Floats:
    """Squared distance of each row that takes part."""
    t = _intake.temperature_of(temperature, from_logits)
    classes = _intake.are_classes("predictions", predictions, targets)
    if from_logits:
        x, ids = _intake.logits("predictions", predictions, targets, ignore_index)
        seen = _temperatures.read("predictions", x, ids, (1.0 / t, 1, 2), threads)
        distances = squared_distances(seen) if classes else np.expm1(-seen.losses(0)) ** 2
    elif not classes:
        p, y = _intake.confidences(predictions, targets, ignore_index)
        distances = (p.astype(np.float64) - y) ** 2
    else:
        p, ids = _intake.probabilities(predictions, targets, ignore_index)
        off = np.array(p, np.float64, order="C")  # the sum of a row depends on the strides
        off[np.arange(len(ids)), ids] -= 1
        distances = (off * off).sum(-1)
    return distances


def squared_distances(seen: _temperatures.Reading) -> Floats:
    """Sum (p - y)^2 of each row of a reading whose second inverse temperature is twice its first."""
    # sum of p^2 = logsumexp at 2 / T less twice that at 1 / T, and sum (p - y)^2 = sum p^2 - p_y^2 + (1 - p_y)^2
    total, own = np.exp(seen.tails[:, 1] - 2 * seen.tails[:, 0]), np.exp(-seen.losses(0))
    missing = -np.expm1(-seen.losses(0))
    distances: Floats = np.maximum(total - own * own, 0.0) + missing * missing
    return distances


def negative_log_likelihood(
    predictions: Any,
    targets: Any,
    *,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> float:
    """Mean of -ln p(target): cross-entropy in nats, the log of the perplexity.

    Parameters
    ----------
    predictions, targets, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.

    Returns
    -------
    float
        >= 0; inf where something happened that had probability 0.

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> round(fl.negative_log_likelihood([0.9, 0.2], [1, 0]), 4)
    0.1643
    >>> round(fl.negative_log_likelihood([[2.0, 0.0], [0.0, 1.0]], [0, 1], from_logits=True), 4)
    0.2201
    """
    return _intake.mean(losses(predictions, targets, from_logits, temperature, ignore_index, threads))


def losses(
    predictions: Any, targets: Any, from_logits: bool, temperature: Any, ignore_index: int | None, threads: Any
) -> Floats:
    """-ln p(target) of each row that takes part."""
    t = _intake.temperature_of(temperature, from_logits)
    if from_logits:
        x, ids = _intake.logits("predictions", predictions, targets, ignore_index)
        return _temperatures.read("predictions", x, ids, (1.0 / t, 1, 1), threads).losses(0)
    if _intake.are_classes("predictions", predictions, targets):
        p, ids = _intake.probabilities(predictions, targets, ignore_index)
        chosen = p[np.arange(len(ids)), ids].astype(np.float64)
    else:
        p, y = _intake.confidences(predictions, targets, ignore_index)
        chosen = np.where(y, p.astype(np.float64), 1.0 - p.astype(np.float64))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(chosen))
