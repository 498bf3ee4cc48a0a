"""Steps that look at the shape of the distribution: the vectors of other systems, their domains, what they refuse."""

from __future__ import annotations

import pickle
from typing import Any

import made
import numpy as np
import plans
import pytest
import rows

import fastlogits as fl
from fastlogits import reference, steps


def logs(*probs: float) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs, np.float32))


def kept(step: Any, row: Any) -> list[int]:
    return fl.Sampler(step).candidates(row, rng=0).ids.tolist()


def close(step: Any, probs: Any, expected: Any) -> None:
    for got in (fl.Sampler(step).probs(logs(*probs), rng=0), reference.probs(logs(*probs), plan=[step], rng=0)):
        np.testing.assert_allclose(got, expected, atol=2e-6)


TENTHS = (0.1, 0.2, 0.3, 0.4)
FALLING = (0.4, 0.3, 0.2, 0.1)
#: (step, probabilities, what is left of them): expected values of llama.cpp's, transformers' and mlx-lm's own tests.
VECTORS = [
    (steps.TypicalP(0.5), (0.97, 0.01, 0.01, 0.01), (1, 0, 0, 0)),
    (steps.TypicalP(0.5), (0.4, 0.2, 0.2, 0.2), (0, 1 / 3, 1 / 3, 1 / 3)),
    (steps.TypicalP(0.5, 3, "keep"), (0.2,) * 5, (0.2,) * 5),
    (steps.EpsilonCutoff(0.1), (0.87, 0.099, 0.001, 0.03), (1, 0, 0, 0)),
    (steps.EpsilonCutoff(0.1), (0.4, 0.299, 0.101, 0.2), (0.4, 0.299, 0.101, 0.2)),
    (steps.EtaCutoff(0.0625), (0.0, 0.1, 0.8, 0.1), (0, 0.1, 0.8, 0.1)),
    (steps.EtaCutoff(0.0625), (0.01, 0.04, 0.9, 0.05), (0, 0, 1, 0)),
    (steps.TopNSigma(1.0), TENTHS, (0, 0, 0.428571, 0.571429)),
    (steps.TopNSigma(0.0), TENTHS, TENTHS),
    (steps.TopNSigma(3.0), TENTHS, TENTHS),
    (steps.TopH(0.3), (0.97, 0.01, 0.01, 0.01), (1, 0, 0, 0)),
    (steps.TopH(0.7), FALLING, (4 / 7, 3 / 7, 0, 0)),
    (steps.TopH(1.0), (0.25,) * 4, (0.25,) * 4),
    (steps.TopH(0.4), (0.75, 0.25, 0.0, 0.0), (1, 0, 0, 0)),
    (steps.TopH(0.505), (0.001,) * 1000, (0.02,) * 50 + (0,) * 950),  # of the 100 first
    (steps.PLess(2.0), (0.1, 0.15, 0.2, 0.25, 0.3), (0, 0, 0, 0.45454545, 0.54545455)),
    (steps.PLess(3.0), (0.1, 0.2, 0.35, 0.35), (0, 0, 0.5, 0.5)),  # sqrt(0.09475) = 0.308
    (steps.PLess(2.0), (0.25,) * 4, (0.25,) * 4),
    # Bends 0.75, 0.125 and 0.125 of their sum; none at all: equal shares.
    (steps.Tfs(0.9), (0.6, 0.2, 0.1, 0.05, 0.05), (0.75, 0.25, 0, 0, 0)),
    (steps.Tfs(0.8), (0.6, 0.2, 0.1, 0.05, 0.05), (1, 0, 0, 0, 0)),
    (steps.Tfs(0.0), (0.6, 0.2, 0.1, 0.05, 0.05), (1, 0, 0, 0, 0)),
    (steps.Tfs(0.9, min_keep=3), (0.6, 0.2, 0.1, 0.05, 0.05), (0.6, 0.2, 0.1, 0.05, 0.05)),
    (steps.Tfs(1.0), (0.6, 0.2, 0.1, 0.05, 0.05), (0.6, 0.2, 0.1, 0.05, 0.05)),
    (steps.Tfs(0.0), (0.7, 0.3), (0.7, 0.3)),
    (steps.Tfs(0.5), (0.1,) * 10, (0.25,) * 4 + (0,) * 6),
    (steps.Xtc(1.0, 0.2), (0.4, 0.3, 0.15, 0.15), (0, 0.5, 0.25, 0.25)),
    (steps.Xtc(1.0, 0.1), (0.4, 0.3, 0.15, 0.15001), (0, 0, 1, 0)),
    (steps.Xtc(1.0, 0.2, [0]), (0.4, 0.3, 0.15, 0.15), (0.4, 0.3, 0.15, 0.15)),
    (steps.Xtc(1.0, 0.09), FALLING, (0, 0, 0, 1)),
    (steps.Xtc(1.0, 0.19), FALLING, (0, 0, 2 / 3, 1 / 3)),
    (steps.Xtc(1.0, 0.29), FALLING, (0, 0.5, 1 / 3, 1 / 6)),
    (steps.Xtc(1.0, 0.39), FALLING, FALLING),
    (steps.Xtc(0.0, 0.1), FALLING, FALLING),
]


