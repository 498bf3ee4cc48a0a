"""The NumPy float64 reference of the calibration functions and of the comparison of completions; see `reference`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

EPSILON = 2.0**-52


class ReliabilityCurve(NamedTuple):
    """Edges, counts, mean confidence, accuracy and its Wilson interval of each bin."""

    lower: Floats
    upper: Floats
    counts: Ids
    confidences: Floats
    accuracies: Floats
    low: Floats
    high: Floats


class TemperatureFit(NamedTuple):
    """T and the mean negative log-likelihood at 1 and at T."""

    temperature: float
    nll_before: float
    nll_after: float


class Scaling(NamedTuple):
    """Weights and biases per class and the mean negative log-likelihood without and with them."""

    weights: Floats
    biases: Floats
    nll_before: float
    nll_after: float


class CompletionScores(NamedTuple):
    """Log-likelihoods of completions and what is made of them; None where it was not asked for."""

    logprobs: Floats
    per_token: Floats
    per_byte: Floats | None
    mutual_information: Floats | None
    calibrated: Floats | None


def _log_probs(x: ArrayLike, temperature: float = 1.0) -> Floats:
    """Log-softmax of rows [R, V]."""
    z = np.asarray(x, np.float64)
    with np.errstate(over="ignore"):
        z = (z.reshape(-1, z.shape[-1]) - z.max(-1).reshape(-1, 1)) / temperature
    scores: Floats = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return scores


def _kept(logits: ArrayLike, targets: ArrayLike, ignore: int | None) -> tuple[Floats, Ids]:
    """Rows and classes that take part."""
    x, ids = np.asarray(logits, np.float64), np.asarray(targets).reshape(-1)
    keep = np.ones(ids.shape, np.bool_) if ignore is None else ids != ignore
    return x.reshape(-1, x.shape[-1])[keep], ids[keep]


def _rows(predictions: ArrayLike, targets: ArrayLike, from_logits: bool, t: float, ignore: Any) -> tuple[Floats, Ids]:
    """Probabilities [R, C] and classes [R] of the rows that take part."""
    given, ids = _kept(predictions, targets, ignore)
    return np.exp(_log_probs(given, t)) if from_logits else given, ids


def _columns(predictions: ArrayLike, targets: ArrayLike, from_logits: bool, t: float, ignore: Any) -> tuple[Any, Any]:
    """Confidence and truth of each event."""
    if np.ndim(predictions) == np.ndim(targets):
        kept = np.asarray(targets) != (np.inf if ignore is None else ignore)
        given = np.asarray(predictions, np.float64)[kept]
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-given / t)) if from_logits else given, np.asarray(targets)[kept] != 0
    p, ids = _rows(predictions, targets, from_logits, t, ignore)
    return p.max(-1), p.argmax(-1) == ids


def _edges(confidences: Floats, bins: int, strategy: str, rule: str) -> Floats:
    """Edges [bins + 1]."""
    edges, k = np.linspace(0, 1, bins + 1), np.arange(bins + 1)
    if strategy == "quantile":
        edges = np.percentile(confidences, edges * 100) if rule == "sklearn" else np.quantile(confidences, edges)
        if rule != "sklearn":
            edges[[0, -1]] = 0, 1
    elif rule == "torchmetrics":
        edges = np.where(k < (bins + 1) // 2, k * (1 / bins), 1 - (bins - k) * (1 / bins))
    return edges


def _members(confidences: Floats, edges: Floats, b: int, rule: str) -> Any:
    """Which confidences lie in bin b."""
    low, high, last = edges[b], edges[b + 1] if b + 1 < len(edges) else 1.0, b + 2 == len(edges)
    if rule == "torchmetrics":
        return (confidences >= low) & (confidences < high) if b + 1 < len(edges) else confidences >= low
    if rule == "sklearn":
        return ((confidences > low) | (b == 0)) & ((confidences <= high) | last)
    return (confidences >= low) & ((confidences < high) | last)


def reliability_curve(
    predictions: ArrayLike, targets: ArrayLike, *, bins: int = 15, strategy: str = "uniform", rule: str = "netcal",
    level: float = 0.95, from_logits: bool = False, temperature: float = 1.0, ignore_index: int | None = None,
) -> ReliabilityCurve:  # fmt: skip
    """Return counts, mean confidence and accuracy bin by bin, with Wilson's interval; empty bins hold NaN."""
    confidences, correct = _columns(predictions, targets, from_logits, temperature, ignore_index)
    confidences = np.clip(confidences, EPSILON, 1 - EPSILON) if rule == "netcal" else confidences
    edges = _edges(confidences, bins, strategy, rule)
    members = [_members(confidences, edges, b, rule) for b in range(bins + (rule == "torchmetrics"))]
    counts = np.array([m.sum() for m in members])
    means = [np.array([v[m].mean() if m.any() else np.nan for m in members]) for v in (confidences, correct)]
    upper = np.append(edges[1:], 1.0)
    rows = np.array([edges[: len(counts)], upper[: len(counts)], counts, *means, *_wilson(means[1], counts, level)])
    return ReliabilityCurve._make(rows[:, counts > 0] if rule == "sklearn" else rows)


