"""softmax, log_softmax and logsumexp with the signatures, defaults and edge cases of `scipy.special`.

Changing the import is all: ``from fastlogits.scipy import softmax, log_softmax, logsumexp``. The whole array is one row
by default (``axis=None``), axes may be tuples, results keep the input's float type. SciPy itself is needed only for
complex and extended-precision input, which goes to it.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from fastlogits import arrays
from fastlogits._common import inputs as _inputs

__all__ = ["log_softmax", "logsumexp", "softmax"]

Array = NDArray[Any]
_NUMBERS = (bool, int, float, complex)  # Python's own, weak when types are promoted


def softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """exp(x_i) / sum_j exp(x_j) over one axis, several, or the whole array.

    Parameters
    ----------
    x : array_like
        float16, float32, float64, bfloat16 or integers; complex and longdouble are handed to SciPy.
    axis : int, tuple of int, or None
        The axes that sum to 1 together; None, the default, is all of them.

    Returns
    -------
    ndarray
        In the shape of `x`; a NumPy scalar for a scalar. Type: that of `numpy.exp` of `x`.

    Raises
    ------
    ValueError
        An empty row, an axis out of range.
    TypeError
        Values of another kind.
    ImportError
        Complex or longdouble input without SciPy.

    Notes
    -----
    Signature, defaults and special values of `scipy.special.softmax`; at most 2 ulp off in float32.

    Examples
    --------
    >>> from fastlogits.scipy import softmax
    >>> softmax([[0.0, 0.0], [0.0, 0.0]])
    array([[0.25, 0.25],
           [0.25, 0.25]])
    >>> softmax([[0.0, 0.0], [1.0, 1.0]], axis=1)
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    if _is_row(x) and _is_first_or_last(axis):
        return arrays.softmax(x)
    return _whole(arrays.softmax, "softmax", x, axis)


def log_softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """x_i - ln sum_j exp(x_j) over one axis, several, or the whole array.

    Parameters
    ----------
    x, axis
        As in `softmax`.

    Returns
    -------
    ndarray
        In the shape of `x`; a NumPy scalar for a scalar. Type: that of `numpy.exp` of `x`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As `softmax`.

    Notes
    -----
    Signature, defaults and special values of `scipy.special.log_softmax`. The maximum keeps full relative precision:
    [17, 0, 0] in float32 gives -8.28e-08, where rounding x - max leaves 0.

    Examples
    --------
    >>> from fastlogits.scipy import log_softmax
    >>> log_softmax([1000.0, 1.0])
    array([   0., -999.])
    """
    if _is_row(x) and _is_first_or_last(axis):
        return arrays.log_softmax(x)
    return _whole(arrays.log_softmax, "log_softmax", x, axis)


