"""Distributions of two models side by side, row by row, without an array of the size of the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlogits._common import params
from fastlogits.scoring.measures import MEASURES, Comparison, ComparisonTotals, Manner, compare, single

__all__ = [
    "Comparison",
    "ComparisonTotals",
    "compare_distributions",
    "cross_entropy",
    "js_divergence",
    "kl_divergence",
    "top_n_agreement",
    "total_variation",
]


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
    """Any of the measures of p = softmax(p_logits / T) and q = softmax(q_logits / T), row by row.

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        Equal shapes; float32, float16, bfloat16 or float64, each its own. Arrays, tensors and memmaps are read in
        place. An iterable that is neither an array nor a list or tuple yields chunks of rows along the first axis, a
        chunk [V] being one row; chunks of the two sides may be cut differently.
    kl, reverse_kl, js, total_variation, cross_entropy : bool
        What to report; see `Comparison`. kl alone by default.
    top_n : int in [0, V], default 0
        Report the agreement of the ``top_n`` most likely tokens (0: not at all).
    beta : float in (0, 1), default 0.5
        Of Jensen-Shannon: ``beta KL(p || m) + (1 - beta) KL(q || m)`` with ``m = beta p + (1 - beta) q``.
    temperature : float > 0, or array [...], default 1.0
        T of both; one number where chunks come.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        Whether a row with NaN, +inf or no finite logit raises, or is reported as a `Status` per row next to the result.

    Returns
    -------
    Comparison
        With ``on_error="status"`` the pair (Comparison, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row, nothing asked for.
    TypeError
        A type that is not supported.

    Notes
    -----
    A token with p = 0 (-inf, or so far below that its probability is 0 in float64) adds nothing to sums of p log; one
    with p > 0 whose q_logit is -inf makes KL and cross-entropy infinite. Divergences of float rows are taken from one
    read of both where nothing else is asked for, and are within 2e-6 of their value however small; all other measures
    are computed in double over rows that then lie in the cache. Bits are equal for any batch, chunks, number of threads
    and instruction set.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> p, q = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.25, 0.5]])
    >>> found = fl.compare_distributions(p, q, js=True, total_variation=True, top_n=2)
    >>> [round(float(x[0]), 4) for x in (found.kl, found.js, found.total_variation, found.agreement)]
    [0.1733, 0.0425, 0.25, 0.5]
    """
    flags = (kl, reverse_kl, js, total_variation, cross_entropy)
    wanted = [name for name, flag in zip(MEASURES, flags, strict=True) if _flag(name, flag)]
    return compare(p_logits, q_logits, wanted, Manner(temperature, threads, on_error, _top_n(top_n), beta))


def kl_divergence(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Kullback-Leibler divergence KL(p || q) of each row, in nats; exchange the two for KL(q || p).

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        As in `compare_distributions`.
    temperature : float > 0, or array [...], default 1.0
        T of both.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean, rounded once; bad rows are left out of it.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        As in `compare_distributions`.

    Returns
    -------
    array [...] or float
        At least 0; inf where q is 0 and p is not. With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> p, q = np.log([[0.5, 0.5], [0.1, 0.9]]), np.log([[0.25, 0.75], [0.1, 0.9]])
    >>> fl.kl_divergence(p, q).round(4)
    array([0.1438, 0.    ])
    >>> round(fl.kl_divergence(p, q, reduction="mean"), 4)
    0.0719
    """
    return single("kl", p_logits, q_logits, reduction, Manner(temperature, threads, on_error))


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
    """Jensen-Shannon divergence in nats: beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q.

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        As in `compare_distributions`.
    beta : float in (0, 1), default 0.5
        Weight of p. At 0 and 1 the divergence is 0: there `kl_divergence` is what distillation means.
    temperature : float > 0, or array [...], default 1.0
        T of both.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        As in `compare_distributions`.

    Returns
    -------
    array [...] or float
        In [0, ln 2]. With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> fl.js_divergence(np.log([0.5, 0.5]), np.log([0.25, 0.75])).round(5)
    np.float64(0.03382)
    >>> fl.js_divergence([0.0, -np.inf], [-np.inf, 0.0]).round(5)
    np.float64(0.69315)
    """
    return single("js", p_logits, q_logits, reduction, Manner(temperature, threads, on_error, beta=beta))


def total_variation(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Total variation distance of each row, half the sum of |p - q|.

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        As in `compare_distributions`.
    temperature : float > 0, or array [...], default 1.0
        T of both.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        As in `compare_distributions`.

    Returns
    -------
    array [...] or float
        In [0, 1]. With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> fl.total_variation(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])).round(5)
    array([0.25])
    """
    return single("total_variation", p_logits, q_logits, reduction, Manner(temperature, threads, on_error))


def cross_entropy(
    p_logits: Any,
    q_logits: Any,
    *,
    temperature: Any = 1.0,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Cross-entropy of each row, the sum of -p log q, in nats; of a row with itself its entropy.

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        As in `compare_distributions`.
    temperature : float > 0, or array [...], default 1.0
        T of both.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        As in `compare_distributions`.

    Returns
    -------
    array [...] or float
        At least 0; inf where q is 0 and p is not. With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> (fl.cross_entropy(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])) / np.log(2)).round(5)
    array([1.20752])
    """
    return single("cross_entropy", p_logits, q_logits, reduction, Manner(temperature, threads, on_error))


def top_n_agreement(
    p_logits: Any,
    q_logits: Any,
    *,
    top_n: int = 1,
    reduction: str = "none",
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Share of the most likely tokens that two rows have in common.

    Parameters
    ----------
    p_logits, q_logits : array_like [..., V], or iterable of array_like [t, ..., V]
        As in `compare_distributions`.
    top_n : int in [1, V], default 1
        How many tokens of each, by (logit descending, id ascending); banned ones are none of them. With 1: whether the
        first maxima are the same token.
    reduction : "none", "sum" or "mean", default "none"
        One value per row, or their exact sum or mean.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
    on_error : "raise" or "status", default "raise"
        As in `compare_distributions`.

    Returns
    -------
    array [...] or float
        Common tokens over those of the longer list, in [0, 1]. With ``on_error="status"`` the pair (result, status).

    Raises
    ------
    ValueError
        Shapes that differ, a parameter out of range, a bad row.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.top_n_agreement([[3.0, 2.0, 1.0, 0.0]], [[3.0, 0.0, 1.0, 2.0]], top_n=2)
    array([0.5])
    """
    count = _top_n(top_n)
    if count == 0:
        raise ValueError("top_n must be an integer >= 1, got 0")
    return single("agreement", p_logits, q_logits, reduction, Manner(1.0, threads, on_error, count))


def _flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {params.shown(value)}")
    return bool(value)


def _top_n(value: Any) -> int:
    """A checked number of tokens."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"top_n must be an integer >= 0, got {params.shown(value)}")
    if value < 0:
        raise ValueError(f"top_n must be an integer >= 0, got {value}")
    return int(value)
