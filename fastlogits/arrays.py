"""Array functions: softmax, log_softmax, logsumexp, argmax and top_k along any axis of any array.

NaN, +inf and rows without a finite value behave as in scipy.special and NumPy; nothing raises on the contents.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import params
from fastlogits._common import threads as _threads
from fastlogits._common.plain import to_dict

__all__ = ["TopK", "argmax", "log_softmax", "logsumexp", "softmax", "top_k"]

Array = NDArray[Any]


class TopK(NamedTuple):
    """The k largest values of each row, of the input's type, and their int64 indices, both [..., k].

    Examples
    --------
    >>> import fastlogits as fl
    >>> values, indices = fl.top_k([0.5, 2.0, 1.0], 2)
    >>> indices
    array([1, 2])
    """

    values: Array
    indices: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


def softmax(
    x: Any, *, axis: int = -1, temperature: Any = 1.0, out: Any = None, dtype: Any = None, threads: int | None = None
) -> Any:
    """exp(x_i / T) / sum_j exp(x_j / T) along an axis.

    Parameters
    ----------
    x : array_like of at least one axis
        float32, float16, bfloat16, float64 or integers (taken as float64); any strides, read in place.
    axis : int, default -1
        The axis that sums to 1.
    temperature : float > 0, or array, default 1.0
        T; an array is broadcast against the shape of ``x`` without ``axis``.
    out : ndarray or torch CPU tensor, optional
        Receives the result and is returned; ``x`` itself, or apart from it.
    dtype : dtype, optional
        Of the result: float32, float16, bfloat16 or float64; that of ``x`` by default.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    ndarray
        Probabilities in the shape of ``x``. bfloat16 results are float32 where ml_dtypes is not installed.

    Raises
    ------
    ValueError
        A shape, an axis or a temperature out of range, an empty axis, an ``out`` that overlaps ``x`` in part.
    TypeError
        A dtype that is not supported.

    Notes
    -----
    At most 2 ulp off in float32, for any finite input and temperature. -inf gives 0; a row with NaN or +inf, or with
    nothing but -inf, gives NaN, as `scipy.special.softmax`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.softmax([0.0, 0.0])
    array([0.5, 0.5])
    >>> import numpy as np
    >>> fl.softmax(np.zeros((4, 2), np.float32), axis=0)[0]
    array([0.25, 0.25], dtype=float32)
    """
    result = _core.dense(_core.SOFTMAX, x, axis, temperature, out, dtype, threads)
    return _dense(_core.SOFTMAX, x, axis, temperature, (out, dtype), threads) if result is None else result


def log_softmax(
    x: Any, *, axis: int = -1, temperature: Any = 1.0, out: Any = None, dtype: Any = None, threads: int | None = None
) -> Any:
    """x_i / T - ln sum_j exp(x_j / T) along an axis.

    Parameters
    ----------
    x, axis, temperature, out, threads
        As in `softmax`.
    dtype : dtype, optional
        Of the result; that of ``x`` by default, float32 for float16 and bfloat16.

    Returns
    -------
    ndarray
        Log-probabilities in the shape of ``x``.

    Raises
    ------
    ValueError, TypeError
        As `softmax`.

    Notes
    -----
    At most 2 ulp off in float32; the maximum keeps full relative precision, as -log1p of the rest. Special values as
    `scipy.special.log_softmax`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.log_softmax([0.0, 0.0]).round(3)
    array([-0.693, -0.693])
    """
    result = _core.dense(_core.LOG_SOFTMAX, x, axis, temperature, out, dtype, threads)
    return _dense(_core.LOG_SOFTMAX, x, axis, temperature, (out, dtype), threads) if result is None else result


def logsumexp(
    x: Any,
    *,
    axis: int = -1,
    temperature: Any = 1.0,
    keepdims: bool = False,
    dtype: Any = None,
    threads: int | None = None,
) -> Any:
    """Log of the sum of exponentials: ln sum_j exp(x_j / T) along an axis.

    Parameters
    ----------
    x, axis, temperature, threads
        As in `softmax`.
    keepdims : bool, default False
        Leave the axis in place with size 1.
    dtype : dtype, optional
        Of the result; that of ``x`` by default, float32 for float16 and bfloat16.

    Returns
    -------
    NumPy scalar or ndarray
        One value per row; -inf for an empty axis.

    Raises
    ------
    ValueError, TypeError
        As `softmax`.

    Notes
    -----
    At most 1 ulp + 1e-7 off in float32. Special values as `scipy.special.logsumexp`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.logsumexp([[0.0, 0.0], [1.0, 1.0]]).round(3)
    array([0.693, 1.693])
    """
    if not keepdims:
        result = _core.dense(_core.LOGSUMEXP, x, axis, temperature, None, dtype, threads)
        if result is not None:
            return result
    values = _dense(_core.LOGSUMEXP, x, axis, temperature, (None, dtype), threads)
    return np.expand_dims(values, axis) if keepdims else values[()]


def argmax(x: Any, *, axis: int = -1, threads: int | None = None) -> Any:
    """Index of the first maximum along an axis; of the first NaN if there is one.

    Parameters
    ----------
    x, axis, threads
        As in `softmax`.

    Returns
    -------
    int, or int64 array [...]
        An int for an array of one axis.

    Raises
    ------
    ValueError
        An empty axis, or an axis out of range.
    TypeError
        A dtype that is not supported.

    Notes
    -----
    As `numpy.argmax`; -0 equals +0.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.argmax([0.0, 2.0, 2.0])
    1
    """
    result = _core.argmax(x, axis, threads)
    if result is not None:
        return result
    array, axis, outer, rows = _intake(x, axis)
    if array.shape[axis] == 0:
        raise ValueError("argmax of an empty axis")
    ids = np.empty(rows, np.int64)
    task = _core.ArrayTask(_core.ARGMAX, array, axis, ids=ids)
    _threads.run_blocks(task.run, rows, _inputs.thread_count(threads), array.shape[axis])
    return ids.reshape(outer) if outer else int(ids[0])


def top_k(x: Any, k: int, *, axis: int = -1, sorted: bool = True, threads: int | None = None) -> TopK:  # noqa: A002
    """The k largest values along an axis and their indices.

    Parameters
    ----------
    x, axis, threads
        As in `softmax`.
    k : int in [0, size of the axis]
        How many.
    sorted : bool, default True
        Accepted for torch's sake: the result is sorted either way.

    Returns
    -------
    TopK
        ``values`` in the type of ``x`` and int64 ``indices``, with k instead of the axis' size; sorted by NaN
        first (as `torch.topk`), then value descending, then index ascending. bfloat16 values are float32 where
        ml_dtypes is not installed.

    Raises
    ------
    ValueError
        k or axis out of range.
    TypeError
        k is no integer; a dtype that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.top_k([0.5, 2.0, 1.0, 2.0], 3)
    TopK(values=array([2., 2., 1.]), indices=array([1, 3, 2]))
    """
    result = _core.top_k(x, k, axis, threads)
    if result is not None:
        return TopK._make(result)
    array, axis, outer, rows = _intake(x, axis)
    try:
        top = operator.index(k)
    except TypeError:
        raise TypeError(f"k must be an integer, got {k!r}") from None
    if isinstance(k, bool) or not 0 <= top <= array.shape[axis]:
        raise ValueError(f"k must be in [0, {array.shape[axis]}], got {k}")
    code = _core.dtype_code(array)
    bits = code == _core.BF16
    values = np.empty((*outer, top), np.uint16) if bits else half.new((*outer, top), code)
    ids = np.empty((*outer, top), np.int64)
    if top:
        task = _core.ArrayTask(_core.TOP_K, array, axis, values=values, ids=ids, top=top)
        _threads.run_blocks(task.run, rows, _inputs.thread_count(threads), array.shape[axis])
    if bits:
        known = half.bfloat16()
        values = half.widened(values) if known is None else values.view(known)
    return TopK(np.moveaxis(values, -1, axis), np.moveaxis(ids, -1, axis))


def _intake(x: Any, axis: Any) -> tuple[Array, int, tuple[int, ...], int]:
    """The array, its axis in [0, ndim), its shape without the axis, and the number of rows."""
    array = _inputs.logits_array("x", x)
    try:
        at = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be an integer, got {axis!r}") from None
    if not -array.ndim <= at < array.ndim:
        raise np.exceptions.AxisError(f"axis must be in [{-array.ndim}, {array.ndim}), got {at}")
    at %= array.ndim
    outer = array.shape[:at] + array.shape[at + 1 :]
    return array, at, outer, math.prod(outer)


def _dense(which: int, x: Any, axis: Any, temperature: Any, into: tuple[Any, Any], threads: Any) -> Any:
    """softmax, log_softmax or logsumexp of any arguments; into: the result's array, if given, and type."""
    out, dtype = into
    array, at, outer, rows = _intake(x, axis)
    t = np.asarray(params.number("temperature", temperature, 0.0, off=1.0, open_low=True), np.float64)
    t = t.reshape(1) if t.size == 1 else _inputs.per_row("temperature", t, outer)
    code = _core.dtype_code(array)
    if dtype is not None:
        result = half.code_of_dtype(dtype)
    elif which != _core.SOFTMAX and code in (_core.F16, _core.BF16):
        result = _core.F32
    else:
        result = code
    whole = which != _core.LOGSUMEXP
    target = None if out is None else _inputs.out_array(out, array.shape, result, array)
    count = _inputs.thread_count(threads)
    if array.shape[at] == 0 and whole:
        raise ValueError("softmax and log_softmax of an empty axis")
    if target is None:
        target = half.new(array.shape if whole else outer, half.result_code(result))
    if array.shape[at] == 0:
        target[...] = -np.inf
        return target
    column = target if whole else np.expand_dims(target, at)
    task = _core.ArrayTask(which, array, at, t, column)
    _threads.run_blocks(task.run, rows, count, array.shape[at])
    return target if out is None else out
