"""fit_temperature and fit_scaling: the reference, bounds, bits, flat rows, what was done to the logits."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_calibration import NAN, made

import fastlogits as fl
from fastlogits import reference
from fastlogits.calibration import _scaling, _temperature


@pytest.mark.parametrize("sharp", [0.02, 0.5, 1.0, 3.0, 40.0])
def test_temperature_equals_the_reference(isa: str, sharp: float) -> None:
    x, y = made(5, 500, 60, sharp)
    for dtype, bound in [(np.float64, 3e-6), (np.float32, 3e-6)]:
        fit = fl.fit_temperature(x.astype(dtype), y)
        right = reference.fit_temperature(x.astype(dtype), y)
        assert fit.temperature == pytest.approx(right.temperature, rel=bound)
        assert fit.nll_before == pytest.approx(right.nll_before, rel=1e-6)
        assert fit.nll_after == pytest.approx(right.nll_after, rel=1e-6)
        assert fit.rows == 500
        assert not fit.at_bound
        assert fit.reads <= 9
    single = x.astype(np.float32)
    keywords = {"from_logits": True, "temperature": fit.temperature}
    assert fl.negative_log_likelihood(single, y, **keywords) == pytest.approx(fit.nll_after, rel=1e-6)
    assert fl.calibration_error(single, y, **keywords) == pytest.approx(fit.ece_after, abs=1e-6)
    assert fl.calibration_error(single, y, from_logits=True) == pytest.approx(fit.ece_before, abs=1e-6)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), classes=st.integers(2, 9), sharp=st.floats(0.01, 50))
def test_no_temperature_is_better(seed: int, n: int, classes: int, sharp: float) -> None:
    x, y = made(seed, n, classes, sharp)
    fit = fl.fit_temperature(x, y, bounds=(0.05, 20))
    assert 0.05 <= fit.temperature <= 20.000001
    others = [*np.geomspace(0.05, 20, 40), *(fit.temperature * np.array([0.999, 1.001])).clip(0.05, 20)]
    best = min(reference.negative_log_likelihood(x, y, from_logits=True, temperature=t) for t in others)
    assert fit.nll_after <= best * (1 + 1e-9) + 1e-12
    assert fit.nll_after <= fit.nll_before * (1 + 1e-9) + 1e-12


def test_temperature_at_a_bound() -> None:
    x = np.eye(5, dtype=np.float32) * 3
    sure = fl.fit_temperature(x, np.arange(5), bounds=(0.1, 10))
    assert (sure.temperature, sure.at_bound) == (pytest.approx(0.1), True)
    lost = fl.fit_temperature(x, (np.arange(5) + 1) % 5, bounds=(0.1, 10))
    assert (lost.temperature, lost.at_bound) == (pytest.approx(10), True)
    for margin in (0.02, 0.5, 1000.0):
        easy = fl.fit_temperature(x * margin / 3, np.arange(5))
        assert (easy.temperature, easy.at_bound) == (pytest.approx(0.01), True)
        assert easy.reads <= 8


FLAT = [0.0, 1.0, -1.0, 0.1, 0.3, -0.7, 3.3, 17.77, 123.4, -999.9, 6e4]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 300, 5000])
def test_temperature_of_flat_rows_is_one(isa: str, dtype: Any, classes: int) -> None:
    """The likelihood of rows of one value, on all tokens or on those that are not banned, does not depend on T."""
    for value in FLAT:
        x, y = np.full((3, classes), value, dtype), [0, classes - 1, classes // 2]
        banned = np.full_like(x, -np.inf)
        banned[np.arange(3), y] = value
        banned[:, -1] = value
        for logits in (x, banned, np.concatenate([x[:2] / 2, banned[2:]])):
            fit = fl.fit_temperature(logits, y, from_logits=True)
            assert (fit.temperature, fit.at_bound) == (1.0, False), (value, fit)
            assert fit.nll_after == pytest.approx(fit.nll_before, rel=1e-6)
            assert reference.fit_temperature(logits, y).temperature == 1.0
        assert fl.fit_temperature(x, y, bounds=(2, 3), from_logits=True).temperature == 2.0
        assert reference.fit_temperature(x, y, bounds=(0.1, 0.5)).temperature == 0.5


@pytest.mark.parametrize("seed", range(20))
def test_temperature_search_is_bounded(seed: int) -> None:
    """Readings that contradict each other, at random or by turns: the search ends all the same."""
    rng = np.random.default_rng(seed)

    class Readings:
        count, flat = 1, False

        def __init__(self, step: float, power: int) -> None:
            self.betas = (power + np.arange(8)) * step
            self.values = np.sort(rng.normal(0, 1, 8))[:: rng.choice([-1, 1])] if seed % 2 else rng.normal(0, 1, 8)

        def loss(self, k: int) -> float:
            return float(self.values[k])

        def slope(self) -> float:
            return float(rng.choice([-1e-30, 1e-30, -1.0, 1.0]))

        def error(self, k: int) -> float:
            return 0.0

    fit = _temperature.fit(Readings, (1e-4, 1e4))
    assert 1e-4 <= fit.temperature <= 10001
    assert fit.reads <= _temperature.MOST_READS


def test_temperature_same_bits_everywhere(tmp_path: Path) -> None:
    """Order of rows, shape, threads, memmap, strides, ignored rows (never looked at): the same fit to the bit."""
    x, y = made(6, 240, 700)
    x = x.astype(np.float16)
    right = fl.fit_temperature(x, y)
    order = np.random.default_rng(0).permutation(240)
    assert fl.fit_temperature(x[order], y[order]) == right
    assert fl.fit_temperature(x.reshape(4, 60, 700), y.reshape(4, 60), threads=3) == right
    assert fl.fit_temperature(np.asfortranarray(x), y) == right
    np.save(tmp_path / "x.npy", x)
    assert fl.fit_temperature(np.load(tmp_path / "x.npy", mmap_mode="r"), y.tolist()) == right
    more = np.concatenate([x, np.full((1, 700), NAN, np.float16)])
    assert fl.fit_temperature(more, [*y, -1], ignore_index=-1) == right
    assert pickle.loads(pickle.dumps(right)) == right


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    x, y = made(7, 50, 300)
    x = x.astype(ml_dtypes.bfloat16)
    assert fl.fit_temperature(x, y) == fl.fit_temperature(x.astype(np.float32), y)
    p = fl.softmax(x)
    assert fl.calibration_error(p, y) == pytest.approx(fl.calibration_error(p.astype(np.float32), y))
    assert fl.fit_scaling(x[:, :5], y % 5).steps < 30


# ---- probabilities and single events ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bias-corrected", "vector"])
def test_scaling_equals_the_reference(method: str) -> None:
    x, y = made(8, 300, 4)
    y[::11] = -1
    found = fl.fit_scaling(x, y, method=method, ridge=1e-3, ignore_index=-1)
    right = reference.fit_scaling(x, y, method=method, ridge=1e-3, ignore_index=-1)
    np.testing.assert_allclose(found.weights, right.weights, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.biases, right.biases, rtol=1e-6, atol=1e-8)
    assert found.nll_before == pytest.approx(right.nll_before)
    assert found.nll_after == pytest.approx(right.nll_after)
    assert found.biases.sum() == pytest.approx(0, abs=1e-9)
    z = found.transform(x)
    assert fl.negative_log_likelihood(z, y, from_logits=True, ignore_index=-1) == pytest.approx(found.nll_after)
    assert fl.calibration_error(z, y, from_logits=True, ignore_index=-1) == pytest.approx(found.ece_after, abs=1e-6)


def test_scaling_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of steps, and by that of halvings where no step lowers the loss."""
    x, y = made(9, 200, 3)
    with np.errstate(all="ignore"):
        assert fl.fit_scaling([[1e308, 0.0]], [1]).steps == 1
    assert fl.fit_scaling(x, y).steps > 2
    monkeypatch.setattr(_scaling, "MOST_STEPS", 2)
    assert fl.fit_scaling(x, y).steps == 2


