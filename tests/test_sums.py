"""Float64 probabilities of long rows: their sums lose nothing, whichever way a row takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastlogits as fl

V = 200_000


def exact(logits: Any) -> Any:
    """Softmax whose total is math.fsum's."""
    masses = np.exp(logits - logits.max())
    return masses / math.fsum(masses)


@pytest.mark.parametrize(
    "keywords",
    [{}, {"logit_bias": {5: 0.5, 70_000: -0.25}}, {"min_p": 1e-20}, {"top_k": V - 1}, {"top_p": 1 - 1e-12}],
    ids=["plain", "edits", "ratio", "rank", "mass"],
)
def test_two_valued_rows(keywords: dict[str, Any], isa: str) -> None:
    logits = np.where(np.arange(V) % 3 == 0, 0.1, -0.7)
    steered = logits.copy()
    for at, bias in keywords.get("logit_bias", {}).items():
        steered[at] += bias
    got = fl.probs(logits, **keywords)
    right = exact(np.where(got > 0, steered, -np.inf))
    assert np.count_nonzero(got) >= V - 1
    alive = got > 0
    assert np.max(np.abs(got[alive] - right[alive]) / np.spacing(right[alive])) <= 4
