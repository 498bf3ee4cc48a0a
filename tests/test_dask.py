"""Dask arrays: the bits of the plain functions for every chunking, scheduler and number of worker processes."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlogits as fl

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'dask[array]'")
da = pytest.importorskip("dask.array", reason="dask.array is not installed: pip install 'dask[array]'")
fd = pytest.importorskip("fastlogits.dask", reason="dask is not installed: pip install 'dask[array]'")

Array = np.ndarray[Any, Any]
V = 37
ALL: dict[str, Any] = {
    "top_n": 3, "rank": True, "argmax": True, "entropy": True, "varentropy": True, "logsumexp": True, "margin": True,
    "candidates": [5, 0],
}  # fmt: skip
EVERY: dict[str, Any] = {
    "reverse_kl": True, "js": True, "total_variation": True, "cross_entropy": True, "top_n": 4, "beta": 0.3
}  # fmt: skip


def matrix(shape: tuple[int, ...], seed: int = 0, dtype: str = "float32") -> Array:
    return (3 * np.random.default_rng(seed).normal(size=(*shape, V))).astype(dtype)


def ids(shape: tuple[int, ...], seed: int = 1) -> Array:
    """Targets, one in five ignored."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.2, -100, rng.integers(0, V, shape))


def same(lazy: Any, plain: Any) -> None:
    """Equal types, shapes and bits, through named tuples and pairs."""
    all_same([(lazy, plain)])


def all_same(pairs: list[tuple[Any, Any]]) -> None:
    """The same of many: single arrays computed together, all else by itself (dask 2026.8 confuses mixed results)."""
    together = [pair for pair in pairs if isinstance(pair[0], da.Array)]
    found = dask.compute(*(lazy for lazy, _ in together))
    for values, (_, plain) in zip(found, together, strict=True):
        equal(values, plain)
    for lazy, plain in pairs:
        if not isinstance(lazy, da.Array):
            equal(dask.compute(lazy)[0], plain)


def equal(found: Any, plain: Any) -> None:
    if isinstance(plain, tuple):
        for mine, right in zip(found, plain, strict=True):
            equal(mine, right)
    elif isinstance(plain, np.ndarray | np.generic):
        assert np.shape(found) == np.shape(plain)
        assert np.asarray(found).dtype == plain.dtype
        assert np.asarray(found).tobytes() == plain.tobytes()
    else:
        assert found == plain


def cuts(draw: Any, size: int) -> tuple[int, ...]:
    """Chunk sizes of one axis."""
    edges = sorted(draw(st.sets(st.integers(1, max(1, size - 1)), max_size=6))) if size > 1 else []
    return tuple(np.diff([0, *edges, size]).tolist())


@st.composite
def arrays(draw: Any) -> tuple[Array, Any]:
    """Logits and the same as a dask array cut somehow, the vocabulary too."""
    shape = draw(st.sampled_from([(1,), (23,), (40,), (5, 6), (2, 3, 4)]))
    x = matrix(shape, draw(st.integers(0, 99)), draw(st.sampled_from(["float32", "float16", "float64"])))
    vocabulary = (V,) if draw(st.booleans()) else cuts(draw, V)
    return x, da.from_array(x, chunks=(*(cuts(draw, size) for size in shape), vocabulary))


