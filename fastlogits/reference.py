"""The NumPy float64 twin of every function and every step, written to be read aloud.

What fastlogits computes in one fused pass stands here in its plainest form, one row and one step at a time, in
float64, with -inf for a removed token. The tests compare the two; a user compares results with it, or reads here what
a step means. Names and parameters are those of the package, less what steers a machine (``out``, ``dtype``,
``threads``, ``on_error``). Rows are expected to be valid: no NaN, no +inf, one finite logit at least.

The array function `top_k` and the sampler step of that name differ, so the twins of the steps live in the namespace
`steps`: ``reference.top_k(x, 5)`` sorts an array, ``reference.steps.top_k(Row(x), k=5)`` cuts a row. The four ends
take the keywords of the package, or, as ``plan=``, a list of steps from `fastlogits.steps` in any order.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from fastlogits._reference_calibration import (
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
    from fastlogits._reference_comparison import (
        Comparison,
        compare_distributions,
        cross_entropy,
        js_divergence,
        kl_divergence,
        top_n_agreement,
        total_variation,
    )
    from fastlogits._reference_scoring import TokenLogprobs, token_logprobs
    from fastlogits._reference_texts import TextScore, perplexity, score_text, sliding_windows

__all__ = [
    "Candidates", "Comparison", "CompletionScores", "ReliabilityCurve", "Row", "SampleResult", "Scaling",
    "TemperatureFit", "TextScore", "TokenLogprobs", "TopK", "argmax", "brier_score", "calibration_error", "candidates",
    "compare_distributions", "completion_prefixes", "cross_entropy", "filter_logits", "fit_scaling", "fit_temperature",
    "js_divergence", "keyword_plan", "kl_divergence", "label_logprobs", "log_softmax", "logsumexp",
    "negative_log_likelihood", "perplexity", "probs", "process", "reliability_curve", "sample", "score_completions",
    "score_text", "sliding_windows", "softmax", "steps", "token_logprobs", "top_k", "top_n_agreement",
    "total_variation", "uniform",
]  # fmt: skip

_FILES = ("calibration", "comparison", "scoring", "texts")


def __getattr__(name: str) -> Any:
    """The twins of the other files, fetched when asked for: this file runs by itself, NumPy its only need."""
    for file in _FILES if name in __all__ else ():
        module = importlib.import_module(f"fastlogits._reference_{file}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class TopK(NamedTuple):
    """The k largest values of each row and their ids, both [..., k]."""

    values: Floats
    indices: Ids


class SampleResult(NamedTuple):
    """Drawn ids and their log-probs, [...]; the top n of what was drawn from, [..., n]."""

    ids: Any
    logprobs: Any
    raw_logprobs: Any
    ranks: Any
    top_ids: Any
    top_logprobs: Any


class Candidates(NamedTuple):
    """The survivors of all rows, one behind the other; row r is offsets[r] .. offsets[r + 1] - 1."""

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
    """Sum of exp(distance) over all but the first maximum, whose own exponential is 1; 0 beside a maximum of +inf."""
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


def uniform(seed: int, key: int, position: int) -> float:
    """The u in [0, 1) of (seed, key, position): Philox4x64-10 (Salmon et al., 2011) at counter `position`.

    The top 53 bits of its first word. NumPy's generator counts up before it answers, hence the counter one lower.
    """
    before = (position % 2**64 - 1) % 2**256
    counter = np.array([before >> shift & 2**64 - 1 for shift in (0, 64, 128, 192)], np.uint64)
    words = np.random.Philox(key=np.array([seed, key % 2**64], np.uint64), counter=counter)
    return float(int(words.random_raw()) >> 11) * 2.0**-53


# ---- steps: one row in, its logits out ---------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    """One row on its way: logits [V], the ids seen so far, and the masses remembered at the first joint cut."""

    logits: Floats
    context: Ids
    prompt_length: int = 0
    mass: Floats | None = None

    def __init__(self, logits: ArrayLike, context: ArrayLike = (), prompt_length: int = 0) -> None:
        self.logits, self.prompt_length = np.asarray(logits, np.float64), prompt_length
        self.context = np.asarray(context, np.int64)

    def counts(self, start: int, window: int | None) -> Ids:
        """How often each token occurs in the last `window` ids of context[start:]; [V]."""
        seen = self.context[start:]
        seen = seen if window is None or window < 0 else seen[max(0, len(seen) - int(window)) :]
        return np.bincount(seen, minlength=len(self.logits))

    def order(self) -> Ids:
        """Ids of the survivors by (logit descending, id ascending)."""
        order = np.argsort(-self.logits, kind="stable")
        return order[: np.count_nonzero(self.logits > -np.inf)]

    def masses(self) -> Floats:
        """exp(l - max), 0 where removed; [V]."""
        masses: Floats = np.exp(self.logits - self.logits.max())
        return masses

    def joint_masses(self) -> Floats:
        """The masses as they stood at the first joint cut: those of now if this is the first; [V]."""
        self.mass = self.masses() if self.mass is None else self.mass
        return self.mass

    def only(self, kept: Ids) -> Floats:
        """The logits of the ids `kept`, -inf elsewhere."""
        logits = np.full(len(self.logits), -np.inf)
        logits[kept] = self.logits[kept]
        return logits


class steps:  # noqa: N801 - named as the module fastlogits.steps
    """One function per step of `fastlogits.steps`, by the step's name: (row, the step's fields) -> new logits [V]."""

    @staticmethod
    def repetition_penalty(row: Row, theta: float, window: int | None = None) -> Floats:
        """Divide l > 0 by theta, multiply l <= 0 by it, once per distinct context token (Keskar et al., 2019)."""
        x, seen = row.logits, row.counts(0, window) > 0
        return np.where(seen, np.where(x > 0, x / theta, x * theta), x)

    @staticmethod
    def frequency_penalty(row: Row, alpha: float, window: int | None = None) -> Floats:
        """Logit - count * alpha, counting context[prompt_length:] (OpenAI's parameter of that name)."""
        return row.logits - row.counts(row.prompt_length, window) * alpha

    @staticmethod
    def presence_penalty(row: Row, alpha: float, window: int | None = None) -> Floats:
        """Logit - alpha where context[prompt_length:] holds the token (OpenAI's parameter of that name)."""
        return row.logits - (row.counts(row.prompt_length, window) > 0) * alpha

    @staticmethod
    def logit_bias(row: Row, bias: Any) -> Floats:
        """Logit + b_t of token t for {t: b_t} or (ids, values); b = -inf bans the token."""
        ids, values = (list(bias), list(bias.values())) if isinstance(bias, Mapping) else bias
        logits = row.logits.copy()
        logits[np.asarray(ids, np.int64)] += np.asarray(values, np.float64)
        return logits

    @staticmethod
    def mask(row: Row, mask: ArrayLike) -> Floats:
        """-inf where not allowed: bool [<= V], or int32 words, bit i % 32 of word i // 32; beyond its end: banned."""
        bits = np.asarray(mask)
        if bits.dtype != np.bool_:
            bits = np.unpackbits(bits.astype("<i4").view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(row.logits)])
        return row.only(allowed)

    @staticmethod
    def temperature(row: Row, temperature: float) -> Floats:
        """Logits / T; T = 0 keeps the first maximum alone, undivided."""
        return row.logits / temperature if temperature > 0 else steps.greedy(row)

    @staticmethod
    def top_k(row: Row, k: int | None, min_keep: int = 1, ties: str = "id", joint: bool = False) -> Floats:
        """The max(k, min_keep) first in order, with ties="keep" also what equals the last; off: None, 0, -1, >= V."""
        if k is None or k < 1 or k >= len(row.logits):
            return row.logits
        if joint:
            row.joint_masses()
        kept = row.order()[: max(int(k), int(min_keep))]
        return row.only(np.flatnonzero(row.logits >= row.logits[kept[-1]]) if ties == "keep" else kept)

    @staticmethod
    def top_p(row: Row, p: float | None, min_keep: int = 1, joint: bool = False) -> Floats:
        """The smallest prefix in order with mass >= p * total (Holtzman et al., 2020); off: None, 1.

        `joint`: masses and total as they stood at the plan's first joint cut that is not off (the rule of SGLang and
        FlashInfer).
        """
        if p is None or p == 1:
            return row.logits
        order = row.order()
        masses = row.joint_masses() if joint else row.masses()
        running, total = np.cumsum(masses[order]), np.cumsum(masses)[-1]
        return row.only(order[: max(1, int(min_keep), 1 + np.count_nonzero(running < p * total))])

    @staticmethod
    def min_p(row: Row, p: float | None, min_keep: int = 1) -> Floats:
        """What has l >= max + ln p, and the `min_keep` first (Nguyen et al., 2024); off: None, 0."""
        if p is None or p == 0:
            return row.logits
        order, limit = row.order(), row.logits.max() + np.log(p)
        return row.only(order[: max(int(min_keep), np.count_nonzero(row.logits >= limit))])

    @staticmethod
    def greedy(row: Row) -> Floats:
        """The first maximum alone."""
        return row.only(row.order()[:1])

    @staticmethod
    def draw(row: Row, u: float) -> int:
        """Inverse CDF over the survivors in id order: the first whose running mass exceeds u * total."""
        masses = row.masses()
        running = np.cumsum(masses)
        last = int(np.flatnonzero(masses)[-1])
        return min(int(np.searchsorted(running, u * running[-1], side="right")), last)


