"""softmax, log_softmax, logsumexp, argmax and topk under torch's signatures; TRL's selective_log_softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

import fastlogits._core as _core
from fastlogits.torch import _kernels
from fastlogits.torch._tensors import into

if TYPE_CHECKING:
    from torch import Tensor


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
        A tensor on another device, an axis out of range, another shape of `out`.
    TypeError
        No tensor, an unsupported dtype or layout, a tensor that requires a gradient.

    Notes
    -----
    Views that negate are read as a copy. Results are contiguous.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.softmax(torch.zeros(1, 2), dim=-1)
    tensor([[0.5000, 0.5000]])
    """
    if torch.compiler.is_compiling():
        return _kernels.compiled(_kernels.softmax_op, input, dim, dtype, out)
    return _kernels.dense(_core.SOFTMAX, input, dim, dtype, out)


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

    Notes
    -----
    A row with one +inf has NaN there and -inf elsewhere, as `scipy.special.log_softmax`; torch has NaN throughout.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.log_softmax(torch.zeros(1, 2), dim=-1)
    tensor([[-0.6931, -0.6931]])
    """
    if torch.compiler.is_compiling():
        return _kernels.compiled(_kernels.log_softmax_op, input, dim, dtype, out)
    return _kernels.dense(_core.LOG_SOFTMAX, input, dim, dtype, out)


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
        As `softmax`; an axis named twice.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> round(ft.logsumexp(torch.zeros(2, 4), dim=(0, 1)).item(), 4)
    2.0794
    """
    dims = list(dim) if isinstance(dim, Sequence) else [dim]
    found = (_kernels.logsumexp_op if torch.compiler.is_compiling() else _kernels.logsumexp)(input, dims, keepdim)
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
        As `softmax`; an empty axis.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.argmax(torch.tensor([0.0, 2.0, 2.0]))
    tensor(1)
    """
    if torch.compiler.is_compiling():
        return _kernels.argmax_op(input, dim, keepdim)
    return _kernels.argmax(input, dim, keepdim)


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
    found = (_kernels.topk_op if torch.compiler.is_compiling() else _kernels.topk)(input, k, dim, largest)
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
        return _kernels.selective_op(logits, index)
    return _kernels.selective(logits, index)