def _wilson(share: Floats, counts: Ids, level: float) -> tuple[Floats, Floats]:
    """Ends of {p : |share - p| <= z sqrt(p (1 - p) / n)}, z found by bisection on the normal distribution."""
    low, high = 0.0, 40.0
    for _ in range(200):
        z = (low + high) / 2
        low, high = (z, high) if math.erf(z / math.sqrt(2)) < level else (low, z)
    n = np.where(counts > 0, counts, np.nan)
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def calibration_error(
    predictions: ArrayLike, targets: ArrayLike, *, norm: str = "l1", bins: int = 15, strategy: str = "uniform",
    rule: str = "netcal", per_class: bool = False, from_logits: bool = False, temperature: float = 1.0,
    ignore_index: int | None = None,
) -> float:  # fmt: skip
    """Sum, root mean square or maximum of |accuracy - confidence| over bins, weighted by their share."""
    if per_class:
        p, ids = _rows(predictions, targets, from_logits, temperature, ignore_index)
        keywords: dict[str, Any] = {"norm": norm, "bins": bins, "strategy": strategy, "rule": rule}
        return float(np.mean([calibration_error(p[:, c], ids == c, **keywords) for c in range(p.shape[1])]))
    columns = _columns(predictions, targets, from_logits, temperature, ignore_index)
    curve = reliability_curve(*columns, bins=bins, strategy=strategy, rule=rule)
    full = curve.counts > 0
    gaps, share = np.abs(curve.accuracies - curve.confidences)[full], (curve.counts / curve.counts.sum())[full]
    return float({"l1": share @ gaps, "l2": np.sqrt(share @ gaps**2), "max": gaps.max()}[norm])


def brier_score(
    predictions: ArrayLike, targets: ArrayLike, *, from_logits: bool = False, temperature: float = 1.0,
    ignore_index: int | None = None,
) -> float:  # fmt: skip
    """Mean of (p - y)^2, or of its sum over classes."""
    if np.ndim(predictions) == np.ndim(targets):
        p, y = _columns(predictions, targets, from_logits, temperature, ignore_index)
        return float(((p - y) ** 2).mean())
    p, ids = _rows(predictions, targets, from_logits, temperature, ignore_index)
    return float(((p - np.eye(p.shape[1])[ids]) ** 2).sum(-1).mean())


def negative_log_likelihood(
    predictions: ArrayLike, targets: ArrayLike, *, from_logits: bool = False, temperature: float = 1.0,
    ignore_index: int | None = None,
) -> float:  # fmt: skip
    """Mean of -ln p of the outcomes."""
    if np.ndim(predictions) == np.ndim(targets):
        p, y = _columns(predictions, targets, from_logits, temperature, ignore_index)
        return float(-np.log(np.where(y, p, 1 - p)).mean())
    x, ids = _kept(predictions, targets, ignore_index)
    scores = _log_probs(x, temperature) if from_logits else np.log(x)
    return float(-scores[np.arange(len(ids)), ids].mean())


def _fitted(logits: ArrayLike, targets: ArrayLike, from_logits: bool, ignore: int | None) -> tuple[Floats, Ids]:
    """Logits of classes and classes, of the rows that take part; an event becomes a row of two logits."""
    x = np.asarray(logits, np.float64)
    if x.ndim == np.ndim(targets):
        x = np.stack([np.zeros_like(x) if from_logits else 1 - x, x], -1)
    x, ids = _kept(x, targets, ignore)
    with np.errstate(divide="ignore"):
        return x if from_logits else np.log(x), ids.astype(np.int64)


def _mean_loss(x: Floats, ids: Ids, beta: float) -> tuple[float, float]:
    """Mean of -log softmax(beta x) at the targets, and its derivative by beta."""
    scores, rows = _log_probs(x, 1 / beta), np.arange(len(ids))
    masses = np.exp(scores)
    means = (masses * np.where(masses > 0, x, 0)).sum(-1)
    return float(-scores[rows, ids].mean()), float((means - x[rows, ids]).mean())


def fit_temperature(
    logits: ArrayLike, targets: ArrayLike, *, from_logits: bool = True, bounds: tuple[float, float] = (0.01, 100.0),
    ignore_index: int | None = None,
) -> TemperatureFit:  # fmt: skip
    """Bisect 1/T on the sign of the derivative of the mean negative log-likelihood; T = 1 where none depends on T."""
    x, ids = _fitted(logits, targets, from_logits, ignore_index)
    low, high = 1 / bounds[1], 1 / bounds[0]
    beta = min(max(1.0, low), high)
    off = x[np.arange(len(ids)), ids][:, None] - x
    flat = ((off == 0) | (np.exp(-low * np.abs(off)) == 0)).all() and (off >= 0).all()
    for _ in range(0 if flat else 100):
        beta = math.sqrt(low * high)
        low, high = (beta, high) if _mean_loss(x, ids, beta)[1] < 0 else (low, beta)
    return TemperatureFit(1 / beta, _mean_loss(x, ids, 1.0)[0], _mean_loss(x, ids, beta)[0])


