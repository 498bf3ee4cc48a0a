"""Steps by shape: what is refused, bad rows, searches that end."""

from __future__ import annotations

from typing import Any

import made
import numpy as np
import pytest
from test_shapes import kept

import fastlogits as fl
from fastlogits import reference, steps

REFUSED = [
    ({"typical_p": 95}, "typical_p must be in [0, 1], got 95"),
    ({"typical_p": [0.5, 2]}, "typical_p must be in [0, 1], got 2 (row 1)"),
    ({"epsilon_cutoff": -0.1}, "epsilon_cutoff must be in [0, 1], got -0.1"),
    ({"eta_cutoff": 3}, "eta_cutoff must be in [0, 1], got 3"),
    ({"top_a": 2}, "top_a must be in [0, 1], got 2"),
    ({"top_n_sigma": -1}, "top_n_sigma must be finite and >= 0, got -1"),
    ({"tfs": 1.5}, "tfs must be in [0, 1], got 1.5"),
    ({"top_h": -0.5}, "top_h must be in [0, 1], got -0.5"),
    ({"p_less": 1.0}, "p_less must be finite and > 1, got 1"),
    ({"min_k": -2}, "min_k must be finite and >= 0, got -2"),
    ({"smoothing_factor": -1}, "smoothing_factor must be finite and >= 0, got -1"),
    ({"smoothing_curve": 4}, "smoothing_curve must be in [1, 3], got 4"),
    ({"dynatemp_range": -1}, "dynatemp_range must be finite and >= 0, got -1"),
    ({"dynatemp_range": 0.5, "dynatemp_exponent": 0}, "exponent must be finite and > 0, got 0"),
    ({"dynatemp_exponent": -1}, "exponent must be finite and > 0, got -1"),
    ({"xtc_probability": 2}, "xtc_probability must be in [0, 1], got 2"),
    ({"xtc_threshold": -1}, "xtc_threshold must be in [0, 1], got -1"),
    ({"xtc_probability": 0.5, "xtc_special_tokens": [-1]}, "xtc_special_tokens: token id -1 must be in [0, V)"),
    ({"xtc_probability": 0.5, "xtc_special_tokens": [9]}, "xtc_special_tokens: token id 9 must be in [0, 3)"),
]


@pytest.mark.parametrize(("keywords", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r".*") as error:
        fl.probs(np.array([1.0, 2.0, 3.0]), **keywords)
    assert words in str(error.value)


@pytest.mark.parametrize("kind", made.SHAPED)
def test_bad_rows(kind: str) -> None:
    """NaN and +inf are errors that name the row, whatever the step reads; a single finite logit is enough."""
    step = made.step(kind, made.Numbers.fixed(1, 40))
    x = np.random.default_rng(2).normal(size=(3, 50)).astype(np.float32)
    x[2, 7] = np.nan
    with pytest.raises(ValueError, match=r"logits\[2\] contains NaN"):
        fl.Sampler(step).candidates(x, rng=0)
    x[2, 7] = np.inf
    with pytest.raises(ValueError, match=r"logits\[2\] contains \+inf"):
        fl.Sampler(step).candidates(x, rng=0)
    x[2] = -np.inf
    with pytest.raises(ValueError, match=r"logits\[2\] contains no finite logit"):
        fl.Sampler(step).candidates(x, rng=0)
    x[2, 7] = np.finfo(np.float32).min
    assert fl.Sampler(step).candidates(x[2], rng=0).ids.tolist() == [7]


def test_masked_by_the_least_float() -> None:
    """transformers masks with finfo.min; the deviation then is that of the reference, about 1e38."""
    row = np.random.default_rng(2).normal(size=5000).astype(np.float32)
    row[::3] = np.finfo(np.float32).min
    order = reference.Row(reference.filter_logits(row, plan=[steps.TopNSigma(0.5)])).order()
    assert kept(steps.TopNSigma(0.5), row) == order.tolist()


def test_a_list_that_grows_too_often() -> None:
    """A row in falling order with equal steps: 32 times min_k asks for more of it, then everything is listed."""
    row = (-np.arange(50_000) * 200.0).astype(np.float32)
    found = fl.candidates(row, min_k=1e-9)
    right = reference.candidates(row, min_k=1e-9)
    np.testing.assert_array_equal(found.ids, right.ids)


@pytest.mark.parametrize("p", [0.3, 0.7])
def test_a_band_that_no_search_narrows(p: float) -> None:
    """Many equal values: all 12 passes that look for the band's edge are made, then everything is listed."""
    row = np.round(np.random.default_rng(0).normal(size=128_256) * 2).astype(np.float32) / 2
    found, right = fl.candidates(row, typical_p=p), reference.candidates(row, typical_p=p)
    np.testing.assert_array_equal(found.ids, right.ids)
