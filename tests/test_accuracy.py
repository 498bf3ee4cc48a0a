"""Accuracy in units of the last place on every row class and temperature; ``pytest -s`` prints the table.

All instruction sets return the same bits (test_digest.py), so one of them is enough here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows

import fastlogits
from fastlogits import reference

LENGTHS = (2, 33, 1000, 32000)


def exact_log_softmax(row: np.ndarray[Any, Any], t: float) -> tuple[np.ndarray[Any, Any], Any]:
    """log_softmax and logsumexp of a float64 row in long double."""
    x = row.astype(np.longdouble)
    top = x.max()
    with np.errstate(over="ignore", under="ignore"):
        d = (x - top) / np.longdouble(t)
        e = np.exp(d)
    e[int(np.argmax(x))] = 0
    rest = np.log1p(e.sum())
    return d - rest, top / np.longdouble(t) + rest


def table(title: str, worst: dict[str, dict[str, float]]) -> None:
    """Prints one line per row class, worst over lengths and temperatures."""
    names = list(next(iter(worst.values())))
    print(f"\n{title:<24}" + "".join(f"{name:>14}" for name in names))
    for label, line in worst.items():
        print(f"{label:<24}" + "".join(f"{line[name]:>14.3f}" for name in names))


def measure(dtype: str, lengths: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Worst ulp per row class: softmax, log_softmax, and logsumexp beyond its allowance of absolute error."""
    worst: dict[str, dict[str, float]] = {}
    for n in lengths:
        for label, row in rows.accuracy_rows(n, seed=n, dtype=dtype).items():
            line = worst.setdefault(label, {"softmax": 0.0, "log_softmax": 0.0, "logsumexp": 0.0})
            x = row.astype(dtype)
            for t in rows.TEMPERATURES:
                scores, total = exact_log_softmax(row, t)
                with np.errstate(under="ignore"):
                    p = np.exp(scores)
                off = np.abs(np.longdouble(fastlogits.logsumexp(x, temperature=t)) - total)
                # max / T + log1p(rest) may cancel: what its two terms are rounded by is left.
                limit = 1e-7 if dtype == "float32" else np.spacing(max(1.0, abs(row.max() / t)))
                found = {
                    "softmax": rows.ulps(fastlogits.softmax(x, temperature=t), p, dtype).max(),
                    "log_softmax": rows.ulps(fastlogits.log_softmax(x, temperature=t), scores, dtype).max(),
                    "logsumexp": float(max(off - limit, 0)) / float(np.spacing(np.abs(np.dtype(dtype).type(total)))),
                }
                for name, value in found.items():
                    assert not np.isnan(value), (label, name, n, t)
                    line[name] = max(line[name], float(value))
    return worst


def test_float32() -> None:
    worst = measure("float32", LENGTHS)
    table("float32, worst ulp", worst)
    for label, line in worst.items():
        assert line["softmax"] <= 2, label
        assert line["log_softmax"] <= 2, label
        assert line["logsumexp"] <= 1, label


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here")
def test_float64() -> None:
    worst = measure("float64", LENGTHS[:3])
    table("float64, worst ulp", worst)
    for label, line in worst.items():
        assert line["softmax"] <= 2, label
        assert line["log_softmax"] <= 2, label
        assert line["logsumexp"] <= 2, label


def test_float64_against_mpmath() -> None:
    mp = pytest.importorskip("mpmath")
    for label, row in rows.accuracy_rows(30, seed=9, dtype="float64").items():
        for t in (0.7, 10.0):
            with mp.workdps(80):
                x = [mp.mpf(v) / mp.mpf(t) for v in row]
                top = max(x)
                rest = mp.log1p(mp.fsum([mp.exp(v - top) for i, v in enumerate(x) if i != x.index(top)]))
                exact = np.array([float(v - top - rest) for v in x])
                likely = np.array([float(mp.exp(v - top - rest)) for v in x])
            assert rows.ulps(fastlogits.log_softmax(row, temperature=t), exact, "float64").max() <= 2.5, label
            assert rows.ulps(fastlogits.softmax(row, temperature=t), likely, "float64").max() <= 2.5, label


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_is_float32_rounded_once(name: str) -> None:
    """Half input gives the float32 result on the same values, rounded once to nearest even, underflowing gradually."""
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)
    for n in (33, 5000):
        for label, row in rows.accuracy_rows(n, seed=1).items():
            if name == "float16" and label in ("+-1e30", "finfo.min as mask"):
                row = np.maximum(row, -60000.0) if label != "+-1e30" else row / 1e28
            x = row.astype(kind)
            single = x.astype(np.float32)
            for t in (0.1, 1.0, 10.0):
                p = fastlogits.softmax(single, temperature=t)
                got = fastlogits.softmax(x, temperature=t)
                assert got.dtype == kind
                assert rows.same_bits(got, p.astype(kind)), (label, n, t)
                assert rows.same_bits(
                    fastlogits.log_softmax(x, temperature=t), fastlogits.log_softmax(single, temperature=t)
                ), (label, n, t)
                assert fastlogits.logsumexp(x, temperature=t) == fastlogits.logsumexp(single, temperature=t)
                kept = fastlogits.filter_logits(single, temperature=t, top_p=0.9)
                if name == "float16" and kept.max() > 65504:  # beyond the type: refused, not made +inf
                    with pytest.raises(ValueError, match="finite range in temperature"):
                        fastlogits.filter_logits(x, temperature=t, top_p=0.9)
                    continue
                got = fastlogits.filter_logits(x, temperature=t, top_p=0.9)
                assert rows.same_bits(got, kept.astype(kind)), (label, n, t)


def test_top_token_keeps_relative_precision() -> None:
    """log p(max) = -log1p(rest): the confident token, where peers return 0 or lose most digits."""
    for gap in (5.0, 10.0, 17.0, 30.0, 60.0, 100.0):
        row = np.zeros(1000, np.float32)
        row[123] = gap
        exact = reference.log_softmax(row)[123]
        assert rows.ulps(fastlogits.log_softmax(row)[123], exact, "float32") <= 2, gap
        found = fastlogits.sample(row, temperature=1.0, rng=0, logprobs=1)
        assert found.top_logprobs[0] == pytest.approx(exact, rel=3e-7)


def test_small_tail_counts() -> None:
    """Many tokens far below the top are still summed: 32,000 of them 80 below."""
    row = np.full(32001, -80.0, np.float32)
    row[7] = 0.0
    rest = -float(fastlogits.log_softmax(row)[7])
    assert rest == pytest.approx(32000 * np.exp(-80.0), rel=1e-6)


def test_filter_logits_bound() -> None:
    """|softmax(filter_logits) - probs| <= p 2^-23 (4 + max |l|)."""
    for label, row in rows.accuracy_rows(3000, seed=4).items():
        if label in ("+-1e30", "finfo.min as mask"):
            continue  # the bound then says nothing
        x = row.astype(np.float32)
        for t in (0.5, 1.0, 7.0):
            kept = fastlogits.filter_logits(x, temperature=t, top_p=0.98)
            p = fastlogits.probs(x, temperature=t, top_p=0.98).astype(np.float64)
            again = reference.softmax(kept.astype(np.float64))
            largest = np.abs(kept[np.isfinite(kept)]).max()
            assert (np.abs(again - p) <= p * 2.0**-23 * (4 + largest)).all(), (label, t)