@pytest.mark.parametrize(("step", "probs", "expected"), VECTORS, ids=lambda v: repr(v)[:40])
def test_vectors(isa: str, step: Any, probs: Any, expected: Any) -> None:
    close(step, probs, expected)


@pytest.mark.parametrize("h", [0.3, 0.7, 1.0])
def test_top_h_keeps_no_token_of_probability_0(isa: str, h: float) -> None:
    """Masses below 2^-1020 are none, however little the sum of the entropy grows; min_keep goes before."""
    for row, most in (([0, -800, -900, -901], 1), ([0, -720, -720], 1), ([0, 0, -800, -1e5], 2), ([0, -706, -800], 2)):
        for dtype in (np.float32, np.float64):
            x = np.array(row, dtype)
            found = [fl.Sampler(steps.TopH(h)).filter_logits(x), reference.filter_logits(x, plan=[steps.TopH(h)])]
            assert np.isfinite(found[0]).sum() == (most if h == 1 else 1), (row, h)
            np.testing.assert_array_equal(found[0], found[1])
        three = steps.TopH(h, min_keep=3)
        assert kept(three, x) == reference.candidates(x, plan=[three]).ids.tolist() == [0, 1, 2]


def test_top_a_vector() -> None:
    """Aphrodite's: of logits {2, 1, 0, -2} at a = 0.5 two stay."""
    assert kept(steps.TopA(0.5), np.array([2, 1, 0, -2], np.float32)) == [0, 1]


#: (step, logits, processed logits): the formulas of text-generation-webui, koboldcpp and llama.cpp by hand.
MAPS = [
    (steps.Smoothing(0.5), [2, 0, 1, -np.inf], [2, 0, 1.5, -np.inf]),
    (steps.Smoothing(0.5, 2.0), [2, 0, 1, -np.inf], [2, -1, 1.5, -np.inf]),
    (steps.Smoothing(0.0, 3.0), [2, 0, 1, -np.inf], [2, 0, 1, -np.inf]),
    (steps.DynamicTemperature(0.5, 1.5), [1, 1, -np.inf, 1, 1], [1 / 1.5] * 2 + [-np.inf] + [1 / 1.5] * 2),
    (steps.DynamicTemperature(0.5, 1.5), [3, -np.inf], [3, -np.inf]),
    # H / ln 3 = 1.5 ln 2 / ln 3, squared.
    (steps.DynamicTemperature(0.5, 1.5, 2.0), np.log([0.5, 0.25, 0.25]),
     np.log([0.5, 0.25, 0.25]) / (0.5 + (1.5 * np.log(2) / np.log(3)) ** 2)),
]  # fmt: skip


@pytest.mark.parametrize(("step", "row", "expected"), MAPS, ids=lambda v: repr(v)[:40])
def test_map_vectors(isa: str, step: Any, row: Any, expected: Any) -> None:
    for end in (fl.Sampler(step).filter_logits, lambda x: reference.filter_logits(x, plan=[step])):
        np.testing.assert_allclose(end(np.array(row, np.float64)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("tau", "row", "ids"), [
    (0.0, [4, 3, 1, 0], [0]), (8.0, [4, 3, 1, 0], [0, 1]), (11.9, [4, 3, 1, 0], [0, 1]), (0.0, [4, 4, 0, 0], [0, 1]),
    (1e9, [4, 3, 1, 0], [0, 1, 2, 3]), (0.0, [1, 1, 1], [0, 1, 2]), (0.0, [4, 3.5, 1.5, 1.5], [0, 1]),
])  # fmt: skip
def test_min_k_by_hand(isa: str, tau: float, row: Any, ids: Any) -> None:
    """The steepest fall of (l_(k - 1) - l_k) / k, or floor(tau / range) if that is more; equal logits all stay."""
    assert kept(steps.MinK(tau), np.array(row, np.float32)) == ids


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-12, 1e12, 1e30])
def test_top_n_sigma_of_any_scale(isa: str, scale: float) -> None:
    """The deviation grows with the logits: the tokens that stay are the same."""
    row = np.random.default_rng(2).normal(size=700)
    for n in (0.5, 1.3, 2.9):
        right = reference.candidates((row * scale).astype(np.float32), top_n_sigma=n).ids
        np.testing.assert_array_equal(fl.candidates((row * scale).astype(np.float32), top_n_sigma=n).ids, right)
    assert kept(steps.TopNSigma(0.5), np.full(300, scale, np.float32)) == list(range(300))


