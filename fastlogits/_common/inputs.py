"""What users hand in, as plain ndarrays: arrays of any kind, lists, torch tensors and DLPack exporters, without a copy.

A logits array that leaves here is an exact ndarray of float32, float16 or float64, or of bfloat16: ml_dtypes'
where that is installed, else the record type ``_core.BFLOAT16_BITS``; any shape, strides and
alignment, native byte order.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import mismatch as _mismatch
from fastlogits._common.params import shown

Array = NDArray[Any]
_INTEGERS = (int, np.integer)
_CPU_DEVICES = (1, 3, 13)  # DLPack's kDLCPU, kDLCUDAHost and kDLCUDAManaged: memory that the CPU reads


def _torch_array(name: str, tensor: Any, torch: Any) -> Array:
    """A torch tensor's memory; bfloat16 as its bits. A view that negates is copied."""
    array = _core.tensor_array(tensor)
    if array is not None:
        return array
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} must be in CPU memory, got a tensor on {tensor.device}; pass {name}.cpu()")
    if tensor.requires_grad:
        if torch.is_grad_enabled():
            raise TypeError(f"{name} must not require a gradient; pass {name}.detach(), or call under torch.no_grad()")
        return _torch_array(name, tensor.detach(), torch)
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {tensor.layout}; pass {name}.to_dense()")
    tensor = tensor.resolve_neg()
    try:
        if tensor.dtype == torch.bfloat16:
            return np.asarray(tensor.view(torch.int16).numpy().view(_core.BFLOAT16_BITS))
        return np.asarray(tensor.numpy())
    except (RuntimeError, TypeError):
        kind = "" if type(tensor) is torch.Tensor else f" as {type(tensor).__name__}"
        raise TypeError(f"{name}: dtype {tensor.dtype}{kind} is not supported, or has no memory to read") from None


def _dlpack_array(name: str, exporter: Any) -> Array:
    """The memory of an object with ``__dlpack__``; bfloat16 as its bits."""
    device = exporter.__dlpack_device__()
    if device[0] not in _CPU_DEVICES:
        raise ValueError(f"{name} must be in CPU memory, got DLPack device {tuple(map(int, device))}")
    try:
        return np.from_dlpack(exporter)
    except (BufferError, RuntimeError, TypeError) as error:
        # NumPy refuses the element type: bfloat16 is ours to read, anything else keeps NumPy's reason.
        bits = _core.dlpack_bfloat16(exporter.__dlpack__())
        if bits is None:
            raise TypeError(f"{name}: {error}") from None
        return bits


def plain_array(name: str, x: Any) -> Array:
    """Anything array-like as an exact ndarray; the memory is shared wherever ``x`` has any."""
    if isinstance(x, np.ndarray):
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} must not be a masked array; pass {name}.filled(-numpy.inf) to ban masked tokens")
        return np.asarray(x)
    if hasattr(x, "__dlpack__") and not isinstance(x, np.generic):
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(x, torch.Tensor):
            return _torch_array(name, x, torch)
        return _dlpack_array(name, x)
    if not _mismatch.is_number_or_sequence(x):
        _mismatch.refuse(name, x)
    try:
        return np.asarray(x)
    except (TypeError, ValueError) as error:
        words = _mismatch.ragged(name, x) if isinstance(x, list | tuple) else ""
        raise type(error)(f"{name} must {f'have {words}' if words else f'be an array: {error}'}") from None


def is_stream(x: Any) -> bool:
    """Whether ``x`` is an iterable of arrays that come one after the other, and no array, tensor or sequence."""
    arrays = ("__array__", "__array_interface__", "__dlpack__")
    known = isinstance(x, list | tuple | str | bytes | AbstractSet | Mapping | ValuesView) or any(
        hasattr(x, name) for name in arrays
    )
    return not known and hasattr(x, "__iter__")


def logits_array(name: str, x: Any) -> Array:
    """``x`` as an array of one of the four float types (see the module's text), integers and bools as float64."""
    if type(x) is np.ndarray and x.ndim and _core.dtype_code(x) >= 0:
        return x
    array = plain_array(name, x)
    dtype = array.dtype
    if _core.dtype_code(array) >= 0:
        pass
    elif dtype.kind in "iub":
        array = array.astype(np.float64)
    elif dtype.kind == "f" and dtype.itemsize <= 8 and not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    else:
        allowed = "float32, float16, bfloat16, float64 or integers"
        raise TypeError(f"{name} must hold {allowed}, got dtype {dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got a scalar")
    return array


