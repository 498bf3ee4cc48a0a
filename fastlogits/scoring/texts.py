"""Figures of whole texts from the log-probs of their tokens, and the windows in which long texts are read."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common.errors import row_name
from fastlogits._common.exact import ExactSum
from fastlogits._common.params import shown
from fastlogits._common.plain import to_dict
from fastlogits.sampling.results import SampleResult
from fastlogits.scoring.targets import TokenLogprobs

__all__ = ["TextScore", "perplexity", "score_text"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TextScore:
    """Totals of one text or of many, merged by ``+``; figures are made of them when asked for.

    Totals are exact, so the figures have equal bits for every chunking of the texts and every order of merging.
    ``TextScore()`` is the neutral one. What was not counted is None; a score that lacks a count merges with one that
    has it only if it holds no token.

    Attributes
    ----------
    total : ExactSum
        Of the log-probs.
    tokens : int
        How many tokens count.
    hits : int or None
        How many of them are the first maximum of their row.
    words, bytes : int or None
        Length of the text.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> first = fl.score_text(np.log([0.5, 0.25]), greedy=[True, False], text="ab")
    >>> both = first + fl.score_text(np.log([0.125]), greedy=[True], text=" cd")
    >>> both.tokens, round(both.perplexity, 12), round(both.bits_per_byte, 12), round(both.accuracy, 3), both.is_greedy
    (3, 4.0, 1.2, 0.667, False)
    """

    total: ExactSum = field(default_factory=ExactSum)
    tokens: int = 0
    hits: int | None = None
    words: int | None = None
    bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def __add__(self, other: TextScore) -> TextScore:
        """The totals of both texts."""
        if not isinstance(other, TextScore):
            return NotImplemented
        counts = (self._with(other, name) for name in ("hits", "words", "bytes"))
        return TextScore(self.total + other.total, self.tokens + other.tokens, *counts)

    def _with(self, other: TextScore, name: str) -> int | None:
        """The sum of one count, which both have unless one is empty."""
        mine, theirs = getattr(self, name), getattr(other, name)
        if mine is not None and theirs is not None:
            return int(mine + theirs)
        lacking = self if mine is None else other
        if lacking.tokens and (mine is not None or theirs is not None):
            raise ValueError(f"{name} were counted in one of two texts: give them for both, 0 for a part without any")
        return theirs if mine is None else mine  # type: ignore[no-any-return]

    def _count(self, name: str, argument: str) -> int:
        """A count that must be there."""
        count = getattr(self, name)
        if count is None:
            raise ValueError(f"{name} were not counted: call score_text with {argument}")
        return int(count)

    def _per(self, count: int, what: str) -> float:
        """- log-likelihood per `count`."""
        if count == 0:
            raise ValueError(f"the text holds no {what}, so it has no figure per {what}")
        return 0.0 - self.total.over(count)

    @property
    def loglikelihood(self) -> float:
        """Sum of the log-probs, rounded once; 0 of an empty text."""
        return self.total.over(1)

    @property
    def perplexity(self) -> float:
        """exp(-log-likelihood / tokens)."""
        return _exp(self._per(self.tokens, "token"))

    @property
    def bits_per_token(self) -> float:
        """-log2-likelihood / tokens."""
        return self._per(self.tokens, "token") / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """-log2-likelihood / bytes of UTF-8."""
        return self._per(self._count("bytes", "bytes= or text="), "byte") / math.log(2)

    @property
    def byte_perplexity(self) -> float:
        """exp(-log-likelihood / bytes)."""
        return _exp(self._per(self._count("bytes", "bytes= or text="), "byte"))

    @property
    def word_perplexity(self) -> float:
        """exp(-log-likelihood / words)."""
        return _exp(self._per(self._count("words", "words= or text="), "word"))

    @property
    def accuracy(self) -> float:
        """Share of the tokens that are the first maximum of their row."""
        hits = self._count("hits", "greedy=")
        if not self.tokens:
            raise ValueError("the text holds no token, so it has no accuracy")
        return hits / self.tokens

    @property
    def is_greedy(self) -> bool:
        """Whether every token is the first maximum of its row; true of an empty text."""
        return self._count("hits", "greedy=") == self.tokens


def score_text(
    logprobs: Any,
    *,
    greedy: Any = None,
    mask: Any = None,
    text: str | None = None,
    words: int | None = None,
    bytes: int | None = None,  # noqa: A002
) -> TextScore:
    r"""Totals of a text, or a part of one, from the log-probs of its tokens.

    Parameters
    ----------
    logprobs : array_like of float [...], TokenLogprobs or SampleResult
        Log-prob of each token, at most 0; -inf is allowed. The order of the tokens does not matter. Of a result of
        `token_logprobs` or `sample`, rows that were ignored or bad, which hold NaN, do not count.
    greedy : array_like of bool [...], optional
        Whether each token is the first maximum of its row; by default what a TokenLogprobs holds of it.
    mask : array_like of bool [...], optional
        Which tokens count, all by default. What it leaves out is not looked at and may be NaN.
    text : str, optional
        The text, for its length: words are what ``re.split(r"\s+", text)`` yields (as in lm-evaluation-harness),
        bytes those of UTF-8.
    words, bytes : int >= 0, optional
        The same without the text. Where a text comes in parts, one part carries its length and the others 0.

    Returns
    -------
    TextScore
        Merges with others by ``+``.

    Raises
    ------
    ValueError
        A NaN or positive log-prob that counts, a shape that does not match, a negative count.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> score = fl.score_text(np.log([0.5, 0.125, 0.25]), mask=[True, True, False], text="to be")
    >>> round(score.loglikelihood, 4), score.tokens, score.words, score.bytes
    (-2.7726, 2, 2, 5)
    >>> round(score.perplexity, 12), round(score.word_perplexity, 12), round(score.bits_per_token, 12)
    (4.0, 4.0, 2.0)
    """
    return scored(*opened(logprobs, greedy), mask, _sizes(text, words, bytes))


def opened(logprobs: Any, greedy: Any = None) -> tuple[Any, Any, bool]:
    """Log-probs, which of them are first maxima, and whether NaN marks rows that do not count, as results hold it."""
    if not isinstance(logprobs, TokenLogprobs | SampleResult):
        return logprobs, greedy, False
    return logprobs.logprobs, getattr(logprobs, "greedy", None) if greedy is None else greedy, True


def _sizes(text: Any, words: Any, size: Any) -> tuple[int | None, int | None]:
    """Words and bytes of a text, as far as they are known."""
    if text is not None:
        if words is not None or size is not None:
            raise ValueError("text comes with words or bytes, which it holds already")
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        if lone := re.search("[\ud800-\udfff]", text):
            raise ValueError(f"text must be valid Unicode, got the lone surrogate {lone[0]!r} at {lone.start()}")
        words, size = len(re.split(r"\s+", text)), len(text.encode())
    return None if words is None else whole("words", words, 0), None if size is None else whole("bytes", size, 0)


def scored(
    logprobs: Any,
    greedy: Any = None,
    skip_nan: bool = False,
    mask: Any = None,
    sizes: tuple[int | None, int | None] = (None, None),
) -> TextScore:
    """`score_text` of what `opened` returns."""
    found = _inputs.plain_array("logprobs", logprobs)
    if found.size == 0:
        found = found.astype(np.float64)
    if _core.dtype_code(found) < 0:
        raise TypeError(f"logprobs must be float32, float16, bfloat16 or float64, got dtype {found.dtype}")
    values, counts = half.wide(found), _flags("mask", mask, found.shape)
    if skip_nan:
        counts = ~np.isnan(values) if counts is None else counts & ~np.isnan(values)
    _check_logprobs(values, counts)
    hits = _flags("greedy", greedy, found.shape)
    if hits is not None and counts is not None:
        hits = hits & counts
    tokens = values.size if counts is None else int(np.count_nonzero(counts))
    return TextScore(
        ExactSum.of(values if counts is None else values[counts]),
        tokens,
        None if hits is None else int(np.count_nonzero(hits)),
        *sizes,
    )


def perplexity(logprobs: Any, *, mask: Any = None) -> float:
    """Perplexity exp(-mean log-prob) of the tokens that count, their sum made exactly.

    Parameters
    ----------
    logprobs : array_like of float [...], TokenLogprobs or SampleResult
        Log-prob of each token, at most 0; what `token_logprobs` or `sample` returned leaves its ignored and bad rows
        out.
    mask : array_like of bool [...], optional
        Which tokens count, all by default.

    Returns
    -------
    float
        At least 1; inf if a token that counts has probability 0.

    Raises
    ------
    ValueError
        No token that counts; a NaN or positive log-prob that does; a shape that does not match.
    TypeError
        A type that is not supported.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> round(fl.perplexity(np.log([0.5, 0.125])), 12)
    4.0
    >>> found = fl.token_logprobs(np.log([[0.5, 0.5], [0.125, 0.875], [0.3, 0.7]]), [0, 0, -100])
    >>> round(fl.perplexity(found), 12)
    4.0
    """
    return score_text(logprobs, mask=mask).perplexity


def whole(name: str, value: Any, low: int) -> int:
    """An integer >= low."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer >= {low}, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer >= {low}, got {value!r}") from None
    if number < low:
        raise ValueError(f"{name} must be an integer >= {low}, got {number}")
    return number


def _exp(x: float) -> float:
    """exp(x), inf beyond the range."""
    return math.exp(x) if x < 709.78 else math.inf


def _flags(name: str, flags: Any, shape: tuple[int, ...]) -> Mask | None:
    """Bools in the shape of the log-probs."""
    if flags is None:
        return None
    found = _inputs.plain_array(name, flags)
    if found.size == 0:
        found = found.astype(np.bool_)
    if found.dtype != np.bool_:
        raise TypeError(f"{name} must be bools, got dtype {found.dtype}")
    if found.shape != shape:
        raise ValueError(f"{name} must have the shape of logprobs, {shape}, got {found.shape}")
    return found


def _check_logprobs(values: NDArray[np.float64], counts: Mask | None) -> None:
    """Refuses NaN and positive numbers that count."""
    bad = ~(values <= 0)
    if counts is not None:
        bad &= counts
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        value = values.reshape(-1)[at]
        hint = "; leave tokens out by mask=, or pass the whole TokenLogprobs" if np.isnan(value) else ""
        raise ValueError(f"{row_name('logprobs', at, values.shape)} must be <= 0, got {shown(value)}{hint}")