@pytest.mark.parametrize(
    "step", [steps.Tfs(0.5), steps.MinK(3.0), steps.TypicalP(0.4), steps.Mirostat(1, 4.0)], ids=repr
)
@pytest.mark.parametrize("gap", [0.5, 40.0, 512.0, 1e30])
def test_steps_by_shape_across_a_gap(isa: str, step: Any, gap: float) -> None:
    """Where the next lower logit is far away the list grows past the gap, or knows that it need not."""
    for n, upper in ((20_000, 9000), (20_000, 300), (3000, 2)):
        row = np.full(n, -gap - 2.0, np.float32)
        row[np.random.default_rng(n).choice(n, upper, replace=False)] = -2.0
        allowed = np.arange(n) % 3 > 0
        for plan in ([step], [steps.Mask(allowed), step], [steps.Temperature(0.1), step]):
            right = reference.candidates(row, plan=plan).ids
            found = fl.Sampler(*plan).candidates(row).ids
            if not np.array_equal(found, right):
                assert plans.unsure(plans.Case("gap", row, tuple(plan), [], 0, 0)), (plan, found.size, right.size)


def test_xtc_spares_special_tokens() -> None:
    """mlx-lm's: with token 0 special the second choice goes alone."""
    close(steps.Xtc(1.0, 0.2, [0]), (0.4, 0.3, 0.25, 0.05), (0.4 / 0.7, 0, 0.25 / 0.7, 0.05 / 0.7))


def test_xtc_fires_as_often_as_it_says() -> None:
    sampler = fl.Sampler(steps.Xtc(0.3, 0.2))
    row = logs(0.4, 0.3, 0.2, 0.1)
    fired = sum(0 not in sampler.candidates(row, rng=5, position=i).ids for i in range(4000))
    assert abs(fired / 4000 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


def test_a_generator_pays_for_random_steps_only() -> None:
    """An end that does not draw spends one word if a step of the plan is random, none otherwise."""
    row = logs(0.4, 0.3, 0.2, 0.1)
    for step, words in ((steps.Xtc(0.5), 1), (steps.TypicalP(0.5), 0)):
        rng, twin = np.random.default_rng(3), np.random.default_rng(3)
        for end in ("probs", "filter_logits", "candidates"):
            getattr(fl.Sampler(step), end)(row, rng=rng)
        twin.bit_generator.random_raw(3 * words)
        assert rng.bit_generator.state == twin.bit_generator.state


@pytest.mark.parametrize("kind", made.SHAPED)
def test_on_real_and_flat_rows(isa: str, kind: str) -> None:
    """Each step first in the plan, on long rows, where it must find its tokens without sorting all of them."""
    rng = np.random.default_rng(11)
    flat = rng.normal(size=30_000).astype(np.float32)
    for row in [*rows.real_rows()[:3], flat, np.zeros(5000, np.float32)]:
        step = made.step(kind, made.Numbers.of(rng, 300))
        case = plans.Case("long", row, (step,), [], 0, 0)
        right = plans.run(case)
        got = fl.Sampler(step).candidates(row, rng=0)
        order = reference.Row(right).order()
        assert np.array_equal(got.ids, order) or plans.unsure(case), (step, got.ids.size, order.size)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95, 0.995])
def test_typical_band(isa: str, p: float) -> None:
    """Far more typical tokens than a list holds, of both sides of the entropy, edited and masked ones among them."""
    rng = np.random.default_rng(3)
    bias = steps.LogitBias((np.arange(0, 3000, 6), rng.normal(size=500)))
    heads: tuple[tuple[Any, ...], ...] = ((), (bias, steps.Mask(rng.random(20_000) < 0.8), steps.Temperature(1.3)))
    for head in heads:
        for ties in ("id", "keep"):
            for dtype in (np.float32, np.float16):
                row = rng.normal(size=20_000).astype(dtype)
                plan = (*head, steps.TypicalP(p, 1, ties))
                case = plans.Case("band", row, plan, [], 0, 0)
                right = reference.filter_logits(row, plan=plan)
                sampler = fl.Sampler(*plan)
                order = reference.Row(right).order()
                assert np.array_equal(sampler.candidates(row).ids, order) or plans.unsure(case)
                assert np.array_equal(np.isneginf(sampler.filter_logits(row)), np.isneginf(right))
                drawn = sampler.sample(row, rng=5, logprobs=2)
                low, high = plans.interval(np.asarray(right, np.float64), drawn.ids)
                assert low - 2e-7 <= reference.uniform(5, 0, 0) < high + 2e-7
                assert drawn.logprobs == pytest.approx(np.log(high - low), rel=1e-4)
                assert drawn.ranks == 1 + np.count_nonzero(right > right[drawn.ids])
                assert sampler.sample(row, rng=5) == drawn.ids


