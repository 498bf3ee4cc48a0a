"""Distributions of two models side by side, of dask arrays."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

from fastlogits._common import params
from fastlogits.dask import _blocks
from fastlogits.scoring import comparison
from fastlogits.scoring import measures as _comparison


class Comparison(_comparison.Comparison):
    """A `fastlogits.Comparison` of dask arrays, or, after ``dask.compute``, of ndarrays.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.zeros((4, 2), chunks=2), da.from_array([[0.0, 1.0]] * 4, chunks=3)
    >>> totals = fd.compare_distributions(p, q).totals().compute()
    >>> totals.rows, round(totals.mean("kl"), 4)
    (4, 0.1201)
    """

    __slots__ = ()

    def totals(self) -> Any:
        """The sums over the rows that are not NaN: a Delayed of `fastlogits.ComparisonTotals`."""
        found = {name: values for name, values in self._asdict().items() if values is not None}
        if not any(map(_blocks.is_lazy, found.values())):
            return super().totals()
        axes = next(iter(found.values())).ndim
        return _blocks.delayed(_blocks.total(_blocks.Call(_totals, axes, {}, found).blocks()))


def compare_distributions(
    p_logits: Any,
    q_logits: Any,
    *,
    kl: bool = True,
    reverse_kl: bool = False,
    js: bool = False,
    total_variation: bool = False,
    cross_entropy: bool = False,
    top_n: int = 0,
    beta: float = 0.5,
    temperature: Any = 1.0,
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Any of the measures of p and q, row by row: `fastlogits.compare_distributions`, lazily.

    Parameters
    ----------
    p_logits, q_logits : dask array [..., V]
        Equal shapes; types may differ; the second is cut as the first is.
    temperature : float > 0, or dask array or array_like [...], default 1.0
        T of both.
    kl, reverse_kl, js, total_variation, cross_entropy, top_n, beta, on_error
        As in `fastlogits.compare_distributions`.
    threads : int >= 0, optional
        Threads within each chunk, in addition to those that dask runs.

    Returns
    -------
    Comparison
        Of dask arrays; ``.totals()`` is a Delayed, equal to the bit for every chunking. With ``on_error="status"`` the
        pair (Comparison, status). ``dask.compute(found)`` computes all measures from one read.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.compare_distributions`: keywords and shapes at once, contents when computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> import numpy as np
    >>> p, q = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.25, 0.5]])
    >>> found = fd.compare_distributions(da.from_array(p), da.from_array(q, chunks=1), total_variation=True)
    >>> found.kl.round(4).compute(), found.total_variation.compute().round(4)
    (array([0.1733]), array([0.25]))
    """
    found = _pair(
        comparison.compare_distributions, p_logits, q_logits, temperature,
        kl=kl, reverse_kl=reverse_kl, js=js, total_variation=total_variation, cross_entropy=cross_entropy,
        top_n=top_n, beta=beta, threads=threads, on_error=on_error,
    ).results()  # fmt: skip
    return (Comparison._make(found[0]), found[1]) if on_error == "status" else Comparison._make(found)


