"""Calibration: the systems' own vectors, the reference, exact optima, every kind of input, and what is refused."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st

import fastlogits as fl
from fastlogits import reference

NAN = float("nan")
Array = np.ndarray[Any, Any]

BINARY = ([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1])
CLASSES = ([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]], [0, 1, 2, 0])


# ---- vectors of the systems --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "binary", "classes"), [
    ("l1", 0.2900, 0.2000), ("l2", 0.2918, 0.2082), ("max", 0.3167, 0.2333),
])  # fmt: skip
def test_vectors_of_torchmetrics(norm: str, binary: float, classes: float) -> None:
    assert fl.calibration_error(*BINARY, bins=2, rule="torchmetrics", norm=norm) == pytest.approx(binary, abs=5e-5)
    assert fl.calibration_error(*CLASSES, bins=3, rule="torchmetrics", norm=norm) == pytest.approx(classes, abs=5e-5)


def test_confidence_of_one_has_its_own_bin_in_torchmetrics() -> None:
    p, y = [1.0, 1.0, 1.0, 1.0, 0.0], [0, 0, 1, 1, 1]
    assert fl.calibration_error(p, y, bins=2, rule="torchmetrics") == pytest.approx(0.6)
    curve = fl.reliability_curve(p, y, bins=2, rule="torchmetrics")
    assert curve.counts.tolist() == [1, 0, 4]
    assert (curve.lower[2], curve.upper[2]) == (1.0, 1.0)
    assert fl.reliability_curve([*p, 0.7], [*y, 1], bins=2, rule="torchmetrics").counts.tolist() == [1, 1, 4]
    assert fl.reliability_curve([*p, 0.7], [*y, 1], bins=2, rule="netcal").counts.tolist() == [1, 5]


def test_vector_of_sklearn() -> None:
    y, p = [0, 0, 0, 0, 1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8, 0.9, 1.0]
    curve = fl.reliability_curve(p, y, bins=3, rule="sklearn")
    np.testing.assert_allclose(curve.accuracies, [0, 0.5, 1])
    np.testing.assert_allclose(curve.confidences, [0.2, 0.525, 0.85])
    assert fl.reliability_curve([0.1, 0.9], [0, 1], bins=5, rule="sklearn").counts.tolist() == [1, 1]


@pytest.mark.parametrize(("rule", "counts"), [
    ("netcal", [1, 2, 2]), ("torchmetrics", [1, 2, 1, 1]), ("sklearn", [2, 2, 1]),
])  # fmt: skip
def test_edges(rule: str, counts: list[int]) -> None:
    """Confidences on the edges 0, 1/4 ... of four bins, the first of them 0."""
    edges = [0.0, 0.25, 0.5, 0.75, 1.0]
    where = {"netcal": [1, 1, 1, 2], "torchmetrics": [1, 1, 1, 1, 1], "sklearn": [2, 1, 1, 1]}[rule]
    assert fl.reliability_curve(edges, [0, 1, 0, 1, 1], bins=4, rule=rule).counts.tolist() == where
    thirds = [0.1, 0.5, 0.6, 0.9, 1.0] if rule != "sklearn" else [0.1, 1 / 3, 0.5, 2 / 3, 1.0]
    assert fl.reliability_curve(thirds, [0, 1, 0, 1, 1], bins=3, rule=rule).counts.tolist() == counts


def test_netcal_clips() -> None:
    eps = 2.0**-52
    curve = fl.reliability_curve([0.0, 1.0], [0, 1], bins=2)
    assert curve.confidences.tolist() == [eps, 1 - eps]


def test_float32_edges_of_torchmetrics() -> None:
    """0.7 in float32 lies below the float64 edge, but on the float32 one."""
    p = np.float32([0.7])
    assert fl.reliability_curve(p, [1], bins=10, rule="torchmetrics").counts.tolist() == [0] * 7 + [1, 0, 0, 0]
    assert fl.reliability_curve(p, [1], bins=10, rule="netcal").counts.tolist() == [0] * 6 + [1, 0, 0, 0]


@pytest.mark.parametrize(("bins", "edge"), [(3, 0.33333334), (5, 0.4), (15, 0.4666667)])
def test_middle_bin_of_torchmetrics(bins: int, edge: float) -> None:
    """torch.linspace counts the lower edge of the middle one of an odd number of bins from 0, not from 1."""
    p = np.float32([edge, edge])
    p[0] = np.nextafter(p[1], np.float32(0))
    counts = fl.reliability_curve(p, [1, 1], bins=bins, rule="torchmetrics").counts
    assert np.flatnonzero(counts).tolist() == [bins // 2 - 1, bins // 2]


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_torchmetrics_itself(norm: str) -> None:
    metrics = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(3)
    p = fl.softmax(rng.normal(0, 2, (500, 6)).astype(np.float32))
    y = rng.integers(0, 6, 500)
    right = metrics.multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 6, n_bins=12, norm=norm).item()
    assert fl.calibration_error(p, y, bins=12, norm=norm, rule="torchmetrics") == pytest.approx(right, abs=1e-6)
    q, y = rng.random(500).round(1), rng.integers(0, 2, 500)
    right = metrics.binary_calibration_error(torch.tensor(q), torch.tensor(y), n_bins=10, norm=norm).item()
    assert fl.calibration_error(q, y, bins=10, norm=norm, rule="torchmetrics") == pytest.approx(right, abs=1e-6)


def test_sklearn_itself() -> None:
    calibration = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not installed")
    rng = np.random.default_rng(4)
    p, y = rng.random(400).round(2), rng.integers(0, 2, 400)
    for strategy, bins in itertools.product(("uniform", "quantile"), (3, 7, 10)):
        true, predicted = calibration.calibration_curve(y, p, n_bins=bins, strategy=strategy)
        curve = fl.reliability_curve(p, y, bins=bins, strategy=strategy, rule="sklearn")
        np.testing.assert_allclose(curve.accuracies, true)
        np.testing.assert_allclose(curve.confidences, predicted)


def test_equal_edges_of_torchmetrics_are_those_of_torch() -> None:
    """0.6 is 1 - 4 * 0.1 for torch.linspace, but numpy.linspace has 6 * 0.1, a rounding error above it."""
    tenths = np.round(np.arange(10) / 10, 1)
    for rule, counts in ("torchmetrics", [1, 1, 2, 0, 1, 1, 1, 1, 1, 1, 0]), ("netcal", [1, 1, 2, 0, 1, 2, 1, 0, 1, 1]):
        for find in (fl.reliability_curve, reference.reliability_curve):
            assert find(tenths, np.ones(10, int), bins=10, rule=rule).counts.tolist() == counts
    single = fl.reliability_curve(tenths.astype(np.float32), np.ones(10, int), bins=10, rule="torchmetrics")
    assert single.counts.tolist() == [1] * 10 + [0]


def test_quantiles_of_sklearn_are_percentiles() -> None:
    """A third of 40 values ends on the 14th, 33.3 percent of them a rounding error below it."""
    p, y = np.arange(40) / 40, np.arange(40) % 2
    for find in (fl.reliability_curve, reference.reliability_curve):
        assert find(p, y, bins=3, strategy="quantile", rule="sklearn").counts.tolist() == [13, 13, 14]


def test_wilson_interval() -> None:
    """Ends are where |share - p| = z sqrt(p (1 - p) / n); none at all for an empty bin."""
    curve = fl.reliability_curve([0.1] * 10 + [0.9] * 4, [1] * 3 + [0] * 7 + [1] * 4, bins=3, level=0.9)
    z = 1.6448536269514722
    for share, n, low, high in [(0.3, 10, curve.low[0], curve.high[0]), (1.0, 4, curve.low[2], curve.high[2])]:
        for end in (low, high):
            assert abs(share - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n), abs=1e-12)
        assert low < share <= high
    assert np.isnan([curve.low[1], curve.high[1], curve.accuracies[1], curve.confidences[1]]).all()


# ---- against the reference ---------------------------------------------------------------------------------------


def made(seed: int, n: int, classes: int, sharp: float = 2.0) -> tuple[Array, Array]:
    """Logits [n, classes] and targets drawn from their softmax at T = 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.5, (n, classes))
    p = np.exp(x - x.max(-1, keepdims=True))
    y = (p.cumsum(-1) > rng.random((n, 1)) * p.sum(-1, keepdims=True)).argmax(-1)
    return sharp * x, y


