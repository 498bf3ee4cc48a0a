"""Rows combined with rows beside them: guidance, contrastive decoding, DExperts, as arrays and as the first step."""

from __future__ import annotations

import pickle
from typing import Any

import made
import numpy as np
import plans
import pytest
import rows
from calls import BF16, DTYPES, INF, NAN, by_name, refused, values

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import reference, steps

Array = np.ndarray[Any, Any]
COND, UNCOND = np.array([1, 1, 1], np.float32), np.array([1, 0, 1.5], np.float32)


def log_softmax(x: Array) -> Array:
    """By hand, in double."""
    wide = x.astype(np.float64)
    shifted: Array = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return shifted


def pair(n: int, seed: int = 0, dtype: Any = np.float32) -> tuple[Array, Array]:
    """A row of logits and one near it."""
    rng = np.random.default_rng(seed)
    row = 3 * rng.normal(size=n)
    return row.astype(dtype), (row + rng.normal(size=n)).astype(dtype)


# ---- arrays --------------------------------------------------------------------------------------------------------


def test_vector_of_transformers(isa: str) -> None:
    """UnbatchedClassifierFreeGuidanceLogitsProcessor's own test: log-softmax of both, then u + 1.5 (c - u)."""
    u, c = log_softmax(UNCOND), log_softmax(COND)
    expected = u + 1.5 * (c - u)
    np.testing.assert_allclose(fl.guide(COND, UNCOND, 1.5), expected, atol=1e-6)
    np.testing.assert_allclose(fl.filter_logits(COND, uncond=UNCOND, guidance_scale=1.5), expected, atol=1e-6)
    got = fl.filter_logits(COND, uncond=UNCOND, guidance_scale=1.5, preset="hf")
    np.testing.assert_allclose(got, expected, atol=1e-6)


@by_name
def test_raw_of_any_shape(isa: str, dtype: Any) -> None:
    """Images: each element is the formula in double, rounded once."""
    for shape in [(), (1,), (3, 17), (2, 4, 33, 32), (0, 5), (2, 0)]:
        c, u = values(shape, dtype), values(shape, dtype, 1)
        for scale in (7.5, 1.0, 0.0, -0.5):
            wide = u.astype(np.float64) + scale * (c.astype(np.float64) - u.astype(np.float64))
            got = fl.guide(c, u, scale, space="raw")
            assert got.shape == shape
            assert got.dtype == dtype
            exact = wide if dtype == np.float64 else wide.astype(np.float32).astype(dtype)
            assert np.array_equal(got, exact)


@by_name
def test_logprobs_along_an_axis(isa: str, dtype: Any) -> None:
    c, u = values((3, 40, 2), dtype), values((3, 40, 2), dtype, 1)
    scale = np.array([[0.5, 1.0], [1.5, 3.0], [7.5, -1.0]])
    right = reference.guide(c, u, scale, axis=1)
    step = {4: 3e-7, 8: 1e-14, 2: 1e-3}[dtype.itemsize] * (8 if dtype == BF16 else 1)
    got = np.asarray(fl.guide(c, u, scale, axis=1), np.float64)
    assert (np.abs(got - right) <= step * (8 + np.abs(right))).all()


def test_accuracy() -> None:
    """Within 2 ulp wherever no difference cancels; scale 1 is log_softmax, the top's precision included."""
    for n in (40, 5000):
        for name, row in rows.accuracy_rows(n).items():
            c = row.astype(np.float32)
            exact = reference.log_softmax(row)
            assert rows.ulps(fl.guide(c, c, 1.7), exact, "float32").max() <= 2, name
            assert rows.ulps(fl.guide(c, c[::-1], 1.0), exact, "float32").max() <= 2 or "finfo" in name, name


SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.5, -3.0, 3e38, -3.4e38]


@pytest.mark.parametrize("scale", [7.5, 1.0, 0.5, 0.0, -1.0])
def test_special_values(isa: str, scale: float) -> None:
    """NaN propagates, -inf bans, limits where the weaker side alone is -inf; as the reference has them."""
    grid = np.array(np.meshgrid(SPECIAL, SPECIAL, SPECIAL)).reshape(3, -1)
    with np.errstate(all="ignore"):
        for dtype in (np.float32, np.float64):
            b, e, a = grid.astype(dtype)
            np.testing.assert_array_equal(fl.dexperts(b, e, a, scale), reference.dexperts(b, e, a, scale).astype(dtype))
            right = reference.guide(e, a, scale, space="raw").astype(dtype)
            np.testing.assert_array_equal(fl.guide(e, a, scale, space="raw"), right)


