"""token_logprobs: equal to its twin, to the bit for any batch, thread count and instruction set, and its refusals."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
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
FLAGS = ("rank", "argmax", "entropy", "varentropy", "logsumexp", "margin")
ALL: dict[str, Any] = {"top_n": 5, **dict.fromkeys(FLAGS, True)}
EXACT = ("ranks", "top_ids", "argmax", "greedy")
# Relative errors allowed beside the rounding of the twin: moments are summed in the type of the rows.
FIGURES = {
    "logprobs": 3e-7, "top_logprobs": 3e-7, "logsumexp": 3e-7, "margin": 3e-7, "candidate_logprobs": 3e-7,
    "entropy": 1e-6, "varentropy": 3e-6,
}  # fmt: skip


def matrix(n: int, seed: int = 0, dtype: str = "float32") -> Array:
    return np.stack([*rows.accuracy_rows(n, seed, dtype).values()])


def agree(found: Any, right: Any, dtype: str, label: str = "") -> None:
    """Ids and ranks are equal, figures within their error; those of float32 may lie 1e-7 from a sum near 0."""
    for name in EXACT:
        np.testing.assert_array_equal(getattr(found, name), getattr(right, name), f"{name} {label}")
    for name, error in FIGURES.items():
        got, exact = getattr(found, name), getattr(right, name)
        assert got.dtype == dtype
        rtol = error if dtype == "float32" else 2e-12
        atol = 1e-7 if dtype == "float32" else 1e-14
        if name.endswith("entropy"):
            atol = 1e-35 if dtype == "float32" else 1e-300  # what lies 92 T below the top has no mass in float32
        exact = np.where(np.isfinite(exact), np.maximum(exact, float(np.finfo(dtype).min)), exact)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(got, exact.astype(dtype), rtol, atol, err_msg=f"{name} {label}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 100.0])
def test_twin(isa: str, dtype: str, temperature: float) -> None:
    rng = np.random.default_rng(1)
    for n in (2, 16, 33, 257, 5000):
        x = matrix(n, n, dtype).astype(dtype)
        targets = rng.integers(0, n, len(x))
        targets[3] = -100
        wanted = {**ALL, "candidates": rng.integers(0, n, (len(x), 3)), "temperature": temperature}
        agree(fl.token_logprobs(x, targets, **wanted), reference.token_logprobs(x, targets, **wanted), dtype, f"[{n}]")


def test_against_mpmath() -> None:
    mp = pytest.importorskip("mpmath")
    for label, row in rows.accuracy_rows(40, seed=2).items():
        for t in (0.7, 10.0):
            found = fl.token_logprobs(row.astype(np.float32), 7, temperature=t, **ALL)
            with mp.workdps(60):
                x = [mp.mpf(v) / mp.mpf(t) for v in row]
                total = max(x) + mp.log(mp.fsum(mp.exp(v - max(x)) for v in x))
                p = [mp.exp(v - total) for v in x]
                mean = mp.fsum(q * (total - v) for q, v in zip(p, x, strict=True) if q)
                spread = mp.fsum(q * (total - v - mean) ** 2 for q, v in zip(p, x, strict=True) if q)
                exact = float(x[7] - total), float(mean), float(spread)
            got = float(found.logprobs), float(found.entropy), float(found.varentropy)
            least = -np.inf if row[7] == -np.inf else float(np.finfo(np.float32).min)
            np.testing.assert_allclose(got[0], max(exact[0], least), 3e-7, err_msg=label)
            np.testing.assert_allclose(got[1:], exact[1:], 3e-6, atol=1e-35, err_msg=label)


def test_mass_far_from_the_first_guess(isa: str) -> None:
    """Moments counted from a far value would cancel: they are made anew amid the mass."""
    x = np.zeros((3, 5000), np.float32)
    x[0, [101, 202]] = 40
    x[1, [101, 202]] = 40, 39.99
    x[2, 101:201] = 30 + np.linspace(0, 1e-3, 100)
    found = fl.token_logprobs(x, [101, 101, 101], **ALL)
    right = reference.token_logprobs(x, [101, 101, 101], **ALL)
    np.testing.assert_allclose(found.entropy, right.entropy, 1e-6)
    np.testing.assert_allclose(found.varentropy, right.varentropy, 1e-5)


def test_relative_precision_of_the_top() -> None:
    x = np.zeros((1, 1000), np.float32)
    x[0, 77] = 40
    np.testing.assert_allclose(fl.token_logprobs(x, [77]).logprobs, -999 * np.exp(-40.0), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_equal_bits(dtype: str) -> None:
    """For any instruction set, threads, batch and strides; half types as the same values in float32."""
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    for n in (1, 17, 256, 4097):
        made = np.stack([row.astype(np.float64) for _, row in rows.exact_rows(n, 3)])
        x = np.clip(made, *((-6e4, 6e4) if dtype == "float16" else (-np.inf, np.inf))).astype(kind)
        targets = np.arange(len(x)) * 7 % n
        found = []
        before = _core.isa()
        for name in _core.isas():
            _core.set_isa(name)
            found += [tuple(fl.token_logprobs(x, targets, threads=t, **ALL)) for t in (1, 3)]
            wide = np.asfortranarray(x)
            found.append(tuple(fl.token_logprobs(wide, targets, **ALL)))
            single = [tuple(fl.token_logprobs(x[r : r + 1], targets[r : r + 1], **ALL)) for r in range(len(x))]
            found.append(tuple(None if e[0] is None else np.concatenate(e) for e in zip(*single, strict=True)))
        _core.set_isa(before)
        if dtype in ("float16", "bfloat16"):
            found.append(tuple(fl.token_logprobs(x.astype(np.float32), targets, **ALL)))
        for each in found[1:]:
            assert rows.same_bits(each, found[0]), n


def test_single_row_and_shapes() -> None:
    found = fl.token_logprobs(np.log([0.25, 0.75]), 1, **{**ALL, "top_n": 3}, candidates=[0])
    assert isinstance(found.argmax, int)
    assert (found.argmax, found.greedy, found.ranks) == (1, True, 1)
    assert found.top_ids.tolist() == [1, 0, -1]
    assert found.top_logprobs[2] == -np.inf
    np.testing.assert_allclose(np.exp([found.logprobs, found.margin, *found.candidate_logprobs]), [0.75, 3, 0.25])
    plain = fl.token_logprobs(np.zeros((2, 3, 4)), np.zeros((2, 3), int))
    assert plain.logprobs.shape == (2, 3)
    assert plain[1:] == (None,) * 10
    full = fl.token_logprobs(np.zeros((2, 3, 4)), np.zeros((2, 3), int), **ALL, candidates=[1, 2])
    assert full.top_ids.shape == (2, 3, 5)
    assert full.candidate_logprobs.shape == (2, 3, 2)
    np.testing.assert_allclose(full.entropy, np.log(4))
    empty = fl.token_logprobs(np.zeros((0, 4), np.float32), [], top_n=2)
    assert empty.top_ids.shape == (0, 2)
    alone = fl.token_logprobs(np.zeros(1), 0, **ALL)
    assert (alone.margin, alone.logprobs, alone.entropy, alone.varentropy) == (np.inf, 0, 0, 0)


def test_asked_for_one_by_one() -> None:
    """A figure does not depend on what else is wanted."""
    x, targets = matrix(700).astype(np.float32), np.arange(12)
    full = fl.token_logprobs(x, targets, **ALL)
    names = {"rank": ("ranks",), "argmax": ("argmax", "greedy"), "top_n": ("top_ids", "top_logprobs")}
    for word, value in ALL.items():
        found = fl.token_logprobs(x, targets, **{word: value})
        wanted = {"logprobs", *names.get(word, (word,))}
        for name in found._fields:
            right = getattr(full, name) if name in wanted else None
            assert rows.same_bits(getattr(found, name), right), (word, name)


def test_temperature_per_row(isa: str) -> None:
    x = matrix(300).astype(np.float32)
    ts = np.linspace(0.5, 3, len(x))
    found = fl.token_logprobs(x, np.arange(len(x)), temperature=ts, **ALL)
    for r, t in enumerate(ts):
        one = fl.token_logprobs(x[r : r + 1], [r], temperature=t, **ALL)
        assert rows.same_bits(one.logprobs, found.logprobs[r : r + 1])
        assert rows.same_bits(one.top_logprobs[0], found.top_logprobs[r])


def test_equal_logits_share_the_best_rank(isa: str) -> None:
    """1 + the number of strictly greater ones; vLLM's #(x >= value) would be 1, 3, 3 and 4."""
    x = np.tile(np.array([[2.0, 1.0, 1.0, 0.0]], np.float32), (4, 1))
    assert fl.token_logprobs(x, [0, 1, 2, 3], rank=True).ranks.tolist() == [1, 2, 2, 4]
    drawn = [fl.sample(row, logit_bias={i: 0.0}, mask=np.arange(4) == i, rng=0, logprobs=0) for i, row in enumerate(x)]
    assert [int(each.ranks) for each in drawn] == [1] * 4  # of what is drawn from


