"""fastlogits.dask: nothing is computed too early or twice, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlogits as fl

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'dask[array]'")
da = pytest.importorskip("dask.array", reason="dask.array is not installed: pip install 'dask[array]'")
fd = pytest.importorskip("fastlogits.dask", reason="dask is not installed: pip install 'dask[array]'")
from test_dask import ALL, EVERY, Array, V, ids, matrix, same, untouchable  # noqa: E402


def test_lazy() -> None:
    """Nothing is computed when a call is written down, and everything when it is asked for."""
    x, targets = untouchable(), untouchable()[:, 0].astype(np.int64)
    found = fd.token_logprobs(x, targets, **ALL, on_error="status")
    results = [
        found, fd.score_text(found[0].logprobs, greedy=found[0].greedy), fd.perplexity(found[0].logprobs),
        fd.compare_distributions(x, x, **EVERY).totals(), fd.kl_divergence(x, x, reduction="mean"), fd.softmax(x),
        fd.calibration_error(x, targets, from_logits=True, strategy="quantile"), fd.brier_score(x[:, 0], targets),
        fd.reliability_curve(x, targets, from_logits=True), fd.top_k(x, 3), fd.argmax(x, axis=0), fd.logsumexp(x),
        fd.negative_log_likelihood(x, targets), fd.top_n_agreement(x, x, reduction="sum", on_error="status"),
    ]  # fmt: skip
    for result in results:
        with pytest.raises(RuntimeError, match="a chunk was asked for"):
            dask.compute(result)


def test_one_read() -> None:
    """All results of a call, and totals made of them, come from one read of each chunk."""
    reads: list[tuple[int, ...]] = []

    def load(block: Array) -> Array:
        reads.append(block.shape)
        return block

    x = matrix((40,))
    lazy = da.from_array(x, chunks=(10, V)).map_blocks(load, dtype=x.dtype, meta=x[:0])
    found = fd.token_logprobs(lazy, ids((40,)), **ALL)
    score = fd.score_text(found.logprobs, mask=ids((40,)) >= 0)
    dask.compute(found, score, score.perplexity)
    assert reads == [(10, V)] * 4
    reads.clear()
    compared = fd.compare_distributions(lazy, lazy + 1, **EVERY)
    dask.compute(compared, compared.totals())
    assert reads == [(10, V)] * 4


def test_chunks_stay() -> None:
    """Chunks of rows stay where the vocabulary is whole; else they are cut to dask's chunk size, not below memory."""
    whole = fd.token_logprobs(da.zeros((40, V), chunks=(7, V)), ids((40,)))
    assert whole.logprobs.chunks == ((7, 7, 7, 7, 7, 5),)
    with dask.config.set({"array.chunk-size": f"{8 * V * 10}B"}):
        cut = fd.token_logprobs(da.zeros((40, V), chunks=(40, 5)), ids((40,)))
    assert max(cut.logprobs.chunks[0]) <= 10
    assert fd.top_k(da.zeros((40, V), chunks=(7, 5)), 3).values.chunks[1] == (3,)


BAD: list[tuple[Callable[[Any, Any], Any], float, str]] = [
    (lambda x, t: fd.token_logprobs(x, t).logprobs, np.nan, r"^logits\[17\] contains NaN"),
    (lambda x, t: fd.token_logprobs(x, t).logprobs, np.inf, r"^logits\[17\] contains \+inf"),
    (lambda x, t: fd.kl_divergence(x, da.zeros_like(x)), np.nan, r"^p_logits\[17\] contains NaN"),
    (lambda x, t: fd.top_n_agreement(da.zeros_like(x), x, reduction="mean"), np.nan, r"^q_logits\[17\] contains NaN"),
    (lambda x, t: fd.calibration_error(x, t, from_logits=True), np.nan, r"^predictions\[17\] contains NaN"),
    (lambda x, t: fd.label_logprobs(x, [3, 4]), np.nan, r"^logits\[17\] contains NaN"),
    (lambda x, t: fd.fit_temperature(x, t), np.nan, r"^logits\[17\] contains NaN"),
    (lambda x, t: fd.fit_temperature(x, t + 3), -np.inf, r"^logits\[17\]: the target's logit must be"),
    (lambda x, t: fd.brier_score(x, t), 2.0, r"^predictions\[17, 3\]: 2 must be in \[0, 1\]"),
    (lambda x, t: fd.brier_score(x, t), 0.5, r"^predictions\[17\] must sum to 1, got 1.5"),
]