def test_forms_of_other_systems() -> None:
    """c + s (c - u) of Dia has a scale one lower, s c + (1 - s) u of exllamav2 the same one."""
    rng = np.random.default_rng(8)
    c, u = rng.normal(size=(2, 3, 50))
    np.testing.assert_allclose(fl.guide(c, u, 4.0, space="raw"), c + 3.0 * (c - u), rtol=1e-12)
    lc, lu = fl.log_softmax(c), fl.log_softmax(u)
    np.testing.assert_allclose(fl.guide(c, u, 2.5), 2.5 * lc - 1.5 * lu, rtol=1e-12)
    np.testing.assert_allclose(fl.guide(c, u, 1.0, space="raw"), c, rtol=1e-12)


def test_limits() -> None:
    c, u = np.array([1.0, -INF, -INF, 2.0]), np.array([-INF, 0.0, -INF, 1.0])
    assert fl.guide(c, u, 1.5, space="raw").tolist() == [INF, -INF, -INF, 2.5]
    assert fl.guide(c, u, 1.0, space="raw").tolist() == [1, -INF, -INF, 2]
    assert fl.guide(c, u, 0.5, space="raw").tolist() == [-INF, -INF, -INF, 1.5]
    np.testing.assert_allclose(fl.guide(c, u, 1.0), fl.log_softmax(c), rtol=1e-14)


def test_rows_without_log_softmax() -> None:
    """They are NaN as a whole, their neighbours as ever."""
    c, u = np.zeros((4, 5), np.float32), np.ones((4, 5), np.float32)
    c[0, 1], c[1, 2], c[2] = NAN, INF, -INF
    got = fl.guide(c, u, 1.5)
    assert np.isnan(got[:3]).all()
    np.testing.assert_allclose(got[3], -np.log(5), rtol=1e-6)
    assert np.isnan(fl.contrastive(c, u)[:3]).all()


@pytest.mark.parametrize("beta", [None, 0.0, 0.5])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
def test_contrastive(isa: str, alpha: float, beta: float | None) -> None:
    for dtype in DTYPES:
        e, a = pair(3000, 1, dtype)
        right = reference.contrastive(e, a, alpha=alpha, beta=beta)
        got = np.asarray(fl.contrastive(e, a, alpha=alpha, beta=beta), np.float64)
        assert np.array_equal(np.isneginf(got), np.isneginf(right))
        kept = ~np.isneginf(right)
        rtol = {4: 2e-6, 8: 1e-13, 2: 1e-2}[dtype.itemsize]
        np.testing.assert_allclose(got[kept], right[kept], rtol=rtol, atol=rtol)


def test_contrastive_by_hand() -> None:
    """The tokens at least a tenth as likely as the expert's likeliest, by log p_e - log p_a."""
    p, q = np.array([0.5, 0.3, 0.15, 0.04, 0.01]), np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    expected = [np.log(0.5 / 0.6), np.log(3), np.log(1.5), -INF, -INF]
    np.testing.assert_allclose(fl.contrastive(np.log(p), np.log(q)), expected, rtol=1e-12)
    weighted = [1.5 * np.log(x) - 0.5 * np.log(y) for x, y in zip(p[:3], q[:3], strict=True)]
    np.testing.assert_allclose(fl.contrastive(np.log(p), np.log(q), beta=0.5)[:3], weighted, rtol=1e-12)


def test_out_strides_and_threads() -> None:
    c, u = values((6, 700), np.float32), values((6, 700), np.float32, 1)
    for function, more in ((fl.guide, (1.5,)), (fl.contrastive, ()), (fl.dexperts, (u[::-1].copy(), 2.0))):
        right = function(c, u, *more)
        wide = np.zeros((6, 700, 2), np.float32)
        wide[..., 0] = c
        assert rows.same_bits(function(wide[..., 0], np.asfortranarray(u), *more), right)
        target = np.zeros((700, 6), np.float32).T
        assert function(c, u, *more, out=target) is target
        assert np.array_equal(target, right)
        assert rows.same_bits(function(c, u, *more, threads=3), right)
        for place in (0, 1):
            given = [c.copy(), u.copy()]
            function(*given, *more, out=given[place])
            assert rows.same_bits(given[place], right)
    with refused(ValueError, "out must be the input itself or not overlap it"):
        both = np.zeros(12, np.float32)
        fl.guide(c[0, :8], both[:8], 1.5, out=both[4:])


# ---- steps ---------------------------------------------------------------------------------------------------------


