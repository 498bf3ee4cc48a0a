"""softmax, log_softmax, logsumexp, argmax and top_k along an axis of dask arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np

from fastlogits import arrays
from fastlogits.arrays import TopK
from fastlogits.dask import _blocks


def softmax(x: Any, *, axis: int = -1, temperature: Any = 1.0, dtype: Any = None, threads: int | None = None) -> Any:
    """exp(x_i / T) / sum_j exp(x_j / T) along an axis: `fastlogits.softmax`, lazily.

    Parameters
    ----------
    x : dask array of at least two axes
        float32, float16, bfloat16, float64 or integers.
    axis : int, default -1
        The axis that sums to 1; of one chunk in the result.
    temperature : float > 0, or dask array or array_like, default 1.0
        T; an array is broadcast against the shape of ``x`` without ``axis``.
    dtype, threads
        As in `fastlogits.softmax`; threads are those within each chunk.

    Returns
    -------
    dask array
        In the shape of ``x``.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.softmax`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.softmax(da.zeros((4, 2), chunks=(2, 1))).compute()[0]
    array([0.5, 0.5])
    """
    return _dense(arrays.softmax, x, axis, temperature, dtype, threads)


def log_softmax(
    x: Any, *, axis: int = -1, temperature: Any = 1.0, dtype: Any = None, threads: int | None = None
) -> Any:
    """x_i / T - ln sum_j exp(x_j / T) along an axis: `fastlogits.log_softmax`, lazily.

    Parameters
    ----------
    x, axis, temperature, dtype, threads
        As in `softmax`.

    Returns
    -------
    dask array
        In the shape of ``x``.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.log_softmax`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.log_softmax(da.zeros((4, 2), chunks=2)).round(3).compute()[0]
    array([-0.693, -0.693])
    """
    return _dense(arrays.log_softmax, x, axis, temperature, dtype, threads)


def logsumexp(
    x: Any,
    *,
    axis: int = -1,
    temperature: Any = 1.0,
    keepdims: bool = False,
    dtype: Any = None,
    threads: int | None = None,
) -> Any:
    """Log of the sum of exponentials, ln sum_j exp(x_j / T), along an axis: `fastlogits.logsumexp`, lazily.

    Parameters
    ----------
    x, axis, temperature, dtype, threads
        As in `softmax`.
    keepdims : bool, default False
        Leave the axis in place with size 1.

    Returns
    -------
    dask array
        One value per row.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.logsumexp`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.logsumexp(da.from_array([[0.0, 0.0], [1.0, 1.0]], chunks=1)).round(3).compute()
    array([0.693, 1.693])
    """
    rows, at = _last(x, axis)
    t = _blocks.temperature_of(temperature, rows.shape[:-1])
    call = _blocks.Call(
        arrays.logsumexp, rows.ndim - 1, {"x": rows}, {"temperature": t}, dtype=dtype, threads=threads
    )  # fmt: skip
    values = call.results()
    return da.expand_dims(values, at) if keepdims else values


def argmax(x: Any, *, axis: int = -1, threads: int | None = None) -> Any:
    """Index of the first maximum along an axis, or of the first NaN: `fastlogits.argmax`, lazily.

    Parameters
    ----------
    x, axis, threads
        As in `softmax`.

    Returns
    -------
    dask array of int64
        One index per row.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.argmax`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.argmax(da.from_array([[0.0, 2.0, 2.0], [3.0, 0.0, 1.0]], chunks=1)).compute()
    array([1, 0])
    """
    rows, _ = _last(x, axis)
    return _blocks.Call(arrays.argmax, rows.ndim - 1, {"x": rows}, {}, threads=threads).results()


def top_k(x: Any, k: int, *, axis: int = -1, sorted: bool = True, threads: int | None = None) -> TopK:  # noqa: A002
    """The k largest values along an axis and their indices: `fastlogits.top_k`, lazily.

    Parameters
    ----------
    x, axis, threads
        As in `softmax`.
    k : int in [0, size of the axis]
        How many.
    sorted : bool, default True
        The result is sorted either way.

    Returns
    -------
    TopK
        ``values`` and ``indices``, dask arrays with k instead of the axis' size.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.top_k`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> fd.top_k(da.from_array([[0.5, 2.0, 1.0], [3.0, 0.0, 1.0]], chunks=1), 2).indices.compute()
    array([[1, 2],
           [0, 2]])
    """
    rows, at = _last(x, axis)
    call = _blocks.Call(arrays.top_k, rows.ndim - 1, {"x": rows}, {}, k=k, sorted=sorted, threads=threads)
    return TopK(*(da.moveaxis(part, -1, at) for part in call.results()))


def _dense(function: Callable[..., Any], x: Any, axis: Any, temperature: Any, dtype: Any, threads: Any) -> Any:
    """The functions with a value per token."""
    rows, at = _last(x, axis)
    t = _blocks.temperature_of(temperature, rows.shape[:-1])
    call = _blocks.Call(function, rows.ndim - 1, {"x": rows}, {"temperature": t}, dtype=dtype, threads=threads)
    return da.moveaxis(call.results(), -1, at)


def _last(x: Any, axis: Any) -> tuple[Any, int]:
    """``x`` with the axis moved after all others, and where it was."""
    found = _blocks.rows_of("x", x)
    try:
        at = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be an integer, got {axis!r}") from None
    if not -found.ndim <= at < found.ndim:
        raise np.exceptions.AxisError(f"axis must be in [{-found.ndim}, {found.ndim}), got {at}")
    return da.moveaxis(found, at, -1), at % found.ndim
