"""Corners in which a fused pipeline goes wrong first: in-place results, far rows, huge edits, joint cuts."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import Any

import numpy as np
import pytest

import fastlogits
from fastlogits import reference, steps

FLAT = np.random.default_rng(5).normal(size=60_000).astype(np.float32)


def survivors(plan: list[Any], row: Any) -> tuple[list[int], list[int]]:
    """Ids that the fused plan and the reference keep."""
    return fastlogits.Sampler(*plan).candidates(row).ids.tolist(), reference.candidates(row, plan=plan).ids.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("row", [FLAT, np.zeros(60_000), np.round(FLAT * 8) / 8], ids=["flat", "equal", "rounded"])
def test_large_nucleus_in_place(row: Any, dtype: Any) -> None:
    x = row.astype(dtype)
    for name in ("filter_logits", "probs"):
        call = getattr(fastlogits, name)
        right, place = call(x, top_p=0.9), x.copy()
        call(place, top_p=0.9, out=place)
        assert place.tobytes() == right.tobytes(), name


def test_large_nucleus_with_output_stride() -> None:
    sampler = fastlogits.Sampler(steps.Temperature(0.8), steps.Temperature(1.1), steps.TopP(0.9))
    wide = np.zeros((FLAT.size, 2), np.float32)
    sampler.filter_logits(FLAT, out=wide[:, 0])
    assert np.array_equal(wide[:, 0], sampler.filter_logits(FLAT))


@pytest.mark.parametrize(
    "plan",
    [
        [steps.TopK(50), steps.TopK(5, joint=True), steps.TopP(0.3, joint=True)],
        [steps.MinP(0.01), steps.TopK(50, joint=True), steps.TopP(0.05, joint=True)],
        [steps.TopP(0.5), steps.TopK(50, joint=True), steps.TopP(0.01, joint=True)],
        [steps.TopK(50, joint=True), steps.TopP(0.01, joint=True)],
    ],
)
def test_joint_cuts_behind_others(plan: list[Any]) -> None:
    got, right = survivors(plan, FLAT)
    assert got == right


def test_min_keep_of_a_large_nucleus() -> None:
    assert np.count_nonzero(fastlogits.probs(np.zeros(60_000, np.float32), top_p=0.001, min_keep=200)) == 200
    assert np.count_nonzero(fastlogits.probs(FLAT, top_p=1e-6, min_keep=3)) == 3


@pytest.mark.parametrize("bias", [80.0, 400.0, 730.0])
def test_a_bias_far_above_the_row(bias: float) -> None:
    for x in (FLAT, FLAT + np.float32(1e5)):
        for keywords in ({"min_p": 5e-324}, {"min_p": 1e-250}, {"top_p": 0.999}, {}):
            p = fastlogits.probs(x, logit_bias={3: bias}, **keywords)
            assert p[3] == pytest.approx(1, rel=1e-6)
            assert np.isfinite(p).all()
            assert fastlogits.sample(x, logit_bias={3: bias}, rng=1, **keywords) == 3


def test_far_rows_through_the_nucleus() -> None:
    far = FLAT + np.float32(1e5)
    for top_p in (1e-130, 0.5, 0.9):
        p = fastlogits.probs(far, top_p=top_p)
        right = reference.probs(far, top_p=top_p)
        assert np.count_nonzero(p) == np.count_nonzero(right)
    huge = np.zeros(64, np.float32)
    huge[[5, 9]] = 3e20
    sampler = fastlogits.Sampler(steps.Temperature(100), steps.Temperature(0.7), steps.Temperature(1.3))
    assert {sampler.sample(huge, rng=0, position=i) for i in range(64)} == {5, 9}


def test_min_p_where_the_floor_cancels() -> None:
    # The cut lies on the second value to the last bit; an edit of nothing keeps the early floor from being used.
    rng = np.random.default_rng(0)
    cuts: list[Any] = [steps.Temperature(0.7)]
    for _ in range(200):
        top = rng.uniform(0.5, 6)
        row = np.concatenate([[top, 0, 0, 0], np.full(40, -5)]).astype(np.float32)
        cuts[1:] = [steps.MinP(float(np.exp(-np.float64(row[0]) / 0.7)))]
        late = fastlogits.Sampler(steps.TopK(20), steps.LogitBias({43: 0.0}), *cuts).candidates(row).ids
        assert fastlogits.Sampler(steps.TopK(20), *cuts).candidates(row).ids.tolist() == late.tolist()


def test_division_may_ban() -> None:
    row = np.array([1.0, np.finfo(np.float64).min, 0.5])
    assert fastlogits.candidates(row, temperature=0.8).ids.tolist() == [0, 2]
    got, right = survivors([steps.TopK(2), steps.Temperature(0.5)], row)
    assert got == right


def test_results_that_round_to_infinity() -> None:
    with pytest.raises(ValueError, match="inf"):
        fastlogits.filter_logits(np.array([65504, 1], np.float16), logit_bias={0: 16.0})
    assert fastlogits.filter_logits(np.array([65504, 1], np.float16), logit_bias={0: 15.0})[0] == 65504


def test_too_many_steps_and_strangers() -> None:
    with pytest.raises(ValueError, match="64"):
        fastlogits.Sampler(*[steps.Temperature(1.01)] * 65)
    with pytest.raises(TypeError, match="TopK"):
        fastlogits.Sampler(steps.TopK)  # type: ignore[arg-type]


def test_every_token_edited() -> None:
    ids = np.random.default_rng(1).permutation(60_000)
    bias = np.random.default_rng(2).normal(size=60_000)
    whole = FLAT.astype(np.float64)
    whole[ids] += bias
    got = fastlogits.candidates(FLAT, logit_bias=(ids, bias), top_k=50).ids
    assert got.tolist() == np.lexsort((np.arange(60_000), -whole))[:50].tolist()


def test_neighbours_of_the_floor_stay() -> None:
    # More equal values than wanted, and behind them the next larger float, which must not count as one of them.
    row = np.zeros(20_000, np.float32)
    row[:] = 100_000
    row[19_000] = np.nextafter(np.float32(100_000), np.float32(np.inf))
    assert fastlogits.top_k(row, 4).indices.tolist() == [19_000, 0, 1, 2]
    assert fastlogits.candidates(row, top_k=4).ids.tolist() == [19_000, 0, 1, 2]
    wide = np.tile(row, 3)
    wide[:19_000] -= 1
    assert fastlogits.top_k(wide, 5).indices.tolist() == [19_000, 39_000, 59_000, 19_001, 19_002]


def test_long_biases_have_a_short_repr() -> None:
    sampler = fastlogits.Sampler(logit_bias={i: i / 7 for i in range(100_000)})
    assert len(repr(sampler)) < 4000
    short = fastlogits.Sampler(logit_bias={3: -0.1, 2: 1.5, 70: float("-inf")})
    names = {"Sampler": fastlogits.Sampler, "LogitBias": fastlogits.steps.LogitBias, "inf": np.inf}
    assert eval(repr(short), names) == short


def test_logprobs_is_a_count() -> None:
    with pytest.raises(TypeError, match="logprobs must be an integer >= 0 or None, got True"):
        fastlogits.sample([1.0, 2.0], rng=1, logprobs=True)


def test_far_log_probs_are_finite() -> None:
    logits = np.array([3e38, -3e38, -np.inf], np.float32)
    result = fastlogits.sample(logits, rng=1, logprobs=3)
    assert result.top_logprobs[1] == -np.finfo(np.float32).max
    assert result.top_logprobs[2] == -np.inf


def test_double_rows_below_the_float_range() -> None:
    """Every finite value lies below the least float."""
    x = np.full(300, -np.inf)
    x[0] = x[16] = -1e300
    np.testing.assert_array_equal(fastlogits.softmax(x)[[0, 16]], [0.5, 0.5])
    np.testing.assert_allclose(fastlogits.log_softmax(x)[[0, 16]], -np.log(2), rtol=1e-15)
    assert fastlogits.logsumexp(x) == -1e300
    np.testing.assert_allclose(fastlogits.token_logprobs(x[None], [16]).logprobs, -np.log(2), rtol=1e-15)
    assert fastlogits.candidates(x, top_p=0.9).ids.tolist() == [0, 16]
    assert fastlogits.candidates(x, typical_p=0.9).ids.tolist() == [0, 16]


def test_ranks_where_the_head_rounds_most_floats_to_zero() -> None:
    """The first float above 0 is half of all floats away: found by bisection, in less than the time of a walk."""
    row = np.random.default_rng(0).random(5000).astype(np.float32) * np.float32(1e-30)
    sampler = fastlogits.Sampler(steps.Temperature(1e300), steps.Temperature(1e-300))
    begin = time.process_time()
    assert sampler.sample(row, rng=1, logprobs=0).ranks == 1
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("size", [1e308, -1e308, float(np.finfo(float).max)])
def test_logits_near_the_largest_double(size: float) -> None:
    """Differences of two logits overflow: the results of the limit, or a ValueError, but no OverflowError."""
    x = np.array([[size, -size, 0.0, 1.0], [size] * 4, [1.0, 2.0, 3.0, 4.0]])
    targets = np.array([1, 0, 2])
    for library in (fastlogits, reference):
        top = library.softmax(x)
        assert top[0].tolist() == ([1.0, 0, 0, 0] if size > 0 else [0, 1.0, 0, 0])
        assert top[1].tolist() == [0.25] * 4
        assert library.logsumexp(x)[0] == abs(size)
        assert library.sample(x, rng=1, top_p=0.9).tolist()[0] == (0 if size > 0 else 1)
    calls: list[Any] = [
        lambda m: m.token_logprobs(x, targets, entropy=True, varentropy=True, margin=True, logsumexp=True),
        lambda m: m.fit_temperature(x, targets),
        lambda m: m.kl_divergence(x, x[::-1]),
        lambda m: m.compare_distributions(x, x[::-1]),
        lambda m: m.calibration_error(x, targets, from_logits=True),
        lambda m: m.brier_score(x, targets, from_logits=True),
        lambda m: m.guide(x, x[::-1], 1.5),
        lambda m: m.probs(x, typical_p=0.9),
        lambda m: m.candidates(x, top_n_sigma=1.0),
    ]
    for call, library in itertools.product(calls, (fastlogits, reference)):
        ignored: Any = "warn" if library is fastlogits else "ignore"
        with contextlib.suppress(ValueError), np.errstate(over=ignored, invalid=ignored):
            call(library)


def test_means_of_losses_near_the_largest_double() -> None:
    """The sum of the losses is too large for a double, their mean is not."""
    x, targets = np.array([[1e308, 0.0]] * 3), [1, 1, 1]
    found = fastlogits.fit_temperature(x, targets)
    assert found.temperature == 100
    np.testing.assert_allclose([found.nll_before, found.nll_after], [1e308, 1e306])
    with np.errstate(over="ignore", invalid="ignore"), contextlib.suppress(ValueError):
        fastlogits.fit_scaling(x, targets)
