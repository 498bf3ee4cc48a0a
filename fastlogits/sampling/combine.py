"""Rows of logits combined with others, element by element: guidance, contrastive decoding, DExperts.

The same combinations, as the first step of a pipeline and without an array of the result, are `steps.Guidance`,
`steps.Contrastive` and `steps.DExperts`.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import threads as _threads
from fastlogits.sampling import prepare as _prepare
from fastlogits.steps.combine import Contrastive, DExperts, Guidance

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastlogits.steps.base import Step

__all__ = ["contrastive", "dexperts", "guide"]

Array = NDArray[Any]


def guide(
    cond: Any,
    uncond: Any,
    scale: Any,
    *,
    space: str = "logprobs",
    axis: int = -1,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Classifier-free guidance: u + s (c - u).

    Parameters
    ----------
    cond, uncond : array_like of one shape and type
        c and u: float32, float16, bfloat16, float64 or integers (taken as float64); any strides.
    scale : float, or array
        s; an array is broadcast against the shape of ``cond`` without ``axis``. The form c + s (c - u) of some models
        (Dia) has a scale one lower.
    space : "logprobs" or "raw"
        Whether both are log-softmaxed along the axis first (language models), or mixed as they are: the formula of
        image models too, on arrays of any shape.
    axis : int, default -1
        The axis of log-softmax and of ``scale``.
    out : ndarray or torch CPU tensor, optional
        Receives the result and is returned; one of the inputs, or apart from them.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    ndarray
        In the shape and type of ``cond``.

    Raises
    ------
    ValueError
        A shape, an axis or a scale that does not fit, an ``out`` that overlaps an input in part.
    TypeError
        A dtype that is not supported, or two of them.

    Notes
    -----
    Computed in double and rounded once. NaN propagates. -inf in c stays -inf. Where u alone is -inf
    the result is the limit: +inf where s > 1, c where s = 1, else -inf. In space "logprobs" a row with NaN or
    +inf in c or u, or with nothing finite in one of them, is NaN.

    Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022; Sanchez et al., "Stay on topic with Classifier-Free
    Guidance", 2023. ``scale=1`` gives log-softmax of c, as transformers' UnbatchedClassifierFreeGuidance does.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.guide([1.0, 1.0, 1.0], [1.0, 0.0, 1.5], 1.5, space="raw")
    array([1.  , 1.5 , 0.75])
    >>> fl.guide([1.0, 1.0, 1.0], [1.0, 0.0, 1.5], 1.5).round(3)
    array([-1.096, -0.596, -1.346])
    """
    return _blend(_prepared(Guidance, scale, space), {"cond": cond, "uncond": uncond}, axis, out, threads)


def contrastive(
    expert: Any,
    amateur: Any,
    *,
    alpha: Any = 0.1,
    beta: Any = None,
    axis: int = -1,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Contrastive decoding: log p_e - log p_a where p_e >= alpha max p_e, else -inf.

    Parameters
    ----------
    expert, amateur : array_like of one shape and type
        Logits of the two models; any float type of `guide`.
    alpha : float in [0, 1], or array, default 0.1
        Plausibility; 0 is off.
    beta : float >= 0, or array, optional
        (1 + beta) log p_e - beta log p_a instead.
    axis, out, threads
        As in `guide`.

    Returns
    -------
    ndarray
        In the shape and type of ``expert``.

    Raises
    ------
    ValueError, TypeError
        As `guide`; alpha or beta out of range.

    Notes
    -----
    Li et al., "Contrastive Decoding: Open-ended Text Generation as Optimization", 2022; with beta O'Brien and Lewis,
    "Contrastive Decoding Improves Reasoning in Large Language Models", 2023. Special values as `guide` has them.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.contrastive([3.0, 2.0, -2.0], [3.0, 1.0, -9.0]).round(3)
    array([-0.191,  0.809,   -inf])
    """
    return _blend(_prepared(Contrastive, alpha, beta), {"expert": expert, "amateur": amateur}, axis, out, threads)


def dexperts(
    base: Any, expert: Any, anti: Any, alpha: Any, *, axis: int = -1, out: Any = None, threads: int | None = None
) -> Any:
    """Decoding-time experts: b + alpha (e - a).

    Parameters
    ----------
    base, expert, anti : array_like of one shape and type
        Logits b, e and a; any float type of `guide`.
    alpha : float, or array
        Broadcast against the shape of ``base`` without ``axis``.
    axis, out, threads
        As in `guide`.

    Returns
    -------
    ndarray
        In the shape and type of ``base``.

    Raises
    ------
    ValueError, TypeError
        As `guide`.

    Notes
    -----
    Liu et al., "DExperts: Decoding-Time Controlled Text Generation with Experts and Anti-Experts", 2021. -inf in b or e
    stays -inf; a -inf of a alone is followed to its limit: +inf where alpha > 0, b where alpha = 0, else -inf.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.dexperts([1.0, 1.0], [0.5, 0.0], [0.0, 0.5], 2.0)
    array([2., 0.])
    """
    return _blend(_prepared(DExperts, alpha), {"base": base, "expert": expert, "anti": anti}, axis, out, threads)


@functools.lru_cache(maxsize=256, typed=True)
def _kept(kind: Callable[..., Step], *parameters: Any) -> _prepare.Prepared:
    """A step with plain numbers, made once."""
    return _prepare.prepared(kind(*parameters))


def _prepared(kind: Callable[..., Step], *parameters: Any) -> _prepare.Prepared:
    """A step for C."""
    plain = all(p is None or isinstance(p, float | int | str) for p in parameters)
    return _kept(kind, *parameters) if plain else _prepare.prepared(kind(*parameters))


def _blend(step: _prepare.Prepared, given: dict[str, Any], axis: Any, out: Any, threads: Any) -> Any:
    """The step on whole arrays, checked; arrays without axes as those of one element."""
    (first, x), *others = given.items()
    arrays = [_array(first, x)]
    for name, rows in others:
        arrays.append(_inputs.beside_array(name, _array(name, rows), arrays[0], first))
    try:
        at = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be an integer, got {axis!r}") from None
    shape, ndim = arrays[0].shape, max(arrays[0].ndim, 1)
    if not -ndim <= at < ndim:
        raise np.exceptions.AxisError(f"axis must be in [{-ndim}, {ndim}), got {at}")
    if half.result_code(_core.dtype_code(arrays[0])) != _core.dtype_code(arrays[0]):
        arrays = [half.widened(array) for array in arrays]
    code = _core.dtype_code(arrays[0])
    target = half.new(shape, code) if out is None else _inputs.out_array(out, shape, code, None)
    for array in arrays:
        _inputs.refuse_overlap(target, array)
    rows = tuple(np.atleast_1d(array) for array in arrays)
    outer = rows[0].shape[: at % ndim] + rows[0].shape[at % ndim + 1 :]
    (prepared,) = _prepare.spread([step], outer)
    task = _core.BlendTask(prepared, rows, np.atleast_1d(target), at % ndim)
    _threads.run_blocks(task.run, math.prod(outer), _inputs.thread_count(threads), rows[0].shape[at % ndim])
    return target[()] if out is None else out


def _array(name: str, x: Any) -> Array:
    """As `_inputs.logits_array`, of arrays without axes too."""
    array = _inputs.plain_array(name, x)
    return _inputs.logits_array(name, np.atleast_1d(array)).reshape(array.shape)
