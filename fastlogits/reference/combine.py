"""Reference of the combinations of rows: guidance, contrastive decoding, DExperts; see `fastlogits.reference`.

A log-softmax differs from its logits by a constant, so a combination of log-softmaxes is that of the logits less the
same combination of the log-sum-exps: tokens that tie stay ties.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogits.reference import logsumexp

Floats = NDArray[np.float64]


def _factor(scale: ArrayLike, axis: int) -> Floats:
    """A number, or one per row laid next to the rows."""
    s = np.asarray(scale, np.float64)
    return np.expand_dims(s, axis) if s.ndim else s


def _mixed(base: Floats, s: Floats, plus: Floats, minus: Floats, neutral: float) -> Floats:
    """Base + s (plus - minus); -inf where plus is; where minus alone is -inf, the limit, known by s < = > `neutral`."""
    with np.errstate(invalid="ignore", over="ignore"):
        plain = base + s * (plus - minus)
    alone = np.where(s == neutral, plus if neutral else base, np.where(s > neutral, np.inf, -np.inf))
    mixed = np.where(np.isneginf(plus), -np.inf, np.where(np.isneginf(minus), alone, plain))
    return np.where(np.isnan(base) | np.isnan(plus) | np.isnan(minus), np.nan, mixed)


def _log_sums(x: Floats, axis: int) -> Floats:
    """Log-sum-exps of the rows, NaN where log-softmax has none."""
    total = logsumexp(x, axis=axis, keepdims=True)
    return np.where(np.isfinite(total), total, np.nan)


def guide(cond: ArrayLike, uncond: ArrayLike, scale: ArrayLike, *, space: str = "logprobs", axis: int = -1) -> Floats:
    """U + s (c - u), of log-softmaxes or raw (Ho and Salimans, 2022; Sanchez et al., 2023)."""
    c, u = np.asarray(cond, np.float64), np.asarray(uncond, np.float64)
    s = _factor(scale, axis)
    mixed = _mixed(u, s, c, u, 1.0)
    if space == "raw":
        return mixed
    lse_c, lse_u = _log_sums(c, axis), _log_sums(u, axis)
    return mixed - (lse_u + s * (lse_c - lse_u))


def contrastive(
    expert: ArrayLike, amateur: ArrayLike, *, alpha: ArrayLike = 0.1, beta: ArrayLike | None = None, axis: int = -1
) -> Floats:
    """Log p_e - log p_a, or (1 + b) log p_e - b log p_a, where p_e >= alpha max p_e, else -inf (Li et al., 2022)."""
    e, a = np.asarray(expert, np.float64), np.asarray(amateur, np.float64)
    with np.errstate(divide="ignore"):
        far = e < e.max(axis, keepdims=True) + np.log(_factor(alpha, axis))
    if beta is None:
        scores = _mixed(np.zeros_like(e), np.ones(()), e, a, 0.0) - (_log_sums(e, axis) - _log_sums(a, axis))
    else:
        scores = guide(e, a, 1 + np.asarray(beta, np.float64), axis=axis)
    return np.where(far & ~np.isnan(scores), -np.inf, scores)


def dexperts(base: ArrayLike, expert: ArrayLike, anti: ArrayLike, alpha: ArrayLike, *, axis: int = -1) -> Floats:
    """B + alpha (e - a); -inf where b or e is (Liu et al., 2021)."""
    b, e, a = (np.asarray(x, np.float64) for x in (base, expert, anti))
    mixed = _mixed(b, _factor(alpha, axis), e, a, 0.0)
    return np.where(np.isneginf(b) & ~(np.isnan(e) | np.isnan(a)), -np.inf, mixed)