@pytest.mark.parametrize("rule", ["netcal", "torchmetrics", "sklearn"])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_figures_equal_the_reference(isa: str, rule: str, strategy: str) -> None:
    x, y = made(1, 400, 30)
    y[::7] = -100
    common: dict[str, Any] = {"ignore_index": -100}
    for data, keywords in [
        (fl.softmax(x), common),
        (x, {**common, "from_logits": True, "temperature": 1.7}),
        (x.astype(np.float32), {**common, "from_logits": True}),
    ]:
        binned = {**keywords, "rule": rule, "strategy": strategy, "bins": 9}
        for norm in ("l1", "l2", "max"):
            for per_class in (False, True):
                got = fl.calibration_error(data, y, norm=norm, per_class=per_class, **binned)
                right = reference.calibration_error(data, y, norm=norm, per_class=per_class, **binned)
                assert got == pytest.approx(right, abs=1e-6), (norm, per_class)
        curve, twin = fl.reliability_curve(data, y, **binned), reference.reliability_curve(data, y, **binned)
        for name, got, right in zip(curve._fields, curve, twin, strict=True):
            np.testing.assert_allclose(got, right, atol=2e-6, err_msg=name)
        for name in ("brier_score", "negative_log_likelihood"):
            got = getattr(fl, name)(data, y, **keywords)
            assert got == pytest.approx(getattr(reference, name)(data, y, **keywords), rel=1e-6)