# ---- the composition: steps one after the other --------------------------------------------------------------------

_ORDER = {
    "repetition_penalty": ("theta", "penalty_window"), "frequency_penalty": ("alpha", "penalty_window"),
    "presence_penalty": ("alpha", "penalty_window"), "logit_bias": ("bias",), "mask": ("mask",),
    "temperature": ("temperature",), "top_k": ("k", "min_keep", "ties", "joint"), "top_p": ("p", "min_keep", "joint"),
    "min_p": ("p", "min_keep"),
}  # fmt: skip


def keyword_plan(**keywords: Any) -> list[tuple[str, dict[str, Any]]]:
    """The plan of the keyword form: (name, fields) of the steps asked for, edits, temperature, top_k, top_p, min_p."""
    if unknown := set(keywords) - set(_ORDER) - {"penalty_window", "min_keep", "ties", "joint"}:
        raise TypeError(f"unknown keywords: {', '.join(sorted(unknown))}")
    plan = []
    for name, (field, *shared) in _ORDER.items():
        if keywords.get(name) is not None:
            also = {"window" if s == "penalty_window" else s: keywords[s] for s in shared if s in keywords}
            plan.append((name, {field: keywords[name]} | also))
    return plan


def _named(step: Any) -> tuple[str, dict[str, Any]]:
    """Name and fields of a step: a dataclass of `fastlogits.steps`, or already (name, fields)."""
    if isinstance(step, tuple):
        return step
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(step).__name__).lower()
    return name, {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}


