"""Tensors that come in and go out, and functions as operators of `torch.library`."""

from __future__ import annotations

from typing import Any

import torch

from fastlogits import _inputs

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def memory(name: str, x: Any) -> Any:
    """The tensor's memory as an array."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name} must hold float32, float16, bfloat16 or float64, got {x.dtype}")
    return _inputs.plain_array(name, x)


def plain(x: Any) -> bool:
    """Whether the kernels read `x` as it is."""
    return type(x) is torch.Tensor and x.dtype is torch.float32 and x.is_cpu and x.ndim > 0 and not x.requires_grad


def into(name: str, out: Any, found: Any) -> Any:
    """`found` copied into a tensor of its shape and dtype."""
    if not isinstance(out, torch.Tensor) or out.shape != found.shape or out.dtype != found.dtype:
        got = f"{out.dtype} {list(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
        raise ValueError(f"{name} must be a tensor {found.dtype} {list(found.shape)}, got {got}")
    return out.copy_(found)


def operator(function: Any, tags: Any = None) -> Any:
    """The function as operator ``torch.ops.fastlogits``, which `torch.compile` keeps whole."""
    name = f"fastlogits::{function.__name__.strip('_')}"
    return torch.library.custom_op(name, function, mutates_args=(), tags=tags)