def test_banned_target(isa: str) -> None:
    x = np.array([[0.0, -np.inf, 1.0, -np.inf]], np.float32)
    found = fl.token_logprobs(x, [1], top_n=4, rank=True)
    assert found.logprobs.tolist() == [-np.inf]
    assert found.ranks.tolist() == [3]
    assert found.top_ids.tolist() == [[2, 0, -1, -1]]
    assert found.top_logprobs[0, 2:].tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bad_rows(isa: str, dtype: str) -> None:
    x = np.zeros((5, 300), dtype)
    x[1, 7], x[2, 299], x[3] = np.nan, np.inf, -np.inf
    for row, words in ((1, "NaN"), (2, r"\+inf"), (3, "no finite logit")):
        with pytest.raises(ValueError, match=rf"logits\[{row}\] contains {words}"):
            fl.token_logprobs(x, np.where(np.arange(5) == row, 0, -100))
    found, status = fl.token_logprobs(x, [0, 0, 0, 0, -100], on_error="status", candidates=[1], **ALL)
    assert status.tolist() == [0, 1, 2, 3, 0]
    assert np.isnan(found.logprobs).tolist() == [False, True, True, True, True]
    assert found.argmax.tolist() == [0, -1, -1, -1, -1]
    assert found.greedy.tolist() == [True, False, False, False, False]
    assert np.isnan(found.candidate_logprobs[1:]).all()
    good = fl.token_logprobs(x[:1], [0], candidates=[1], **ALL)
    assert rows.same_bits(tuple(each[:1] for each in tuple(found)), tuple(good))


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"targets": [0, 3]}, ValueError, r"targets\[1\]: 3 must be in \[0, 3\)"),
        ({"targets": [0, -1]}, ValueError, r"targets\[1\]: -1 must be in \[0, 3\)"),
        ({"targets": [0]}, ValueError, r"targets must have shape \(2,\)"),
        ({"targets": [0.0, 1.0]}, TypeError, "targets must be integers"),
        ({"ignore_index": None, "targets": [0, -100]}, ValueError, r"targets\[1\]: -100"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index must be an integer or None, got 1.5"),
        ({"top_n": -1}, ValueError, "top_n must be an integer >= 0, got -1"),
        ({"top_n": True}, TypeError, "top_n must be an integer >= 0, got True"),
        *(({name: 1}, TypeError, f"{name} must be True or False, got 1") for name in FLAGS),
        ({"temperature": 0}, ValueError, "temperature must be finite and > 0, got 0"),
        ({"temperature": [1, 2, 3]}, ValueError, "temperature holds values of shape 3"),
        ({"candidates": [0, 3]}, ValueError, r"candidates\[1\]: 3 must be in \[0, 3\)"),
        ({"candidates": [[0], [-2]]}, ValueError, r"candidates\[1, 0\]: -2 must be in \[0, 3\)"),
        ({"candidates": [[0], [1], [2]]}, ValueError, r"candidates must have shape \[K\] or \[2, K\], got \(3, 1\)"),
        ({"candidates": [0.5]}, TypeError, "candidates must be integers"),
        ({"on_error": "skip"}, ValueError, "on_error must be 'raise' or 'status'"),
        ({"threads": -1}, ValueError, "threads must be an integer >= 0"),
        ({"logits": np.zeros((2, 0))}, ValueError, "logits must have at least one token per row"),
        ({"logits": "text"}, TypeError, "logits must be an array or a sequence, got 'text'"),
        ({"logits": iter([np.zeros((3, 3))])}, ValueError, "targets must hold one per row, got 2 for 3 rows or more"),
        ({"logits": iter([np.zeros((1, 3))])}, ValueError, "targets must hold one per row, got 2 for 1 rows"),
        (
            {"logits": iter([np.zeros((1, 3)), np.zeros((1, 4))])},
            ValueError,
            r"logits, chunk 1, must have shape \[rows, 3\], got \(1, 4\)",
        ),
        ({"logits": iter([np.zeros((1, 1, 3))])}, ValueError, r"chunk 0, must have shape \[rows, 3\], got \(1, 1, 3\)"),
        ({"logits": iter([np.zeros((1, 3)), "ab"])}, TypeError, "logits, chunk 1, must be an array or a"),
        ({"logits": iter([]), "targets": 3}, ValueError, "targets must have one axis at least"),
    ],
)
def test_refusals(wanted: dict[str, Any], error: type[Exception], words: str) -> None:
    call: dict[str, Any] = {"logits": np.zeros((2, 3), np.float32), "targets": [0, 1], **wanted}
    with pytest.raises(error, match=words):
        fl.token_logprobs(call.pop("logits"), call.pop("targets"), **call)


