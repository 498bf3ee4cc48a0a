"""Comparisons of distributions: bad rows and arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_comparison import ALL, BOTH

import fastlogits as fl
import fastlogits._core as _core


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bad_rows(isa: str, dtype: str) -> None:
    good, x = np.zeros((5, 300), dtype), np.zeros((5, 300), dtype)
    x[1, 7], x[2, 299], x[3] = np.nan, np.inf, -np.inf
    for wanted in (BOTH, ALL, {"kl": False, "top_n": 2}, {"top_n": 2}):
        for row, words in ((1, "NaN"), (2, r"\+inf"), (3, "no finite logit")):
            with pytest.raises(ValueError, match=rf"^p_logits\[0\] contains {words}"):
                fl.compare_distributions(x[row : row + 1], good[:1], **wanted)
            with pytest.raises(ValueError, match=rf"^q_logits\[{row}\] contains {words}"):
                fl.compare_distributions(good[: row + 1], np.concatenate([good[:row], x[row : row + 1]]), **wanted)
        found, status = fl.compare_distributions(x, good, **wanted, on_error="status")
        assert status.tolist() == [0, 1, 2, 3, 0]
        for each in found:
            assert each is None or np.isnan(each).tolist() == [False, True, True, True, False]
    with pytest.raises(ValueError, match=r"^q_logits\[6\] contains NaN"):
        fl.kl_divergence(np.zeros((8, 300)), iter([good, x]))
    value, status = fl.kl_divergence(x[1], good[1], on_error="status")
    assert np.isnan(value)
    assert status is fl.Status.NAN


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"q_logits": np.zeros((3, 3))}, ValueError, r"the shape of p_logits, \(2, 3\), got \(3, 3\)"),
        ({"p_logits": np.zeros((2, 0)), "q_logits": np.zeros((2, 0))}, ValueError, "p_logits must have at least"),
        ({"p_logits": "ab"}, TypeError, "p_logits must be an array or a sequence"),
        ({"beta": 0}, ValueError, r"beta must be one number in \(0, 1\), got 0"),
        ({"beta": [0.5, 0.5]}, ValueError, r"beta must be one number in \(0, 1\)"),
        ({"temperature": 0}, ValueError, "temperature must be finite and > 0, got 0"),
        ({"temperature": [1, 2, 3]}, ValueError, "temperature holds values of shape 3"),
        ({"top_n": -1}, ValueError, "top_n must be an integer >= 0, got -1"),
        ({"top_n": 4}, ValueError, r"top_n must be in \[0, 3\], got 4"),
        ({"top_n": 1.5}, TypeError, "top_n must be an integer >= 0, got 1.5"),
        ({"js": 1}, TypeError, "js must be True or False, got 1"),
        ({"kl": False}, ValueError, "at least one measure must be asked for"),
        ({"threads": -1}, ValueError, "threads must be an integer >= 0"),
        ({"on_error": "skip"}, ValueError, "on_error must be 'raise' or 'status', got 'skip'"),
        ({"p_logits": iter([np.zeros((2, 3)), np.zeros((1, 3))])}, ValueError, "as many rows as q_logits, which has 2"),
        ({"p_logits": iter([np.zeros((1, 3))])}, ValueError, "as many rows as p_logits, which has 1"),
        ({"p_logits": iter([np.zeros((1, 3)), np.zeros((1, 4))])}, ValueError, r"shape \[rows, 3\], got \(1, 4\)"),
        ({"p_logits": iter([np.zeros((2, 3))]), "temperature": [1, 2]}, ValueError, "temperature must be one number"),
    ],
)  # fmt: skip
def test_refusals(wanted: dict[str, Any], error: type[Exception], words: str) -> None:
    call: dict[str, Any] = {"p_logits": np.zeros((2, 3)), "q_logits": np.zeros((2, 3)), **wanted}
    with pytest.raises(error, match=words):
        fl.compare_distributions(call.pop("p_logits"), call.pop("q_logits"), **call)


def test_refusals_of_single_measures() -> None:
    x = np.zeros((1, 3))
    with pytest.raises(ValueError, match="reduction must be 'none' or 'sum' or 'mean', got 'max'"):
        fl.kl_divergence(x, x, reduction="max")
    with pytest.raises(ValueError, match="top_n must be an integer >= 1, got 0"):
        fl.top_n_agreement(x, x, top_n=0)
    with pytest.raises(ValueError, match="rows of one shape"):
        _core.ComparisonTask(x, np.zeros((2, 3)), np.ones(1), 0.5)
