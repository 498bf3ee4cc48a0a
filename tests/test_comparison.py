"""Distributions side by side: exact however near to each other, equal bits everywhere, and clear refusals.

After a change that means to change bits, ``python tests/test_comparison.py`` prints the new DIGEST.
"""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any

import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import reference

Array = np.ndarray[Any, Any]
ALL: dict[str, Any] = {
    "kl": True, "reverse_kl": True, "js": True, "total_variation": True, "cross_entropy": True
}  # fmt: skip
BOTH: dict[str, Any] = {"reverse_kl": True}
DIGEST = "c2f247991e3b9fdb5eb4ecf33eae58d921c213dbe3370e1f10dd07fda838cb36"


def pairs(n: int, seed: int = 0) -> dict[str, tuple[Array, Array]]:
    """Rows beside rows, from unlike to almost the same."""
    rng = np.random.default_rng(seed)
    x, y = 3 * rng.normal(size=(2, n)), rng.normal(size=(2, n))
    peak = x + 30 * (np.arange(n) == n // 2)
    offset = np.array([[1e3], [-2e4]])
    return {
        "unlike": (x, 2 * y),
        "mixed": (x, x + 0.7 * y),
        "like": (x, x + 0.1 * y),
        "close": (x, x + 1e-4 * y),
        "same": (x, x),
        "peaky": (peak, peak + 0.05 * y),
        "shifted": (x, x + 0.1 * y + 5),
        "offsets": (x + offset, x + 0.2 * y - offset),
        "one sided": (x, x + np.where(np.arange(n) % 3 == 0, 20 * y, 0)),
        "flat": (0 * x, 1e-3 * y),
    }


def exact(mp: Any, a: Array, b: Array, t: float = 1.0, beta: float = 0.5) -> list[float]:
    """All measures of two rows by mpmath."""
    with mp.workdps(60):
        p, q = ([mp.exp(mp.mpf(float(v)) / mp.mpf(t)) for v in x] for x in (a, b))
        p, q = ([v / mp.fsum(x) for v in x] for x in (p, q))
        m = [beta * v + (1 - mp.mpf(beta)) * w for v, w in zip(p, q, strict=True)]

        def kl(x: Any, y: Any) -> Any:
            return mp.fsum(v * mp.log(v / w) for v, w in zip(x, y, strict=True) if v)

        js = beta * kl(p, m) + (1 - mp.mpf(beta)) * kl(q, m)
        tv = mp.fsum(abs(v - w) for v, w in zip(p, q, strict=True)) / 2
        cross = mp.fsum(-v * mp.log(w) for v, w in zip(p, q, strict=True) if v)
        return [float(v) for v in (kl(p, q), kl(q, p), js, tv, cross)]


@functools.cache
def exact_pairs(n: int, dtype: str, t: float, beta: float) -> dict[str, tuple[Array, Array, Array]]:
    """Pairs of rows and their measures, once for all instruction sets."""
    mp = pytest.importorskip("mpmath")
    found = {}
    for name, pair in pairs(n, n).items():
        a, b = (x.astype(dtype) for x in pair)
        found[name] = a, b, np.array([exact(mp, v, w, t, beta) for v, w in zip(a, b, strict=True)]).T
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [0.3, 1.0, 7.0])
def test_accuracy(isa: str, dtype: str, t: float) -> None:
    """Relative errors, whatever the size of the measure: floats of the fast way, doubles of all others."""
    beta = 0.25
    for n in (1, 2, 17, 140):
        for name, (a, b, right) in exact_pairs(n, dtype, t, beta).items():
            every = fl.compare_distributions(a, b, **ALL, temperature=t, beta=beta)
            fast = fl.compare_distributions(a, b, **BOTH, temperature=t)
            # Offsets of 10^4 cost the difference of two logits its last digits.
            last = 2e-7 if dtype == "float32" else 1e-9 if name == "offsets" else 3e-11
            for i in range(5):
                np.testing.assert_allclose(
                    every[i], right[i], rtol=last, atol=4e-16 if i == 3 else 1e-37, err_msg=f"{name} {n} {i}"
                )
            for i in range(2):
                floor = 1e-37 if dtype == "float32" else 1e-40
                np.testing.assert_allclose(fast[i], right[i], rtol=2e-6, atol=floor, err_msg=f"{name} {n} {i} fast")


