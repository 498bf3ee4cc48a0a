"""Calls that the tests of inputs, types and errors share."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import rows

import fastlogits as fl

ENDS = ["sample", "probs", "filter_logits", "candidates"]
NAN, INF = float("nan"), float("inf")
ROW = np.array([0.5, 2.0, -1.0, 1.5], np.float32)
BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), BF16, np.dtype(np.float64)]
KEYWORDS: dict[str, Any] = {"temperature": 0.8, "top_k": 9, "top_p": 0.95, "logit_bias": {1: 1.5, 2: -np.inf}}
by_name = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)


def run(end: str, logits: Any, **keywords: Any) -> Any:
    """One end of the pipeline; a draw with a seed."""
    if end == "sample":
        keywords.setdefault("rng", 7)
    return getattr(fl, end)(logits, **keywords)


def refused(error: type[Exception], words: str) -> Any:
    """Expects this error with these words in its message."""
    return pytest.raises(error, match=re.escape(words))


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Random logits of a type."""
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def single(dtype: np.dtype[Any]) -> Any:
    """The type of log-probs of logits of a type."""
    return np.float64 if dtype == np.float64 else np.float32


def everything(x: Any) -> tuple[Any, ...]:
    """Bits of all functions on x."""
    sampler = fl.Sampler(**KEYWORDS)
    found = (fl.softmax(x), fl.log_softmax(x), fl.logsumexp(x), fl.argmax(x), tuple(fl.top_k(x, 4)))
    ends = sampler.probs(x), sampler.filter_logits(x)
    return (*found, *ends, tuple(sampler.sample(x, rng=5, logprobs=3)), rows.listed(sampler.candidates(x)))