@pytest.mark.parametrize(("call", "value", "words"), BAD)
def test_bad_rows(call: Any, value: float, words: str) -> None:
    """A bad row is named by its place in the whole, in any chunking."""
    x = np.zeros((24, V), np.float32)
    x[:, 0] = 1
    x[17, 3] = value
    for chunks in ((24, V), (5, V), (1, V), (7, 6)):
        with pytest.raises(ValueError, match=words):
            call(da.from_array(x, chunks=chunks), da.zeros(24, dtype=int, chunks=4)).compute()


def test_bad_values_beside() -> None:
    """Targets, candidates, temperatures and log-probs are named as well, in the words of the plain call."""
    x, targets = da.from_array(matrix((4, 6)), chunks=(3, 2, V)), np.zeros((4, 6), int)
    wrong, t, more = targets.copy(), np.ones((4, 6)), np.zeros((4, 6, 2), int)
    wrong[2, 5], t[3, 1], more[1, 4, 1] = V, -1, -7
    cases: list[tuple[Any, Any]] = [
        (lambda lib, x, a: lib.token_logprobs(x, a(wrong)).logprobs, r"targets\[2, 5\]: 37 must be in \[0, 37\)"),
        (lambda lib, x, a: lib.token_logprobs(x, targets, temperature=a(t)).logprobs, r"got -1 \(row 3, 1\)"),
        (lambda lib, x, a: lib.token_logprobs(x, targets, candidates=a(more)).logprobs, r"candidates\[1, 4, 1\]: -7"),
        (lambda lib, x, a: lib.negative_log_likelihood(x, a(wrong), from_logits=True), r"targets\[2, 5\]: 37 must"),
        (lambda lib, x, a: lib.perplexity(a(-t)), r"logprobs\[3, 1\] must be <= 0, got 1"),
        (lambda lib, x, a: lib.perplexity(a(np.where(t < 0, np.nan, -1.0))), r"logprobs\[3, 1\] must be <= 0, got nan"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words) as plain:
            call(fl, x.compute(), np.asarray)
        with pytest.raises(ValueError, match=words) as lazy, dask.config.set(scheduler="synchronous"):
            call(fd, x, lambda a: da.from_array(a, chunks=3)).compute()
        assert str(lazy.value) == str(plain.value)


def test_status() -> None:
    x = matrix((24,))
    x[17, 3], x[2] = np.nan, -np.inf
    lazy = da.from_array(x, chunks=(5, V))
    same(fd.token_logprobs(lazy, ids((24,)), **ALL, on_error="status"),
         fl.token_logprobs(x, ids((24,)), **ALL, on_error="status"))  # fmt: skip
    y = matrix((24,), 5)
    for reduction in ("none", "sum", "mean"):
        same(fd.kl_divergence(lazy, da.from_array(y), on_error="status", reduction=reduction),
             fl.kl_divergence(x, y, on_error="status", reduction=reduction))  # fmt: skip
    found, status = fd.compare_distributions(lazy, da.from_array(y), on_error="status")
    right, _ = fl.compare_distributions(x, y, on_error="status")
    assert found.totals().compute() == right.totals()
    assert np.flatnonzero(status.compute()).tolist() == [2, 17]


def test_chunk_that_breaks_its_promise() -> None:
    """A chunk of another size or type than the dask array says: its place, what it should be and what it is."""
    promised = np.empty((0, V), np.float32)
    short = da.zeros((20, V), chunks=(5, V)).map_blocks(
        lambda x: x[:4].astype(np.float32), dtype=np.float32, meta=promised
    )
    words = r"logits\[\d+:\d+\] must be a chunk of shape \(5, 37\) and dtype float32, .*got shape \(4, 37\) and"
    with pytest.raises(ValueError, match=words):
        fd.token_logprobs(short, ids((20,))).logprobs.compute()
    wide = da.zeros((20, V), chunks=(5, V)).map_blocks(lambda x: x, dtype=np.float32, meta=promised)
    with pytest.raises(ValueError, match=r"p_logits\[\d+:\d+\] must be a chunk .* dtype float32, .* and dtype float64"):
        fd.kl_divergence(wide, da.zeros((20, V), chunks=(20, V))).compute(scheduler="synchronous")


X = da.zeros((4, V), chunks=2)


@pytest.mark.parametrize(("call", "kind", "words"), [
    (lambda: fd.token_logprobs(np.zeros((4, V)), [0] * 4), TypeError, "logits must be a dask array, got ndarray"),
    (lambda: fd.token_logprobs(X, [0] * 3), ValueError, r"targets must have shape \(4,\), one per row, got \(3,\)"),
    (lambda: fd.token_logprobs(X, [[0]] * 4), ValueError, r"targets must have shape \(4,\), .* got \(4, 1\)"),
    (lambda: fd.token_logprobs(X, 0), ValueError, r"targets must have shape \(4,\), one per row, got \(\)"),
    (lambda: fd.token_logprobs(X, [0.5] * 4), TypeError, "targets must be integers, got dtype float64"),
    (lambda: fd.token_logprobs(X, [0] * 4, top_n=-1), ValueError, "top_n must be an integer >= 0, got -1"),
    (lambda: fd.token_logprobs(X, [0] * 4, candidates=[V]), ValueError, r"candidates\[0\]: 37 must be in \[0, 37\)"),
    (lambda: fd.token_logprobs(X, [0] * 4, candidates=da.zeros(2, dtype=int)), TypeError, "candidates must not be"),
    (lambda: fd.token_logprobs(X, [0] * 4, temperature=[1, 0, 1, 1]), ValueError, r"temperature .* got 0 \(row 1\)"),
    (lambda: fd.token_logprobs(X, [0] * 4, rank=1), TypeError, "rank must be True or False, got 1"),
    (lambda: fd.token_logprobs(X, [0] * 4, threads=-1), ValueError, "threads must be an integer >= 0, got -1"),
    (lambda: fd.token_logprobs(X, [0] * 4, on_error="x"), ValueError, "on_error must be 'raise' or 'status', got 'x'"),
    (lambda: fd.token_logprobs(X[0], 0), ValueError, r"logits must have rows and a vocabulary axis, .* got shape \(37"),
    (lambda: fd.token_logprobs(X[X[:, 0] > 0], [0]), ValueError, "unknown sizes: call logits.compute_chunk_sizes"),
    (lambda: fd.token_logprobs(X.astype("complex64"), [0] * 4), TypeError, "logits must hold float32, .* complex64"),
    (lambda: fd.token_logprobs(X[:, :0], [0] * 4), ValueError, "logits must have at least one token per row"),
    (lambda: fd.kl_divergence(X, X[1:]), ValueError, r"q_logits must have the shape of p_logits, \(4, 37\), got \(3"),
    (lambda: fd.kl_divergence(X, X, reduction="all"), ValueError, "reduction must be 'none' or 'sum' or 'mean'"),
    (lambda: fd.js_divergence(X, X, beta=2), ValueError, r"beta must be one number in \(0, 1\), got 2"),
    (lambda: fd.compare_distributions(X, X, kl=False), ValueError, "at least one measure must be asked for"),
    (lambda: fd.top_n_agreement(X, X, top_n=V + 1), ValueError, r"top_n must be in \[0, 37\], got 38"),
    (lambda: fd.score_text(X[:, 0], mask=[True]), ValueError, r"mask must have shape \(4,\), one per row, got \(1,\)"),
    (lambda: fd.score_text(X[:, 0], mask=[1] * 4), TypeError, "mask must be bools, got dtype int64"),
    (lambda: fd.score_text(X[:, 0], words=-1), ValueError, "words must be an integer >= 0, got -1"),
    (lambda: fd.score_text(X[:, 0].astype(int)), TypeError, "logprobs must be float32, .* got dtype int64"),
    (lambda: fd.calibration_error(X, [0] * 4, rule="none"), ValueError, "rule must be 'netcal' or"),
    (lambda: fd.calibration_error(X, 0), ValueError, "predictions must have as many axes as targets or one more"),
    (lambda: fd.calibration_error(X, [0] * 4, temperature=2), ValueError, "temperature needs from_logits=True, got 2"),
    (lambda: fd.reliability_curve(X, [0] * 4, level=1), ValueError, "level must lie between 0 and 1"),
    (lambda: fd.fit_temperature(X, [0] * 3), ValueError, r"targets must have shape \(4,\), one per row, got \(3,\)"),
    (lambda: fd.fit_temperature(X, [0] * 4, bounds=(2, 1)), ValueError, r"bounds must be \(low, high\) with low"),
    (lambda: fd.fit_temperature(X, [9] * 4, ignore_index=9), ValueError, "logits must hold one row at least that"),
    (lambda: fd.label_logprobs(X, [3, V]), ValueError, r"labels\[1\]: token id 37 must be in \[0, 37\)"),
    (lambda: fd.softmax(X, axis=2), ValueError, r"axis must be in \[-2, 2\), got 2"),
    (lambda: fd.top_k(X, V + 1), ValueError, r"k must be in \[0, 37\], got 38"),
])  # fmt: skip
def test_refused_at_once(call: Any, kind: type[Exception], words: str) -> None:
    """Keywords, types and shapes are looked at when the call is written down."""
    with pytest.raises(kind, match=words):
        call()
