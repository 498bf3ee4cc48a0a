"""Drawing: the generator, the ends of intervals, tokens of no probability, goodness of fit, independence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows

import fastlogits
from fastlogits import reference, steps

INF = np.inf
Array = np.ndarray[Any, Any]


def draws(row: Array, count: int, **inputs: Any) -> Array:
    """`count` tokens from one row: a batch of views of it, told apart by key or position."""
    steering = {name: inputs.pop(name) for name in ("temperature", "top_k", "top_p", "min_p") if name in inputs}
    found: Array = fastlogits.sample(np.broadcast_to(row, (count, row.size)), **steering, **inputs)
    return found


# ---- the generator -------------------------------------------------------------------------------------------------


def test_uniform_is_numpys_philox() -> None:
    """On 2^16 equal logits the token is floor(u 2^16): the first 16 bits of u, for any seed, key and position."""
    flat = np.zeros(2**16, np.float32)
    last = 2**63 - 1
    cases = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (7, 12345, 678), (2**64 - 1, last, last), (5, -1, -2)]
    for seed, key, position in cases:
        token = fastlogits.sample(flat, rng=seed, keys=[key], position=position)
        assert token == int(reference.uniform(seed, key, position) * 2**16), (seed, key, position)


def test_defaults_of_key_and_position() -> None:
    flat = np.zeros((3, 4096), np.float32)
    context = [[1], [1, 2, 3], []]
    got = fastlogits.sample(flat, rng=9, context=context)
    right = [int(reference.uniform(9, r, len(ids)) * 4096) for r, ids in enumerate(context)]
    assert got.tolist() == right
    assert fastlogits.sample(flat[0], rng=9) == int(reference.uniform(9, 0, 0) * 4096)
    assert fastlogits.sample(flat[0], rng=9) == fastlogits.sample(flat[0], rng=9)


def test_interval_ends(isa: str) -> None:
    """Two tokens whose border lies just below or just above u: the token follows to 2e-7 (float64: to 1e-12)."""
    for position in range(40):
        u = reference.uniform(3, 0, position)
        for dtype, near in ((np.float32, 2e-7), (np.float64, 1e-12)):
            for n, first, second in ((2, 0, 1), (300, 5, 290), (5000, 17, 4999)):
                for border, token in ((u - near, second), (u + near, first)):
                    row = np.full(n, -INF)
                    # The border is rounded to the type, so it is measured from what the row then holds.
                    row[first], row[second] = 0.0, np.log1p(-border) - np.log(border)
                    held = row.astype(dtype)
                    low = 1 / (1 + np.exp(np.float64(held[second])))
                    if abs(low - u) < near / 2:
                        continue
                    right = second if u >= low else first
                    assert right == token or dtype == np.float32
                    assert fastlogits.sample(held, rng=3, position=position) == right, (dtype, n, position)


def test_token_of_a_step_function(isa: str) -> None:
    """Equal masses: the token is the floor of u n, for every n and whatever is banned between."""
    for n in (1, 2, 16, 17, 255, 1000):
        row = np.full(2 * n, -INF, np.float32)
        row[::2] = 3.25
        for position in range(20):
            u = reference.uniform(1, 0, position)
            assert fastlogits.sample(row, rng=1, position=position) == 2 * min(int(u * n), n - 1)


def test_token_does_not_know_its_batch() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 900)).astype(np.float32)
    keys = rng.integers(0, 2**40, 12)
    sampler = fastlogits.Sampler(temperature=1.1, top_p=0.95)
    whole = sampler.sample(x, rng=4, keys=keys, position=7)
    order = rng.permutation(12)
    assert (sampler.sample(x[order], rng=4, keys=keys[order], position=7) == whole[order]).all()
    assert sampler.sample(x[3:5], rng=4, keys=keys[3:5], position=7).tolist() == whole[3:5].tolist()
    assert sampler.sample(x[8], rng=4, keys=keys[8:9], position=7) == whole[8]
    assert (sampler.sample(x, rng=4, keys=keys, position=7, threads=3) == whole).all()


# ---- what can be drawn ---------------------------------------------------------------------------------------------


def zero_rows() -> dict[str, tuple[Array, dict[str, Any]]]:
    """Rows in which many tokens have no probability: banned, cut, or so far below that their mass is 0."""
    rng = np.random.default_rng(2)
    normal = rng.normal(size=48).astype(np.float32)
    banned = np.where(rng.random(48) < 0.7, -INF, normal).astype(np.float32)
    banned[0] = -INF
    banned[47] = -INF
    banned[20] = 0.0
    deep = normal.copy()
    deep[::2] -= 5000.0
    return {
        "banned": (banned, {}),
        "deep": (deep, {}),
        "lowest": (np.where(np.arange(48) % 3 == 0, np.finfo(np.float32).min, normal), {}),
        "top_k": (normal, {"top_k": 5}),
        "top_p": (normal, {"top_p": 0.6, "temperature": 0.7}),
        "min_p": (normal, {"min_p": 0.3}),
        "banned, hot": (banned, {"temperature": 50.0, "top_p": 0.9}),
        "half": (banned.astype(np.float16), {}),
    }


def never_zero(count: int) -> None:
    for name, (row, steering) in zero_rows().items():
        p = reference.probs(row.astype(np.float64), **steering)
        seen = np.zeros(row.size, np.int64)
        for start in range(0, count, 500_000):
            part = min(500_000, count - start)
            found = draws(row, part, rng=17, keys=np.arange(start, start + part), **steering)
            seen += np.bincount(found, minlength=row.size)
        assert not seen[p == 0].any(), name
        assert seen.sum() == count


def test_zero_probability_is_never_drawn() -> None:
    never_zero(100_000 // 8)


@pytest.mark.slow
def test_zero_probability_is_never_drawn_in_many() -> None:
    never_zero(10_000_000 // 8)


# ---- goodness of fit -----------------------------------------------------------------------------------------------


def fit(counts: Array, p: Array) -> float:
    """p-value of the counts under p, tokens expected less than 10 times taken together."""
    stats = pytest.importorskip("scipy.stats")
    expected = p * counts.sum()
    rare = expected < 10
    observed = np.append(counts[~rare], counts[rare].sum())
    right = np.append(expected[~rare], expected[rare].sum())
    observed, right = observed[right > 0], right[right > 0]
    return float(stats.chisquare(observed, right * observed.sum() / right.sum()).pvalue)


def all_fit(count: int) -> None:
    row = np.random.default_rng(3).normal(size=60).astype(np.float32) * 2
    calls: list[dict[str, Any]] = [{"temperature": 1.0}, {"temperature": 0.8, "top_k": 20, "top_p": 0.95}]
    for steering in calls:
        p = reference.probs(row.astype(np.float64), **steering)
        values: list[float] = []
        for seed in range(10):
            by_position = draws(row, count, rng=seed, position=np.arange(count), keys=np.zeros(count, int), **steering)
            by_key = draws(row, count, rng=seed, position=0, keys=np.arange(count), **steering)
            values.extend(fit(np.bincount(found, minlength=60), p) for found in (by_position, by_key))
        print(f"chi-squared of {count} draws, 10 seeds: p-values {min(values):.4f} .. {max(values):.4f}")
        # Twenty p-values of a true null: the least is above 1e-4 in 998 of 1,000 worlds, and the seeds are fixed.
        assert min(values) > 1e-4
        assert np.mean(np.array(values) < 0.5) > 0.1


def test_draws_fit() -> None:
    all_fit(30_000)


@pytest.mark.slow
def test_many_draws_fit() -> None:
    all_fit(1_000_000)


def test_seeds_fit() -> None:
    """One draw from each of many neighbouring seeds."""
    row = np.random.default_rng(5).normal(size=12).astype(np.float32)
    sampler = fastlogits.Sampler(temperature=1.0)
    found = np.array([sampler.sample(row, rng=seed) for seed in range(20_000)])
    assert fit(np.bincount(found, minlength=12), reference.softmax(row)) > 1e-4
    assert independent(found, 12) > 1e-4


def independent(found: Array, n: int) -> float:
    """p-value of the table of neighbouring pairs."""
    stats = pytest.importorskip("scipy.stats")
    pairs = np.bincount(found[:-1:2] * n + found[1::2][: len(found[:-1:2])], minlength=n * n).reshape(n, n)
    return float(stats.chi2_contingency(pairs).pvalue)


def neighbours(count: int) -> None:
    row = np.zeros(8, np.float32)
    for seed in range(5):
        by_position = draws(row, count, rng=seed, position=np.arange(count), keys=np.zeros(count, int))
        by_key = draws(row, count, rng=seed, position=3, keys=np.arange(count))
        crossed = np.stack([by_position, by_key], axis=1).ravel()
        for found in (by_position, by_key, crossed):
            assert independent(found, 8) > 1e-4, seed


def test_neighbours_are_independent() -> None:
    neighbours(50_000)


@pytest.mark.slow
def test_many_neighbours_are_independent() -> None:
    neighbours(1_000_000)


# ---- log-probs of what is drawn ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16], ids=lambda d: np.dtype(d).name)
def test_sample_result(isa: str, dtype: Any) -> None:
    rng = np.random.default_rng(11)
    for n in (1, 3, 40, 700, 5000):
        x = (np.round(rng.normal(size=(4, n)) * 3 * 8) / 8).astype(dtype)
        x[1, rng.random(n) < 0.5] = -INF
        x[1, n // 2] = 1.0
        bias = {0: 1.5, n // 2: -0.25}
        calls: list[dict[str, Any]] = [
            {}, {"temperature": 0.5}, {"temperature": 0.7, "top_k": 3}, {"temperature": 1.5, "top_p": 0.9},
            {"min_p": 0.2}, {"temperature": 0}, {"temperature": [1.0, 0.0, 0.5, 2.0], "top_k": [0, 1, 2, 5]},
        ]  # fmt: skip
        for steering in calls:
            for top in (0, 1, 5):
                if top > n:
                    continue
                call = {**steering, "logit_bias": bias, "rng": 21, "logprobs": top}
                got = fastlogits.sample(x, **call)
                right = reference.sample(x.astype(np.float64), **call)
                label = f"{np.dtype(dtype).name}[{n}] {steering} top {top}"
                np.testing.assert_array_equal(got.ids, right.ids, err_msg=label)
                np.testing.assert_array_equal(got.ranks, right.ranks, err_msg=label)
                np.testing.assert_array_equal(got.top_ids, right.top_ids, err_msg=label)
                for field in ("logprobs", "raw_logprobs", "top_logprobs"):
                    np.testing.assert_allclose(
                        getattr(got, field), getattr(right, field), rtol=1e-6, atol=2e-6, err_msg=f"{label} {field}"
                    )


def test_greedy_is_top_k_1(isa: str) -> None:
    for _, row in rows.exact_rows(3000, 8):
        x = row.astype(np.float32)
        first = fastlogits.argmax(x)
        assert fastlogits.sample(x, temperature=0) == first
        assert fastlogits.sample(x, top_k=1, rng=5) == first
        assert fastlogits.Sampler(steps.Greedy()).sample(x) == first
        assert fastlogits.Sampler(steps.TopP(0)).sample(x, rng=1) == first
