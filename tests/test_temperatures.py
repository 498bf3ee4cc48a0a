"""The kernel behind fit_temperature: a row at several inverse temperatures from one read, on every instruction set.

After a change that means to change bits, ``python tests/test_temperatures.py`` prints the new DIGEST.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits._core as _core

LADDERS = [(0.25, 1, 8), (1.0, 1, 2), (1.0, 1, 1), (1 / 7, 4, 8), (1e-3, 1, 8), (0.3, 4, 3), (1e3, 4, 5), (1e-5, 1, 4)]
Array = np.ndarray[Any, Any]
DIGEST = "99ae91d0a93c69bb6d2ff76b392d587aef8c28fff75a55ca8f9bcfb0e8bcff8b"


def task(x: Array, step: float, power: int, count: int, targets: Any = None) -> _core.TemperaturesTask:
    done = _core.TemperaturesTask(x, step, power, count, targets)
    done.run(0, int(np.prod(x.shape[:-1], dtype=np.int64)))
    return done


def bits(done: _core.TemperaturesTask) -> tuple[bytes, ...]:
    return tuple(each.tobytes() for each in (done.tops, done.ids, done.tails, done.means, done.status))


def digest() -> str:
    """SHA-256 of the results on rows made from integers: the same on every machine."""
    state = hashlib.sha256()
    for n in (1, 17, 257, 5000):
        for _, row in rows.exact_rows(n, n):
            for dtype in (np.float32, np.float64):
                for ladder in LADDERS[:5]:
                    done = task(row.astype(dtype)[None], *ladder)
                    for each in (done.status, done.ids, done.tops, done.tails, done.means):
                        value = np.where(each == 0, 0.0, np.nan_to_num(each.astype(np.float64), nan=-12345.0))
                        state.update(value.astype("<f8").tobytes())
    return state.hexdigest()


def test_digest(isa: str) -> None:
    assert digest() == DIGEST


def exact(row: Array, betas: Array) -> tuple[Array, Array]:
    """Tails [K] and mean distances from the top [K] of one row in long double, the top left out of every sum."""
    z = row.astype(np.longdouble)
    at = int(np.argmax(z))
    z = z - z[at]
    tails, means = [], []
    for beta in betas:
        with np.errstate(all="ignore"):
            e = np.exp(z * np.longdouble(beta))
            e[at] = 0
            moment = np.where(e > 0, e * z, 0).sum()
        tails.append(np.log1p(e.sum()))
        means.append(moment / (1 + e.sum()))
    return np.array(tails, np.float64), np.array(means, np.float64)


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 7e-7), ("float64", 1e-12)])
def test_accuracy(ladder: tuple[float, int, int], dtype: str, bound: float) -> None:
    step, power, count = ladder
    betas = (power + np.arange(count)) * step
    for n in (1, 2, 33, 256, 257, 1000, 32000):
        for name, row in rows.accuracy_rows(max(n, 2), seed=n, dtype=dtype).items():
            x = row[:n].astype(dtype)[None]
            if not np.isfinite(x).any():
                continue
            done = task(x, step, power, count)
            tails, means = exact(x[0].astype(np.float64), betas)
            label = f"{name}[{n}] {ladder}"
            assert done.ids[0] == x[0].argmax(), label
            assert done.tops[0] == x[0].max(), label
            np.testing.assert_allclose(done.tails[0], tails, rtol=bound, atol=1e-300, err_msg=label)
            if count > _core.MIDDLE:
                np.testing.assert_allclose(done.means[0], means[_core.MIDDLE], rtol=8 * bound, atol=1e-300)
            else:
                assert np.isnan(done.means[0])


def test_against_mpmath() -> None:
    mp = pytest.importorskip("mpmath")
    for name, row in rows.accuracy_rows(40, seed=4).items():
        done = task(row.astype(np.float32)[None], 0.25, 1, 8)
        with mp.workdps(60):
            top = max(row)
            away = [mp.mpf(float(v)) - mp.mpf(float(top)) for i, v in enumerate(row) if i != int(np.argmax(row))]
            for k in range(8):
                e = [mp.exp(v * (k + 1) / 4) for v in away]
                tail = mp.log1p(mp.fsum(e))
                assert abs(done.tails[0, k] - float(tail)) <= 4e-7 * float(tail) + 1e-300, (name, k)
            e = [mp.exp(v) for v in away]
            mean = mp.fsum([a * b for a, b in zip(e, away, strict=True) if a]) / (1 + mp.fsum(e))
            assert abs(done.means[0] - float(mean)) <= 4e-6 * abs(float(mean)) + 1e-300, name


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_equal_bits(dtype: str) -> None:
    """On all instruction sets, for any strides, row and block of rows; half types as the same values in float32."""
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    for n in (1, 15, 16, 17, 255, 256, 257, 4097, 30001):
        found_rows = np.stack([row.astype(np.float64) for _, row in rows.exact_rows(n, 3)])
        x = np.clip(found_rows, *((-6e4, 6e4) if dtype == "float16" else (-np.inf, np.inf))).astype(kind)
        wide = np.full((x.shape[0], 2 * n + 3), 9).astype(kind)
        wide[:, 3 : 3 + 2 * n : 2] = x
        for ladder in LADDERS[:5]:
            found = set()
            for name in _core.isas():
                before = _core.isa()
                _core.set_isa(name)
                found |= {bits(task(x, *ladder)), bits(task(wide[:, 3 : 3 + 2 * n : 2], *ladder))}
                for r in range(len(x)):
                    one = task(x[r : r + 1], *ladder)
                    assert one.tails.tobytes() == task(x, *ladder).tails[r : r + 1].tobytes()
                _core.set_isa(before)
            assert len(found) == 1, (n, ladder)
            if dtype in ("float16", "bfloat16"):
                assert bits(task(x.astype(np.float32), *ladder)) in found


def test_guess_far_off(isa: str) -> None:
    """A maximum that the first guess misses by far, by little, and beyond the float exponential."""
    for high in (5.0, 40.0, 400.0, 5e3, 1e6, 3e38):
        x = np.zeros((1, 5000), np.float32)
        x[0, 4321], x[0, 4999] = high, high * 0.999
        for ladder in LADDERS[:5]:
            done = task(x, *ladder)
            tails, _ = exact(x[0].astype(np.float64), (ladder[1] + np.arange(ladder[2])) * ladder[0])
            np.testing.assert_allclose(done.tails[0], tails, rtol=1e-6, atol=1e-300, err_msg=f"{high} {ladder}")
            assert done.ids[0] == 4321


def test_bad_rows(isa: str) -> None:
    for dtype in (np.float32, np.float64):
        x = np.zeros((6, 300), dtype)
        x[1, 7], x[2, 299], x[3] = np.nan, np.inf, -np.inf
        x[4, 0] = -np.inf
        x[5, [3, 4]] = np.inf, np.nan
        done = task(x, 0.25, 1, 8, np.array([0, 0, 0, 0, 1, 0]))
        assert done.status.tolist() == [0, 1, 2, 3, 0, 1]
        assert done.ids.tolist() == [0, -1, -1, -1, 1, -1]
        assert np.isnan(done.tails).all(1).tolist() == [False, True, True, True, False, True]
        left_out = task(x, 0.25, 1, 8, np.full(6, -1))
        assert left_out.status.tolist() == [0] * 6
        assert np.isnan(left_out.tops).all()


def test_refusals() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"count must be in \[1, 8\], got 9"):
        _core.TemperaturesTask(x, 1.0, 1, 9)
    with pytest.raises(ValueError, match="power must be 1 or 4, got 2"):
        _core.TemperaturesTask(x, 1.0, 2, 8)
    with pytest.raises(ValueError, match="an array of 2 elements is needed here, got 1"):
        _core.TemperaturesTask(x, 1.0, 1, 8, np.zeros(1, np.int64))


if __name__ == "__main__":
    print(digest())