def out_array(out: Any, shape: tuple[int, ...], code: int, x: Array | None) -> Array:
    """The array of ``out``, checked: writeable, the result's shape and element type, ``x`` itself or apart from it.

    ``code`` is the element type of the result (``_core.F32`` ...; -1 for int64).
    """
    if not isinstance(out, np.ndarray) and not hasattr(out, "__dlpack__"):
        raise TypeError(f"out must be an ndarray or a torch CPU tensor, got {type(out).__name__}")
    if not isinstance(out, np.ndarray) and getattr(out, "is_neg", bool)():
        raise ValueError("out must not be a view that negates what is written; pass a separate tensor")
    array = plain_array("out", out)
    found = _core.dtype_code(array)
    wanted = "int64" if code < 0 else _core.DTYPE_NAMES[code]
    if (code < 0 and array.dtype != np.int64) or (code >= 0 and found != code):
        got = "bfloat16" if found == _core.BF16 else array.dtype
        raise TypeError(f"out must have dtype {wanted}, got {got}")
    if array.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {array.shape}")
    if not array.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")
    if (
        array.size
        and 0 in array.strides
        and any(n > 1 and not s for n, s in zip(array.shape, array.strides, strict=True))
    ):
        raise ValueError("out must not hold one element in several places, got a broadcast array")
    if x is not None:
        refuse_overlap(array, x)
    return array


def refuse_overlap(out: Array, x: Array) -> None:
    """``out`` must be the input itself or share no memory with it."""
    if np.may_share_memory(out, x) and not _same_place(out, x) and _overlaps(out, x):
        raise ValueError("out must be the input itself or not overlap it, got a partial overlap")


def beside_array(name: str, array: Array, x: Array, first: str = "logits") -> Array:
    """``array``, of `logits_array`, which must have the shape and element type of ``x``."""
    codes = _core.dtype_code(array), _core.dtype_code(x)
    if codes[0] != codes[1]:
        got, wanted = (_core.DTYPE_NAMES[code] for code in codes)
        raise TypeError(f"{name} must have the dtype of {first}, {wanted}, got {got}")
    if array.shape != x.shape:
        raise ValueError(f"{name} must have the shape of {first}, {x.shape}, got {array.shape}")
    return array


def _same_place(a: Array, b: Array) -> bool:
    """Whether two arrays of one shape have each element in the same place."""
    start = a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    return start and a.strides == b.strides and a.itemsize == b.itemsize


def _overlaps(a: Array, b: Array) -> bool:
    """Whether two arrays share a byte; too hard a question counts as yes."""
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def id_array(name: str, ids: Any, note: str = "") -> NDArray[np.int64]:
    """Token ids as a contiguous int64 array of one axis; anything but integers is a TypeError."""
    try:
        array = plain_array(name, ids)
    except ValueError:
        if isinstance(ids, list | tuple) and any(map(is_sequence, ids)):
            raise ValueError(f"{name}: token ids must form one axis, got sequences among them{note}") from None
        raise
    if array.ndim != 1:
        got = f"shape {array.shape}" if array.ndim else f"{shown(array[()])}; pass it in a list"
        raise ValueError(f"{name}: token ids must form one axis, got {got}{note}")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        if (large := _mismatch.beyond_64_bits(ids)) is not None:
            raise ValueError(f"{name}: token id {large} must be in [0, V){note}")
        raise TypeError(f"{name}: token ids must be integers, got dtype {array.dtype}{note}")
    if array.dtype == np.uint64 and array.max() >= 2**63:
        raise ValueError(f"{name}: token id {array.max()} must be in [0, V){note}")
    return np.array(array, np.int64, order="C")


def is_sequence(x: Any) -> bool:
    """Whether x has elements: a list, range, array or tensor of at least one axis, not a number or a text."""
    return hasattr(x, "__len__") and getattr(x, "ndim", 1) > 0 and not isinstance(x, str | bytes)