def test_binary_figures() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.random((4, 25)), rng.integers(0, 2, (4, 25))
    y[1, 3] = 9
    for name in ("calibration_error", "brier_score", "negative_log_likelihood"):
        got = getattr(fl, name)(p, y, ignore_index=9)
        assert got == pytest.approx(getattr(reference, name)(p, y, ignore_index=9), rel=1e-12)
    assert fl.brier_score([0.5], [True]) == 0.25
    assert fl.negative_log_likelihood([0.0], [1]) == np.inf


@given(st.data())
def test_properties(data: st.DataObject) -> None:
    """ECE <= root mean square <= maximum, all in [0, 1], for any order of the rows."""
    n = data.draw(st.integers(1, 60))
    confidence = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
    p = np.array(data.draw(st.lists(confidence, min_size=n, max_size=n)))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    keywords = {
        "bins": data.draw(st.integers(1, 20)),
        "rule": data.draw(st.sampled_from(["netcal", "torchmetrics", "sklearn"])),
        "strategy": data.draw(st.sampled_from(["uniform", "quantile"])),
    }
    l1, l2, top = (fl.calibration_error(p, y, norm=norm, **keywords) for norm in ("l1", "l2", "max"))
    assert 0 <= l1 <= l2 * (1 + 1e-12) <= top * (1 + 1e-9) + 1e-300 <= 1 + 1e-9
    order = np.random.default_rng(n).permutation(n)
    assert fl.calibration_error(p[order], y[order], **keywords) == l1
    curve = fl.reliability_curve(p, y, **keywords)
    assert curve.counts.sum() == n
    full = curve.counts > 0
    assert ((curve.low <= curve.accuracies + 1e-12) & (curve.accuracies <= curve.high + 1e-12))[full].all()
    assert l1 == pytest.approx(reference.calibration_error(p, y, **keywords), abs=1e-9)


# ---- temperature -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fits_of_probabilities(dtype: Any) -> None:
    """Probabilities are no logits: an error names both ways out, and their logarithms give the T of the logits."""
    x, y = made(12, 400, 5, 1.6)
    y[::9] = -100
    p = fl.softmax(x).astype(dtype)
    for name in ("fit_temperature", "fit_scaling"):
        ours, twin = getattr(fl, name), getattr(reference, name)
        with pytest.raises(ValueError, match=r"must not look like probabilities.*from_logits=False.*from_logits=True"):
            ours(p, y, ignore_index=-100)
        right, found = ours(x, y, ignore_index=-100), ours(p, y, from_logits=False, ignore_index=-100)
        assert found.nll_after == pytest.approx(right.nll_after, rel=3e-3 if dtype is np.float16 else 1e-5)
        assert twin(p, y, from_logits=False, ignore_index=-100).nll_after == pytest.approx(found.nll_after, rel=1e-6)
        as_logits, twin_logits = (f(p, y, from_logits=True, ignore_index=-100).nll_after for f in (ours, twin))
        assert as_logits == pytest.approx(twin_logits, rel=1e-6)
    assert fl.fit_temperature(p, y, from_logits=False, ignore_index=-100).temperature == pytest.approx(1.6, rel=0.15)


