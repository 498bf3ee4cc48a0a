"""Paths that few rows take: combined rows whose cut keeps most of a long row, and residuals that trials do not find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference

N = 70_000


@pytest.mark.parametrize("keywords", [{"min_p": 1e-3}, {"top_p": 0.98}, {"top_p": 0.9, "temperature": 1.5}])
@pytest.mark.parametrize("space", ["raw", "logprobs"])
def test_combined_rows_with_many_survivors(isa: str, keywords: dict[str, Any], space: str) -> None:
    rng = np.random.default_rng(2)
    x, uncond = (rng.normal(size=N).astype(np.float32) * np.float32(0.2) for _ in range(2))
    steering = {"guidance_scale": 1.5, "guidance_space": space, **keywords}
    found = fl.probs(x, uncond=uncond, **steering)
    right = reference.probs(x[None], uncond=uncond[None], **steering)[0]
    kept = (found > 0) != (right > 0)
    assert kept.sum() <= 2, "the cut lies where the reference has it, but for a rounding"
    np.testing.assert_allclose(found[~kept], right[~kept], rtol=2e-5)
    token = fl.sample(x, uncond=uncond, rng=3, **steering)
    assert right[token] > 0


def test_residuals_that_no_trial_finds(isa: str) -> None:
    """Drafts all but equal to the target: where one is refused, 64 trials mostly find no token of the rest."""
    count, v = 30_000, 6
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(v, 2.0), count)
    q = p.copy()
    move = 0.01 * p[:, 0]
    q[:, 0] += move
    q[:, 1:] -= (move / (v - 1))[:, None] * np.ones(v - 1)
    q = np.maximum(q, 1e-9)
    q /= q.sum(-1, keepdims=True)
    target = np.log(np.stack([p, p], axis=1))
    drafts = np.zeros((count, 1), np.int64)
    found = fl.verify(target, drafts, draft_probs=q[:, None], rng=5, position=0)
    refused = np.flatnonzero(found.accepted == 0)
    assert refused.size > 100
    some = refused[:60]
    right = reference.verify(target[some], drafts[some], draft_probs=q[some, None], rng=5, position=0, keys=some)
    assert found.ids[some].tolist() == right.ids.tolist()
    assert (found.tokens[refused] > 0).all()


def test_a_nucleus_that_no_bracket_closes(isa: str) -> None:
    """The eight blocks that guide the search say nothing of the others, which all but tie: it ends at its 24 passes."""
    n = 131_072
    x = np.random.default_rng(0).normal(size=n) * 1e-5
    for i in range(8):
        block = n // 256 * i // 8 * 256
        x[block : block + 256] = np.linspace(-80, -20, 256)
    x = x.astype(np.float32)
    told = fl.Sampler(top_p=0.3).explain(x)
    assert (told.passes, told.mode) == (1 + 24, "mass")
    exact = x.astype(np.float64)
    order = np.argsort(-exact, kind="stable")
    running = np.cumsum(np.exp(exact[order]))
    right = 1 + np.count_nonzero(running < 0.3 * running[-1])
    kept = fl.candidates(x, top_p=0.3).ids
    assert abs(kept.size - right) <= 1
    assert kept.tolist()[: right - 1] == order[: right - 1].tolist()


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([1e308, 0.0], [-1e308, 0.0]),
        ([0.0, 1e308], [1e307, 5.0]),
        ([1.0, 2.0], [-1e308, 3.0]),
        ([1e200, 1e200], [0.0, 1e200]),
        ([1e308, -1e308], [-1e308, 1e308]),  # infinite: beyond the range
        ([1.0, 2.0], [-np.inf, 3.0]),  # infinite: a token that q lacks
    ],
)
def test_divergences_near_the_largest_double(isa: str, p: list[float], q: list[float]) -> None:
    a, b = np.array([p]), np.array([q])
    found = fl.compare_distributions(a, b, reverse_kl=True, cross_entropy=True)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_allclose(found.kl, reference.kl_divergence(a, b), rtol=1e-14)
        np.testing.assert_allclose(found.reverse_kl, reference.kl_divergence(b, a), rtol=1e-14)
        np.testing.assert_allclose(found.cross_entropy, reference.cross_entropy(a, b), rtol=1e-14)
    np.testing.assert_array_equal(fl.kl_divergence(a, b), found.kl)