def _per_row(value: Any, shape: tuple[int, ...], inner: int = 0) -> Any:
    """One entry per row of a batch of `shape`: a value whose axes, less the `inner` last, broadcast against it."""
    axes = np.asarray(value)
    own = axes.shape[axes.ndim - inner :]
    return np.broadcast_to(axes, shape + own).reshape(-1, *own) if axes.ndim > inner else [value] * math.prod(shape)


def _of_row(field: str, value: Any, shape: tuple[int, ...], r: int) -> Any:
    """What row r sees of a step's field; biases differ from row to row when they stand in a list."""
    if field == "bias":
        return value[r] if isinstance(value, list) else value
    return _per_row(value, shape, inner=int(field == "mask"))[r]


def process(row: Row, plan: Sequence[Any], shape: tuple[int, ...] = (1,), r: int = 0) -> Floats:
    """Processed logits [V] of row r of a batch: each step of the plan on what the last one left; ValueError if none."""
    for name, fields in map(_named, plan):
        mine = {field: _of_row(field, value, shape, r) for field, value in fields.items()}
        if name != "draw":
            row.logits = getattr(steps, name)(row, **mine)
        if not np.isfinite(row.logits.max()):
            raise ValueError(f"{name} leaves no token, or made a +inf or NaN")
    return row.logits


