"""The NumPy float64 reference of the comparison of distributions; see `reference`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Comparison(NamedTuple):
    """Measures per row [...]; see `fastlogits.Comparison`."""

    kl: Any
    reverse_kl: Any
    js: Any
    total_variation: Any
    cross_entropy: Any
    agreement: Any


def _log_probs(logits: ArrayLike, temperature: ArrayLike) -> Floats:
    """Log-softmax of rows [..., V]."""
    z = np.asarray(logits, np.float64) / np.asarray(temperature, np.float64)[..., None]
    with np.errstate(over="ignore"):
        z = z - z.max(-1, keepdims=True)
    scores: Floats = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return scores


def _divergence(p: Floats, log_p: Floats, log_q: Floats) -> Any:
    """Sum of p (log p - log q), tokens with p = 0 left out."""
    with np.errstate(invalid="ignore"):
        return np.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def _reduced(values: Any, reduction: str) -> Any:
    """The values, their sum or their mean."""
    return values if reduction == "none" else values.sum() if reduction == "sum" else values.mean()


def kl_divergence(
    p_logits: ArrayLike, q_logits: ArrayLike, *, temperature: ArrayLike = 1.0, reduction: str = "none"
) -> Any:
    """KL(p || q)."""
    log_p, log_q = _log_probs(p_logits, temperature), _log_probs(q_logits, temperature)
    return _reduced(_divergence(np.exp(log_p), log_p, log_q), reduction)


def js_divergence(
    p_logits: ArrayLike, q_logits: ArrayLike, *, beta: float = 0.5, temperature: ArrayLike = 1.0,
    reduction: str = "none",
) -> Any:  # fmt: skip
    """Jensen-Shannon: beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q."""
    log_p, log_q = _log_probs(p_logits, temperature), _log_probs(q_logits, temperature)
    log_m = np.logaddexp(np.log(beta) + log_p, np.log1p(-beta) + log_q)
    parts = [weight * _divergence(np.exp(x), x, log_m) for weight, x in ((beta, log_p), (1 - beta, log_q))]
    return _reduced(parts[0] + parts[1], reduction)


def total_variation(
    p_logits: ArrayLike, q_logits: ArrayLike, *, temperature: ArrayLike = 1.0, reduction: str = "none"
) -> Any:
    """Half the sum of |p - q|."""
    p, q = (np.exp(_log_probs(x, temperature)) for x in (p_logits, q_logits))
    return _reduced(np.abs(p - q).sum(-1) / 2, reduction)


def cross_entropy(
    p_logits: ArrayLike, q_logits: ArrayLike, *, temperature: ArrayLike = 1.0, reduction: str = "none"
) -> Any:
    """Sum of -p log q, tokens with p = 0 left out."""
    log_p, log_q = _log_probs(p_logits, temperature), _log_probs(q_logits, temperature)
    return _reduced(_divergence(np.exp(log_p), np.zeros_like(log_p), log_q), reduction)


def top_n_agreement(p_logits: ArrayLike, q_logits: ArrayLike, *, top_n: int = 1, reduction: str = "none") -> Any:
    """Common tokens of the two lists of most likely ones over those of the longer list."""
    both = np.broadcast_arrays(p_logits, q_logits)
    shares = []
    for p, q in zip(*(np.asarray(x, np.float64).reshape(-1, x.shape[-1]) for x in both), strict=True):
        a, b = ({i for i in np.argsort(-x, kind="stable")[:top_n].tolist() if x[i] > -np.inf} for x in (p, q))
        shares.append(len(a & b) / max(len(a), len(b)))
    return _reduced(np.reshape(shares, both[0].shape[:-1])[()], reduction)


def compare_distributions(
    p_logits: ArrayLike, q_logits: ArrayLike, *, top_n: int = 1, beta: float = 0.5, temperature: ArrayLike = 1.0
) -> Comparison:
    """All measures."""
    given: dict[str, Any] = {"temperature": temperature}
    return Comparison(
        kl_divergence(p_logits, q_logits, **given), kl_divergence(q_logits, p_logits, **given),
        js_divergence(p_logits, q_logits, beta=beta, **given), total_variation(p_logits, q_logits, **given),
        cross_entropy(p_logits, q_logits, **given), top_n_agreement(p_logits, q_logits, top_n=top_n))  # fmt: skip