def context_arrays(
    context: Any, outer: tuple[int, ...], rows: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Token ids of all rows one after the other and rows + 1 offsets, or one sequence for all rows and None."""
    if context is None:
        return None, None
    if isinstance(context, list | tuple):
        if not context or not is_sequence(context[0]):
            return id_array("context", context), None
        parts = [id_array("context", ids, f" (row {r})") for r, ids in enumerate(_row_sequences(context, outer, rows))]
        ends = np.cumsum([0, *(part.size for part in parts)], dtype=np.int64)
        return np.concatenate([np.empty(0, np.int64), *parts]), ends
    array = plain_array("context", context)
    if array.ndim < 2:
        return id_array("context", array), None
    if array.shape[:-1] != outer and array.shape[:-1] != (rows,):
        raise ValueError(f"context must hold {_wanted_contexts(outer, rows)}, got shape {array.shape}")
    offsets = np.arange(rows + 1, dtype=np.int64) * array.shape[-1]
    return id_array("context", array.reshape(-1)), offsets


def placeholders(out_of_vocab: Any) -> bool:
    """Whether ids that no logit has are placeholders, by the word of that argument."""
    if out_of_vocab not in ("error", "placeholder"):
        raise ValueError(f"out_of_vocab must be 'error' or 'placeholder', got {shown(out_of_vocab)}")
    return bool(out_of_vocab == "placeholder")


def mark_placeholders(ids: NDArray[np.int64], vocab: int) -> None:
    """Ids outside [0, vocab) become, in place, negative ones that differ from each other."""
    at = np.flatnonzero((ids < 0) | (ids >= vocab))
    ids[at] = -1 - at


def _wanted_contexts(outer: tuple[int, ...], rows: int) -> str:
    """What a context may be, for messages."""
    nested = f"; in one list, or nested by {outer}" if len(outer) > 1 else ""
    return f"one sequence of token ids, or one per row ({rows} rows{nested})"


def _row_sequences(context: Any, outer: tuple[int, ...], rows: int) -> list[Any]:
    """One sequence per row, of any lengths: from a list of as many, or from lists nested as the rows are."""
    parts = list(context)
    deep = any(is_sequence(next(iter(part), None)) for part in parts if is_sequence(part))
    if len(outer) < 2 or (len(parts) == rows and not deep):
        if len(parts) != rows:
            raise ValueError(f"context must hold {_wanted_contexts(outer, rows)}, got {len(parts)} sequences")
        return parts
    parts = [parts]
    for axis, size in enumerate(outer):
        for place, part in zip(np.ndindex(outer[:axis]), parts, strict=True):
            if not is_sequence(part) or len(part) != size:
                found = f"{len(part)} sequences" if is_sequence(part) else repr(part)
                where = "".join(f"[{i}]" for i in place)
                raise ValueError(f"context must hold {_wanted_contexts(outer, rows)}, got {found} in context{where}")
        parts = [inner for part in parts for inner in part]
    return parts


def wrapped(name: str, item: Any) -> int:
    """An integer mod 2^64, as the int64 of the same bits."""
    if isinstance(item, bool) or not isinstance(item, _INTEGERS):
        raise TypeError(f"{name} must be an integer or one integer per row, got {shown(item)}")
    word = int(item) & (2**64 - 1)
    return word - 2**64 if word >= 2**63 else word


def row_integers(name: str, value: Any, outer: tuple[int, ...], *, low: int | None = None) -> NDArray[np.int64] | None:
    """One integer (size 1) or one per row (size rows), int64; without ``low`` taken mod 2^64. None stays None."""
    if value is None:
        return None
    if isinstance(value, _INTEGERS) and not isinstance(value, bool):
        given: Array = np.array(int(value), object)
        array = np.array(wrapped(name, value), np.int64)
    else:
        # NumPy would make float64 of a list that needs both signed and unsigned integers.
        given = np.array(value, object) if isinstance(value, list | tuple) else plain_array(name, value)
        if given.dtype.kind == "O":
            array = np.array([wrapped(name, i) for i in given.ravel()], np.int64).reshape(given.shape)
        elif given.dtype.kind in "iu" or given.size == 0:
            array = given.astype(np.uint64 if given.dtype.kind == "u" else np.int64).view(np.int64)
        else:
            raise TypeError(f"{name} must be an integer or one integer per row, got dtype {given.dtype}")
    if low is not None and array.size and np.any(outside := np.asarray((given < low) | (given >= 2**63), np.bool_)):
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        note = f" (row {', '.join(map(str, at))})" if array.ndim else ""
        allowed = f">= {low}" if given[at] < low else f"in [{low}, 2^63)"
        raise ValueError(f"{name} must be an integer {allowed}, got {given[at]}{note}")
    return array.reshape(1) if array.size == 1 else per_row(name, array, outer)


def per_row(name: str, array: Array, outer: tuple[int, ...]) -> Array:
    """``array`` broadcast against the outer shape of the logits, contiguous, one value per row."""
    try:
        return np.ascontiguousarray(np.broadcast_to(array, outer)).reshape(-1)
    except ValueError:
        shape = array.shape if array.ndim != 1 else array.size
        raise ValueError(f"{name} holds values of shape {shape}, the rows of logits have shape {outer}") from None


def thread_count(threads: Any) -> int:
    """How many threads a call may use: None is the default, 0 all cores."""
    if threads is None:
        return _core.default_threads() or cores()
    if isinstance(threads, bool) or not isinstance(threads, _INTEGERS):
        raise TypeError(f"threads must be an integer >= 0, got {shown(threads)}")
    if threads < 0:
        raise ValueError(f"threads must be an integer >= 0, got {threads}")
    return int(threads) or cores()


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