def _contexts(context: Any, rows: int) -> list[Ids]:
    """One array of ids per row: from None, one sequence for all rows, one per row, or one per row nested as those."""
    each = [] if context is None else list(context)
    if not any(hasattr(part, "__len__") for part in each):
        each = [each] * rows
    while any(hasattr(i, "__len__") for ids in each for i in ids):
        each = [ids for part in each for ids in part]
    return [np.asarray(ids, np.int64) for _, ids in zip(range(rows), each, strict=True)]


def _processed(logits: ArrayLike, plan: Sequence[Any] | None, inputs: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """The rows [R, V] as they came and as the plan leaves them."""
    steering = dict(inputs)
    context, start = steering.pop("context", None), steering.pop("prompt_length", 0)
    shape, raw = np.shape(logits)[:-1] or (1,), np.asarray(logits, np.float64)
    raw = raw.reshape(math.prod(shape), raw.shape[-1])
    plan = keyword_plan(**steering) if plan is None else plan
    rows = map(Row, raw, _contexts(context, len(raw)), _per_row(start, shape))
    return raw, np.array([process(row, plan, shape, r) for r, row in enumerate(rows)]).reshape(raw.shape)


def filter_logits(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Floats:
    """Processed logits [..., V], -inf where removed."""
    return _processed(logits, plan, inputs)[1].reshape(np.shape(logits))


def probs(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Floats:
    """Probabilities [..., V] of the survivors, renormalised; 0 where removed."""
    return softmax(filter_logits(logits, plan=plan, **inputs))


def candidates(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Candidates:
    """The survivors of each row by (logit descending, id ascending), with their processed logits and log-probs."""
    _, rows = _processed(logits, plan, inputs)
    orders = [Row(x).order() for x in rows]
    offsets = np.cumsum([0, *map(len, orders)], dtype=np.int64)
    flat = [np.concatenate([a[o] for a, o in zip(each, orders, strict=True)]) for each in (rows, log_softmax(rows))]
    return Candidates(np.concatenate(orders), flat[0], flat[1], offsets)


def _seed(rng: Any) -> int:
    """An int as it is (through SeedSequence from 2^64 on), one word of a Generator, or the system's entropy."""
    if isinstance(rng, np.random.Generator):
        return int(rng.bit_generator.random_raw())
    small = isinstance(rng, int | np.integer) and rng < 2**64
    return int(rng) if small else int(np.random.SeedSequence(rng).generate_state(1, np.uint64)[0])


def sample(
    logits: ArrayLike, *, plan: Sequence[Any] | None = None, rng: Any = None, position: Any = None, keys: Any = None,
    logprobs: int | None = None, **inputs: Any,
) -> Any:  # fmt: skip
    """Token ids [...] drawn by `steps.draw` with u = `uniform`; with `logprobs=n` a SampleResult."""
    raw, rows = _processed(logits, plan, inputs)
    seed, seen, shape = _seed(rng), _contexts(inputs.get("context"), len(raw)), np.shape(logits)[:-1]
    where = map(len, seen) if position is None else _per_row(position, shape or (1,))
    named = range(len(raw)) if keys is None else _per_row(keys, shape or (1,))
    us = [uniform(seed, int(key), int(at)) for key, at in zip(named, where, strict=True)]
    ids = np.array([steps.draw(Row(x), u) for x, u in zip(rows, us, strict=True)], np.int64)
    return ids.reshape(shape)[()] if logprobs is None else _result(ids, raw, rows, logprobs, shape)


def _result(ids: Ids, raw: Floats, rows: Floats, n: int, shape: tuple[int, ...]) -> SampleResult:
    """What the drawn ids look like: processed and raw log-prob, rank, and the n first survivors, padded with -1."""
    at, scores = (np.arange(len(ids)), ids), log_softmax(rows)
    ranks = 1 + np.count_nonzero(rows > rows[at][:, None], axis=1)
    top = np.array([[*Row(x).order()[:n], *[-1] * n][:n] for x in rows], np.int64).reshape(len(ids), n)
    top_scores = np.where(top < 0, -np.inf, np.take_along_axis(scores, np.maximum(top, 0), 1))
    flat = [a.reshape(shape)[()] for a in (ids, scores[at], log_softmax(raw)[at], ranks)]
    return SampleResult._make([*flat, top.reshape(*shape, n), top_scores.reshape(*shape, n)])
