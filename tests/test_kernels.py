"""Every array function on every instruction set: lengths around each block, special values, ties, every k."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits
from fastlogits import reference

LENGTHS = (1, 2, 15, 16, 17, 31, 33, 255, 256, 257, 4095, 4096, 4097, 32000, 49152, 128256)
HALF_LENGTHS = (1, 2, 15, 16, 17, 255, 256, 257, 4097, 49152)
INF, NAN = np.inf, np.nan


def dtypes() -> list[Any]:
    """The types that this environment can make."""
    try:
        import ml_dtypes
    except ImportError:
        return [np.float32, np.float64, np.float16]
    return [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def made(n: int, dtype: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Rows [n] of several shapes, in `dtype`; finite."""
    rng = np.random.default_rng(n)
    normal = rng.normal(size=n)
    yield "random", (3 * normal).astype(dtype)
    yield "ties", (np.round(normal * 8) / 8).astype(dtype)
    if n <= 5000:
        yield "equal", np.full(n, 1.5).astype(dtype)
        yield "ascending", np.sort(normal).astype(dtype)
        yield "descending", -np.sort(normal).astype(dtype)
        yield "wide", (normal * 300).astype(dtype)


def close(got: Any, right: Any, dtype: Any, label: str) -> None:
    """Within a few units of the last place of the result's own type; of double, within what the reference errs by."""
    step = {4: 2.5e-7, 8: 1e-13, 2: 1e-3}[np.dtype(dtype).itemsize]
    step = 8e-3 if np.dtype(dtype).name == "bfloat16" else step
    floor = {4: 2.4e-38, 8: 1e-300, 2: 6.1e-8}[np.dtype(dtype).itemsize]
    np.testing.assert_allclose(np.asarray(got, np.float64), right, rtol=step, atol=floor, err_msg=label)


@pytest.mark.parametrize("dtype", dtypes(), ids=lambda d: np.dtype(d).name)
def test_softmax_family(isa: str, dtype: Any) -> None:
    single = np.float64 if dtype == np.float64 else np.float32
    for n in LENGTHS if dtype == np.float32 else HALF_LENGTHS:
        for name, row in made(n, dtype):
            label = f"{name} {row.dtype}[{n}] on {isa}"
            x = row.astype(np.float64)
            for t in (1.0, 0.7):
                p = fastlogits.softmax(row, temperature=t)
                assert p.dtype == row.dtype
                close(p, reference.softmax(x, temperature=t), dtype, label)
                scores = fastlogits.log_softmax(row, temperature=t)
                assert scores.dtype == single
                close(scores, reference.log_softmax(x, temperature=t), single, label)
                total = fastlogits.logsumexp(row, temperature=t)
                assert np.isscalar(total) or np.ndim(total) == 0
                right = reference.logsumexp(x, temperature=t)
                assert abs(float(total) - right) <= 1e-7 + 1.2e-7 * abs(right), label


