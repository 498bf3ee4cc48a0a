"""Calibration error, reliability curve, Brier score and negative log-likelihood of dask arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits._common.exact import ExactSum
from fastlogits.calibration import ReliabilityCurve, _bins, _figures, _intake
from fastlogits.dask import _blocks
from fastlogits.dask._calibration_sums import Binning, Columns, Mean, Part, Sums

Array = NDArray[Any]


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
) -> Any:
    """Expected, maximum or adaptive calibration error: `fastlogits.calibration_error`, lazily.

    Parameters
    ----------
    predictions : dask array [...], [..., C] or [..., V]
        Confidences of single events, probabilities of classes or, with ``from_logits``, logits of either.
    targets : dask array or array_like [...]
        Outcomes.
    strategy : {"uniform", "quantile"}, default "uniform"
        Bins of equal width are sums, merged as a tree. The edges of bins of equal mass need all confidences at once:
        9 bytes per row (and class, with ``per_class``) come together on one worker.
    norm, bins, rule, per_class, from_logits, temperature, ignore_index
        As in `fastlogits.calibration_error`.
    threads : int >= 0, optional
        Threads within each chunk, in addition to those that dask runs.

    Returns
    -------
    dask array []
        float64, equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.calibration_error`: keywords and shapes at once, contents when computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> confidences = da.from_array([0.25, 0.25, 0.55, 0.75, 0.75], chunks=2)
    >>> fd.calibration_error(confidences, [0, 0, 1, 1, 1], bins=2, rule="torchmetrics").compute().round(4)
    np.float64(0.29)
    """
    norm = _bins.word("norm", norm, _bins.NORMS)
    how = _binning(bins, strategy, rule)
    columns = _figures.class_columns if per_class else _one_column
    chunk = partial(_binned_part, columns, how)
    parts = _parts(chunk, predictions, targets, _How(from_logits, temperature, ignore_index, threads))
    return _blocks.number(_blocks.total(parts), partial(_error, how, norm))


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
) -> Any:
    """Confidence against accuracy, bin by bin: `fastlogits.reliability_curve`, lazily.

    Parameters
    ----------
    predictions, targets, bins, strategy, rule, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.
    level : float in (0, 1), default 0.95
        Of Wilson's score interval around the accuracy of each bin.

    Returns
    -------
    Delayed
        Of a `fastlogits.ReliabilityCurve`, equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`; a level out of range.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.reliability_curve(da.from_array([0.2, 0.9, 0.8], chunks=1), [0, 1, 1], bins=2).compute().counts
    array([1, 2])
    """
    how = _binning(bins, strategy, rule)
    chunk = partial(_binned_part, _one_column, how)
    finish = partial(_curve, how, _bins.fraction("level", level))
    parts = _parts(chunk, predictions, targets, _How(from_logits, temperature, ignore_index, threads))
    return _blocks.delayed(_blocks.total(parts), finish)


def brier_score(
    predictions: Any,
    targets: Any,
    *,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> Any:
    """Brier score, the mean squared distance of probabilities to the outcomes: `fastlogits.brier_score`, lazily.

    Parameters
    ----------
    predictions, targets, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.

    Returns
    -------
    dask array []
        float64, equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.brier_score(da.from_array([0.9, 0.2], chunks=1), [1, 0]).compute().round(3)
    np.float64(0.025)
    """
    parts = _parts(
        partial(_mean_part, _figures.squares),
        predictions,
        targets,
        _How(from_logits, temperature, ignore_index, threads),
    )
    return _blocks.number(_blocks.total(parts), _mean)


def negative_log_likelihood(
    predictions: Any,
    targets: Any,
    *,
    from_logits: bool = False,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> Any:
    """Mean of -ln p(target), in nats: `fastlogits.negative_log_likelihood`, lazily.

    Parameters
    ----------
    predictions, targets, from_logits, temperature, ignore_index, threads
        As in `calibration_error`.

    Returns
    -------
    dask array []
        float64, equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `calibration_error`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> logits = da.from_array([[2.0, 0.0], [0.0, 1.0]], chunks=1)
    >>> fd.negative_log_likelihood(logits, [0, 1], from_logits=True).compute().round(4)
    np.float64(0.2201)
    """
    parts = _parts(
        partial(_mean_part, _figures.losses),
        predictions,
        targets,
        _How(from_logits, temperature, ignore_index, threads),
    )
    return _blocks.number(_blocks.total(parts), _mean)


def _binning(bins: Any, strategy: Any, rule: Any) -> Binning:
    """Checked words and number."""
    return Binning(_bins.bin_count(bins), *_figures.binning(strategy, rule))


class _How(NamedTuple):
    """How predictions are read: keywords that the figures of calibration have in common."""

    from_logits: bool
    temperature: Any
    ignore: Any
    threads: Any


def _parts(chunk: Callable[..., Part], predictions: Any, targets: Any, how: _How) -> Any:
    """What each chunk of rows adds."""
    given = _blocks.rows_of("predictions", predictions, 0)
    behind = int(_intake.are_classes("predictions", given, targets))
    given = _blocks.rows_of("predictions", given, behind)
    _intake.temperature_of(how.temperature, how.from_logits)
    _inputs.thread_count(how.threads)
    wide, narrow = ({"predictions": given}, {}) if behind else ({}, {"predictions": given})
    return _blocks.Call(
        partial(chunk, how), given.ndim - behind, wide, {**narrow, "targets": targets},
    ).blocks()  # fmt: skip


def _mean_part(rows: Callable[..., Array], how: _How, predictions: Any, targets: Any) -> Part:
    """The sum of the figure of each row that takes part."""
    if nothing(targets, how.ignore):
        return Part()
    values = rows(predictions, targets, *how)
    return Part(Mean(ExactSum.of(values), len(values)))


def _binned_part(
    columns: Callable[..., list[Any]], binning: Binning, how: _How, predictions: Any, targets: Any
) -> Part:
    """The bins of the events that take part, or the events."""
    if nothing(targets, how.ignore):
        return Part()
    found = columns(predictions, targets, *how)
    return Part(Sums.of(found, binning) if binning.strategy == "uniform" else Columns(tuple(found)))


def nothing(targets: Array, ignore: int | None) -> bool:
    """Whether no row of the chunk takes part."""
    return targets.size == 0 or (ignore is not None and bool((targets == ignore).all()))


def _one_column(*arguments: Any) -> list[Any]:
    """Confidence and truth of the events."""
    return [_intake.columns(*arguments)]


def _error(how: Binning, norm: str, part: Part) -> float:
    """The calibration error of all rows."""
    return _figures.error_of(part.some().curves(how, 0.95), norm)


def _curve(how: Binning, level: float, part: Part) -> ReliabilityCurve:
    """The curve of all rows."""
    (curve,) = part.some().curves(how, level)
    found: ReliabilityCurve = curve
    return found


def _mean(part: Part) -> float:
    """The mean over all rows, the sum rounded first as the plain functions do."""
    mean: Mean = part.some()
    return mean.total.over(1) / mean.count
