"""bfloat16 results: an array of ml_dtypes where that is installed, float32 elsewhere."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core

Array = NDArray[Any]


@functools.cache
def bfloat16() -> np.dtype[Any] | None:
    """The dtype of ml_dtypes, None if it is not installed."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return dtype


def result_code(code: int) -> int:
    """The element type of a result that would like to be ``code``."""
    return _core.F32 if code == _core.BF16 and bfloat16() is None else code


def new(shape: tuple[int, ...], code: int) -> Array:
    """An array for a result of element type ``code`` (of `result_code`)."""
    dtype = bfloat16() if code == _core.BF16 else np.dtype(_core.DTYPE_NAMES[code])
    return np.empty(shape, dtype)


def widened(bits: Array) -> Array:
    """float32 of an array of bfloat16 bits."""
    wide: Array = (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return wide


def wide(x: Array) -> NDArray[np.float64]:
    """float64 of logits of any type."""
    return (widened(x) if x.dtype == _core.BFLOAT16_BITS else x).astype(np.float64)


def code_of_dtype(dtype: Any) -> int:
    """The element type that a user's ``dtype=`` names."""
    name = str(getattr(dtype, "name", "") or getattr(dtype, "__name__", "") or dtype).removeprefix("torch.")
    if name != "bfloat16":
        with contextlib.suppress(TypeError):
            name = np.dtype(name if str(dtype).startswith("torch.") else dtype).name
    for code, known in _core.DTYPE_NAMES.items():
        if name == known:
            return code
    raise TypeError(f"dtype must be float32, float16, bfloat16 or float64, got {dtype!r}")
