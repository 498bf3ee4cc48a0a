"""The kernels on tensors, and the same as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Fault, refuse_row
from fastlogits.torch._tensors import CODES, axis_of, fresh, integer, into, memory, operator

_ONE = np.ones(1)  # the temperature
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _run(which: int, array: Any, at: int, out: Any, listed: tuple[Any, Any, int] = (None, None, 1)) -> None:
    """One kernel over the rows of an array along an axis; listed: values, ids and their number per row."""
    task, rows = _core.ArrayTask(which, array, at, _ONE, out, *listed), array.size // array.shape[at]
    if rows == 1:
        task.run(0, 1)
    else:
        _threads.run_blocks(task.run, rows, _inputs.thread_count(None), array.shape[at])


def dense(which: int, x: Any, dim: int, dtype: torch.dtype | None, out: Any) -> torch.Tensor:
    """Softmax or log_softmax."""
    if out is None and dtype is None and isinstance(x, torch.Tensor):
        found = _core.tensor_call(which, x, dim)
        if found is not None:
            return found
    array = memory("input", x)
    at = axis_of(dim, array.ndim)
    if out is None:
        _check_dtype(dtype)
        out, target = fresh(array.shape, dtype or x.dtype)
    else:
        _check_out(out, dtype)
        target = _inputs.out_array(out, array.shape, CODES[out.dtype], array)
    if array.ndim == 0:
        array, target = array.reshape(1), target.reshape(1)
    if array.size:
        _run(which, array, at, target)
    return out


def _check_dtype(dtype: Any) -> None:
    """Refuses what is no type of a result."""
    if dtype is not None and dtype not in CODES:
        raise TypeError(f"dtype must be torch.float32, float16, bfloat16 or float64, got {dtype}")


def _check_out(out: Any, dtype: Any) -> None:
    """Refuses what no result of `dtype` goes into, but for its shape."""
    if not isinstance(out, torch.Tensor):
        raise TypeError(f"out must be a torch tensor, got {type(out).__name__}")
    if out.dtype not in CODES or (dtype is not None and out.dtype is not dtype):
        raise TypeError(f"out must have dtype {dtype or 'float32, float16, bfloat16 or float64'}, got {out.dtype}")


def compiled(op: Any, x: Any, dim: int, dtype: Any, out: Any) -> Any:
    """Softmax or log_softmax as operator."""
    if out is None:
        return op(x, dim, dtype)
    _check_out(out, dtype)
    return into("out", out, op(x, dim, out.dtype))


def _reduced(shape: Sequence[int], axes: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    """A shape whose axes are gone, or 1."""
    return tuple(1 if at in axes else n for at, n in enumerate(shape) if keepdim or at not in axes)


def _axes(dims: Sequence[int], ndim: int) -> list[int]:
    """Checked axes, in order; all for none."""
    axes = [axis_of(dim, ndim) for dim in dims]
    for at in axes:
        if axes.count(at) > 1:
            raise ValueError(f"dim {at} appears multiple times in the list of dims, {list(dims)}")
    return sorted(axes) or list(range(ndim))


def logsumexp(x: torch.Tensor, dims: list[int], keepdim: bool) -> torch.Tensor:
    """One axis is read in place; several lie last, as one."""
    if len(dims) == 1 and not keepdim and isinstance(x, torch.Tensor):
        found = _core.tensor_call(_core.LOGSUMEXP, x, dims[0])
        if found is not None:
            return found
    array = memory("input", x)
    axes = _axes(dims, array.ndim)
    found, target = fresh(_reduced(array.shape, axes, keepdim), x.dtype)
    if array.size == 0:
        return found.fill_(-torch.inf)
    if not array.ndim:
        array, axes = array.reshape(1), [0]
    elif len(axes) > 1:
        rest = [at for at in range(array.ndim) if at not in axes]
        array = array.transpose(*rest, *axes).reshape([array.shape[at] for at in rest] + [-1])
        axes = [len(rest)]
    at = axes[0]
    column = target.reshape([*array.shape[:at], 1, *array.shape[at + 1 :]])
    _run(_core.LOGSUMEXP, array, at, column)
    return found


def argmax(x: torch.Tensor, dim: int | None, keepdim: bool) -> torch.Tensor:
    """Ids of the first maximum, of the whole tensor without `dim`."""
    if not keepdim and isinstance(x, torch.Tensor) and (dim is not None or x.ndim == 1):
        found = _core.tensor_call(_core.ARGMAX, x, 0 if dim is None else dim)
        if found is not None:
            return found
    array = memory("input", x)
    axes = list(range(array.ndim)) if dim is None else [axis_of(dim, array.ndim)]
    if any(array.shape[at] == 0 for at in axes if array.ndim):
        raise ValueError(f"argmax of an empty axis, got shape {list(array.shape)}")
    found, ids = fresh(_reduced(array.shape, axes, keepdim), torch.int64)
    if array.size:
        if dim is None or not array.ndim:
            array, axes = array.reshape(-1), [0]
        _run(_core.ARGMAX, array, axes[0], None, (None, ids, 1))
    return found


def topk(x: torch.Tensor, k: int, dim: int, largest: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices."""
    if largest and type(k) is int and isinstance(x, torch.Tensor):
        found = _core.tensor_call(_core.TOP_K, x, dim, k) if 0 < k < 2**63 else None
        if found is not None:
            values, indices = found
            return values, indices
    array = memory("input", x)
    at = _check_k(array.shape, k, dim)
    if not array.ndim:
        return x.detach().clone(), torch.zeros((), dtype=torch.int64)
    if not largest:
        if x.isnan().any():  # the kernel puts NaN first
            values, indices = torch.topk(x, k, dim, largest)
            return _packed(values), _packed(indices)
        array = memory("input", x.neg())
    outer = array.shape[:at] + array.shape[at + 1 :]
    (values, room), (indices, ids) = fresh((*outer, k), x.dtype), fresh((*outer, k), torch.int64)
    if ids.size:
        _run(_core.TOP_K, array, at, None, (room, ids, k))
    if not largest:
        values.neg_()
    if at < array.ndim - 1:
        return _packed(values.movedim(-1, at)), _packed(indices.movedim(-1, at))
    return values, indices


