"""Gumbel-max: the noise, shards, filters, several tokens of a row with and without replacement."""

from __future__ import annotations

import itertools
from typing import Any

import made
import numpy as np
import plans
import pytest
from test_draw import fit, independent

import fastlogits as fl
from fastlogits import reference, steps

INF = np.inf
Array = np.ndarray[Any, Any]
DTYPES = (np.float32, np.float16, np.float64)
STEERINGS: list[dict[str, Any]] = [
    {}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.05}, {"logit_bias": {0: 1.5}},
    {"top_p": 0.99, "logit_bias": {0: 3.0}}, {"temperature": 0}, {"typical_p": 0.8},
    {"smoothing_factor": 0.02},
]  # fmt: skip


def random_rows(count: int, seed: int) -> Any:
    """(row, steering) with rows of all classes and types."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        n = int(rng.choice([1, 2, 15, 17, 100, 257, 600, 2000]))
        _, row = plans.random_row(rng, n)
        yield row.astype(DTYPES[i % 3]), STEERINGS[int(rng.integers(len(STEERINGS)))]


# ---- against the reference -----------------------------------------------------------------------------------------


def test_reference(isa: str) -> None:
    for i, (row, steering) in enumerate(random_rows(60, 1)):
        for n, offset in ((None, 0), (4, 0), (3, 5), (3, 512)):
            call: dict[str, Any] = {"n": n, "offset": offset, "rng": i, "position": 3, **steering}
            got, right = fl.gumbel_max(row, **call), reference.gumbel_max(row.astype(np.float64), **call)
            np.testing.assert_array_equal(got.ids, right.ids, err_msg=str(call))
            np.testing.assert_allclose(got.values, right.values, rtol=1e-12, atol=1e-6, err_msg=str(call))
            np.testing.assert_allclose(got.base, right.base, rtol=1e-12, err_msg=str(call))


def test_behind_smoothing(isa: str) -> None:
    """Weak smoothing raises what lies near the top: bounds on blocks and lanes are those of the smoothed logits."""
    for seed in range(20):
        row = (5 * np.random.default_rng(seed).normal(size=600)).astype(np.float32)
        for plan in ([steps.Smoothing(0.017, 2.8)], [steps.Temperature(0.7), steps.Smoothing(0.005)]):
            right = reference.Row(reference.filter_logits(row, plan=plan), random=(seed, 0, 1)).perturbed()[1][:5]
            found, _ = fl.Sampler(*plan).sample(row, rng=seed, position=1, n=5, replacement=False, on_error="status")
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("name", made.NAMES)
def test_behind_every_step(isa: str, name: str) -> None:
    """Five tokens without replacement, and one by one with it, of the largest logits + noise that the step leaves."""
    for seed in range(4):
        rng = np.random.default_rng([seed, 12])
        kind, row = plans.random_row(rng, 300)
        context = rng.integers(0, 5, 12).tolist()
        numbers = made.Numbers.of(rng, row.size, len(context), kind in ("ties", "coarse", "equal"))
        plan = tuple(step for step in made.placed(name, numbers) if step.name != "draw")
        beside = made.beside(plan, row, numbers)
        case = plans.Case(kind, row, plan, context, 3, seed, beside)
        right = plans.run(case)
        if right is None or plans.unsure(case) or plans.margin(case) < 1e-7:
            continue
        sampler = fl.Sampler(*(step for step in plan if step.name != "gumbel"), steps.Gumbel())
        held = reference.Row(right, random=(0, 0, len(context)))
        order = held.perturbed()[1].tolist()
        found, status = sampler.sample(row, **case.inputs(), rng=0, n=5, replacement=False, on_error="status")
        assert status == (fl.Status.TOO_FEW if len(order) < 5 else fl.Status.OK)
        assert found.tolist() == [*order, *[-1] * 5][:5], case
        several = sampler.sample(row, **case.inputs(), rng=0, n=3)
        assert several.tolist() == [held.perturbed(i)[1][0] for i in range(3)], case


def test_sample_results() -> None:
    for i, (row, steering) in enumerate(random_rows(40, 2)):
        if "top_p" in steering and np.unique(row).size < row.size:
            continue  # equal values at the cut: one token more or less is allowed there
        for more in ({"draw": "gumbel"}, {"n": 5}, {"n": 5, "draw": "gumbel"}, {"n": 5, "replacement": False}):
            call: dict[str, Any] = {"rng": i, "logprobs": 2, **steering, **more}
            try:
                right = reference.sample(row.astype(np.float64), **call)
            except ValueError:
                with pytest.raises(ValueError, match="n must be at most the number of tokens left"):
                    fl.sample(row, **call)
                continue
            got = fl.sample(row, **call)
            for field in ("ids", "ranks", "top_ids"):
                np.testing.assert_array_equal(getattr(got, field), getattr(right, field), err_msg=str(call))
            for field in ("logprobs", "raw_logprobs", "top_logprobs"):
                np.testing.assert_allclose(getattr(got, field), getattr(right, field), rtol=1e-6, atol=2e-6)
            assert np.array_equal(fl.sample(row, **{**call, "logprobs": None}), got.ids)


def test_first_of_n() -> None:
    """n tokens begin with the one drawn without n, whatever n is; several rows are as each by itself."""
    rows = np.random.default_rng(3).normal(size=(3, 700)).astype(np.float32)
    for steering in ({}, {"draw": "gumbel"}, {"top_k": 20}, {"replacement": False, "draw": "gumbel"}):
        many = fl.sample(rows, n=6, rng=1, **steering)
        assert many.shape == (3, 6)
        np.testing.assert_array_equal(many[:, :2], fl.sample(rows, n=2, rng=1, **steering))
        np.testing.assert_array_equal(many[:, 0], fl.sample(rows, rng=1, **steering))
        np.testing.assert_array_equal(many[2], fl.sample(rows[2], n=6, rng=1, keys=2, **steering))
        out = np.empty((3, 6), np.int64)
        assert fl.sample(rows, n=6, rng=1, out=out, threads=2, **steering) is out
        np.testing.assert_array_equal(out, many)


# ---- what the noise depends on -------------------------------------------------------------------------------------


def test_shards(isa: str) -> None:
    """The largest value over shards, cut anywhere, is the whole row's token, with the same bits."""
    for i in range(40):
        rng = np.random.default_rng([4, i])
        n = int(rng.choice([40, 700, 5000, 20_000]))
        row = (rng.normal(size=n) * rng.choice([0.1, 1, 3])).astype(DTYPES[i % 3])
        row[rng.random(n) < rng.choice([0, 0.5])] = -INF
        row[0] = 1.0
        edges = [0, *sorted(rng.choice(np.arange(1, n), 3, replace=False).tolist()), n]
        for many in (1, 3):
            whole = fl.gumbel_max(row, n=many, rng=i, position=9, temperature=0.8)
            parts = [
                fl.gumbel_max(row[a:b], n=many, rng=i, position=9, temperature=0.8, offset=a, on_error="status")[0]
                for a, b in itertools.pairwise(edges)
            ]
            values = np.nan_to_num(np.concatenate([part.values for part in parts]), nan=-INF)
            ids = np.concatenate([part.ids for part in parts])
            order = np.argsort(-values, kind="stable")[:many]
            np.testing.assert_array_equal(ids[order], whole.ids)
            np.testing.assert_array_equal(values[order], whole.values)
        assert whole.ids[0] == fl.sample(row, rng=i, position=9, temperature=0.8, draw="gumbel")


