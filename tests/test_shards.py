"""Vocabulary shards: merged, they give the figures of whole rows, to the bit where they begin with a block."""

from __future__ import annotations

import itertools
import pickle
import runpy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st

import fastlogits as fl
from fastlogits import reference

Array = np.ndarray[Any, Any]
ALL: dict[str, Any] = {"top_n": 5, "entropy": True, "varentropy": True, "margin": True}
WHOLE: dict[str, Any] = {**ALL, "rank": True, "argmax": True, "logsumexp": True}
IDS = ("ranks", "top_ids", "argmax", "greedy")
FIGURES = ("logprobs", "top_logprobs", "logsumexp", "margin", "candidate_logprobs")


def parts(x: Array, targets: Any, cuts: list[int], rounds: int = 2, **wanted: Any) -> list[Array]:
    """The summaries of the shards between the cuts."""
    n = x.shape[-1]
    spans = [*itertools.pairwise([0, *cuts, n])]
    peaks = None
    if rounds == 2:
        each = [fl.shard_peaks(x[..., a:b], targets, offset=a, vocab=n) for a, b in spans]
        peaks, wanted["rank"] = np.maximum.reduce(each), True
    return [fl.shard_summary(x[..., a:b], targets, offset=a, vocab=n, peaks=peaks, **wanted) for a, b in spans]


def matrix(n: int, dtype: str) -> Array:
    """Rows of all classes, [., n], with no row that holds nothing finite."""
    made = [row.astype(np.float64) for _, row in rows.exact_rows(n, 3)]
    if n > 1 and dtype != "float16":
        made += [*rows.accuracy_rows(n, 1, "float32").values()]
    limits = (-6e4, 6e4) if dtype == "float16" else (-np.inf, np.inf)
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
    return np.clip(np.stack(made), *limits).astype(kind)


def near(found: Any, right: Any, label: Any = "") -> None:
    """Equal ids; log-probs as near as two roundings of sums in another order, entropies by the errors of moments."""
    for name in IDS:
        if getattr(found, name) is not None:
            np.testing.assert_array_equal(getattr(found, name), getattr(right, name), f"{name} {label}")
    double = np.asarray(found.logprobs).dtype == np.float64
    for name in (*FIGURES, "entropy", "varentropy"):
        got, exact = getattr(found, name), getattr(right, name)
        if got is None or exact is None:
            continue
        rtol, atol = (1e-12, 1e-14) if double else (3e-7, 1e-7)
        if name.endswith("entropy"):
            rtol, atol = (1e-11, 1e-25) if double else (3e-6, 1e-12)
        exact = (
            exact
            if double
            else np.maximum(exact, float(np.finfo(np.float32).min), where=np.isfinite(exact), out=exact + 0)
        )
        np.testing.assert_allclose(got, exact, rtol, atol, err_msg=f"{name} {label}")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("temperature", [1.0, 0.01, 1e-13])
def test_bits_of_the_whole(isa: str, dtype: str, temperature: float) -> None:
    """Cuts at blocks; every class of rows, among them some summed in double and some utterly dominated by a token."""
    for n in (1, 16, 257, 5000, 40_001):
        x = matrix(n, dtype)
        targets = np.arange(len(x)) * 7 % n
        targets[2] = -100
        cuts = [c for c in (256, 1024, 4096, 32768) if c < n]
        wanted = {"temperature": temperature, "candidates": [0, n - 1]}
        right = fl.token_logprobs(x, targets, **WHOLE, **wanted)
        summaries = parts(x, targets, cuts, **ALL, **wanted)
        found = fl.merge(summaries)
        for name in (*IDS, *FIGURES):
            assert rows.same_bits(getattr(found, name), getattr(right, name)), (name, n)
        near(found, right, n)
        for order in (summaries[::-1], summaries[1:] + summaries[:1]):
            assert rows.same_bits(tuple(fl.merge(order)), tuple(found)), n
        near(fl.merge(parts(x, targets, cuts, 1, **ALL, **wanted)), right, n)


def test_utterly_dominated_rows(isa: str) -> None:
    """What lies at the edge of the range of floats, seen from the top, counts the same as in whole rows."""
    rng = np.random.default_rng(3)
    for depth in np.linspace(40, 140, 51):
        x = (-depth + rng.normal(size=(3, 1500))).astype(np.float32)
        x[[0, 1, 2], [3, 700, 1499]] = 0, 5, -3
        x[1, 900:] += 60
        right = fl.token_logprobs(x, [3, 700, 1499], **WHOLE)
        found = fl.merge(parts(x, [3, 700, 1499], [256, 1024], **ALL))
        for name in (*IDS, "logprobs", "top_logprobs", "logsumexp", "margin"):
            assert rows.same_bits(getattr(found, name), getattr(right, name)), (name, depth)