def test_which_rows_look_like_probabilities() -> None:
    """Every row that takes part must, with a sum within 1e-3 of 1."""
    p = np.full((5, 4), 0.25)
    for spoiled in ([0.25, 0.25, 0.25, 0.2515], [0.5, 0.6, 0.0, -0.1]):
        rows_of = np.vstack([p, spoiled])
        assert fl.fit_temperature(rows_of, [0] * 6).rows == 6
        with pytest.raises(ValueError, match="look like probabilities"):
            fl.fit_temperature(rows_of, [0] * 5 + [-1], ignore_index=-1)
    with pytest.raises(ValueError, match="look like probabilities"):
        fl.fit_temperature(np.vstack([p, [0.25, 0.25, 0.25, 0.2505]]), [0] * 6)
    with pytest.raises(ValueError, match=r"logits\[1\] must sum to 1, got 2"):
        fl.fit_temperature([[0.5, 0.5], [1.0, 1.0]], [0, 1], from_logits=False)
    with pytest.raises(ValueError, match=r"logits\[0, 0\]: 2 must be in \[0, 1\]"):
        fl.fit_scaling([[2.0, -1.0]], [0], from_logits=False)
    with pytest.raises(ValueError, match=r"got values in \[0, 1\]: pass from_logits=False"):
        fl.fit_temperature([0.2, 0.9], [0, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_single_logits_of_events(isa: str, dtype: Any) -> None:
    """One logit per event: the figures of its confidence 1 / (1 + exp(-z / T))."""
    rng = np.random.default_rng(3)
    z = rng.normal(0, 3, (30, 4)).astype(dtype)
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z.astype(float) / 2))).astype(int)
    y[3] = -100
    for t in (1.0, 2.5):
        p = 1 / (1 + np.exp(-z.astype(float) / t))
        for name in ("calibration_error", "brier_score", "negative_log_likelihood"):
            asked: dict[str, Any] = {"from_logits": True, "temperature": t, "ignore_index": -100}
            right = getattr(fl, name)(p, y, ignore_index=-100)
            assert getattr(fl, name)(z, y, **asked) == pytest.approx(right, rel=2e-6), name
            assert getattr(reference, name)(z, y, **asked) == pytest.approx(right, rel=1e-9), name
        curve = fl.reliability_curve(z, y, from_logits=True, temperature=t, ignore_index=-100)
        assert curve.counts.tolist() == fl.reliability_curve(p, y, ignore_index=-100).counts.tolist()
    fit = fl.fit_temperature(z, y, ignore_index=-100)
    assert fit.temperature == pytest.approx(reference.fit_temperature(z, y, ignore_index=-100).temperature, rel=3e-6)
    pairs = np.stack([np.zeros_like(z), z], -1)
    assert fit.temperature == fl.fit_temperature(pairs, y, ignore_index=-100).temperature
    after = fl.calibration_error(z, y, from_logits=True, temperature=fit.temperature, ignore_index=-100)
    assert fit.ece_after == pytest.approx(after, abs=1e-6)
    if dtype is np.float64:
        events = fl.fit_temperature(1 / (1 + np.exp(-z)), y, from_logits=False, ignore_index=-100)
        assert events.temperature == pytest.approx(fit.temperature, rel=1e-6)


def test_targets_of_events() -> None:
    z, y = np.array([2.0, -1.0, 0.5]), [1, 0, 1]
    figures: list[Any] = [fl.fit_temperature]
    figures += [partial(getattr(fl, name), from_logits=True) for name in FIGURES]
    for figure in figures:
        for truth in ([True, False, True], np.array(y, bool), [1.0, 0.0, 1.0]):
            np.testing.assert_equal(figure(z, truth), figure(z, y))
        with pytest.raises(ValueError, match="targets must be 0 or 1"):
            figure(z, [0, 1, 2])
        with pytest.raises(ValueError, match=r"targets must have the shape \(3,\)"):
            figure(z, [0, 1])
        with pytest.raises(ValueError, match=r"\[1\] contains NaN"):
            figure([2.0, NAN], [0, 1])
    pairs = np.stack([-z, z], -1)
    assert fl.fit_temperature(pairs, np.array(y, bool)) == fl.fit_temperature(pairs, y)
    with pytest.raises(TypeError, match="targets must be integers, got dtype bool"):
        fl.fit_temperature(ROWS, [True, False, True])
    assert fl.negative_log_likelihood(0.0, 1, from_logits=True) == pytest.approx(np.log(2))
    assert fl.brier_score(0.5, True) == 0.25


# ---- scaling -----------------------------------------------------------------------------------------------------


# ---- real logits -------------------------------------------------------------------------------------------------


def test_real_scores() -> None:
    """Teacher-forced prose of a real model: perplexity 24.34, accuracy 0.3833, mean confidence 0.3643."""
    folder = rows.data_folder()
    if folder is None:
        pytest.skip("no real logits: set FASTLOGITS_DATA to the folder of smollm2_*.npz")
    with np.load(folder / "smollm2_scores.npz") as file:
        x, y = file["logits"], file["targets"]
    fit = fl.fit_temperature(x, y)
    assert np.exp(fit.nll_before) == pytest.approx(24.34, abs=0.005)
    curve = fl.reliability_curve(x, y, from_logits=True, bins=1)
    assert curve.accuracies[0] == pytest.approx(0.3833, abs=5e-5)
    assert curve.confidences[0] == pytest.approx(0.3643, abs=5e-5)
    assert fit.temperature == pytest.approx(0.9998155, rel=2e-6)
    assert fit.ece_before == pytest.approx(0.0703, abs=5e-5)


# ---- what is refused ---------------------------------------------------------------------------------------------

ROWS = np.zeros((3, 4), np.float32)
BAD_ROW = np.array([[0.0, 1.0], [NAN, 0.0]])
FIGURES = ["calibration_error", "reliability_curve", "brier_score", "negative_log_likelihood"]