few = settings(max_examples=settings.default.max_examples // 2)  # each computes a graph several times


@st.composite
def schedulers(draw: Any) -> dict[str, Any]:
    return draw(st.sampled_from([{"scheduler": "synchronous"}, {"scheduler": "threads", "num_workers": 3}]))


@few
@given(arrays(), schedulers(), st.sampled_from([1.0, 0.6, "rows"]), st.sampled_from([1, 2]))
def test_token_logprobs(pair: tuple[Array, Any], how: dict[str, Any], t: Any, threads: int) -> None:
    x, lazy = pair
    outer = x.shape[:-1]
    keywords = ALL | {"temperature": np.linspace(0.5, 2, x[..., 0].size).reshape(outer) if t == "rows" else t}
    if t == "rows":
        keywords["candidates"] = np.random.default_rng(3).integers(0, V, (*outer, 4))
    with dask.config.set(**how):
        found = fd.token_logprobs(lazy, ids(outer), **keywords, threads=threads)
        same(found, fl.token_logprobs(x, ids(outer), **keywords))
        same(fd.token_logprobs(lazy, da.from_array(ids(outer), chunks=3)), fl.token_logprobs(x, ids(outer)))


@few
@given(arrays(), st.data(), schedulers(), st.integers(2, 5))
def test_totals(pair: tuple[Array, Any], data: Any, how: dict[str, Any], every: int) -> None:
    """Sums over rows: exact, so == and not almost."""
    x, lazy = pair
    outer = x.shape[:-1]
    y = (x + 0.2 * matrix(outer, 7)).astype("float32")
    other = da.from_array(y, chunks=(*(cuts(data.draw, size) for size in outer), V))
    mask = ids(outer) >= 0
    mask.flat[0], first = True, ids(outer)
    first.flat[0] = 0
    scores, lazily = (library.token_logprobs(a, first, argmax=True) for library, a in ((fl, x), (fd, lazy)))
    with dask.config.set(split_every=every, **how):
        keywords: dict[str, Any] = {"greedy": lazily.greedy, "mask": mask, "text": "to be or not"}
        plain = fl.score_text(scores.logprobs, **keywords | {"greedy": scores.greedy})
        score = fd.score_text(lazily.logprobs, **keywords)
        found = fd.compare_distributions(lazy, other, **EVERY)
        right = fl.compare_distributions(x, y, **EVERY)
        pairs = [
            (score, plain), (score.bits_per_byte, plain.bits_per_byte),
            (found, right), (found.totals(), right.totals()),
            (fd.perplexity(lazily.logprobs, mask=mask), plain.perplexity),
        ]  # fmt: skip
        for name in ("kl_divergence", "js_divergence", "total_variation", "cross_entropy", "top_n_agreement"):
            ours, theirs = getattr(fd, name), getattr(fl, name)
            pairs += [
                (ours(lazy, other, reduction=each), theirs(x, y, reduction=each)) for each in ("none", "mean", "sum")
            ]
        all_same(pairs)
        assert dask.compute(found)[0].totals() == right.totals()


@few
@given(arrays(), schedulers(), st.sampled_from(["netcal", "torchmetrics", "sklearn"]), st.integers(2, 5))
def test_calibration(pair: tuple[Array, Any], how: dict[str, Any], rule: str, every: int) -> None:
    x, lazy = pair
    targets = ids(x.shape[:-1])
    targets.flat[0] = 3
    keywords: dict[str, Any] = {"ignore_index": -100, "from_logits": True, "temperature": 1.5}
    p = fl.softmax(x, dtype=np.float32)
    events, truth = p[..., 0], targets == 0
    with dask.config.set(split_every=every, **how):
        probabilities, pairs = fd.softmax(lazy, dtype=np.float32), []
        for name in ("brier_score", "negative_log_likelihood", "calibration_error"):
            ours, theirs = getattr(fd, name), getattr(fl, name)
            pairs.append((ours(lazy, targets, **keywords), theirs(x, targets, **keywords)))
            right = theirs(p, targets, ignore_index=-100)
            pairs.append((ours(probabilities, targets, ignore_index=-100), right))
            pairs.append((ours(probabilities[..., 0], truth), theirs(events, truth)))
        for more in ({"strategy": "quantile"}, {"norm": "max"}, {"norm": "l2", "bins": 4}, {"per_class": True}):
            both: dict[str, Any] = keywords | {"rule": rule} | more
            pairs.append((fd.calibration_error(lazy, targets, **both), fl.calibration_error(x, targets, **both)))
        for strategy in ("uniform", "quantile"):
            both = keywords | {"rule": rule, "strategy": strategy, "level": 0.9}
            pairs.append((fd.reliability_curve(lazy, targets, **both), fl.reliability_curve(x, targets, **both)))
        all_same(pairs)


@few
@given(arrays(), st.integers(-2, 1), schedulers(), st.sampled_from([1.0, 0.7]))
def test_array_functions(pair: tuple[Array, Any], axis: int, how: dict[str, Any], t: float) -> None:
    x, lazy = pair
    with dask.config.set(**how):
        pairs = []
        for name in ("softmax", "log_softmax", "logsumexp"):
            ours, theirs = getattr(fd, name), getattr(fl, name)
            pairs.append((ours(lazy, axis=axis, temperature=t), theirs(x, axis=axis, temperature=t)))
            pairs.append((ours(lazy, dtype=np.float64), theirs(x, dtype=np.float64)))
        pairs.append((fd.logsumexp(lazy, axis=axis, keepdims=True), fl.logsumexp(x, axis=axis, keepdims=True)))
        pairs.append((fd.argmax(lazy, axis=axis), fl.argmax(x, axis=axis)))
        pairs.append((fd.top_k(lazy, 1, axis=axis), fl.top_k(x, 1, axis=axis)))
        per_row = np.linspace(0.5, 2, x[..., 0].size).reshape(x.shape[:-1])
        pairs.append((fd.softmax(lazy, temperature=da.from_array(per_row)), fl.softmax(x, temperature=per_row)))
        all_same(pairs)


@pytest.mark.parametrize("shape", [(23,), (4, 6)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_fit_temperature(shape: tuple[int, ...], dtype: str) -> None:
    """Computed at once, the same fit for every chunking; chunks may hold nothing but ignored rows."""
    x, targets = matrix(shape, dtype=dtype), ids(shape)
    targets[0] = -100
    targets[-1] = x[-1].argmax(-1)
    right = fl.fit_temperature(x, targets, ignore_index=-100, bounds=(0.5, 50))
    for chunks in ((1,) * len(shape), shape, (3,) * len(shape)):
        for columns in (V, 10):
            lazy = da.from_array(x, chunks=(*chunks, columns))
            with dask.config.set(scheduler="synchronous"):
                found = fd.fit_temperature(lazy, da.from_array(targets), ignore_index=-100, bounds=(0.5, 50))
            assert found == right


@pytest.mark.parametrize("chunk", [1, 3, 12])
def test_probabilities_and_events(chunk: int) -> None:
    """Chunks that look like probabilities are no reason to refuse a matrix that does not."""
    x = np.vstack([np.eye(5)[:4], matrix((8,))[:, :5] * 3])
    y = np.arange(12) % 5
    lazy = da.from_array(x, chunks=(chunk, 5))
    likely = da.from_array(fl.softmax(x), chunks=(chunk, 5))
    z, truth = da.from_array(x[:, 0] * 4 - 2, chunks=chunk), y % 2 == 0
    with dask.config.set(scheduler="synchronous"):
        assert fd.fit_temperature(lazy, y) == fl.fit_temperature(x, y)
        with pytest.raises(ValueError, match="logits must not look like probabilities"):
            fd.fit_temperature(likely, y)
        right = fl.fit_temperature(fl.softmax(x), y, from_logits=False)
        assert fd.fit_temperature(likely, y, from_logits=False) == right
        assert fd.fit_temperature(z, truth) == fl.fit_temperature(z.compute(), truth)
        for name in ("calibration_error", "brier_score", "negative_log_likelihood"):
            found = getattr(fd, name)(z, truth, from_logits=True).compute()
            assert found == getattr(fl, name)(z.compute(), truth, from_logits=True)


def test_scores_of_ignored_rows() -> None:
    x, targets = matrix((12,)), ids((12,))
    targets[[2, 7]] = -100
    right = fl.token_logprobs(x, targets, argmax=True)
    found = fd.token_logprobs(da.from_array(x, chunks=(5, V)), targets, argmax=True)
    assert fd.score_text(found).compute() == fl.score_text(right)
    mask = np.arange(12) % 2 == 0
    assert fd.score_text(found, mask=mask).compute() == fl.score_text(right, mask=mask)
    assert float(fd.perplexity(found)) == fl.perplexity(right)


def test_temperature_of_flat_rows_is_one() -> None:
    for x in (np.zeros((4, V)), np.ones((4, 1)), np.full((4, V), 0.3, np.float32)):
        lazy = da.from_array(x, chunks=(3, x.shape[1]))
        with dask.config.set(scheduler="synchronous"):
            found = fd.fit_temperature(lazy, [0] * 4, from_logits=True)
        assert found == fl.fit_temperature(x, [0] * 4, from_logits=True)
        assert (found.temperature, found.at_bound) == (1.0, False)
    mixed = np.concatenate([x, matrix((2,), dtype="float32")])
    with dask.config.set(scheduler="synchronous"):
        found = fd.fit_temperature(da.from_array(mixed, chunks=(3, V)), [0] * 6)
    assert found == fl.fit_temperature(mixed, [0] * 6)
    assert found.temperature != 1.0


def test_label_logprobs() -> None:
    x = matrix((4, 6))
    for keywords in ({}, {"normalize": True}, {"temperature": 0.7}):
        lazy = fd.label_logprobs(da.from_array(x, chunks=(3, 2, 9)), [3, [5, 1]], **keywords)
        assert lazy.shape == (4, 6, 2)
        same(lazy, fl.label_logprobs(x, [3, [5, 1]], **keywords))


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    x = matrix((30,)).astype(ml_dtypes.bfloat16)
    lazy = da.from_array(x, chunks=(7, V))
    same(fd.token_logprobs(lazy, ids((30,)), **ALL), fl.token_logprobs(x, ids((30,)), **ALL))
    same(fd.softmax(lazy), fl.softmax(x))


def test_no_rows() -> None:
    x = np.empty((0, V), np.float64)
    lazy = da.from_array(x)
    none = np.empty(0, np.int64)
    same(fd.token_logprobs(lazy, none, **ALL), fl.token_logprobs(x, none, **ALL))
    assert fd.score_text(da.empty((0,))).compute() == fl.score_text([])
    assert fd.compare_distributions(lazy, lazy).totals().compute().rows == 0
    for ignored in (da.zeros((0, 2)), da.zeros((4, 2), chunks=1)):
        lacking = fd.negative_log_likelihood(ignored, [-1] * len(ignored), from_logits=True, ignore_index=-1)
        with pytest.raises(ValueError, match="predictions must hold one row at least that counts, got none"):
            lacking.compute()


def test_same_names_and_keywords() -> None:
    """What a function takes here it takes there; nothing is computed in place, so there is no out=."""
    for name in fd.__all__:
        if inspect.isroutine(getattr(fd, name)):
            ours, theirs = (inspect.signature(getattr(library, name)).parameters for library in (fd, fl))
            assert list(ours) == [each for each in theirs if each != "out"], name
            assert {n: p.default for n, p in ours.items()} == {n: theirs[n].default for n in ours}, name


def never(_: Any) -> Array:
    raise RuntimeError("a chunk was asked for")


def untouchable(rows: int = 20) -> Any:
    """An array whose chunks fail."""
    blank = da.zeros((rows, V), chunks=(6, 10))
    return blank.map_blocks(never, dtype=np.float32, meta=np.empty((0, 0), np.float32))


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


def test_memmap_larger_than_a_chunk(tmp_path: Path) -> None:
    """A file is read chunk by chunk: no chunk that a task sees, and no peak of memory, is of the size of the file."""
    n, v = 400, 4096
    file = np.lib.format.open_memmap(tmp_path / "logits.npy", "w+", np.float32, (n, v))
    for begin in range(0, n, 100):
        file[begin : begin + 100] = np.random.default_rng(begin).normal(size=(100, v))
    file.flush()
    x, targets = np.load(tmp_path / "logits.npy", mmap_mode="r"), np.arange(n)
    right = fl.token_logprobs(x, targets, rank=True)
    mapped = da.from_array(x, chunks=(10, v))
    opened = da.map_blocks(
        part_of_file, np.array(tmp_path / "logits.npy"), chunks=((10,) * (n // 10), (v,)), dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )  # fmt: skip
    for lazy in (mapped, opened):
        found = fd.token_logprobs(lazy, targets, rank=True)
        tracemalloc.start()
        (values,) = dask.compute(found, scheduler="synchronous")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        same(values, right)
        assert peak < n * v * 4 / 3


def part_of_file(path: Any, block_info: Any = None) -> Array:
    """The rows of a chunk, from the file."""
    (begin, end), _ = block_info[None]["array-location"]
    return np.array(np.load(path.item(), mmap_mode="r")[begin:end])


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    quiet = {"distributed.worker.memory.terminate": False, "distributed.comm.timeouts.connect": "120s"}
    with dask.config.set(quiet):
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None, silence_logs="CRITICAL", memory_limit=0,
        )  # fmt: skip
        with cluster, distributed.Client(cluster, timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
            yield client


def on(client: Any, lazy: Any) -> Any:
    """What ``lazy`` holds, computed on the cluster."""
    return dask.compute(lazy, scheduler=client.get)[0]


def process_of(block: Array) -> Array:
    """The process that did a chunk."""
    return np.full((len(block), 1), os.getpid())


def test_cluster(client: Any) -> None:
    """Two worker processes, both at work, and the bits of one call."""
    x, y = matrix((120,)), matrix((120,), 5)
    targets = ids((120,))
    mask = targets >= 0
    keywords: dict[str, Any] = {"from_logits": True, "ignore_index": -100}
    right = fl.token_logprobs(x, targets, **ALL)
    text = fl.score_text(right.logprobs, mask=mask, greedy=right.greedy)
    for rows_each, columns in ((7, V), (31, 10)):
        pairs = []
        lazy, other = da.from_array(x, chunks=(rows_each, columns)), da.from_array(y, chunks=(50, V))
        found = fd.token_logprobs(lazy, targets, **ALL)
        score = fd.score_text(found.logprobs, mask=mask, greedy=found.greedy)
        totals = fd.compare_distributions(lazy, other, **EVERY).totals()
        pairs += [
            (found, right), (score, text), (fd.perplexity(found.logprobs, mask=mask), text.perplexity),
            (totals, fl.compare_distributions(x, y, **EVERY).totals()),
            (fd.kl_divergence(lazy, other), fl.kl_divergence(x, y)),
        ]  # fmt: skip
        for name in ("brier_score", "negative_log_likelihood", "calibration_error", "reliability_curve"):
            ours, theirs = getattr(fd, name), getattr(fl, name)
            pairs.append((ours(lazy, targets, **keywords), theirs(x, targets, **keywords)))
        with dask.config.set(scheduler=client.get):
            all_same(pairs)
            fit = fd.fit_temperature(lazy, targets, ignore_index=-100)
        assert fit == fl.fit_temperature(x, targets, ignore_index=-100)
    done = on(client, da.zeros((40, V), chunks=(1, V)).map_blocks(process_of, chunks=(1, 1), dtype=np.int64))
    assert len(np.unique(done)) == 2


def test_failures_on_a_cluster(client: Any) -> None:
    """A bad row, and a chunk that cannot be made, on a worker: the error itself; then the cluster goes on."""
    x = matrix((120,))
    x[97, 3] = np.nan
    lazy = da.from_array(x, chunks=(10, V))
    with pytest.raises(ValueError, match=r"^logits\[97\] contains NaN"):
        on(client, fd.token_logprobs(lazy, ids((120,)) * 0).logprobs)
    with pytest.raises(ValueError, match=r"^p_logits\[97\] contains NaN"):
        on(client, fd.kl_divergence(lazy, da.zeros_like(lazy), reduction="mean"))
    with pytest.raises(RuntimeError, match="a chunk was asked for"):
        on(client, fd.score_text(fd.token_logprobs(untouchable(), [0] * 20).logprobs))
    good = da.from_array(x[:90], chunks=(10, V))
    same(on(client, fd.logsumexp(good)), fl.logsumexp(x[:90]))


def test_real_rows_on_a_cluster(client: Any, real_rows: Array) -> None:
    """Rows of a real model, cut in several ways."""
    x, targets = np.asarray(real_rows), np.arange(len(real_rows))
    right = fl.token_logprobs(x, targets)
    for each in (1, 3, len(x)):
        lazy = da.from_array(x, chunks=(each, -1))
        found = fd.token_logprobs(lazy, targets)
        assert on(client, fd.score_text(found.logprobs)) == fl.score_text(right.logprobs)


def test_graphs_are_picklable_and_named_by_content() -> None:
    x = da.from_array(matrix((20,)), chunks=(5, V))
    found, again = (fd.token_logprobs(x, ids((20,)), **ALL).logprobs for _ in range(2))
    assert found.name == again.name
    assert found.name != fd.token_logprobs(x, ids((20,)), temperature=2.0).logprobs.name
    same(pickle.loads(pickle.dumps(found)), found.compute())


@pytest.mark.parametrize("name", ["_arrays", "_scoring", "_comparison", "_calibration", "_temperature", "_labels"])
def test_docstrings(name: str) -> None:
    module = importlib.import_module(f"fastlogits.dask.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 3
    assert found.failed == 0
    for each in fd.__all__:
        assert ">>>" in (inspect.getdoc(getattr(fd, each)) or ""), each


def test_without_dask(tmp_path: Path) -> None:
    """The package itself needs no dask, and the import of fastlogits.dask says how to get it."""
    code = """import sys; sys.modules["dask"] = None
import fastlogits
try: import fastlogits.dask
except ImportError as error: print(error)"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=rows.ROOT
    )
    assert done.stdout.strip() == 'fastlogits.dask needs dask: pip install "dask[array]"'


def test_example() -> None:
    """Started as its users start it, for workers import the main program."""
    pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    done = subprocess.run(
        [sys.executable, "examples/dask_scoring.py", "1000"], capture_output=True, text=True, timeout=300, check=True,
        cwd=rows.ROOT,
    )  # fmt: skip
    cluster, here = (line.partition(":")[2].split() for line in done.stdout.splitlines())
    assert cluster == here
    assert cluster[0] == "perplexity"
