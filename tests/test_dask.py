"""Dask arrays: the bits of the plain functions for every chunking, scheduler and number of worker processes."""

from __future__ import annotations

import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