def test_twin(isa: str) -> None:
    for n in (2, 33, 5000):
        for name, (a, b) in pairs(n).items():
            found = fl.compare_distributions(a, b, **ALL, top_n=min(n, 7), temperature=1.5, beta=0.7)
            right = reference.compare_distributions(a, b, top_n=min(n, 7), temperature=1.5, beta=0.7)
            for got, twin in zip(found, right, strict=True):
                np.testing.assert_allclose(got, twin, rtol=1e-9, atol=1e-12, err_msg=name)
    names = ["kl_divergence", "js_divergence", "total_variation", "cross_entropy", "top_n_agreement"]
    for name in names:
        for reduction in ("none", "sum", "mean"):
            got, twin = (getattr(module, name)(a, b, reduction=reduction) for module in (fl, reference))
            np.testing.assert_allclose(got, twin, rtol=1e-9, atol=1e-12, err_msg=name)


def test_zero_probabilities(isa: str) -> None:
    """p = 0 adds nothing; q = 0 where p is not makes KL infinite; both 0 is nothing at all."""
    for dtype in ("float32", "float64"):
        x = np.linspace(-1, 1, 40).astype(dtype)
        fewer, low, lowest = x.copy(), x.copy(), x.copy()
        fewer[3], low[3], lowest[3] = -np.inf, -800, np.finfo(dtype).min
        for wanted in (BOTH, ALL):
            found = fl.compare_distributions(np.stack([fewer, x, fewer]), np.stack([x, fewer, fewer]), **wanted)
            p3 = math.exp(x[3]) / np.exp(x.astype(float)).sum()
            np.testing.assert_allclose(found.kl, [-math.log1p(-p3), np.inf, 0], rtol=1e-6)
            np.testing.assert_allclose(found.reverse_kl, [np.inf, -math.log1p(-p3), 0], rtol=1e-6)
            # Too unlikely to be a double: as good as banned. Unlikely on the other side: a number.
            found = fl.compare_distributions(np.stack([low, lowest, x]), np.stack([fewer, fewer, low]), **wanted)
            assert found.kl[:2].tolist() == [0, 0]
            assert found.reverse_kl[:2].tolist() == [0, 0]
            np.testing.assert_allclose(found.kl[2], reference.kl_divergence(x, low), rtol=1e-6)
        assert fl.cross_entropy(x, fewer) == np.inf
        assert fl.total_variation(np.where(x > 0, x, -np.inf), np.where(x > 0, -np.inf, x)) == pytest.approx(
            1, abs=1e-15
        )
        disjoint = fl.js_divergence(np.where(x > 0, x, -np.inf), np.where(x > 0, -np.inf, x))
        np.testing.assert_allclose(disjoint, math.log(2), rtol=1e-6)


def test_far_values(isa: str) -> None:
    """Rows beyond the float exponential, and temperatures that bring them there."""
    for name, row in rows.accuracy_rows(300, 5).items():
        for other in (row, row * 0.5, np.roll(row, 1)):
            a, b = row.astype(np.float32)[None], other.astype(np.float32)[None]
            for t in (1e-6, 1.0, 100.0):
                found = fl.compare_distributions(a, b, **BOTH, temperature=t)
                right = fl.compare_distributions(a, b, **ALL, temperature=t)
                for i in range(2):
                    np.testing.assert_allclose(found[i], right[i], rtol=2e-6, atol=1e-30, err_msg=f"{name} {t}")
                    assert not np.isnan(found[i]).any()


@pytest.mark.parametrize("level", [1e9, 1e15, 1e17, 1e300, 1.7e308])
def test_rows_at_different_levels(isa: str, level: float) -> None:
    """A number added to all logits of one row changes nothing."""
    flat, steep = np.full((1, 4), level), np.array([[1.0, 2.0, 3.0, 4.0]])
    for a, b in ((flat, steep), (steep, flat), (-flat, steep)):
        found, right = fl.compare_distributions(a, b, **ALL), reference.compare_distributions(a, b)
        for name in ALL:
            np.testing.assert_allclose(getattr(found, name), getattr(right, name), rtol=1e-12, err_msg=name)