def logsumexp(
    a: Any,
    axis: int | tuple[int, ...] | None = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    """Log of a weighted sum of exponentials: ln sum_j b_j exp(a_j) over one axis, several, or the whole array.

    Parameters
    ----------
    a : array_like
        As `x` of `softmax`.
    axis : int, tuple of int, or None
        The axes summed over; None, the default, is all of them.
    b : array_like, optional
        Weights, broadcast against `a`, of any sign; where they are 0 `a` does not matter, not even NaN.
    keepdims : bool, default False
        Leave the axes in place with size 1.
    return_sign : bool, default False
        Return the pair (ln abs(sum), sign of the sum); else a negative sum gives NaN.

    Returns
    -------
    ndarray or NumPy scalar, or a pair of them
        Type: the float type that `a` and `b` promote to. -inf for an empty row.

    Raises
    ------
    ValueError
        Shapes that do not broadcast, an axis out of range.
    TypeError
        Values of another kind.
    ImportError
        Complex or longdouble input without SciPy.

    Notes
    -----
    Signature, defaults and special values of `scipy.special.logsumexp`. Weighted sums are taken in double.

    Examples
    --------
    >>> from fastlogits.scipy import logsumexp
    >>> float(logsumexp([0.0, 0.0]).round(4))
    0.6931
    >>> float(logsumexp([0.0, 0.0], b=[3.0, -1.0]).round(4))
    0.6931
    """
    if b is None and not keepdims and not return_sign and _is_row(a) and _is_first_or_last(axis):
        return arrays.logsumexp(a)
    dtype = _promoted(a, b)
    a, b = _operand("a", a), None if b is None else _operand("b", b)
    if dtype.kind == "c" or dtype.itemsize > 8:
        return _scipy("logsumexp", dtype).logsumexp(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)
    a = np.atleast_1d(a)
    if b is not None:
        a, b = np.broadcast_arrays(a, b)
    axes = _axes(axis, a.ndim)
    rows = _rows(a, axes)
    if b is None:
        value = arrays.logsumexp(rows.astype(dtype) if rows.dtype.kind in "iub" else rows, dtype=dtype)
        sign = np.where(np.isnan(value), value, value > -np.inf)
    else:
        value, sign = _weighted(rows, _rows(b, axes))
        value = value if return_sign else np.where(sign < 0, np.nan, value)
    shape = tuple(1 if at in axes else n for at, n in enumerate(a.shape)) if keepdims else np.shape(value)
    value, sign = (np.asarray(part, dtype).reshape(shape)[()] for part in (value, sign))
    return (value, sign) if return_sign else value


def _is_row(x: Any) -> bool:
    """Whether `x` is an array of one axis whose results have its type."""
    return type(x) is np.ndarray and x.ndim == 1 and x.size > 0 and x.dtype in (np.float32, np.float64)


def _is_first_or_last(axis: Any) -> bool:
    """Whether `axis` names the only axis of a row."""
    return axis is None or (type(axis) is int and -1 <= axis <= 0)


def _scipy(name: str, dtype: np.dtype[Any]) -> Any:
    """`scipy.special`, which is asked for `name` of a type that only it takes."""
    try:
        return importlib.import_module("scipy.special")
    except ImportError as error:
        raise ImportError(f"{name} of dtype {dtype} is left to SciPy: pip install scipy") from error


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a row, each in [0, ndim)."""
    if axis is None:
        return tuple(range(ndim))
    named = axis if isinstance(axis, tuple) else (axis,)
    if any(isinstance(at, bool) or not hasattr(at, "__index__") for at in named):
        raise TypeError(f"axis must be an integer, a tuple of integers or None, got {axis!r}")
    return normalize_axis_tuple(named, ndim, "axis")


def _rows(x: Array, axes: tuple[int, ...]) -> Array:
    """`x` with the values of a row along its last axis; a view where the strides allow it."""
    rest = tuple(at for at in range(x.ndim) if at not in axes)
    size = math.prod(x.shape[at] for at in axes)
    return x.transpose(rest + axes).reshape(*(x.shape[at] for at in rest), size)


def _promoted(a: Any, b: Any) -> np.dtype[Any]:
    """The float type of a and b together: Python scalars are weak, integers count as float64."""
    plain = [_operand("a", a)] if b is None else [_operand("a", a), _operand("b", b)]
    try:
        dtype = np.result_type(*plain, 1.0)
    except TypeError:  # of a kind that goes with no float
        dtype = np.dtype(object)
    if dtype.kind not in "fcV":
        types = ", ".join(str(np.asarray(x).dtype) for x in plain)
        raise TypeError(f"a and b must hold floats or integers, got dtype {types}")
    return dtype


def _operand(name: str, x: Any) -> Any:
    """`x` as an array, a number of Python's own as it is."""
    return x if type(x) in _NUMBERS else _inputs.plain_array(name, x)


def _whole(function: Any, name: str, x: Any, axis: Any) -> Any:
    """Either of the two softmaxes, of any arguments."""
    array = _inputs.plain_array("x", x)
    if array.dtype.kind == "c" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        return getattr(_scipy(name, array.dtype), name)(array, axis=axis)
    if array.dtype.kind == "b":
        raise TypeError("x must hold floats or integers, got dtype bool")
    # As numpy.exp types small integers: int8 gives float16, int16 float32.
    dtype = np.exp(np.zeros(1, array.dtype)).dtype if array.dtype.kind in "iu" else array.dtype
    shaped = array.reshape(1) if array.ndim == 0 else array
    axes = _axes(axis, shaped.ndim)
    rows = _rows(_inputs.logits_array("x", shaped), axes)
    if rows.shape[-1] == 0:
        raise ValueError(f"x must have at least one value per row, got shape {array.shape}")
    found = function(rows, dtype=dtype)
    rest = tuple(at for at in range(shaped.ndim) if at not in axes)
    order = rest + axes
    back = found.reshape(tuple(shaped.shape[at] for at in order)).transpose(np.argsort(order))
    return back.reshape(array.shape)[()]


def _weighted(a: Array, b: Array) -> tuple[Array, Array]:
    """The pair ln |S|, sign of S = sum b exp(a) over the last axis, in double; the largest a stand apart, for log1p."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    counted = np.where(b == 0, -np.inf, a)
    top = counted.max(axis=-1, keepdims=True, initial=-np.inf)
    unit = np.where(np.isfinite(top), top, 0.0)
    first = counted == top
    with np.errstate(all="ignore"):
        most = np.where(first, b, 0.0).sum(-1)
        rest = np.where(first, 0.0, b * np.exp(counted - unit)).sum(-1)
        near = np.abs(rest) < 0.5 * np.abs(most)
        apart = np.log1p(np.where(near, rest / most, 0.0)) + np.log(np.abs(most))
        value = np.where(near, apart, np.log(np.abs(most + rest))) + top[..., 0]
        plain = (b * np.exp(a)).sum(-1)  # tells what infinities and NaN come to
        finite = np.isfinite(value)
        return np.where(finite, value, np.log(np.abs(plain))), np.sign(np.where(finite, most + rest, plain))
