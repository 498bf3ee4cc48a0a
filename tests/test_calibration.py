"""Calibration: the systems' own vectors, the reference, exact optima, every kind of input, and what is refused."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
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
    flat = fl.fit_temperature(np.zeros((3, 4)), [0, 1, 2])
    assert flat.nll_after == pytest.approx(np.log(4))


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


# ---- scaling -----------------------------------------------------------------------------------------------------


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
REFUSED: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    ([0.5, 1.5], [0, 1], {}, ValueError, r"predictions\[1\]: 1.5 must be in \[0, 1\]"),
    ([0.5, NAN], [0, 1], {}, ValueError, r"predictions\[1\]: nan must be in \[0, 1\]"),
    ([0.5], [2], {}, ValueError, "targets must be 0 or 1 beside confidences, got 2"),
    ([0.5], [0, 1], {}, ValueError, r"targets must have the shape \(1,\) of predictions, got \(2,\)"),
    ([], [], {}, ValueError, "predictions must hold one value at least"),
    ([[0.5, 0.1]], [0], {}, ValueError, r"predictions\[0\] must sum to 1, got 0.6"),
    ([[0.5, 0.5]], [2], {}, ValueError, r"targets\[0\]: 2 must be in \[0, 2\)"),
    ([[0.5, 0.5]], [0.0], {}, TypeError, "targets must be integers, got dtype float64"),
    ([[0.5, 0.5]], [[[0]]], {}, ValueError, "as many axes as targets or one more, got 2 and 3"),
    ([[0.5, 0.5]], [7], {"ignore_index": 7}, ValueError, "got 1 rows, all of them ignored"),
    ([[0.5, 0.5]], [0], {"temperature": 2.0}, ValueError, "temperature needs from_logits=True, got 2"),
    (ROWS, [0, 1], {"from_logits": True}, ValueError, r"targets must have shape \(3,\), one per row, got \(2,\)"),
    (ROWS, [0, 1, 4], {"from_logits": True}, ValueError, r"targets\[2\]: 4 must be in \[0, 4\)"),
    (ROWS, [0, -1, 2], {"from_logits": True}, ValueError, r"targets\[1\]: -1 must be in \[0, 4\)"),
    (ROWS, [0, 1, 2], {"from_logits": True, "temperature": 0}, ValueError, "temperature must be finite and > 0"),
    (ROWS, [0, 1, 2], {"from_logits": True, "temperature": [1, 2]}, TypeError, "temperature must be one number"),
    (ROWS, [0, 1, 2], {"from_logits": True, "threads": -1}, ValueError, "threads must be an integer >= 0"),
    (BAD_ROW, [0, 1], {"from_logits": True}, ValueError, r"predictions\[1\] contains NaN"),
    ([[0.0, np.inf]], [0], {"from_logits": True}, ValueError, r"predictions\[0\] contains \+inf"),
    ([[-np.inf, -np.inf]], [0], {"from_logits": True}, ValueError, r"predictions\[0\] contains no finite logit"),
    ([["a"]], [0], {"from_logits": True}, TypeError, "predictions must hold float32"),
]  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("predictions", "targets", "keywords", "kind", "words"), REFUSED)
def test_refused(name: str, predictions: Any, targets: Any, keywords: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        getattr(fl, name)(predictions, targets, **keywords)


@pytest.mark.parametrize(("keywords", "kind", "words"), [
    ({"norm": "l3"}, ValueError, "norm must be 'l1' or 'l2' or 'max', got 'l3'"),
    ({"bins": 0}, ValueError, "bins must be an integer >= 1, got 0"),
    ({"bins": 1.5}, TypeError, "bins must be an integer >= 1, got 1.5"),
    ({"strategy": "kmeans"}, ValueError, "strategy must be 'uniform' or 'quantile'"),
    ({"rule": "mine"}, ValueError, "rule must be 'netcal' or 'torchmetrics' or 'sklearn'"),
    ({"rule": ["netcal"]}, TypeError, "rule must be one word"),
    ({"per_class": True}, ValueError, r"per_class needs probabilities"),
])  # fmt: skip
def test_words_refused(keywords: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        fl.calibration_error(*BINARY, **keywords)


def test_level_refused() -> None:
    for level in (0, 1, 2):
        with pytest.raises(ValueError, match="level must"):
            fl.reliability_curve(*BINARY, level=level)


@pytest.mark.parametrize(("logits", "targets", "keywords", "words"), [
    (ROWS, [0, 1], {}, r"targets must have shape \(3,\)"),
    (ROWS, [0, 1, 9], {}, r"targets\[2\]: 9 must be in \[0, 4\)"),
    (ROWS, [5, 5, 5], {"ignore_index": 5}, "all of them ignored"),
    (BAD_ROW, [0, 0], {}, r"logits\[1\] contains NaN"),
    ([[0.0, -np.inf]], [1], {}, r"logits\[0\]: the target's logit must be finite, got -inf"),
    (np.zeros((2, 0)), [0, 0], {}, "at least one token per row"),
    (ROWS, [0, 1, 2], {"bounds": (2, 1)}, r"bounds must be \(low, high\) with low < high"),
    (ROWS, [0, 1, 2], {"bounds": (0, 1)}, r"bounds must be in \[0.0001, 10000\], got 0"),
])  # fmt: skip
def test_fit_temperature_refuses(logits: Any, targets: Any, keywords: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.fit_temperature(logits, targets, **keywords)


@pytest.mark.parametrize(("logits", "targets", "keywords", "words"), [
    (ROWS, [0, 1, 2], {"method": "matrix"}, "method must be 'bias-corrected' or 'vector'"),
    (ROWS, [0, 1, 2], {"ridge": 0}, "ridge must be finite and > 0, got 0"),
    (np.zeros((1, 1025)), [0], {}, "at most 1024 classes, got 1025"),
    ([[0.0, 1.0], [0.0, -np.inf]], [0, 0], {}, r"logits\[1\] must be finite"),
    ([[NAN, 1.0], [0.0, NAN]], [5, 0], {"ignore_index": 5}, r"logits\[1\] must be finite"),
])  # fmt: skip
def test_fit_scaling_refuses(logits: Any, targets: Any, keywords: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.fit_scaling(logits, targets, **keywords)


def test_transform_refuses() -> None:
    found = fl.fit_scaling([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    with pytest.raises(ValueError, match="logits must have 2 classes"):
        found.transform(ROWS)
