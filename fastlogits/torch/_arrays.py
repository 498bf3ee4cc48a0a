"""softmax, log_softmax, logsumexp, argmax and topk under torch's signatures; TRL's selective_log_softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from fastlogits import _inputs, arrays
from fastlogits.scoring import token_logprobs
from fastlogits.torch._tensors import into, memory, operator, plain

if TYPE_CHECKING:
    from torch import Tensor

_WHOLE = {"softmax": arrays.softmax, "log_softmax": arrays.log_softmax}


def softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None, out: Tensor | None = None) -> Tensor:  # noqa: A002
    """exp(x_i) / sum_j exp(x_j) along `dim`, as `torch.softmax`.

    Parameters
    ----------
    input : CPU tensor of float32, float16, bfloat16 or float64
        Any strides, read in place; must not require a gradient.
    dim : int
        The axis that sums to 1.
    dtype : torch.dtype, optional
        Of the result; that of `input` by default. Unlike torch's, `input` is not rounded to it first.
    out : tensor, optional
        Receives the result and is returned; may be `input` itself.

    Returns
    -------
    Tensor
        In the shape of `input`.

    Raises
    ------
    ValueError
        A tensor on another device, an axis out of range, an empty axis.
    TypeError
        No tensor, an unsupported dtype, a tensor that requires a gradient.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.softmax(torch.zeros(1, 2), dim=-1)
    tensor([[0.5000, 0.5000]])
    """
    if torch.compiler.is_compiling() and out is None:
        return _softmax_op(input, dim, dtype)
    return _dense("softmax", input, dim, dtype, out)


def log_softmax(input: Tensor, dim: int, *, dtype: torch.dtype | None = None, out: Tensor | None = None) -> Tensor:  # noqa: A002
    """x_i - ln sum_j exp(x_j) along `dim`, as `torch.log_softmax`.

    Parameters
    ----------
    input, dim, dtype, out
        As in `softmax`.

    Returns
    -------
    Tensor
        In the shape of `input`.

    Raises
    ------
    ValueError, TypeError
        As `softmax`.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.log_softmax(torch.zeros(1, 2), dim=-1)
    tensor([[-0.6931, -0.6931]])
    """
    if torch.compiler.is_compiling() and out is None:
        return _log_softmax_op(input, dim, dtype)
    return _dense("log_softmax", input, dim, dtype, out)


def logsumexp(
    input: Tensor,  # noqa: A002
    dim: int | Sequence[int],
    keepdim: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Log of the sum of exponentials along one axis or several, as `torch.logsumexp`.

    Parameters
    ----------
    input, out
        As in `softmax`.
    dim : int or ints
        The axes summed over.
    keepdim : bool, default False
        Leave them in place with size 1.

    Returns
    -------
    Tensor
        In the dtype of `input`.

    Raises
    ------
    ValueError, TypeError
        As `softmax`.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> round(ft.logsumexp(torch.zeros(2, 4), dim=(0, 1)).item(), 4)
    2.0794
    """
    dims = [dim] if isinstance(dim, int) else list(dim)
    if torch.compiler.is_compiling() and out is None:
        return _logsumexp_op(input, dims, keepdim)
    if type(dim) is int and plain(input) and not keepdim and out is None:
        return torch.as_tensor(arrays.logsumexp(input.numpy(), axis=dim))
    found = _logsumexp(input, dims, keepdim)
    return found if out is None else into("out", out, found)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:  # noqa: A002
    """The first maximum along `dim`, or of the whole tensor; the first NaN if there is one, as `torch.argmax`.

    Parameters
    ----------
    input
        As in `softmax`.
    dim : int, optional
        None: of all values, counted in C order.
    keepdim : bool, default False
        Leave the axis in place with size 1.

    Returns
    -------
    int64 Tensor

    Raises
    ------
    ValueError, TypeError
        As `softmax`.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.argmax(torch.tensor([0.0, 2.0, 2.0]))
    tensor(1)
    """
    if torch.compiler.is_compiling():
        return _argmax_op(input, dim, keepdim)
    return _argmax(input, dim, keepdim)


def topk(
    input: Tensor,  # noqa: A002
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: A002
    *,
    out: tuple[Tensor, Tensor] | None = None,
) -> Any:
    """The k largest (or smallest) values along `dim` and their indices, as `torch.topk`.

    Parameters
    ----------
    input, dim
        As in `softmax`.
    k : int
        How many.
    largest : bool, default True
        False: the smallest.
    sorted : bool, default True
        Accepted for torch's sake: the result is sorted either way.
    out : (values, indices), optional
        Receive the result.

    Returns
    -------
    torch.return_types.topk
        ``values`` in the dtype of `input`, int64 ``indices``; NaN counts as the largest, ties go to the smaller index.

    Raises
    ------
    ValueError, TypeError
        As `softmax`; k out of range.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.topk(torch.tensor([0.5, 2.0, 1.0]), 2).indices
    tensor([1, 2])
    """
    del sorted
    if torch.compiler.is_compiling() and out is None:
        found = _topk_op(input, k, dim, largest)
    else:
        found = _topk(input, k, dim, largest)
    if out is not None:
        found = tuple(into(name, *pair) for name, *pair in zip(("out[0]", "out[1]"), out, found, strict=True))
    return torch.return_types.topk(found)


