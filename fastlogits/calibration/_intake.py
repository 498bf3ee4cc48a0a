"""Predictions and outcomes: confidences, probabilities or logits, checked and reduced to two columns."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.errors import row_name

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

SUM_TOLERANCE = 0.02  # of a row of probabilities: 128,000 of them in half precision stay within it
LOOKS_LIKE_ONE = 1e-3  # rows of logits whose sums are so near to 1 are taken for probabilities
CHUNK = 1 << 20  # values held in float64 at a time


def logits(name: str, given: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """Logits [..., V] and their targets [rows], -1 where ignored; one row at least takes part.

    Logits as many as targets are those of single events: they become rows of two, the first one 0.
    """
    if are_classes(name, given, targets):
        x = _temperatures.logits_of(given, name)
        ids = _temperatures.target_array("targets", targets, x.shape[:-1], x.shape[-1], ignore_index)
        return x, some(ids)
    z = _inputs.logits_array(name, np.atleast_1d(np.asarray(given)) if np.ndim(given) == 0 else given)
    truth = event_targets(z.shape, targets, ignore_index)
    ignored = np.zeros(z.shape, np.bool_) if ignore_index is None else truth == ignore_index
    return np.stack([np.zeros_like(z), z], -1), some(np.where(ignored, -1, truth).astype(np.int64).reshape(-1))


def logits_of_probabilities(name: str, given: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """Logarithms of probabilities as `logits` returns logits; float32, or float64 of float64."""
    p = floats(given, name)
    if are_classes(name, given, targets):
        ids = some(_temperatures.target_array("targets", targets, p.shape[:-1], p.shape[-1], ignore_index))
        check_sums(p, name)
        return logarithms(p.astype(np.float64), p.dtype), ids
    ids = logits(name, given, targets, ignore_index)[1]
    return logarithms(np.stack([1.0 - p.astype(np.float64), p], -1), p.dtype), ids


def logarithms(p: Floats, dtype: Any) -> Array:
    """Natural logarithms, which take the place of ``p`` before they are rounded to ``dtype``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(p, out=p).astype(dtype, copy=False)