def _features(x: Floats, method: str) -> Floats:
    """Derivative of the scaled logits by the parameters, [R, C, P]."""
    ones = np.broadcast_to(np.eye(x.shape[1]), (*x.shape, x.shape[1]))
    return np.concatenate([x[..., None] if method == "bias-corrected" else ones * x[..., None], ones], axis=-1)


def _newton_step(f: Floats, ids: Ids, theta: Floats, away: Floats, ridge: float) -> Floats:
    """Second derivative of the penalized loss, inverted, times its gradient."""
    p = np.exp(_log_probs(f @ theta))
    g = np.einsum("rc,rcp->p", p - np.eye(p.shape[1])[ids], f) / len(ids) + ridge * away
    h = np.einsum("rc,rcp,rcq->pq", p, f, f) - np.einsum("rc,rcp,rd,rdq->pq", p, f, p, f, optimize=True)
    return np.linalg.solve(h / len(ids) + ridge * np.eye(len(theta)), g)


def fit_scaling(
    logits: ArrayLike, targets: ArrayLike, *, method: str = "bias-corrected", ridge: float = 1e-4,
    from_logits: bool = True, ignore_index: int | None = None,
) -> Scaling:  # fmt: skip
    """Newton's method on the mean negative log-likelihood + ridge / 2 |parameters - start|^2, best of halved steps."""
    x, ids = _fitted(logits, targets, from_logits, ignore_index)
    f, c = _features(x, method), x.shape[1]
    start = theta = np.concatenate([np.ones(f.shape[-1] - c), np.zeros(c)])
    for _ in range(30):
        step = _newton_step(f, ids, theta, theta - start, ridge)
        trials = [theta - step * 0.5**k for k in range(20)]
        totals = [_loss(f @ t, ids) + ridge / 2 * float((t - start) @ (t - start)) for t in trials]
        theta = trials[int(np.argmin(totals))]
    return Scaling(np.broadcast_to(theta[:-c], c), theta[-c:], _loss(f @ start, ids), _loss(f @ theta, ids))


def _loss(x: Floats, ids: Ids) -> float:
    """Mean negative log-likelihood of logits."""
    return float(-_log_probs(x)[np.arange(len(ids)), ids].mean())


def label_logprobs(
    logits: ArrayLike, labels: Sequence[Any], *, normalize: bool = False, temperature: float = 1.0
) -> Floats:
    """Log of the summed probability of each label's tokens, [..., L]; over the labels alone with `normalize`."""
    x = np.asarray(logits, np.float64)
    p = np.exp(_log_probs(x, temperature))
    with np.errstate(divide="ignore"):
        scores = np.log([p[:, np.unique(np.atleast_1d(label))].sum(-1) for label in labels]).T
    scores = _log_probs(scores) if normalize else scores
    return scores.reshape(*x.shape[:-1], len(labels))


def completion_prefixes(completions: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[Ids]]:
    """Return the distinct prefixes in order of appearance, and which of them stands before each token."""
    before = [[tuple(map(int, c[:t])) for t in range(len(c))] for c in completions]
    prefixes = list(dict.fromkeys(prefix for each in before for prefix in each))
    return prefixes, [np.array([prefixes.index(prefix) for prefix in each]) for each in before]


def _token_logprobs(logits: Any, completions: Sequence[Sequence[int]], temperature: float) -> list[Floats]:
    """Log-probs of the tokens of each completion, from rows by completion or by distinct prefix."""
    if isinstance(logits, np.ndarray) and logits.ndim == 2:
        logits = [logits[rows] for rows in completion_prefixes(completions)[1]]
    pairs = list(zip(logits, completions, strict=True))
    return [_log_probs(np.asarray(x)[: len(c)], temperature)[np.arange(len(c)), list(c)] for x, c in pairs]


def score_completions(
    logits: Any, completions: Sequence[Sequence[int]], *, texts: Sequence[str] | None = None,
    unconditioned: ArrayLike | None = None, content_free: ArrayLike | None = None, temperature: float = 1.0,
) -> CompletionScores:  # fmt: skip
    """Sum of the log-probs of each completion's tokens, and what is made of it."""
    tokens = _token_logprobs(logits, completions, temperature)
    sums = np.array([each.sum() for each in tokens])
    sizes = None if texts is None else np.array([len(text.encode()) for text in texts])
    prior = None if content_free is None else _prior(np.atleast_2d(np.asarray(content_free, np.float64)))
    return CompletionScores(
        sums, sums / [len(each) for each in tokens], None if sizes is None else sums / sizes,
        None if unconditioned is None else sums - np.asarray(unconditioned),
        None if prior is None else _log_probs((sums - prior)[None])[0],
    )  # fmt: skip


def _prior(scores: Floats) -> Floats:
    """Log of the mean probability of each completion, [C], over content-free prompts [M, C]."""
    prior: Floats = np.log(np.exp(_log_probs(scores)).mean(0))
    return prior