def bits(found: Any) -> tuple[bytes, ...]:
    return tuple(each.tobytes() for each in found if each is not None)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_equal_bits(dtype: str) -> None:
    """For any instruction set, strides, threads and batch; half types as the same values in float32."""
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    real = np.float64 if dtype == "float64" else np.float32
    for n in (1, 16, 17, 257, 4097):
        made = np.stack([row.astype(np.float64) for _, row in rows.exact_rows(n, 3)])
        a = np.clip(made, *((-6e4, 6e4) if dtype == "float16" else (-np.inf, np.inf))).astype(kind)
        b = np.concatenate([a[:5] + kind.type(0.125) * a[5:10], a[5:]]).astype(kind)[:, ::-1]
        a = a[:, ::-1]
        for wanted in (BOTH, {}, ALL, {"top_n": 1}):
            found = set()
            before = _core.isa()
            for name in _core.isas():
                _core.set_isa(name)
                found |= {bits(fl.compare_distributions(a, b, **wanted, threads=t)) for t in (1, 3)}
                one = [fl.compare_distributions(v, w, **wanted) for v, w in zip(a, b, strict=True)]
                found.add(bits(None if each[0] is None else np.array(each, real) for each in zip(*one, strict=True)))
                chunks = (iter([x[:2], x[2:3], x[3], x[4:]]) for x in (a, b))
                found.add(bits(fl.compare_distributions(next(chunks), b, **wanted)))
                wide = (np.ascontiguousarray(a), np.asfortranarray(b))
                found.add(bits(fl.compare_distributions(*wide, **wanted)))
            _core.set_isa(before)
            assert len(found) == 1, (n, wanted)
            if dtype in ("float16", "bfloat16"):
                wide = (a.astype(np.float32), b.astype(np.float32))
                assert bits(fl.compare_distributions(*wide, **wanted)) in found


def test_mixed_types(isa: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kinds = [np.float32, np.float16, ml_dtypes.bfloat16, np.float64]
    a, b = (np.round(8 * x) / 8 for x in pairs(700)["mixed"])
    right = fl.compare_distributions(a, b, **ALL)
    for one in kinds:
        for other in kinds:
            v, w = np.clip(a, -8, 8).astype(one), np.clip(b, -8, 8).astype(other)
            found = fl.compare_distributions(v, w, **ALL)
            right = fl.compare_distributions(v.astype(np.float64), w.astype(np.float64), **ALL)
            assert found.kl.dtype == (np.float64 if np.float64 in (one, other) else np.float32)
            for got, twin in zip(found[:5], right[:5], strict=True):
                np.testing.assert_allclose(got, twin, rtol=1e-7)
            np.testing.assert_allclose(fl.kl_divergence(v, w), right.kl, rtol=2e-6)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-5, 1e-2, 1.0, 30.0]))