@pytest.mark.parametrize("dtype", dtypes(), ids=lambda d: np.dtype(d).name)
def test_argmax_and_top_k(isa: str, dtype: Any) -> None:
    for n in LENGTHS if dtype == np.float32 else HALF_LENGTHS:
        for name, row in made(n, dtype):
            label = f"{name} {row.dtype}[{n}] on {isa}"
            x = row.astype(np.float64)
            order = reference.top_k(x, n).indices
            assert fastlogits.argmax(row) == order[0], label
            for k in sorted({1, 2, 3, 16, 17, 40, 255, 1000, n // 2, n - 1, n}):
                if 1 <= k <= n:
                    values, ids = fastlogits.top_k(row, k)
                    assert ids.dtype == np.int64
                    assert values.dtype == row.dtype
                    np.testing.assert_array_equal(ids, order[:k], err_msg=f"{label} k={k}")
                    assert values.tobytes() == row[ids].tobytes(), label


def test_top_k_every_k(isa: str) -> None:
    for n in (1, 2, 17, 60, 300):
        row = (np.round(np.random.default_rng(n).normal(size=n) * 4) / 4).astype(np.float32)
        order = reference.top_k(row, n).indices
        for k in range(1, n + 1):
            np.testing.assert_array_equal(fastlogits.top_k(row, k).indices, order[:k])
            loose = fastlogits.top_k(row, k, sorted=False)
            assert sorted(loose.indices.tolist()) == sorted(order[:k].tolist())


SPECIALS: tuple[tuple[float, ...], ...] = (
    (NAN,), (INF,), (-INF,), (NAN, NAN), (INF, INF), (NAN, INF), (INF, NAN), (NAN, -INF), (-INF, INF), (INF, -INF, NAN),
    (-0.0,), (0.0, -0.0),
)  # fmt: skip


def with_specials(n: int, dtype: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Rows with special values at first, last and inner places, and rows of nothing else."""
    base = np.random.default_rng(n).normal(size=n)
    for values in SPECIALS:
        for start in {0, n - len(values), n // 2, min(n - 1, 16)}:
            if 0 <= start <= n - len(values):
                row = base.copy()
                row[start : start + len(values)] = values
                yield row.astype(dtype)
        if n >= len(values):
            row = np.full(n, values[0])
            row[-1] = values[-1]
            yield row.astype(dtype)
    banned = np.full(n, -INF)
    banned[n // 3] = 1.0
    yield banned.astype(dtype)


@pytest.mark.parametrize("dtype", dtypes(), ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [1, 2, 3, 17, 300, 5000])
def test_special_values(isa: str, dtype: Any, n: int) -> None:
    """NaN and infinities as scipy.special has them, NaN first in top_k, the first NaN in argmax."""
    wide = {}
    try:
        from scipy import special

        wide = {name: getattr(special, name) for name in ("softmax", "log_softmax", "logsumexp")}
    except ImportError:
        pass  # the reference has the same special values, and its own test against SciPy
    for row in with_specials(n, dtype):
        x = row.astype(np.float64)
        label = f"{x[:3]}..{x[-2:]} {row.dtype}[{n}] on {isa}"
        for name in ("softmax", "log_softmax", "logsumexp"):
            got = np.asarray(getattr(fastlogits, name)(row))
            with np.errstate(all="ignore"):
                right = getattr(reference, name)(x)
                if name in wide:
                    np.testing.assert_allclose(right, wide[name](x, axis=-1), rtol=1e-9, atol=1e-12, err_msg=label)
            kind = got.dtype if got.dtype != np.dtype("V2") else dtype
            close(got, right, kind if name == "softmax" else np.float32 if kind != np.float64 else kind, label)
        for k in sorted({1, min(n, 3), min(n, 20), n}):
            values, ids = fastlogits.top_k(row, k)
            np.testing.assert_array_equal(ids, reference.top_k(x, k).indices, err_msg=label)
            assert values.tobytes() == row[ids].tobytes()
        assert fastlogits.argmax(row) == np.argmax(x), label


def test_zeros_are_equal(isa: str) -> None:
    """-0 and +0 tie, and the id decides; the values returned are those of the row."""
    row = np.array([-0.0, 0.0, -0.0, 0.0] * 20, np.float32)
    values, ids = fastlogits.top_k(row, 7)
    assert ids.tolist() == list(range(7))
    assert np.signbit(values).tolist() == [True, False] * 3 + [True]
    assert fastlogits.argmax(row) == 0


def test_every_axis(isa: str) -> None:
    x = np.random.default_rng(2).normal(size=(3, 20, 5)).astype(np.float32)
    for axis in (-1, 0, 1, 2, -2):
        for name in ("softmax", "log_softmax", "logsumexp"):
            got = getattr(fastlogits, name)(x, axis=axis)
            np.testing.assert_allclose(got, getattr(reference, name)(x, axis=axis), rtol=3e-7, atol=1e-7)
        np.testing.assert_array_equal(fastlogits.argmax(x, axis=axis), np.argmax(x, axis=axis))
        values, ids = fastlogits.top_k(x, 3, axis=axis)
        right = reference.top_k(x, 3, axis=axis)
        np.testing.assert_array_equal(ids, right.indices)
        np.testing.assert_array_equal(values, right.values)
    kept = fastlogits.logsumexp(x, axis=1, keepdims=True)
    assert kept.shape == (3, 1, 5)


def test_temperature_per_row(isa: str) -> None:
    x = np.random.default_rng(3).normal(size=(4, 700)).astype(np.float32)
    t = [0.5, 1.0, 2.0, 0.01]
    for name in ("softmax", "log_softmax", "logsumexp"):
        got = getattr(fastlogits, name)(x, temperature=t)
        for r in range(4):
            assert rows.same_bits(got[r], getattr(fastlogits, name)(x[r], temperature=t[r]))


def test_real_rows(isa: str, real_rows: Any) -> None:
    for row in real_rows[:2]:
        x = row.astype(np.float64)
        np.testing.assert_array_equal(fastlogits.top_k(row, 1000).indices, reference.top_k(x, 1000).indices)
        close(fastlogits.log_softmax(row), reference.log_softmax(x), np.float32, isa)
        single = row.astype(np.float32)
        close(fastlogits.softmax(single), reference.softmax(x), np.float32, isa)