MAGNITUDES = [1.0, 2.0**19, 2.0**20, 1e9, 2.0**48, 2.0**60, 1e30, 3e38]


@pytest.mark.parametrize("size", MAGNITUDES)
def test_noise_beside_huge_logits(isa: str, size: float) -> None:
    """Ties are drawn evenly at any magnitude and temperature, of lists and whole rows, and differences count."""
    count = 4096
    keys = {"rng": 0, "position": 0, "keys": np.arange(count)}
    spread = 4 / np.sqrt(count)
    for dtype, sign, width in itertools.product((np.float32, np.float64), (1, -1), (2, 150)):
        row = np.full(width, -INF, dtype)
        row[[0, -1]] = sign * size
        rows = np.broadcast_to(row, (count, width))
        for steering in ({}, {"top_k": 2}, {"top_p": 0.9999}, {"min_p": 0.1}, {"logit_bias": {0: 0.0}}):
            drawn = fl.sample(rows, draw="gumbel", **keys, **steering) > 0
            assert abs(drawn.mean() - 0.5) < spread / 2, steering
        pairs = fl.sample(rows[:, [0, -1]], n=2, replacement=False, **keys)
        assert abs(pairs[:, 0].mean() - 0.5) < spread / 2
        one = reference.gumbel_max(np.float64(row), rng=0, position=0)
        assert (one.ids, one.base) == (fl.gumbel_max(row, rng=0, position=0).ids, 0 if size < 2**20 else row[0])
    cold = np.broadcast_to(np.array([3.0, -1.0, 3.0], np.float32), (count, 3))
    assert abs(fl.sample(cold, draw="gumbel", temperature=1e-16, **keys).mean() - 1) < spread
    if size <= 2.0**48:
        apart = np.broadcast_to(np.array([size, size + 1, size - 1]), (count, 3))
        p = np.exp([0.0, 1.0, -1.0])
        found = np.bincount(fl.sample(apart, draw="gumbel", **keys), minlength=3)
        assert fit(found, p / p.sum()) > 1e-4


