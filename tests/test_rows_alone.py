"""A row's result does not depend on its batch, threads, alignment or strides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows
from test_digest import Array, batch, ends, row_of, typed

import fastlogits


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64], ids=lambda d: np.dtype(d).name)
def test_rows_are_alone(isa: str, dtype: Any) -> None:
    """A row's result does not know its batch, its place in it, or the number of threads."""
    x = batch(dtype)
    keys = np.arange(len(x)) * 3 + 1
    whole = ends(x, keys=keys)
    alone = [ends(x[r], keys=keys[r : r + 1]) for r in range(len(x))]
    for name, result in whole.items():
        for r in range(len(x)):
            assert rows.same_bits(row_of(result, r), typed(alone[r][name], result)), (name, r)
    back = ends(x[::-1], keys=keys[::-1])
    for name, result in back.items():
        for r in range(len(x)):
            assert rows.same_bits(row_of(result, len(x) - 1 - r), typed(alone[r][name], result)), (name, r)
    for threads in (2, 3, 0):
        again = ends(x, keys=keys, threads=threads)
        for name, result in again.items():
            assert rows.same_bits(result, whole[name]), (name, threads)


def test_many_rows_many_threads() -> None:
    x = np.tile(batch(n=301), (40, 1))
    keys = np.arange(len(x))
    sampler = fastlogits.Sampler(temperature=0.9, top_k=30, top_p=0.9)
    for kind in ("sample", "candidates", "probs", "filter_logits"):
        more = {"rng": 5, "keys": keys} if kind == "sample" else {}
        one = getattr(sampler, kind)(x, **more)
        for threads in (2, 4, 7):
            got = getattr(sampler, kind)(x, threads=threads, **more)
            pair = map(rows.listed, (got, one)) if kind == "candidates" else (got, one)
            assert rows.same_bits(*pair), (kind, threads)


def shifted(x: Array, offset: int) -> Array:
    """A copy of `x` that starts `offset` bytes behind a 64-byte line."""
    raw = np.empty(x.nbytes + 128 + offset, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    moved = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64], ids=lambda d: np.dtype(d).name)
def test_alignment(isa: str, dtype: Any) -> None:
    row = batch(dtype)[0]
    right = ends(row)
    for offset in [item * row.itemsize for item in range(16)] + [1, 2, 3, 5, 7, 13]:
        got = ends(shifted(row, offset))
        for name in right:
            assert rows.same_bits(got[name], right[name]), (name, offset)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64], ids=lambda d: np.dtype(d).name)
def test_strides(isa: str, dtype: Any) -> None:
    x = batch(dtype, n=700)
    right = ends(x)
    wide = np.zeros((len(x), 700, 3), dtype)
    wide[:, :, 1] = x
    records = np.zeros(x.shape, [("id", np.int32), ("logit", dtype), ("p", np.float32)])
    records["logit"] = x
    odd = np.zeros(x.shape, [("pad", np.uint8), ("logit", dtype)])
    odd["logit"] = x
    forms = {
        "every third": wide[:, :, 1], "field of records": records["logit"], "misaligned field": odd["logit"],
        "Fortran order": np.asfortranarray(x), "reversed": np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        "byte-swapped": x.astype(x.dtype.newbyteorder()), "every other row": np.repeat(x, 2, axis=0)[::2],
    }  # fmt: skip
    for form, view in forms.items():
        got = ends(view)
        for name in right:
            assert rows.same_bits(got[name], right[name]), (form, name)
    frozen = x.copy()
    frozen.flags.writeable = False
    assert rows.same_bits(ends(frozen)["probs"], right["probs"])


def test_output_strides(isa: str) -> None:
    x = batch(n=700)
    sampler = fastlogits.Sampler(temperature=0.7, top_p=0.9)
    calls: dict[str, Any] = {
        "softmax": fastlogits.softmax, "log_softmax": fastlogits.log_softmax, "probs": sampler.probs,
        "filter_logits": sampler.filter_logits,
    }  # fmt: skip
    for name, call in calls.items():
        right = call(x)
        wide = np.full((len(x), 700, 2), 7, np.float32)
        given = call(x, out=wide[:, :, 1])
        assert rows.same_bits(np.ascontiguousarray(given), right), name
        assert (wide[:, :, 0] == 7).all(), name
        place = x.copy()
        call(place, out=place)
        assert rows.same_bits(place, right), name


def test_memmap(isa: str, tmp_path: Any) -> None:
    x = batch(n=500)
    path = tmp_path / "logits.bin"
    x.tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=x.shape)
    assert rows.same_bits(np.asarray(fastlogits.probs(mapped, top_p=0.9)), fastlogits.probs(x, top_p=0.9))