def kl_divergence(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Kullback-Leibler divergence KL(p || q) of each row, in nats: `fastlogits.kl_divergence`, lazily.

    Parameters
    ----------
    p_logits, q_logits, temperature, threads, on_error
        As in `compare_distributions`.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean; bad rows are left out of it.

    Returns
    -------
    dask array [...] or []
        With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError, TypeError
        As `compare_distributions`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.zeros((4, 2), chunks=2), da.from_array([[0.0, 1.0]] * 4, chunks=3)
    >>> fd.kl_divergence(p, q, reduction="mean").compute().round(4)
    np.float64(0.1201)
    """
    call = _pair(comparison.kl_divergence, p_logits, q_logits, temperature, threads=threads, on_error=on_error)
    return _single(call, "kl", reduction, on_error)


def js_divergence(
    p_logits: Any,
    q_logits: Any,
    *,
    beta: float = 0.5,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Jensen-Shannon divergence of each row, in nats: `fastlogits.js_divergence`, lazily.

    Parameters
    ----------
    p_logits, q_logits, temperature, reduction, threads, on_error
        As in `kl_divergence`.
    beta : float in (0, 1), default 0.5
        Weight of p.

    Returns
    -------
    dask array [...] or []
        With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError, TypeError
        As `compare_distributions`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.zeros((4, 2), chunks=2), da.from_array([[0.0, 1.0]] * 4, chunks=3)
    >>> fd.js_divergence(p, q, reduction="sum").compute().round(4)
    np.float64(0.1141)
    """
    function = partial(comparison.js_divergence, beta=beta)
    call = _pair(function, p_logits, q_logits, temperature, threads=threads, on_error=on_error)
    return _single(call, "js", reduction, on_error)


def total_variation(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Half the sum of |p - q| of each row: `fastlogits.total_variation`, lazily.

    Parameters
    ----------
    p_logits, q_logits, temperature, reduction, threads, on_error
        As in `kl_divergence`.

    Returns
    -------
    dask array [...] or []
        With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError, TypeError
        As `compare_distributions`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.zeros((2, 2), chunks=1), da.from_array([[0.0, 1.0]] * 2, chunks=2)
    >>> fd.total_variation(p, q).compute().round(4)
    array([0.2311, 0.2311])
    """
    call = _pair(comparison.total_variation, p_logits, q_logits, temperature, threads=threads, on_error=on_error)
    return _single(call, "total_variation", reduction, on_error)


def cross_entropy(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Sum of -p log q of each row, in nats: `fastlogits.cross_entropy`, lazily.

    Parameters
    ----------
    p_logits, q_logits, temperature, reduction, threads, on_error
        As in `kl_divergence`.

    Returns
    -------
    dask array [...] or []
        With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError, TypeError
        As `compare_distributions`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.zeros((2, 2), chunks=1), da.from_array([[0.0, 1.0]] * 2, chunks=2)
    >>> fd.cross_entropy(p, q).compute().round(4)
    array([0.8133, 0.8133])
    """
    call = _pair(comparison.cross_entropy, p_logits, q_logits, temperature, threads=threads, on_error=on_error)
    return _single(call, "cross_entropy", reduction, on_error)


def top_n_agreement(
    p_logits: Any,
    q_logits: Any,
    *,
    top_n: int = 1,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Share of the most likely tokens that two rows have in common: `fastlogits.top_n_agreement`, lazily.

    Parameters
    ----------
    p_logits, q_logits, reduction, threads, on_error
        As in `kl_divergence`.
    top_n : int in [1, V], default 1
        How many tokens of each.

    Returns
    -------
    dask array [...] or []
        With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError, TypeError
        As `compare_distributions`.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> p, q = da.from_array([[3.0, 2.0, 1.0, 0.0]]), da.from_array([[3.0, 0.0, 1.0, 2.0]])
    >>> fd.top_n_agreement(p, q, top_n=2).compute()
    array([0.5])
    """
    function = partial(comparison.top_n_agreement, top_n=top_n)
    call = _pair(function, p_logits, q_logits, None, threads=threads, on_error=on_error)
    return _single(call, "agreement", reduction, on_error)


def _pair(function: Any, p: Any, q: Any, temperature: Any, **plain: Any) -> _blocks.Call:
    """A call for the logits of two models; no temperature where it is None."""
    a, b = _blocks.rows_of("p_logits", p), _blocks.rows_of("q_logits", q)
    if a.shape != b.shape:
        raise ValueError(f"q_logits must have the shape of p_logits, {a.shape}, got {b.shape}")
    t = None if temperature is None else _blocks.temperature_of(temperature, a.shape[:-1])
    return _blocks.Call(function, a.ndim - 1, {"p_logits": a, "q_logits": b}, {"temperature": t}, **plain)


def _single(call: _blocks.Call, name: str, reduction: str, on_error: str) -> Any:
    """One measure, per row or reduced."""
    params.choice("reduction", reduction, ("none", "sum", "mean"))
    found = call.results()
    if reduction == "none":
        return found
    values, status = found if on_error == "status" else (found, None)
    totals = _blocks.total(_blocks.Call(_totals, values.ndim, {}, {name: values}).blocks())
    figure = operator.methodcaller("total" if reduction == "sum" else "mean", name)
    value = _blocks.number(totals, figure)
    return value if status is None else (value, status)


def _totals(**values: Any) -> _comparison.ComparisonTotals:
    """The sums of one chunk of rows."""
    fields = _comparison.Comparison._fields
    return _comparison.Comparison(*(values.get(name) for name in fields)).totals()