@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 4, 1000]))
def test_ties(n: int, seed: int, top_n: int, levels: int) -> None:
    """Few distinct values: ids, ranks and their order are exact."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (3, n)).astype(np.float32) / 8
    x[rng.random(x.shape) < 0.3] = -np.inf
    x[:, rng.integers(n)] = 0
    targets = rng.integers(0, n, 3)
    found, right = (f(x, targets, top_n=top_n, rank=True) for f in (fl.token_logprobs, reference.token_logprobs))
    for name in ("ranks", "top_ids", "argmax", "greedy"):
        np.testing.assert_array_equal(getattr(found, name), getattr(right, name), name)
    # Log-probs below the least normal number of float32 may be 0.
    np.testing.assert_allclose(found.top_logprobs, right.top_logprobs, rtol=1e-6, atol=1.2e-38)


# ---- chunks, memory, real data --------------------------------------------------------------------------------------


def test_chunks_give_the_bits_of_the_whole() -> None:
    x = matrix(600, dtype="float32").astype(np.float32)
    targets, per_row = np.arange(len(x)), np.arange(2 * len(x)).reshape(-1, 2)
    targets[4] = -100
    wanted = {**ALL, "temperature": np.linspace(0.5, 2, len(x)), "candidates": per_row}
    whole = tuple(fl.token_logprobs(x, targets, **wanted))
    for sizes in ([12], [5, 7], [1] * 12, [0, 3, 0, 9]):
        edges = np.cumsum([0, *sizes])
        chunks = (x[a:b] for a, b in itertools.pairwise(edges))
        assert rows.same_bits(tuple(fl.token_logprobs(chunks, targets, **wanted, threads=2)), whole), sizes
    assert rows.same_bits(tuple(fl.token_logprobs(iter(x), targets, **wanted)), whole)
    pairs = fl.token_logprobs(iter([x[:4].reshape(2, 2, -1), x[4:6].reshape(1, 2, -1)]), targets[:6].reshape(3, 2))
    alone = fl.token_logprobs(x[:6].reshape(3, 2, -1), targets[:6].reshape(3, 2))
    assert rows.same_bits(pairs.logprobs, alone.logprobs)
    none = fl.token_logprobs(iter([]), [], **ALL, candidates=[3])
    assert [each.shape for each in (none.logprobs, none.top_ids, none.candidate_logprobs)] == [(0,), (0, 5), (0, 1)]


def test_chunks_are_read_one_after_the_other() -> None:
    seen: list[int] = []
    x = np.zeros((4, 8), np.float32)
    x[2, 3] = np.nan

    def chunks() -> Iterator[Any]:
        for i in range(4):
            seen.append(i)
            yield x[i : i + 1]

    with pytest.raises(ValueError, match=r"logits\[2\] contains NaN"):
        fl.token_logprobs(chunks(), np.zeros(4, int))
    assert seen == [0, 1, 2]
    found, status = fl.token_logprobs(chunks(), np.zeros(4, int), on_error="status")
    assert status.tolist() == [0, 0, 1, 0]
    assert np.isnan(found.logprobs).tolist() == [False, False, True, False]


def test_failing_chunk_is_not_hidden() -> None:
    def chunks() -> Iterator[Any]:
        yield np.zeros((1, 4), np.float32)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fl.token_logprobs(chunks(), [0, 0])


def test_memmap(tmp_path: Any) -> None:
    x = matrix(500).astype(np.float32)
    x.tofile(tmp_path / "logits.bin")
    mapped = np.memmap(tmp_path / "logits.bin", np.float32, "r", shape=x.shape)
    targets = np.arange(len(x))
    whole = tuple(fl.token_logprobs(x, targets, **ALL))
    assert rows.same_bits(tuple(fl.token_logprobs(mapped, targets, **ALL)), whole)
    chunks = (mapped[i : i + 5] for i in range(0, len(x), 5))
    assert rows.same_bits(tuple(fl.token_logprobs(chunks, targets, **ALL)), whole)


def test_nothing_of_the_size_of_the_matrix() -> None:
    x = np.zeros((200, 40_000), np.float32)
    x[:, 7] = 3
    fl.token_logprobs(x[:1], [0], **ALL)
    tracemalloc.start()
    fl.token_logprobs(x, np.zeros(200, int), **ALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, "arrays of NumPy; 32 MB are the matrix"


def test_real_text() -> None:
    folder = rows.data_folder()
    if folder is None:
        pytest.skip("no real logits: set FASTLOGITS_DATA to the folder of smollm2_*.npz")
    with np.load(folder / "smollm2_scores.npz") as arrays:
        x, targets = arrays["logits"], arrays["targets"]
    found = fl.token_logprobs(x, targets, **ALL)
    assert np.exp(-found.logprobs.astype(np.float64).mean()) == pytest.approx(24.344, abs=1e-3)
    assert found.greedy.mean() == pytest.approx(0.3833, abs=5e-5)
    assert (found.ranks[found.greedy] == 1).all()
    some = slice(0, None, 29)
    agree_twin = reference.token_logprobs(x[some], targets[some], **ALL, candidates=[1])
    agree(fl.token_logprobs(x[some], targets[some], **ALL, candidates=[1]), agree_twin, "float32")


@given(st.integers(1, 600), st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 1.0, 3.0]), st.floats(0, 30))
def test_figures_of_any_row(n: int, seed: int, temperature: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((2, n)) * scale).astype(np.float32)
    targets = rng.integers(0, n, 2)
    wanted = {**ALL, "temperature": temperature, "candidates": rng.integers(0, n, (2, 1))}
    found, right = fl.token_logprobs(x, targets, **wanted), reference.token_logprobs(x, targets, **wanted)
    agree(found, right, "float32")
    assert (found.entropy <= np.float32(np.log(n)) + 1e-5).all()
    assert (found.ranks <= n).all()