def _packed(x: torch.Tensor) -> torch.Tensor:
    """A copy in C order, strides of empty axes and those of size 1 included."""
    return fresh(x.shape, x.dtype)[0].copy_(x)


def _check_k(shape: Sequence[int], k: Any, dim: Any) -> int:
    """The checked axis, and k within it."""
    at, most = axis_of(dim, len(shape)), shape[dim] if shape else 1
    integer("k", k)
    if not 0 <= k <= most:
        raise ValueError(f"k must be in [0, {most}], got {k}")
    return at


def selective(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Log-probs of some tokens of each row."""
    if isinstance(logits, torch.Tensor) and isinstance(index, torch.Tensor):
        found = _core.tensor_logprobs(logits, index)
        if found is not None:
            return found if found.dtype is logits.dtype else found.to(logits.dtype)
    array = memory("logits", logits)
    _check_index(index, array.shape)
    ids = _ids(index, array.shape[-1])
    if index.numel() == 0:
        return fresh(index.shape, logits.dtype)[0]
    count = ids.size // (array.size // array.shape[-1])
    rows, status = ids.size // count, np.zeros(ids.size // count, np.int32)
    logprobs, beside = np.empty(rows), None if index.ndim < logits.ndim else np.empty((rows, count))
    targets = ids if count == 1 else np.ascontiguousarray(ids[::count])
    given = None if beside is None else ids.reshape(rows, count)
    task = _core.ScoresTask(array, _ONE, targets, logprobs=logprobs, status=status, given=given, given_logprobs=beside)
    _threads.run_blocks(task.run, rows, 1 if rows == 1 else _inputs.thread_count(None), array.shape[-1])
    if status.any():
        row = int(np.flatnonzero(status)[0])
        refuse_row(array.shape[:-1], row, Fault(int(status[row])))
    found = logprobs if beside is None else beside
    return _rounded(found.reshape(index.shape), logits.dtype)


def _rounded(found: Any, dtype: torch.dtype) -> torch.Tensor:
    """Log-probs as `token_logprobs` gives them, in a type."""
    if dtype is torch.float64:
        return torch.from_numpy(found)
    return torch.from_numpy(_core.single(found)).to(dtype)


def _check_index(index: Any, shape: Sequence[int]) -> None:
    """Refuses what are no token ids [...] or [..., K] for logits [..., V] of this shape."""
    if not isinstance(index, torch.Tensor) or index.dtype not in _INTEGERS:
        raise TypeError(f"index must be an integer tensor, got {getattr(index, 'dtype', type(index).__name__)}")
    if not shape:
        raise ValueError("logits must have at least one axis, got a scalar")
    if index.ndim not in (len(shape) - 1, len(shape)) or index.shape[: len(shape) - 1] != shape[:-1]:
        wanted = list(shape[:-1])
        raise ValueError(f"index must have shape {wanted} or {[*wanted, 'K']}, got {list(index.shape)}")


def _ids(index: torch.Tensor, n: int) -> Any:
    """Token ids in [0, n), one after the other."""
    array = _inputs.plain_array("index", index)
    ids = np.ascontiguousarray(array, np.int64).reshape(-1)
    if ids.size and not (ids.min() >= 0 and ids.max() < n):
        at = int(np.flatnonzero((ids < 0) | (ids >= n))[0])
        place = [int(i) for i in np.unravel_index(at, array.shape)]
        raise ValueError(f"index{place or ''}: {ids[at]} must be in [0, {n})")
    return ids


def _softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None) -> torch.Tensor:
    """A new tensor."""
    return dense(_core.SOFTMAX, x, dim, dtype, None)


def _log_softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None) -> torch.Tensor:
    """A new tensor."""
    return dense(_core.LOG_SOFTMAX, x, dim, dtype, None)


def _dense_fake(x: torch.Tensor, dim: int, dtype: torch.dtype | None) -> torch.Tensor:
    axis_of(dim, x.ndim)
    _check_dtype(dtype)
    return x.new_empty(x.shape, dtype=dtype or x.dtype)


def _logsumexp_fake(x: torch.Tensor, dims: list[int], keepdim: bool) -> torch.Tensor:
    return x.new_empty(_reduced(x.shape, _axes(dims, x.ndim), keepdim))


def _argmax_fake(x: torch.Tensor, dim: int | None, keepdim: bool) -> torch.Tensor:
    axes = list(range(x.ndim)) if dim is None else [axis_of(dim, x.ndim)]
    return x.new_empty(_reduced(x.shape, axes, keepdim), dtype=torch.int64)


def _topk_fake(x: torch.Tensor, k: int, dim: int, largest: bool) -> tuple[torch.Tensor, torch.Tensor]:
    at = _check_k(x.shape, k, dim)
    shape = [k if each == at else n for each, n in enumerate(x.shape)]
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


def _selective_fake(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    _check_index(index, logits.shape)
    return logits.new_empty(index.shape)


softmax_op, log_softmax_op = operator(_softmax, _dense_fake), operator(_log_softmax, _dense_fake)
logsumexp_op, argmax_op = operator(logsumexp, _logsumexp_fake), operator(argmax, _argmax_fake)
topk_op, selective_op = operator(topk, _topk_fake), operator(selective, _selective_fake)