@pytest.mark.parametrize("size", MAGNITUDES)
def test_shards_of_any_magnitude(size: float) -> None:
    """values + (base - largest base) is one order over all shards, the whole row's."""
    for seed in range(60):
        rng = np.random.default_rng([seed, 40])
        row = np.float64(size) + rng.integers(-3, 4, 900)
        row[: rng.integers(1, 300)] = rng.choice([0.0, -1e30, -size, size])
        call: dict[str, Any] = {"rng": seed, "position": 1}
        whole = fl.gumbel_max(row, n=4, **call)
        parts = [fl.gumbel_max(row[a:b], n=4, offset=a, **call) for a, b in itertools.pairwise((0, 256, 300, 901))]
        base = max(part.base for part in parts)
        values = np.concatenate([part.values + (part.base - base) for part in parts])
        order = np.argsort(-values, kind="stable")[:4]
        np.testing.assert_array_equal(np.concatenate([part.ids for part in parts])[order], whole.ids)
        np.testing.assert_allclose(values[order], whole.values, rtol=1e-9)
        assert whole.ids[0] == fl.sample(row, draw="gumbel", **call)
        assert base == whole.base


def test_filters_do_not_move_the_draw() -> None:
    """A filter that leaves the drawn token alive draws it; cut by hand or by a step, dense or listed."""
    row = np.random.default_rng(5).normal(size=3000).astype(np.float32)
    for seed in range(200):
        token = fl.sample(row, rng=seed, draw="gumbel")
        kept = np.arange(3000) != (token + 1) % 3000
        for steering in ({"top_k": 200}, {"top_p": 0.5}, {"min_p": 0.1}, {"mask": kept}, {"logit_bias": {7: -1.0}}):
            if fl.probs(row, **steering)[token] > 0 and (token != 7 or "logit_bias" not in steering):
                assert fl.sample(row, rng=seed, draw="gumbel", **steering) == token, (seed, steering)


def test_rows_know_nothing_of_each_other(isa: str) -> None:
    rows = np.random.default_rng(6).normal(size=(9, 600)).astype(np.float32)
    keys = np.arange(9) * 7
    whole = fl.gumbel_max(rows, n=2, rng=3, keys=keys, position=1)
    order = np.random.default_rng(7).permutation(9)
    again = fl.gumbel_max(rows[order], n=2, rng=3, keys=keys[order], position=1, threads=2)
    np.testing.assert_array_equal(again.ids, whole.ids[order])
    np.testing.assert_array_equal(again.values, whole.values[order])