def fitted(given: Any, targets: Any, from_logits: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """What a fit works on: logits and targets; None refuses logits that look like probabilities."""
    if from_logits is not None and not from_logits:
        return logits_of_probabilities("logits", given, targets, ignore_index)
    x, ids = logits("logits", given, targets, ignore_index)
    classes = are_classes("logits", given, targets)
    if from_logits is None and look_like_probabilities(x, ids, classes):
        refuse_probabilities(classes)
    return x, ids


def refuse_probabilities(classes: bool) -> NoReturn:
    """Names both ways out."""
    got = "rows without a negative value that all sum to 1" if classes else "values in [0, 1]"
    raise ValueError(
        f"logits must not look like probabilities, got {got}: pass from_logits=False if they are probabilities, "
        "from_logits=True if they are logits"
    )


def look_like_probabilities(x: Array, ids: Ids, classes: bool = True) -> bool:
    """Whether every row that takes part could be probabilities; rows of logits are mostly told by the first one.

    Of events it is their own logit, the second of two, that must lie in [0, 1].
    """
    flat, rows = x.reshape(-1, x.shape[-1]), np.flatnonzero(ids >= 0)
    size, begin = 1, 0
    while begin < len(rows):
        part = half.wide(flat[rows[begin : begin + size]])
        if not classes:
            part[:, 0] = 1 - part[:, 1]
        if not ((part >= 0).all() and (np.abs(part.sum(-1) - 1) <= LOOKS_LIKE_ONE).all()):
            return False
        begin, size = begin + size, max(1, CHUNK // flat.shape[1])
    return True


def some(ids: Ids) -> Ids:
    """The targets, refused if none takes part."""
    if not (ids >= 0).any():
        raise ValueError(f"targets must name a class for one row at least, got {ids.size} rows, all of them ignored")
    return ids


def are_classes(name: str, given: Any, targets: Any) -> bool:
    """Whether predictions have one axis more than targets: they are those of classes, not of single events."""
    # Arrays that know their axes, those of dask among them, are not read.
    axes, truth = (
        each.ndim if hasattr(each, "ndim") else _inputs.plain_array(label, each).ndim
        for label, each in ((name, given), ("targets", targets))
    )
    if axes not in (truth, truth + 1):
        raise ValueError(f"{name} must have as many axes as targets or one more, got {axes} and {truth}")
    return bool(axes == truth + 1)


def event_targets(shape: tuple[int, ...], targets: Any, ignore_index: int | None) -> Array:
    """0 or 1 for each event, or ``ignore_index``."""
    truth = np.atleast_1d(_inputs.plain_array("targets", targets))
    if truth.shape != shape:
        raise ValueError(f"targets must have the shape {shape} of predictions, got {truth.shape}")
    wrong = truth[(truth != 0) & (truth != 1) & (True if ignore_index is None else truth != ignore_index)]
    if wrong.size:
        raise ValueError(f"targets must be 0 or 1 for confidences, got {params.shown(wrong[0])}")
    return truth


def confidences(predictions: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Flags]:
    """Confidences in [0, 1] of events, and whether these happened, both [M]; float32 or float64."""
    given = floats(predictions)
    truth = event_targets(given.shape, targets, ignore_index).reshape(-1)
    given = given.reshape(-1)
    if ignore_index is not None:
        given, truth = given[truth != ignore_index], truth[truth != ignore_index]
    if not given.size:
        raise ValueError("predictions must hold one value at least, got none that counts")
    return given, truth.astype(np.bool_)


def floats(predictions: Any, name: str = "predictions") -> Array:
    """Values in [0, 1] as float32 or float64 of any shape."""
    given = np.atleast_1d(np.asarray(predictions)) if np.ndim(predictions) == 0 else predictions
    x = _inputs.logits_array(name, given)
    if _core.dtype_code(x) in (_core.F16, _core.BF16):
        x = half.widened(x) if x.dtype == _core.BFLOAT16_BITS else x.astype(np.float32)
    outside = ~((x >= 0) & (x <= 1))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        where = row_name(name, int(np.ravel_multi_index(at, x.shape)), x.shape)
        raise ValueError(f"{where}: {params.shown(x[at])} must be in [0, 1] (logits need from_logits=True)")
    return x


def probabilities(predictions: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """Rows [R, C] that sum to 1 and their classes [R], those that take part."""
    p = floats(predictions)
    ids = some(_temperatures.target_array("targets", targets, p.shape[:-1], p.shape[-1], ignore_index))
    check_sums(p, "predictions")
    return p.reshape(-1, p.shape[-1])[ids >= 0], ids[ids >= 0]


def check_sums(p: Array, name: str) -> None:
    """Refuses rows [..., C] that do not sum to 1."""
    sums = p.reshape(-1, p.shape[-1]).sum(-1, dtype=np.float64)
    off = np.flatnonzero(~(np.abs(sums - 1) <= SUM_TOLERANCE))
    if off.size:
        where = row_name(name, int(off[0]), p.shape[:-1])
        raise ValueError(f"{where} must sum to 1, got {sums[off[0]]:g} (logits need from_logits=True)")


def temperature_of(temperature: Any, from_logits: bool) -> float:
    """A checked temperature; only logits have one."""
    t = params.number("temperature", temperature, 0.0, off=1.0, open_low=True)
    if isinstance(t, tuple):
        raise TypeError("temperature must be one number for all rows")
    if t != 1.0 and not from_logits:
        raise ValueError(f"temperature needs from_logits=True, got {params.shown(t)}")
    return float(t)


def columns(
    predictions: Any, targets: Any, from_logits: bool, temperature: Any, ignore_index: int | None, threads: Any
) -> tuple[Array, Flags]:
    """Confidence and truth of each event [M]: of the top class where there are classes (its first maximum)."""
    t = temperature_of(temperature, from_logits)
    if from_logits:
        x, ids = logits("predictions", predictions, targets, ignore_index)
        seen = _temperatures.read("predictions", x, ids, (1.0 / t, 1, 1), threads)
        return seen.column(0, are_classes("predictions", predictions, targets))
    if not are_classes("predictions", predictions, targets):
        return confidences(predictions, targets, ignore_index)
    p, ids = probabilities(predictions, targets, ignore_index)
    return p.max(-1), p.argmax(-1) == ids


def mean(values: Floats) -> float:
    """Mean by exact summation: the same for any order."""
    return _temperatures.mean(values)