@pytest.mark.parametrize("step", [steps.Smoothing(0.3), steps.Smoothing(0.2, 2.5), steps.DynamicTemperature(0.5, 1.5)])
def test_maps_are_drawn_within_a_pass(isa: str, step: Any) -> None:
    """Tokens and log-probs of a map alone, edited tokens below and above the top among them; ranks behind a map."""
    rng = np.random.default_rng(8)
    bias = steps.LogitBias((np.arange(0, 600, 3), rng.normal(size=200)))
    heads: tuple[tuple[Any, ...], ...] = ((), (steps.Temperature(0.7), bias), (steps.LogitBias({5: 30.0}),))
    for head in heads:
        for scale in (0.3, 4.0):
            row = (scale * rng.normal(size=9_000)).astype(np.float32)
            row[::7] = -np.inf
            sampler, right = fl.Sampler(*head, step), reference.filter_logits(row, plan=(*head, step))
            scores = reference.log_softmax(right)
            ids = np.array([sampler.sample(row, rng=1, position=i) for i in range(30)])
            for i, token in enumerate(ids):
                low, high = plans.interval(np.asarray(right, np.float64), token)
                assert low - 2e-7 <= reference.uniform(1, 0, i) < high + 2e-7
            found = sampler.sample(row, rng=1, position=0, logprobs=0)
            assert found.logprobs == pytest.approx(scores[found.ids], rel=1e-5, abs=2e-6)
            cut = fl.Sampler(*head, step, steps.TopK(40)).candidates(row).ids
            assert cut.tolist() == reference.Row(right).order()[:40].tolist()


@pytest.mark.parametrize("kind", made.SHAPED)
def test_behind_edits(kind: str) -> None:
    """Edited and masked tokens count in totals, entropies and deviations as all others do."""
    rng = np.random.default_rng(5)
    for n in (40, 700, 6000):
        row = (3 * rng.normal(size=n)).astype(np.float32)
        bias = steps.LogitBias((np.arange(10), np.linspace(-9, 15, 10)))
        plan = (
            bias,
            steps.Mask(rng.random(n) < 0.5),
            steps.Temperature(0.7),
            made.step(kind, made.Numbers.of(rng, 300)),
        )
        case = plans.Case("edited", row, plan, [], 0, 0)
        order = reference.Row(plans.run(case)).order()
        assert np.array_equal(fl.Sampler(*plan).candidates(row, rng=0).ids, order) or plans.unsure(case)


def test_two_random_steps() -> None:
    """Each takes a number of its own, the second of the first one's survivors."""
    for seed in range(40):
        row = np.random.default_rng(seed).normal(size=30)
        plan = (steps.Xtc(0.5, 0.05), steps.Xtc(0.5, 0.05))
        right = reference.Row(reference.filter_logits(row, plan=plan, rng=seed)).order()
        assert fl.Sampler(*plan).candidates(row, rng=seed).ids.tolist() == right.tolist()


def test_keywords() -> None:
    """The keyword form stands in the default order."""
    sampler = fl.Sampler(
        xtc_probability=0.5, typical_p=0.9, top_h=0.8, tfs=0.9, eta_cutoff=1e-3, dynatemp_range=0.3, temperature=0.8,
        smoothing_factor=0.2, min_k=3.0, p_less=2.0, top_a=0.1, top_n_sigma=2.0, epsilon_cutoff=1e-4, top_k=50,
    )  # fmt: skip
    assert [step.name for step in sampler.steps] == [
        "dynamic_temperature", "smoothing", "top_h", "top_k", "typical_p", "epsilon_cutoff", "eta_cutoff",
        "top_n_sigma", "top_a", "tfs", "p_less", "min_k", "xtc",
    ]  # fmt: skip
    assert sampler.steps[0] == steps.DynamicTemperature(0.5, 1.1)
    assert pickle.loads(pickle.dumps(sampler)) == sampler
    off = fl.Sampler(typical_p=1, tfs=1, eta_cutoff=0, epsilon_cutoff=0, top_a=0, top_n_sigma=0, xtc_probability=0)
    assert off.steps == ()


def test_keywords_per_row() -> None:
    """One temperature range per row."""
    row = np.array([[1.0, 2.0, 4.0]] * 2)
    both = fl.filter_logits(row, temperature=[0.8, 1.2], dynatemp_range=[0.3, 0.0])
    for i, (t, d) in enumerate(((0.8, 0.3), (1.2, 0.0))):
        np.testing.assert_array_equal(both[i], fl.filter_logits(row[i], temperature=t, dynatemp_range=d))