def selective_log_softmax(logits: Tensor, index: Tensor) -> Tensor:
    """Log-softmax over the last axis at the given tokens alone, from one read: TRL's function of this name.

    Parameters
    ----------
    logits : CPU tensor [..., V]
        As `input` of `softmax`.
    index : integer tensor [...] or [..., K]
        Tokens of each row.

    Returns
    -------
    Tensor [...] or [..., K]
        ``log_softmax(logits)`` gathered at `index`, in the dtype of `logits`.

    Raises
    ------
    ValueError
        An id outside [0, V), shapes that do not match, a row with NaN or +inf or without a finite logit.
    TypeError
        As `softmax`.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.selective_log_softmax(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
    tensor([-1.3863, -1.3863, -1.3863])
    """
    if torch.compiler.is_compiling():
        return _selective_op(logits, index)
    return _selective(logits, index)


def _dense(name: str, x: Tensor, dim: int, dtype: torch.dtype | None, out: Tensor | None) -> Tensor:
    """Softmax or log_softmax."""
    if out is None and dtype is None and plain(x):
        return torch.from_numpy(_WHOLE[name](x.numpy(), axis=dim))
    array = memory("input", x)
    if out is None:
        out = torch.empty(x.shape, dtype=dtype or x.dtype)
    scalar = x.ndim == 0
    if dtype is not None and out.dtype is not dtype:
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
    _WHOLE[name](array.reshape(1) if scalar else array, axis=dim, out=out.view(1) if scalar else out, dtype=_named(out))
    return out


def _named(x: Tensor) -> str:
    """The dtype's name: "float32"."""
    return str(x.dtype).removeprefix("torch.")


def _logsumexp(x: torch.Tensor, dims: list[int], keepdim: bool) -> torch.Tensor:
    """The axes summed over lie last, as one."""
    memory("input", x)
    for dim in dims:
        if not -max(x.ndim, 1) <= dim < max(x.ndim, 1):
            raise IndexError(f"dim must be in [{-x.ndim}, {x.ndim}), got {dim}")
    axes = sorted({dim % max(x.ndim, 1) for dim in dims}) if dims else list(range(x.ndim))
    rest = [at for at in range(x.ndim) if at not in axes]
    rows = x.permute(*rest, *axes).reshape([x.shape[at] for at in rest] + [-1]) if x.ndim else x.reshape(1)
    found = _inputs.plain_array("input", rows)
    values = torch.from_numpy(arrays.logsumexp(found, keepdims=True))[..., 0].to(x.dtype)
    return values.reshape([1 if at in axes else n for at, n in enumerate(x.shape)]) if keepdim else values


def _argmax(x: torch.Tensor, dim: int | None, keepdim: bool) -> torch.Tensor:
    """Ids of the first maximum, of the whole tensor without `dim`."""
    array = memory("input", x)
    ids = torch.as_tensor(arrays.argmax(array.reshape(-1) if dim is None or x.ndim == 0 else array, axis=dim or 0))
    if dim is None:
        return ids.reshape([1] * x.ndim) if keepdim else ids
    return ids.unsqueeze(dim) if keepdim and x.ndim else ids


def _topk(x: torch.Tensor, k: int, dim: int, largest: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices."""
    array = memory("input", x)
    if x.dtype is torch.bfloat16 or not largest:
        if not largest and x.isnan().any():  # the kernel puts NaN first
            return tuple(torch.topk(x, k, dim, largest))
        keys = array if largest else memory("input", x.neg())
        ids = torch.from_numpy(arrays.top_k(keys, k, axis=dim).indices)
        return torch.gather(x, dim, ids), ids
    values, indices = arrays.top_k(array, k, axis=dim)
    return torch.from_numpy(values), torch.from_numpy(indices)


def _selective(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Log-probs of some tokens of each row."""
    array = memory("logits", logits)
    if not isinstance(index, torch.Tensor) or index.dtype.is_floating_point or index.dtype is torch.bool:
        raise TypeError(f"index must be an integer tensor, got {getattr(index, 'dtype', type(index).__name__)}")
    ids = index.to(torch.int64).numpy()
    if index.ndim == logits.ndim - 1:
        found = token_logprobs(array, ids, ignore_index=None).logprobs
    else:
        found = token_logprobs(array, ids[..., 0], candidates=ids, ignore_index=None).candidate_logprobs
    return torch.as_tensor(found).to(logits.dtype)


@operator
def _softmax_op(x: torch.Tensor, dim: int, dtype: torch.dtype | None) -> torch.Tensor:
    """A new tensor."""
    return _dense("softmax", x, dim, dtype, None)


@operator
def _log_softmax_op(x: torch.Tensor, dim: int, dtype: torch.dtype | None) -> torch.Tensor:
    """A new tensor."""
    return _dense("log_softmax", x, dim, dtype, None)


_logsumexp_op, _argmax_op, _topk_op = operator(_logsumexp), operator(_argmax), operator(_topk)
_selective_op = operator(_selective)
# Shapes and types of the results, for the compiler: what torch's own functions give.
_softmax_op.register_fake(lambda x, dim, dtype: torch.empty(x.shape, dtype=dtype or x.dtype))
_log_softmax_op.register_fake(lambda x, dim, dtype: torch.empty(x.shape, dtype=dtype or x.dtype))
_logsumexp_op.register_fake(torch.logsumexp)
_argmax_op.register_fake(torch.argmax)
_topk_op.register_fake(lambda x, k, dim, largest: tuple(torch.topk(x, k, dim, largest)))
_selective_op.register_fake(lambda logits, index: torch.empty(index.shape, dtype=logits.dtype))
