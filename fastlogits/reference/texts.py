"""The NumPy float64 reference of the figures of whole texts; see `reference`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TextScore(NamedTuple):
    """Log-likelihood and counts of a text, and what is made of them; None where it was not asked for."""

    loglikelihood: float
    tokens: int
    words: int | None
    bytes: int | None
    perplexity: float
    bits_per_token: float
    bits_per_byte: float | None
    byte_perplexity: float | None
    word_perplexity: float | None
    accuracy: float | None
    is_greedy: bool | None


def _sum(values: NDArray[np.float64]) -> float:
    """The sum by math.fsum, infinite beyond the range."""
    try:
        return math.fsum(values.tolist())
    except OverflowError:
        return math.copysign(math.inf, float((values / 2.0**60).sum()))


def _exp(x: float) -> float:
    """exp(x), inf beyond the range."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def score_text(
    logprobs: ArrayLike, *, greedy: ArrayLike | None = None, mask: ArrayLike | None = None, text: str | None = None
) -> TextScore:
    """Sums by math.fsum over the tokens that count; NaN in a result's `logprobs` does not."""
    values = np.asarray(getattr(logprobs, "logprobs", logprobs), np.float64)
    counts = np.asarray(True if mask is None else mask) & ~(np.isnan(values) & hasattr(logprobs, "logprobs"))
    total, tokens = _sum(values[counts]), int(counts.sum())
    words, size = (None, None) if text is None else (len(re.split(r"\s+", text)), len(text.encode()))
    hits = None if greedy is None else np.asarray(greedy)[counts]
    return TextScore(
        total, tokens, words, size, _exp(-total / tokens), -total / tokens / math.log(2),
        None if size is None else -total / size / math.log(2), None if size is None else _exp(-total / size),
        None if words is None else _exp(-total / words), None if hits is None else float(hits.mean()),
        None if hits is None else bool(hits.all()))  # fmt: skip


def perplexity(logprobs: ArrayLike, *, mask: ArrayLike | None = None) -> float:
    """exp(-mean) of the log-probs that count."""
    return score_text(logprobs, mask=mask).perplexity


def sliding_windows(rows: int, length: int, *, stride: int | None = None) -> list[tuple[int, int, int]]:
    """(begin, end, first) of each window: `length` rows that end with those that count for the first time."""
    windows, counted = [], 0
    while counted < rows:
        more = length if counted == 0 or stride is None else stride
        end = min(rows, counted + more)
        windows.append((max(0, end - length), end, counted))
        counted = end
    return windows