def compare(case: plans.Case) -> None:
    """Survivors and order exactly, values within rounding."""
    right = plans.run(case)
    assert right is not None
    order = reference.Row(right).order()
    got = fl.Sampler(*case.plan).candidates(case.row, **case.inputs(), rng=0)
    assert np.array_equal(got.ids, order), case
    rtol = 1e-12 if case.row.dtype == np.float64 else 2e-6
    np.testing.assert_allclose(got.logits, right[order], rtol=rtol, atol=rtol, err_msg=repr(case))


CUTS = [
    (steps.TopK(50),), (steps.Temperature(0.7), steps.TopK(40), steps.TopP(0.95), steps.MinP(0.05)), (steps.MinP(0.1),),
    (steps.TopP(0.9),), (steps.Greedy(),), (steps.TopK(1500),), (steps.MinP(1e-9),), (), (steps.TopNSigma(1.0),),
    (steps.LogitBias({3: 4.0, 5: -INF}), steps.RepetitionPenalty(1.5), steps.TopK(20)), (steps.TopH(0.5),),
    (steps.Mask(np.arange(3000) % 3 != 0), steps.Temperature(1.3), steps.TopK(30)), (steps.Temperature(0),),
]  # fmt: skip


@pytest.mark.parametrize("kind", made.BLENDS)
def test_steps(isa: str, kind: str) -> None:
    """Everything behind works as on any row; long and short, all types, scales of both signs."""
    rng = np.random.default_rng(5)
    for n, dtype in ((3000, np.float32), (7, np.float32), (3000, np.float16), (3000, np.float64)):
        for cuts in CUTS:
            numbers = made.Numbers.of(rng, n)
            step = made.step(kind, numbers)
            row = 3 * rng.normal(size=n)
            beside = made.beside([step], row, numbers)
            context = rng.integers(0, n, 20).tolist()
            if n < 3000 and any(isinstance(cut, steps.Mask) for cut in cuts):
                continue
            held = {name: each.astype(dtype) for name, each in beside.items()}
            compare(plans.Case("", row.astype(dtype), (step, *cuts), context, 0, 0, held))


@pytest.mark.parametrize("kind", made.BLENDS)
def test_real_rows(isa: str, kind: str) -> None:
    """Long rows of a model, which the fused pass reads."""
    for dtype in (np.float32, np.float16):
        x = rows.real_rows()[:3].astype(dtype)
        step = {
            "guidance": steps.Guidance(1.5),
            "contrastive": steps.Contrastive(0.01),
            "d_experts": steps.DExperts(0.7),
        }
        names = step[kind].beside
        beside = dict(zip(names, x[1 : 1 + len(names)], strict=True))
        for cuts in (CUTS[1], CUTS[3]):
            compare(plans.Case("real", x[0], (step[kind], *cuts), [], 0, 0, beside))


def test_masked_rows(isa: str) -> None:
    """-inf in both, finfo.min in one or both, huge values: the same tokens as in double."""
    lowest = np.finfo(np.float32).min
    for low_c, low_u in ((-INF, -INF), (lowest, lowest), (-INF, 0.0), (-1e30, -1e30), (lowest, 1.0), (-INF, lowest)):
        c, u = pair(5000, 3)
        at = np.arange(5000) % 7 == 3
        c[at], u[at] = low_c, low_u
        for step in (steps.Guidance(1.5), steps.Guidance(0.5, "raw"), steps.Contrastive(1e-4)):
            compare(plans.Case("masked", c, (step, steps.TopK(40)), [], 0, 0, {step.beside[0]: u}))


def test_cancelling_operands(isa: str) -> None:
    """Operands far larger than what is left of them: a float sum orders them wrongly, the result does not."""
    rng = np.random.default_rng(8)
    for size in (1e3, 1e6, 1e12):
        base = (size * rng.normal(size=4000)).astype(np.float32)
        u, c = base, (base / 2 + rng.normal(size=4000)).astype(np.float32)
        compare(plans.Case("cancel", c, (steps.Guidance(2.0, "raw"), steps.TopK(50)), [], 0, 0, {"uncond": u}))


def test_fused() -> None:
    """Few tokens of long rows: one pass over both and no row between; the row as double elsewhere."""
    c, u = pair(40_000)
    e = fl.Sampler(steps.Guidance(1.5), steps.Temperature(0.8), steps.TopK(50)).explain(c, uncond=u)
    assert e.mode == "floor"
    assert [(s.name, s.given, s.survived) for s in e.steps][::2] == [
        ("guidance", 40_000, 40_000),
        ("top_k", 40_000, 50),
    ]
    task = _core.PlanTask(
        fl.Sampler(guidance_scale=1.5, top_k=50), c, beside=(u,), ids=np.zeros(1, np.int64),
        trace=np.zeros(_core.TRACE_SIZE, np.uint8),
    )  # fmt: skip
    task.run(0, 1)
    assert task.trace(0)[1] == 1
    assert 50 <= task.trace(0)[3] < 80