def test_properties(n: int, seed: int, apart: float) -> None:
    """Bounds, symmetry, Pinsker's inequality, and the fast way beside the other."""
    rng = np.random.default_rng(seed)
    a = (rng.choice([0.1, 1, 10]) * rng.normal(size=(2, n))).astype(np.float32)
    b = (a + apart * rng.normal(size=(2, n))).astype(np.float32)
    there, back = fl.compare_distributions(a, b, **ALL), fl.compare_distributions(b, a, **ALL)
    np.testing.assert_allclose(there.kl, back.reverse_kl, rtol=1e-6)
    np.testing.assert_allclose(there.js, back.js, rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(there.total_variation, back.total_variation, rtol=1e-6, atol=1e-37)
    assert (there.kl >= 0).all()
    assert (there.js <= math.log(2) * (1 + 1e-6)).all()
    assert (there.total_variation <= 1 + 1e-6).all()
    assert (2.0 * there.total_variation.astype(float) ** 2 <= there.kl * (1 + 1e-6) + 1e-37).all()
    fast = fl.compare_distributions(a, b, reverse_kl=True)
    np.testing.assert_allclose(fast.kl, there.kl, rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(fast.reverse_kl, there.reverse_kl, rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(fl.kl_divergence(a, b), there.kl, rtol=2e-6, atol=1e-37)


def test_agreement() -> None:
    a = np.array([5.0, 4.0, 3.0, 2.0])
    assert fl.top_n_agreement(a, a[::-1]) == 0
    assert fl.top_n_agreement(a, [5.0, 4.0, 2.0, 3.0], top_n=3) == pytest.approx(2 / 3)
    assert fl.top_n_agreement(a, [0.0, 0.0, 0.0, 0.0], top_n=2) == 1, "ties go to the lower id"
    banned = np.array([5.0, -np.inf, -np.inf, -np.inf])
    assert fl.top_n_agreement(banned, banned, top_n=3) == 1
    assert fl.top_n_agreement(banned, a, top_n=2) == 0.5


def test_totals() -> None:
    """Exact, so equal bits for every chunking; bad rows are left out."""
    a, b = (np.concatenate([pair[i] for pair in pairs(50).values()]).astype(np.float32) for i in (0, 1))
    whole = fl.compare_distributions(a, b, **BOTH, top_n=3)
    totals = whole.totals()
    assert totals.rows == len(a)
    assert totals.total("kl") == math.fsum(whole.kl.astype(float).tolist())
    assert totals.mean("agreement") == math.fsum(whole.agreement.astype(float).tolist()) / len(a)
    assert fl.kl_divergence(a, b, reduction="sum") == totals.total("kl")
    parts = [
        fl.compare_distributions(a[i : i + 3], b[i : i + 3], **BOTH, top_n=3).totals() for i in (15, 0, 18, 9, 3, 6, 12)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = part + merged
    assert merged == totals
    with pytest.raises(ValueError, match="cannot be merged"):
        totals + fl.compare_distributions(a, b).totals()
    a[4, 7] = np.nan
    found, status = fl.kl_divergence(a, b, reduction="sum", on_error="status")
    assert found == math.fsum(np.delete(whole.kl, 4).astype(float).tolist())
    assert np.flatnonzero(status).tolist() == [4]
    with pytest.raises(ValueError, match="there is no row to take the mean of"):
        fl.kl_divergence(a[:0], b[:0], reduction="mean")


def test_chunks(tmp_path: Any) -> None:
    """Chunks cut differently on both sides, a memmap, and one array beside chunks."""
    a, b = (x.astype(np.float32) for x in (np.random.default_rng(0).normal(size=(2, 23, 90))))
    np.save(tmp_path / "a.npy", a)
    right = fl.compare_distributions(a, b, **ALL, top_n=4)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for p, q in (
        (mapped, b),
        ((a[i : i + 5] for i in range(0, 23, 5)), (b[i : i + 4] for i in range(0, 23, 4))),
        (mapped, iter([b[:20], b[20:20], b[20], b[21:]])),
        (iter(a), b),
    ):
        found = fl.compare_distributions(p, q, **ALL, top_n=4)
        assert rows.same_bits(tuple(found), tuple(right))
    deep = fl.kl_divergence(iter([a.reshape(23, 9, 10)[:7], a.reshape(23, 9, 10)[7:]]), b.reshape(23, 9, 10))
    assert deep.shape == (23, 9)
    empty = fl.compare_distributions(iter([]), iter([]))
    assert empty.kl.shape == (0,)


def digest() -> str:
    """SHA-256 of the results on rows made from integers: the same on every machine."""
    state = hashlib.sha256()
    for n in (1, 17, 257, 5000):
        made = np.stack([row.astype(np.float64) for _, row in rows.exact_rows(n, n)])
        for dtype in (np.float32, np.float64):
            a = made.astype(dtype)
            a[a < -1e38] = -1e38
            for b in (np.roll(a, 1, 0), a[:, ::-1], (a * dtype(1.0625)).astype(dtype)):
                for t in (1.0, 0.7, 50.0):
                    for wanted in ({}, BOTH, ALL):
                        with np.errstate(all="ignore"):
                            found, status = fl.compare_distributions(a, b, **wanted, temperature=t, on_error="status")
                        state.update(status.astype("<i4").tobytes())
                        for each in found:
                            if each is not None:
                                values = np.nan_to_num(each.astype(np.float64), nan=-12345.0, posinf=np.inf)
                                state.update(values.astype("<f8").tobytes())
    return state.hexdigest()


def test_digest(isa: str) -> None:
    assert digest() == DIGEST


if __name__ == "__main__":
    print(digest())
