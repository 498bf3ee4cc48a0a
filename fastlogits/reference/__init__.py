"""The NumPy float64 reference of every function and every step, written to be read aloud.

What fastlogits computes in one fused pass stands here in its plainest form, one row and one step at a time, in
float64, with -inf for a removed token. The tests compare the two; a user compares results with it, or reads here what
a step means. Names and parameters are those of the package, less what steers a machine (``out``, ``dtype``,
``threads``, ``on_error``). Rows are expected to be valid: no NaN, no +inf, one finite logit at least.

The array function `top_k` and the sampler step of that name differ, so the steps have the namespace `steps`:
``reference.top_k(x, 5)`` sorts an array, ``reference.steps.top_k(Row(x), k=5)`` cuts a row. The four ends
take the keywords of the package, or, as ``plan=``, a list of steps from `fastlogits.steps` in any order.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from fastlogits.reference.beams import beam_step
    from fastlogits.reference.calibration import (
        CompletionScores,
        ReliabilityCurve,
        Scaling,
        TemperatureFit,
        brier_score,
        calibration_error,
        completion_prefixes,
        fit_scaling,
        fit_temperature,
        label_logprobs,
        negative_log_likelihood,
        reliability_curve,
        score_completions,
    )
    from fastlogits.reference.combine import contrastive, dexperts, guide
    from fastlogits.reference.comparison import (
        Comparison,
        compare_distributions,
        cross_entropy,
        js_divergence,
        kl_divergence,
        top_n_agreement,
        total_variation,
    )
    from fastlogits.reference.rows import Row, gumbel, philox, uniform
    from fastlogits.reference.sampling import (
        candidates,
        filter_logits,
        gumbel_max,
        keyword_plan,
        probs,
        process,
        sample,
    )
    from fastlogits.reference.scoring import TokenLogprobs, token_logprobs
    from fastlogits.reference.shards import merge, shard_peaks, shard_summary
    from fastlogits.reference.speculative import Verified, verify
    from fastlogits.reference.step_functions import steps
    from fastlogits.reference.texts import TextScore, perplexity, score_text, sliding_windows

__all__ = [
    "BeamStep", "Candidates", "Comparison", "CompletionScores", "GumbelMax", "ReliabilityCurve", "Row",
    "SampleResult", "Scaling", "TemperatureFit", "TextScore", "TokenLogprobs", "TopK", "Verified", "argmax",
    "beam_step", "brier_score", "calibration_error", "candidates", "compare_distributions", "completion_prefixes",
    "contrastive", "cross_entropy", "dexperts", "filter_logits", "fit_scaling", "fit_temperature", "guide",
    "gumbel", "gumbel_max", "js_divergence", "keyword_plan", "kl_divergence", "label_logprobs", "log_softmax",
    "logsumexp", "merge", "negative_log_likelihood", "perplexity", "philox", "probs", "process",
    "reliability_curve", "sample", "score_completions", "score_text", "shard_peaks", "shard_summary",
    "sliding_windows", "softmax", "steps", "token_logprobs", "top_k", "top_n_agreement", "total_variation",
    "uniform", "verify",
]  # fmt: skip

_FILES = (
    "beams", "combine", "calibration", "comparison", "rows", "sampling", "scoring", "shards", "speculative",
    "step_functions", "texts",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """The references of the other files, fetched when asked for: this file runs alone, NumPy its only need."""
    for file in _FILES if name in __all__ else ():
        module = importlib.import_module(f"{__name__}.{file}")
        if hasattr(module, name):
            return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class TopK(NamedTuple):
    """The k largest values of each row and their ids, both [..., k]."""

    values: Floats
    indices: Ids


class SampleResult(NamedTuple):
    """Drawn ids and their log-probs, [...]; the top n of what was drawn from, [..., n], or of the logits, raw."""

    ids: Any
    logprobs: Any
    raw_logprobs: Any
    ranks: Any
    top_ids: Any
    top_logprobs: Any
    raw_ranks: Any = None
    raw_top_ids: Any = None
    raw_top_logprobs: Any = None


class GumbelMax(NamedTuple):
    """Ids of the largest logit - base + noise and these values, [...] or [..., n]; what logits count from, [...]."""

    ids: Any
    values: Any
    base: Any


class BeamStep(NamedTuple):
    """Continuations of beams: scores, beams and tokens, [..., n]."""

    scores: Floats
    beams: Ids
    ids: Ids


class Candidates(NamedTuple):
    """The survivors of all rows, one after the other; row r is offsets[r] .. offsets[r + 1] - 1."""

    ids: Ids
    logits: Floats
    logprobs: Floats
    offsets: Ids


# ---- array functions ---------------------------------------------------------------------------------------------


def _distances(x: ArrayLike, axis: int, temperature: ArrayLike) -> tuple[Floats, Floats]:
    """Maxima / T and (x - max) / T in float64; a temperature with axes broadcasts against x without `axis`."""
    values, t = np.asarray(x, np.float64), np.asarray(temperature, np.float64)
    t = np.expand_dims(t, axis) if t.ndim else t
    top = values.max(axis, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        return top / t, (values - top) / t


def _rest(top: Floats, distances: Floats, axis: int) -> Floats:
    """Sum of exp(distance) over all but the first maximum, whose own exponential is 1; 0 next to a maximum of +inf."""
    e = np.where(np.isposinf(top), 0.0, np.exp(distances))
    np.put_along_axis(e, np.expand_dims(distances.argmax(axis), axis), 0.0, axis)
    total: Floats = e.sum(axis, keepdims=True)
    return total


def softmax(x: ArrayLike, *, axis: int = -1, temperature: ArrayLike = 1.0) -> Floats:
    """exp(x_i / T) / sum_j exp(x_j / T) along `axis`, any shape; special values as `scipy.special.softmax`."""
    _, d = _distances(x, axis, temperature)
    e = np.exp(d)
    p: Floats = e / e.sum(axis, keepdims=True)
    return p


def log_softmax(x: ArrayLike, *, axis: int = -1, temperature: ArrayLike = 1.0) -> Floats:
    """x_i / T - ln sum_j exp(x_j / T) along `axis`; the maximum keeps full relative precision, as -log1p(rest)."""
    top, d = _distances(x, axis, temperature)
    scores: Floats = d - np.log1p(_rest(top, d, axis))
    return scores


def logsumexp(x: ArrayLike, *, axis: int = -1, temperature: ArrayLike = 1.0, keepdims: bool = False) -> Any:
    """Return ln sum_j exp(x_j / T) along `axis` = max / T + log1p(rest); -inf and +inf as `scipy.special.logsumexp`."""
    top, d = _distances(x, axis, temperature)
    total = np.where(np.isfinite(top), top + np.log1p(_rest(top, d, axis)), top)
    return total if keepdims else np.squeeze(total, axis)[()]


def argmax(x: ArrayLike, *, axis: int = -1) -> Any:
    """Index of the first maximum along `axis`, of the first NaN if there is one; -0 equals +0, as `numpy.argmax`."""
    return np.asarray(x, np.float64).argmax(axis)


def top_k(x: ArrayLike, k: int, *, axis: int = -1, sorted: bool = True) -> TopK:  # noqa: A002
    """The k largest along `axis`: NaN first, as `torch.topk`, then value descending, then index ascending."""
    values = np.asarray(x, np.float64)
    order = np.lexsort((-values, ~np.isnan(values)), axis).take(np.arange(k), axis)
    return TopK(np.take_along_axis(values, order, axis), order)