def test_bits(isa: str) -> None:
    """Equal bits on every instruction set."""
    before = _core.isa()
    for kind in made.BLENDS:
        for n in (1, 17, 300, 5000):
            c, u = pair(n, n)
            step = made.step(kind, made.Numbers.of(np.random.default_rng(n), n, tied=True))
            others = (u, u[::-1].copy())
            beside = dict(zip(step.beside, others[: len(step.beside)], strict=True))
            for cuts in (CUTS[1], CUTS[3], ()):
                sampler, found = fl.Sampler(step, *cuts), []
                for each in (isa, "scalar"):
                    _core.set_isa(each)
                    found.append(
                        (sampler.probs(c, **beside), sampler.filter_logits(c, **beside),
                         tuple(sampler.sample(c, **beside, rng=3, logprobs=3)))
                    )  # fmt: skip
                _core.set_isa(before)
                assert rows.same_bits(*found)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_batches(dtype: Any) -> None:
    """A scale per row, threads, strides: each row as it is alone."""
    c, u = values((5, 900), dtype), values((5, 900), dtype, 1)
    scale = [0.5, 1.0, 1.5, 3.0, -1.0]
    space = ["logprobs", "raw"] * 2 + ["raw"]
    sampler = fl.Sampler(steps.Guidance(scale, space), steps.TopK(20), steps.Temperature(0.7))
    whole = sampler.sample(c, uncond=u, rng=3, logprobs=2)
    wide = np.zeros((5, 900, 3), dtype)
    wide[..., 2] = u
    assert rows.same_bits(tuple(sampler.sample(c, uncond=wide[..., 2], rng=3, logprobs=2, threads=3)), tuple(whole))
    for r, s in enumerate(scale):
        alone = fl.Sampler(steps.Guidance(s, space[r]), *sampler.steps[1:])
        assert alone.sample(c[r], uncond=u[r], rng=3, keys=r) == whole.ids[r]
    raw = fl.log_softmax(c)[np.arange(5), whole.ids]
    np.testing.assert_allclose(whole.raw_logprobs, raw, atol=2e-6)


def test_keywords() -> None:
    c, u = pair(60)
    for keywords, beside in (
        ({"guidance_scale": 1.5, "guidance_space": "raw"}, {"uncond": u}), ({"contrastive_alpha": 0.2}, {"amateur": u}),
        ({"contrastive_alpha": 0.2, "contrastive_beta": 0.5}, {"amateur": u}),
        ({"dexperts_alpha": 0.7}, {"expert": u, "anti": u[::-1].copy()}),
    ):  # fmt: skip
        keywords: dict[str, Any] = {"temperature": 0.7, "top_k": 9, **keywords}
        right = reference.filter_logits(c, **keywords, **beside)
        np.testing.assert_allclose(fl.filter_logits(c, **keywords, **beside), right, rtol=1e-5)
        sampler = fl.Sampler(**keywords)
        assert pickle.loads(pickle.dumps(sampler)) == sampler
        assert sampler.sample(c.tolist(), rng=1, **{k: v.tolist() for k, v in beside.items()}) == sampler.sample(
            c.astype(np.float64), rng=1, **{k: v.astype(np.float64) for k, v in beside.items()}
        )
    assert [s.name for s in fl.Sampler(preset="hf", temperature=0.5, guidance_scale=2).steps] == [
        "guidance",
        "temperature",
    ]
    with refused(ValueError, "preset 'vllm' knows no guidance"):
        fl.Sampler(preset="vllm", guidance_scale=2)


def test_out_may_be_any_of_the_rows() -> None:
    sampler = fl.Sampler(guidance_scale=2.0, top_k=30)
    for end in ("probs", "filter_logits"):
        c, u = pair(500)
        right = getattr(sampler, end)(c, uncond=u)
        assert rows.same_bits(getattr(sampler, end)(c.copy(), uncond=u, out=(target := u.copy())), right)
        assert rows.same_bits(target, right)
        getattr(sampler, end)(c, uncond=u, out=u)
        assert rows.same_bits(u, right)


# ---- bad input -----------------------------------------------------------------------------------------------------