def test_strange_rows(isa: str) -> None:
    """Rows at the ends of the range, in double too, and one survivor."""
    for dtype in (np.float32, np.float64):
        big = float(np.finfo(np.float32).max)
        for row in ([big, big, -big], [-big, -big, -INF], [-INF, 1e-38, -INF, 0.0], np.full(300, -1e30)):
            x = np.array(row, dtype)
            got, right = fl.gumbel_max(x, n=2, rng=1), reference.gumbel_max(x.astype(np.float64), n=2, rng=1)
            np.testing.assert_array_equal(got.ids, right.ids)
    far = np.array([-1e300, -2e300, -1e300])
    np.testing.assert_array_equal(fl.gumbel_max(far, n=3, rng=2).ids, reference.gumbel_max(far, n=3, rng=2).ids)


# ---- goodness of fit -----------------------------------------------------------------------------------------------


def all_fit(count: int) -> None:
    row = np.random.default_rng(8).normal(size=60).astype(np.float32) * 2
    wide = np.zeros(1024, np.float32)  # over blocks, lanes and places
    for x, steering in ((row, {"temperature": 0.9}), (row, {"top_k": 20, "top_p": 0.95}), (wide, {})):
        p = reference.probs(x.astype(np.float64), **steering)
        rows = np.broadcast_to(x, (count, x.size))
        found = fl.sample(rows, rng=5, position=0, keys=np.arange(count), draw="gumbel", **steering)
        streams = fl.sample(x, n=count, rng=5, draw="gumbel", **steering)
        usual = fl.sample(x, n=count, rng=5, **steering)
        for tokens in (found, streams, usual):
            assert fit(np.bincount(tokens, minlength=x.size), p) > 1e-4
            assert independent(tokens % 2, 2) > 1e-4


def test_draws_fit() -> None:
    all_fit(20_000)


@pytest.mark.slow
def test_many_draws_fit() -> None:
    all_fit(1_000_000)


def pairs_fit(count: int) -> None:
    """Ordered pairs without replacement: p_i p_j / (1 - p_i)."""
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    rows = np.broadcast_to(np.log(p).astype(np.float32), (count, 5))
    found = fl.sample(rows, n=2, replacement=False, rng=9, position=0, keys=np.arange(count))
    right = np.outer(p, p) / (1 - p)[:, None]
    np.fill_diagonal(right, 0)
    counts = np.bincount(found[:, 0] * 5 + found[:, 1], minlength=25)
    assert not counts[np.diag_indices(5)[0] * 6].any()
    assert fit(counts, right.ravel()) > 1e-4


def test_pairs_fit() -> None:
    pairs_fit(20_000)


@pytest.mark.slow
def test_many_pairs_fit() -> None:
    pairs_fit(1_000_000)


# ---- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "n must be an integer >= 1 or None, got 0", {"n": 0}),
        (ValueError, r"n must be an integer in \[1, 2\^31\) or None, got 4611686018427387904", {"n": 2**62}),
        (TypeError, "n must be an integer >= 1 or None, got 1.5", {"n": 1.5}),
        (TypeError, "replacement must be True or False, got 'no'", {"n": 2, "replacement": "no"}),
        (ValueError, "draw must be None, 'cdf' or 'gumbel', got 'exp'", {"draw": "exp"}),
        (ValueError, r"out must have shape \(2,\), got \(1,\)", {"n": 2, "out": np.zeros(1, np.int64)}),
    ],
)
def test_bad_arguments(error: type[Exception], match: str, call: dict[str, Any]) -> None:
    with pytest.raises(error, match=match):
        fl.sample([1.0, 2.0], rng=1, **call)


def test_bad_rows() -> None:
    with pytest.raises(ValueError, match="offset must be an integer >= 0, got -1"):
        fl.gumbel_max([1.0], offset=-1)
    with pytest.raises(ValueError, match="Gumbel must be the last step"):
        fl.Sampler(steps.Gumbel(), steps.TopK(2))
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        fl.gumbel_max([[1.0, 2.0], [np.nan, 0.0]], rng=1)
    found, status = fl.gumbel_max([[1.0, 2.0], [np.nan, 0.0]], n=3, rng=1, on_error="status")
    assert status.tolist() == [0, 1]
    assert found.ids[0, 2] == -1
    assert found.values[0, 2] == -INF
    assert found.ids[1].tolist() == [-1, -1, -1]
    assert np.isnan(found.values[1]).all()
    np.testing.assert_array_equal(found.base, [0, np.nan])