def test_scaling_finds_what_was_done() -> None:
    x, y = made(9, 20000, 3, 1.0)
    found = fl.fit_scaling((x - [1.0, 0.0, -1.0]) * [2.0, 0.5, 1.0], y, method="vector", ridge=1e-6)
    np.testing.assert_allclose(found.weights, [0.5, 2.0, 1.0], rtol=0.1)
    np.testing.assert_allclose(found.biases, [1.0, 0.0, -1.0], atol=0.1)
    assert found.ece_after < 0.01 < found.ece_before


def test_scaling_of_a_class_that_never_occurs() -> None:
    found = fl.fit_scaling([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.2, 0.1, 0.0]], [0, 1, 1])
    assert np.isfinite(found.biases).all()
    assert found.biases[2] == found.biases.min()


@pytest.mark.parametrize("method", ["bias-corrected", "vector"])
@pytest.mark.filterwarnings("error")
def test_scaling_of_logits_near_the_largest_double(method: str) -> None:
    """No warning; where no finite step improves the loss, nothing is changed."""
    logits = [[1e308, -1e308], [0.0, 1.0], [1e308, 0.0], [-1e308, 1e308]]
    fit = fl.fit_scaling(logits, [0, 1, 0, 1], method=method)
    assert fit.nll_after <= fit.nll_before
    assert np.isfinite(fit.weights).all()
    assert np.isfinite(fit.biases).all()
