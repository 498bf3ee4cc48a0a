"""Rows combined with the logits: bad rows and arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows
from calls import ENDS, INF, NAN, refused, values
from test_guidance import pair

import fastlogits as fl
from fastlogits import steps


@pytest.mark.parametrize("end", ENDS)
def test_what_does_not_fit(end: str) -> None:
    c, u = pair(50)
    guided, plain = (getattr(s, end) for s in (fl.Sampler(guidance_scale=1.5), fl.Sampler(top_k=3)))
    with refused(TypeError, "Guidance needs the argument uncond, rows to combine with the logits"):
        guided(c)
    with refused(TypeError, "uncond is given, but the first step is none that combines it"):
        plain(c, uncond=u)
    with refused(TypeError, "anti is given, but the first step"):
        guided(c, uncond=u, anti=u)
    with refused(ValueError, "uncond must have the shape of logits, (50,), got (49,)"):
        guided(c, uncond=u[:-1])
    with refused(ValueError, "uncond must have the shape of logits, (50,), got (2, 50)"):
        guided(c, uncond=np.stack([u, u]))
    with refused(TypeError, "uncond must have the dtype of logits, float32, got float64"):
        guided(c, uncond=u.astype(np.float64))
    with refused(TypeError, "uncond"):
        guided(c, uncond="text")


@pytest.mark.parametrize("cuts", [(), (steps.TopK(5),), (steps.TopP(0.5),), (steps.LogitBias({7: 1.0}), steps.TopK(5))])
@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_bad_rows(isa: str, cuts: Any, bad: float, dtype: Any) -> None:
    """NaN and +inf are errors that name argument and row, under a ban too; other rows are as they were."""
    word = "contains NaN" if bad != bad else "contains +inf"
    sampler = fl.Sampler(steps.DExperts(0.5), *cuts)
    names = ("logits", "expert", "anti")
    for at in (7, 33):
        for banned in (False, True):
            for name in names:
                x = {each: values((3, 50), dtype, i) for i, each in enumerate(names)}
                x["logits"][1, at] = -INF if banned else 0.0
                x[name][1, at] = bad
                with refused(ValueError, f"{name}[1] {word}"):
                    sampler.probs(x["logits"], expert=x["expert"], anti=x["anti"])
                result, status = sampler.probs(x["logits"], expert=x["expert"], anti=x["anti"], on_error="status")
                assert status.tolist() == [0, fl.Status.NAN if bad != bad else fl.Status.POS_INF, 0]
                assert np.isnan(result[1]).all()
                assert rows.same_bits(
                    result[0], sampler.probs(x["logits"][0], expert=x["expert"][0], anti=x["anti"][0])
                )


@pytest.mark.parametrize("step", [steps.Guidance(1.5), steps.Contrastive(0.1), steps.DExperts(1.0)])
def test_one_row_with_nan(step: Any) -> None:
    """A draw from one plain row refuses on its own path; it names the argument too."""
    c, u = pair(50)
    bad = np.where(np.arange(50) == 3, np.float32(NAN), u)
    sampler = fl.Sampler(step)
    for name in step.beside:
        beside = {each: bad if each == name else u for each in step.beside}
        with refused(ValueError, f"{name} contains NaN"):
            sampler.sample(c, rng=7, **beside)
    with refused(ValueError, "logits contains NaN"):
        sampler.sample(bad, rng=7, **dict.fromkeys(step.beside, u))


@pytest.mark.parametrize("cuts", [(), (steps.TopK(5),), (steps.TopP(0.5),)])
def test_nothing_finite(cuts: Any) -> None:
    c, u = pair(50)
    for space in ("logprobs", "raw"):
        sampler = fl.Sampler(steps.Guidance(1.5, space), *cuts)
        with refused(ValueError, "logits contains no finite logit"):
            sampler.probs(np.full_like(c, -INF), uncond=u)
        with refused(ValueError, "uncond contains no finite logit"):
            sampler.probs(c, uncond=np.full_like(u, -INF))
    half = np.where(np.arange(50) < 25, c, np.float32(-INF))
    with refused(ValueError, "logits has no token left after d_experts (step 0)"):
        other = np.where(np.arange(50) < 25, np.float32(-INF), c)
        fl.Sampler(steps.DExperts(1.0), *cuts).probs(half, expert=other, anti=u)
    with refused(ValueError, "uncond must be finite where logits is, got -inf for token 3; ban a token in both"):
        fl.Sampler(steps.Guidance(1.5), *cuts).probs(c, uncond=np.where(np.arange(50) == 3, np.float32(-INF), u))
    with refused(ValueError, "exceeds the finite range in guidance (step 0)"):
        fl.Sampler(steps.Guidance(1e300, "raw"), *cuts).probs(c.astype(np.float64) * 1e20, uncond=u.astype(np.float64))
    with refused(ValueError, "exceeds the finite range in guidance (step 0)"):
        fl.Sampler(steps.Guidance(9.0, "raw"), *cuts).filter_logits(c * np.float32(1e38 / c.max()), uncond=u)


REFUSED = [
    ({"guidance_scale": INF}, "guidance_scale must be finite, got inf"),
    ({"guidance_scale": NAN}, "guidance_scale must be finite, got nan"),
    ({"guidance_scale": 1.5, "guidance_space": "log"}, "guidance_space must be 'logprobs' or 'raw', got 'log'"),
    ({"contrastive_alpha": 1.5}, "contrastive_alpha must be in [0, 1], got 1.5"),
    ({"contrastive_alpha": 0.1, "contrastive_beta": -1}, "contrastive_beta must be finite and >= 0, got -1"),
    ({"dexperts_alpha": [1.0, INF]}, "dexperts_alpha must be finite, got inf (row 1)"),
    ({"guidance_scale": 1.5, "dexperts_alpha": 1.0}, "DExperts must be the first step"),
]


@pytest.mark.parametrize(("keywords", "words"), REFUSED, ids=lambda v: str(v)[:50])
def test_refused(keywords: dict[str, Any], words: str) -> None:
    with refused(ValueError, words):
        fl.Sampler(**keywords)


def test_must_be_first() -> None:
    with refused(ValueError, "Guidance must be the first step"):
        fl.Sampler(steps.TopK(5), steps.Guidance(1.5))


def test_arrays_refuse() -> None:
    c, u = pair(12)
    with refused(TypeError, "uncond must have the dtype of cond, float32, got float64"):
        fl.guide(c, u.astype(np.float64), 1.5)
    with refused(ValueError, "anti must have the shape of base, (12,), got (11,)"):
        fl.dexperts(c, u, u[1:], 1.0)
    with refused(ValueError, "axis must be in [-1, 1), got 1"):
        fl.guide(c, u, 1.5, axis=1)
    with refused(ValueError, "alpha must be in [0, 1], got 2"):
        fl.contrastive(c, u, alpha=2)
    with refused(ValueError, "values of shape 3, the rows of logits have shape (2,)"):
        fl.guide(c.reshape(2, 6), u.reshape(2, 6), [1.0, 2.0, 3.0])
