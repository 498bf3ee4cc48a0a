"""Tensors that come in and go out, and functions as operators of `torch.library`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs

#: The kernels' names for the float types, and -1 for token ids.
CODES = {torch.float32: _core.F32, torch.float16: _core.F16, torch.bfloat16: _core.BF16, torch.float64: _core.F64}
_ALL_CODES = {**CODES, torch.int64: -1}
_FLOATS = "float32, float16, bfloat16 or float64"


def memory(name: str, x: Any) -> Any:
    """The tensor's memory as an array."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in CODES:
        raise TypeError(f"{name} must hold {_FLOATS}, got {x.dtype}")
    found = _core.tensor_array(x)
    return _inputs.plain_array(name, x) if found is None else found


def fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    """A new contiguous tensor and the array over its memory."""
    found = _core.new_tensor(torch.Tensor, shape, _ALL_CODES[dtype])
    if found is None:
        tensor = torch.empty(shape, dtype=dtype, device="cpu")
        return tensor, _inputs.plain_array("out", tensor)
    return found


def axis_of(dim: Any, ndim: int) -> int:
    """A checked axis in [0, ndim); a tensor without axes counts as one of a single axis."""
    if type(dim) is not int:
        integer("dim", dim)
    most = ndim or 1
    if not -most <= dim < most:
        raise np.exceptions.AxisError(f"dim must be in [{-most}, {most}), got {dim}")
    return int(dim % most)


def integer(name: str, value: Any) -> None:
    """Refuses what is no integer, a bool included."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer | torch.SymInt):
        raise TypeError(f"{name} must be an integer, got {value!r}")


def into(name: str, out: Any, found: Any) -> Any:
    """`found` copied into a tensor of its shape and dtype."""
    if not isinstance(out, torch.Tensor) or out.shape != found.shape or out.dtype != found.dtype:
        got = f"{out.dtype} {list(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
        raise ValueError(f"{name} must be a tensor {found.dtype} {list(found.shape)}, got {got}")
    return out.copy_(found)


def operator(function: Any, fake: Any, tags: Any = None, schema: str | None = None) -> Any:
    """The function as operator ``torch.ops.fastlogits``, which `torch.compile` keeps whole.

    `fake` makes a contiguous tensor of the shape and type of the result, as the function itself does. `schema` says
    which arguments there are, where the function does not.
    """
    name = f"fastlogits::{function.__name__.strip('_')}"
    made = torch.library.custom_op(name, function, mutates_args=(), schema=schema, tags=tags)
    made.register_fake(fake)
    return made
