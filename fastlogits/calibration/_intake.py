"""What is predicted beside what came true: confidences, probabilities or logits, checked and reduced to two columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits import _bfloat16 as half
from fastlogits import _core, _inputs, _temperatures
from fastlogits import _params as params
from fastlogits._errors import row_name

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

SUM_TOLERANCE = 0.02  # of a row of probabilities: 128,000 of them in half precision stay within it


def logits(predictions: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """Logits [..., V] and their targets [rows], -1 where ignored; one row at least takes part."""
    x = _temperatures.logits_of(predictions, "predictions")
    ids = _temperatures.target_array("targets", targets, x.shape[:-1], x.shape[-1], ignore_index)
    return x, some(ids)


def some(ids: Ids) -> Ids:
    """The targets, refused if none takes part."""
    if not (ids >= 0).any():
        raise ValueError(f"targets must name a class for one row at least, got {ids.size} rows, all of them ignored")
    return ids


def are_classes(predictions: Any, targets: Any) -> bool:
    """Whether predictions have one axis more than targets: probabilities of classes, not confidences."""
    given, truth = _inputs.plain_array("predictions", predictions).ndim, _inputs.plain_array("targets", targets).ndim
    if given not in (truth, truth + 1):
        raise ValueError(f"predictions must have as many axes as targets or one more, got {given} and {truth}")
    return bool(given == truth + 1)


def confidences(predictions: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Flags]:
    """Confidences in [0, 1] of events, and whether these came true, both [M]; float32 or float64."""
    given = floats(predictions)
    truth = _inputs.plain_array("targets", targets)
    if truth.shape != given.shape:
        raise ValueError(f"targets must have the shape {given.shape} of predictions, got {truth.shape}")
    given, truth = given.reshape(-1), truth.reshape(-1)
    if ignore_index is not None:
        given, truth = given[truth != ignore_index], truth[truth != ignore_index]
    wrong = np.flatnonzero((truth != 0) & (truth != 1))
    if wrong.size:
        raise ValueError(f"targets must be 0 or 1 beside confidences, got {params.shown(truth[wrong[0]])}")
    if not given.size:
        raise ValueError("predictions must hold one value at least, got none that counts")
    return given, truth.astype(np.bool_)


def floats(predictions: Any) -> Array:
    """Values in [0, 1] as float32 or float64 of any shape."""
    given = np.atleast_1d(np.asarray(predictions)) if np.ndim(predictions) == 0 else predictions
    x = _inputs.logits_array("predictions", given)
    if _core.dtype_code(x) in (_core.F16, _core.BF16):
        x = half.widened(x) if x.dtype == _core.BFLOAT16_BITS else x.astype(np.float32)
    outside = ~((x >= 0) & (x <= 1))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        where = row_name("predictions", int(np.ravel_multi_index(at, x.shape)), x.shape)
        raise ValueError(f"{where}: {params.shown(x[at])} must be in [0, 1] (logits need from_logits=True)")
    return x


def probabilities(predictions: Any, targets: Any, ignore_index: int | None) -> tuple[Array, Ids]:
    """Rows [R, C] that sum to 1 and their classes [R], those that take part."""
    p = floats(predictions)
    ids = some(_temperatures.target_array("targets", targets, p.shape[:-1], p.shape[-1], ignore_index))
    flat = p.reshape(-1, p.shape[-1])
    sums = flat.sum(-1, dtype=np.float64)
    off = np.flatnonzero(~(np.abs(sums - 1) <= SUM_TOLERANCE))
    if off.size:
        where = row_name("predictions", int(off[0]), p.shape[:-1])
        raise ValueError(f"{where} must sum to 1, got {sums[off[0]]:g} (logits need from_logits=True)")
    return flat[ids >= 0], ids[ids >= 0]


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
        x, ids = logits(predictions, targets, ignore_index)
        seen = _temperatures.read("predictions", x, ids, 1.0 / t, 1, 1, threads)
        return np.exp(-seen.tails[:, 0]), seen.correct
    if not are_classes(predictions, targets):
        return confidences(predictions, targets, ignore_index)
    p, ids = probabilities(predictions, targets, ignore_index)
    return p.max(-1), p.argmax(-1) == ids


def mean(values: Floats) -> float:
    """Mean by exact summation: the same for any order."""
    return math.fsum(values.tolist()) / len(values)