def test_isas_and_threads_agree() -> None:
    x = matrix(3000, "float32")
    targets = np.arange(len(x))
    found = []
    before = fl._core.isa()
    for name in fl._core.isas():
        fl._core.set_isa(name)
        for rounds, threads in itertools.product((1, 2), (1, 3)):
            found.append((rounds, tuple(fl.merge(parts(x, targets, [700, 1024], rounds, threads=threads, **ALL)))))
    fl._core.set_isa(before)
    for rounds, each in found:
        assert rows.same_bits(each, found[0 if rounds == 1 else 2][1])


@given(
    st.integers(1, 3000) | st.sampled_from([40_000, 300_000]),
    st.lists(st.floats(0, 1), max_size=6),
    st.integers(0, 2**32 - 1),
    st.sampled_from([3, 1000]),
    st.integers(0, 9),
    st.booleans(),
)
def test_any_cuts(n: int, places: list[float], seed: int, levels: int, top_n: int, blocks: bool) -> None:
    """Ties, shards with nothing finite, sizes from one token on: exact ids; equal bits where cuts lie at blocks."""
    rng = np.random.default_rng(seed)
    cuts = sorted(
        {c for place in places for c in [int(place * n) // 256 * 256 if blocks else int(place * n)] if 0 < c < n}
    )
    x = rng.integers(0, levels, (3, n)).astype(np.float32) * np.float32(8 / levels)
    x[rng.random(x.shape) < 0.3] = -np.inf
    if cuts:
        x[0, : cuts[0]] = -np.inf
    x[:, n - 1] = 1
    targets = rng.integers(0, n, 3)
    wanted = {**ALL, "top_n": top_n}
    summaries = parts(x, targets, cuts, **wanted)
    order = rng.permutation(len(summaries))
    found, right = fl.merge([summaries[i] for i in order]), fl.token_logprobs(x, targets, **{**WHOLE, "top_n": top_n})
    near(found, right)
    if blocks:
        for name in (*IDS, *FIGURES):
            assert rows.same_bits(getattr(found, name), getattr(right, name)), name
    assert rows.same_bits(tuple(found), tuple(fl.merge(summaries)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_twin(isa: str, dtype: str) -> None:
    """All three calls beside those of the reference."""
    x = matrix(3000, dtype)[:20]
    targets = np.arange(len(x)) * 101 % 3000
    targets[4] = -100
    spans = [(0, 256), (256, 1000), (1000, 3000)]
    each = [[m.shard_peaks(x[:, a:b], targets, offset=a, vocab=3000) for a, b in spans] for m in (fl, reference)]
    np.testing.assert_array_equal(each[0], each[1])
    peaks = np.maximum.reduce(each[0])
    found, right = (
        m.merge(
            m.shard_summary(x[:, a:b], targets, offset=a, vocab=3000, peaks=peaks, top_n=4, temperature=0.7, **extra)
            for a, b in spans
        )
        for m, extra in ((fl, {"rank": True, "entropy": True, "varentropy": True}), (reference, {}))
    )
    near(found, right)
    near(right, reference.token_logprobs(x, targets, **{**WHOLE, "top_n": 4}, temperature=0.7))


def test_against_mpmath() -> None:
    """logsumexp within 1 ulp + 1e-7, cut anywhere, in one round and in two."""
    mp = pytest.importorskip("mpmath")
    for label, row in rows.accuracy_rows(60, seed=2).items():
        with mp.workdps(60):
            exact = float(max(row) + mp.log(mp.fsum(mp.exp(mp.mpf(v) - max(row)) for v in row)))
        for rounds in (1, 2):
            found = fl.merge(parts(row.astype(np.float32), 7, [5, 31], rounds))
            assert abs(found.logsumexp - exact) <= np.spacing(np.float32(abs(exact))) + 1e-7, label


def test_moved_as_bytes() -> None:
    x = matrix(1024, "float32")
    targets = np.zeros(len(x), int)
    summaries = parts(x, targets, [256, 512, 768], **ALL)
    right = tuple(fl.merge(summaries))
    assert rows.same_bits(tuple(fl.merge(pickle.loads(pickle.dumps(summaries)))), right)
    moved = [np.frombuffer(part.tobytes(), summaries[0].dtype) for part in summaries]
    assert rows.same_bits(tuple(fl.merge(moved)), right)
    assert rows.same_bits(tuple(fl.merge(np.stack(summaries))), right)
    assert rows.same_bits(tuple(fl.merge(iter(summaries))), right)
    assert not any(part.dtype.hasobject for part in summaries)
    plain = parts(x, targets, [512], 1)[0]
    assert plain.dtype.itemsize <= 150


def test_shapes() -> None:
    x = np.log([[0.1, 0.4, 0.2, 0.3]] * 6).reshape(2, 3, 4)
    found = fl.merge(parts(x, np.full((2, 3), 3), [1, 2], **ALL, candidates=[0, 1]))
    assert found.logprobs.shape == found.ranks.shape == found.entropy.shape == (2, 3)
    assert found.top_ids.shape == (2, 3, 5)
    assert found.top_ids[0, 0].tolist() == [1, 3, 2, 0, -1]
    assert found.candidate_logprobs.shape == (2, 3, 2)
    single = fl.merge(np.stack(parts(x[0, 0], 3, [2], **ALL)))
    assert (single.argmax, single.ranks, single.greedy) == (1, 2, False)
    empty = fl.merge(parts(np.zeros((0, 4), np.float32), [], [2], **ALL))
    assert empty.top_ids.shape == (0, 5)
    plain = fl.merge(parts(x, np.full((2, 3), 3), [2], 1))
    assert [name for name in plain._fields if getattr(plain, name) is not None] == [
        "logprobs", "argmax", "logsumexp", "greedy",
    ]  # fmt: skip
    strided = np.asfortranarray(x)
    assert rows.same_bits(tuple(fl.merge(parts(strided, np.full((2, 3), 3), [1, 2]))).__getitem__(0), found.logprobs)


def test_temperature_per_row(isa: str) -> None:
    x = matrix(600, "float32")
    t, targets = np.linspace(0.5, 3, len(x)), np.arange(len(x))
    found, right = fl.merge(parts(x, targets, [256], temperature=t)), fl.token_logprobs(x, targets, temperature=t)
    assert rows.same_bits(found.logprobs, right.logprobs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rounds", [1, 2])
def test_bad_rows(isa: str, dtype: str, rounds: int) -> None:
    x = np.zeros((6, 600), dtype)
    x[1, 7], x[2, 599], x[3], x[4, :256], x[1, 400] = np.nan, np.inf, -np.inf, -np.inf, np.inf
    targets = np.zeros(6, int)
    targets[5], x[5] = -100, np.nan
    for row, words in (
        (1, r"logits\[1\] contains NaN \(shard of tokens 0 to 255\)"),
        (2, r"logits\[2\] contains \+inf \(shard of tokens 256 to 599\)"),
        (3, r"logits\[3\] contains no finite logit"),
    ):
        one = np.where(np.arange(6) == row, 0, -100)
        with pytest.raises(ValueError, match=words):
            fl.merge(parts(x, one, [256], rounds, **ALL))
    found, status = fl.merge(parts(x, targets, [256], rounds, **ALL, candidates=[1]), on_error="status")
    right, told = fl.token_logprobs(x, targets, **WHOLE, candidates=[1], on_error="status")
    assert status.tolist() == told.tolist() == [0, 1, 2, 3, 0, 0]
    near(found, right)
    assert np.isnan(found.logprobs).tolist() == [False, True, True, True, False, True]
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'status'"):
        fl.merge([], on_error="skip")


def made(offset: int = 0, size: int = 2, rows: int = 2, **wanted: Any) -> Array:
    call: dict[str, Any] = {"targets": [0, 1][:rows], "vocab": 4, **wanted}
    x = call.pop("logits", np.zeros((rows, size), np.float32))
    return fl.shard_summary(x, call.pop("targets"), offset=offset, **call)


def peaked(top: float) -> Array:
    return np.full((2, 3), float(top))


@pytest.mark.parametrize(
    ("summaries", "error", "words"),
    [
        (lambda: [made()], ValueError, "summaries leave out tokens 2 to 3 of 4"),
        (lambda: [made(2)], ValueError, "summaries leave out tokens 0 to 1 of 4"),
        (lambda: [made(0, 1), made(2)], ValueError, "summaries leave out tokens 1 to 1 of 4"),
        (lambda: [made(), made(1, 3)], ValueError, "summaries overlap: two hold tokens 1 to 1"),
        (lambda: [made(), made(), made(2)], ValueError, "summaries overlap: two hold tokens 0 to 1"),
        (lambda: [made(0, 4), made(1, 1)], ValueError, "summaries overlap: two hold tokens 1 to 1"),
        (lambda: [made(), made(2, rows=1)], ValueError, r"summaries\[1\] has rows of shape \(1,\), summaries\[0\] of"),
        (lambda: [made(), made(2, targets=[0, 2])], ValueError, r"summaries\[1\]\[1\] has another target than"),
        (lambda: [made(), made(2, vocab=5)], ValueError, r"summaries\[1\]\[0\] has another vocab than"),
        (
            lambda: [made(), made(2, temperature=[1, 2])],
            ValueError,
            r"summaries\[1\]\[1\] has another temperature than",
        ),
        (lambda: [made(), made(2, logits=np.zeros((2, 2)))], ValueError, r"summaries\[1\]\[0\] has another dtype than"),
        (lambda: [made(candidates=[1]), made(2, candidates=[2])], ValueError, r"has another candidates than"),
        (lambda: [made(top_n=2), made(2, top_n=3)], ValueError, r"summaries\[1\] holds other figures than .*top_ids"),
        (lambda: [made(), made(2, entropy=True)], ValueError, r"summaries\[1\] holds other figures than .*entropy"),
        (lambda: [made(), made(2, peaks=peaked(0))], ValueError, r"summaries\[1\] holds other figures than .*peaks"),
        (lambda: [made(peaks=peaked(0)), made(2, peaks=peaked(1))], ValueError, r"\[1\]\[0\] has another peaks than"),
        (
            lambda: [np.stack([made()[0], made(2)[1]]), made(2)],
            ValueError,
            r"summaries\[0\] mixes rows of several shards",
        ),
        (list, ValueError, "summaries must hold one per shard, got none"),
        (lambda: 3, TypeError, "summaries must be an iterable of structured arrays, got int"),
        (lambda: "ab", TypeError, "summaries must be an iterable of structured arrays, got str"),
        (lambda: [made(), np.zeros(2)], TypeError, r"summaries\[1\] must be an array that shard_summary made"),
        (lambda: [made(), None], TypeError, r"summaries\[1\] must be an array that shard_summary made, got NoneType"),
    ],
)
def test_refused_merges(summaries: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fl.merge(summaries())


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"targets": [0, 4]}, ValueError, r"targets\[1\]: 4 must be in \[0, 4\)"),
        ({"targets": [0]}, ValueError, r"targets must have shape \(2,\)"),
        ({"offset": 3}, ValueError, r"offset must be in \[0, 2\] for 2 of vocab=4 tokens, got 3"),
        ({"offset": -1}, ValueError, r"offset must be in \[0, 2\] .* got -1"),
        ({"offset": 0.5}, TypeError, "offset must be an integer, got 0.5"),
        ({"vocab": True}, TypeError, "vocab must be an integer, got True"),
        ({"vocab": 0}, ValueError, "vocab must be in"),
        ({"vocab": 1}, ValueError, "logits must hold at most the vocab=1 tokens, got 2"),
        ({"logits": np.zeros((2, 0))}, ValueError, "logits must have at least one token per row"),
        ({"rank": True}, ValueError, "rank needs peaks"),
        ({"rank": 1}, TypeError, "rank must be True or False"),
        ({"margin": 1}, TypeError, "margin must be True or False"),
        ({"top_n": -1}, ValueError, "top_n must be an integer >= 0"),
        ({"temperature": 0}, ValueError, "temperature must be finite and > 0"),
        ({"candidates": [4]}, ValueError, r"candidates\[0\]: 4 must be in \[0, 4\)"),
        ({"peaks": np.zeros((2, 2))}, ValueError, r"peaks must have shape \(2, 3\), got \(2, 2\)"),
        ({"peaks": np.zeros((2, 3), np.float32)}, TypeError, "peaks must be float64"),
        ({"peaks": peaked(-1)}, ValueError, r"peaks\[0\] lies below this shard's own"),
    ],
)
def test_refused_summaries(wanted: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        made(**wanted)


def test_example() -> None:
    """Four processes, started anew; both as a script and by its function."""
    path = rows.ROOT / "examples" / "sharded_vocabulary.py"
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "bits equal to those of whole rows: True"
    example = runpy.run_path(str(path))
    whole = fl.token_logprobs(example["logits"](), example["targets"](), rank=True)
    assert len(done.stdout.splitlines()) == len(whole.ranks) + 1
    for row, line in enumerate(done.stdout.splitlines()[:-1]):
        assert f"rank {whole.ranks[row]}," in line
