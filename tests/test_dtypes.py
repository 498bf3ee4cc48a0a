"""Element types, strides, axes and alignment that come in, and the types of results."""

from __future__ import annotations

import array
import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows
from calls import BF16, DTYPES, KEYWORDS, by_name, everything, single, values

import fastlogits as fl
from fastlogits import reference

if TYPE_CHECKING:
    from pathlib import Path


# ---- types of results ----------------------------------------------------------------------------------------------


@by_name
def test_types_and_values(isa: str, dtype: np.dtype[Any]) -> None:
    x = values((3, 50), dtype)
    wide = x.astype(np.float64)
    exact = {"float32": 3e-7, "float16": 1e-3, "bfloat16": 8e-3, "float64": 1e-14}
    own, single_step = exact[dtype.name], exact[np.dtype(single(dtype)).name]
    for name, kind, step in (
        ("softmax", dtype, own),
        ("log_softmax", single(dtype), single_step),
        ("logsumexp", single(dtype), single_step),
    ):
        got = getattr(fl, name)(x)
        assert got.dtype == kind, name
        np.testing.assert_allclose(got.astype(np.float64), getattr(reference, name)(wide), rtol=step, atol=1e-7)
    assert fl.argmax(x).dtype == np.int64
    top = fl.top_k(x, 4)
    assert (top.values.dtype, top.indices.dtype) == (dtype, np.dtype(np.int64))
    np.testing.assert_array_equal(top.indices, reference.top_k(wide, 4).indices)
    np.testing.assert_array_equal(top.values.astype(np.float64), reference.top_k(wide, 4).values)
    for end in ("probs", "filter_logits"):
        got = getattr(fl, end)(x, **KEYWORDS)
        assert got.dtype == dtype, end
        right = getattr(reference, end)(wide, **KEYWORDS)
        np.testing.assert_allclose(got.astype(np.float64), right, rtol=own, atol=1e-7)
    found = fl.sample(x, rng=3, logprobs=4, **KEYWORDS)
    right = reference.sample(wide, rng=3, logprobs=4, **KEYWORDS)
    for field in ("ids", "ranks", "top_ids"):
        assert getattr(found, field).dtype == np.int64
        np.testing.assert_array_equal(getattr(found, field), getattr(right, field))
    for field in ("logprobs", "raw_logprobs", "top_logprobs"):
        assert getattr(found, field).dtype == single(dtype)
        np.testing.assert_allclose(getattr(found, field), getattr(right, field), rtol=1e-6)
    listed = fl.candidates(x, **KEYWORDS)
    assert {listed.logits.dtype, listed.logprobs.dtype} == {np.dtype(single(dtype))}
    np.testing.assert_array_equal(listed.ids, reference.candidates(wide, **KEYWORDS).ids)


@by_name
@pytest.mark.parametrize("result", DTYPES, ids=lambda d: d.name)
def test_dtype_argument(isa: str, dtype: np.dtype[Any], result: np.dtype[Any]) -> None:
    """A result of another type is the default's value rounded once."""
    x = values((2, 33), dtype)
    for name in ("softmax", "log_softmax", "logsumexp"):
        function = getattr(fl, name)
        assert function(x, dtype=result).dtype == result
        assert function(x, dtype=result.type).dtype == result
        if single(dtype) == np.float32 and result != np.float64:
            np.testing.assert_array_equal(function(x, dtype=result), function(x, dtype=np.float32).astype(result))
    assert fl.softmax(x, dtype="bfloat16").dtype == BF16
    assert fl.softmax(x, dtype=float).dtype == np.float64
    out = np.zeros(x.shape, result)
    assert fl.softmax(x, out=out, dtype=result) is out
    np.testing.assert_array_equal(out, fl.softmax(x, dtype=result))


def test_one_row_gives_scalars() -> None:
    row = values((20,), np.float32)
    assert type(fl.argmax(row)) is int
    assert type(fl.argmax(row.tolist())) is int
    assert type(fl.sample(row, rng=1)) is int
    assert type(fl.sample(row.tolist(), rng=1)) is int
    found = fl.sample(row, rng=1, logprobs=2)
    assert [type(part) for part in found[:4]] == [int, float, float, int]
    assert found.top_ids.shape == (2,)
    assert isinstance(fl.logsumexp(row), np.float32)
    assert isinstance(fl.logsumexp(row.tolist()), np.float64)
    assert fl.logsumexp(row, keepdims=True).shape == (1,)
    assert fl.top_k(row, 0).values.shape == (0,)


def test_logprobs_wider_than_the_row() -> None:
    found = fl.sample([0.0, 1.0], rng=0, logprobs=4)
    assert found.top_ids.tolist() == [1, 0, -1, -1]
    assert found.top_logprobs.tolist()[2:] == [-np.inf, -np.inf]
    assert fl.sample([0.0, 1.0], rng=0, logprobs=0).top_ids.shape == (0,)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "uint64", "bool"])
def test_integers_are_float64(dtype: str) -> None:
    x = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 0, 1]], dtype)
    wide = x.astype(np.float64)
    assert fl.softmax(x).dtype == np.float64
    for got, right in zip(everything(np.tile(x, 4)), everything(np.tile(wide, 4)), strict=True):
        assert rows.same_bits(got, right)


# ---- memory layouts ------------------------------------------------------------------------------------------------


def layouts(x: Any) -> dict[str, Any]:
    """The same [4, 37] values in other memory."""
    size = x.dtype.itemsize
    raw = np.zeros(x.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(x.dtype).reshape(x.shape)
    misaligned[...] = x
    records = np.zeros(x.shape, [("id", "i4"), ("logit", x.dtype), ("p", "f4")])
    records["logit"] = x
    locked = x.copy()
    locked.flags.writeable = False
    spaced = np.zeros((8, 37 * 3), x.dtype)[::2, ::3]
    spaced[...] = x
    return {
        "fortran": np.asfortranarray(x),
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
        "spaced": spaced,
        "misaligned": misaligned,
        "records": records["logit"],
        "read-only": locked,
        "swapped": x.astype(x.dtype.newbyteorder(">")) if x.dtype != BF16 else x,
        "sliding": np.lib.stride_tricks.as_strided(x.copy(), x.shape, (37 * size, size)),
        "subclass": x.view(np.recarray) if x.dtype != BF16 else x,
    }


@by_name
def test_layouts_give_the_same_bits(isa: str, dtype: np.dtype[Any]) -> None:
    x = values((4, 37), dtype)
    right = everything(x)
    single_row = everything(x[2].copy())
    for name, other in layouts(x).items():
        assert rows.same_bits(everything(other), right), name
        assert rows.same_bits(everything(other[2]), single_row), name


@by_name
def test_broadcast_rows(dtype: np.dtype[Any]) -> None:
    row = values((37,), dtype)
    many = np.broadcast_to(row, (3, 37))
    assert rows.same_bits(fl.softmax(many)[1], fl.softmax(row))
    assert rows.same_bits(fl.probs(many, **KEYWORDS)[2], fl.probs(row, **KEYWORDS))


@by_name
def test_every_axis(isa: str, dtype: np.dtype[Any]) -> None:
    x = values((3, 4, 5, 6), dtype)
    for axis in range(-4, 4):
        last = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        for name in ("softmax", "log_softmax"):
            right = np.moveaxis(getattr(fl, name)(last), -1, axis)
            np.testing.assert_array_equal(getattr(fl, name)(x, axis=axis), right)
            out = np.zeros(x.shape, right.dtype)
            assert getattr(fl, name)(x, axis=axis, out=out) is out
            np.testing.assert_array_equal(out, right)
        np.testing.assert_array_equal(fl.logsumexp(x, axis=axis), fl.logsumexp(last))
        kept = fl.logsumexp(x, axis=axis, keepdims=True)
        np.testing.assert_array_equal(kept, np.expand_dims(fl.logsumexp(last), axis))
        np.testing.assert_array_equal(fl.argmax(x, axis=axis), fl.argmax(last))
        top, right_top = fl.top_k(x, 2, axis=axis, sorted=False), fl.top_k(last, 2)
        np.testing.assert_array_equal(top.values, np.moveaxis(right_top.values, -1, axis))
        np.testing.assert_array_equal(top.indices, np.moveaxis(right_top.indices, -1, axis))


def test_temperature_per_row() -> None:
    x = values((2, 3, 8), np.float32)
    t = np.array([0.5, 1.0, 2.0])
    got = fl.softmax(x, temperature=t)
    for a in range(2):
        for b in range(3):
            assert rows.same_bits(got[a, b], fl.softmax(x[a, b], temperature=float(t[b])))
    middle = fl.log_softmax(x, axis=1, temperature=np.arange(1, 9))
    right = reference.log_softmax(x, axis=1, temperature=np.broadcast_to(np.arange(1, 9), (2, 8)))
    np.testing.assert_allclose(middle, right, rtol=3e-7, atol=1e-7)
    np.testing.assert_array_equal(fl.logsumexp(x[0], temperature=[0.5]), fl.logsumexp(x[0], temperature=0.5))


def test_many_axes() -> None:
    x = values((1,) * 40 + (2, 5), np.float32)
    assert fl.softmax(x).shape == x.shape
    np.testing.assert_array_equal(fl.sample(x, rng=1).ravel(), fl.sample(x.reshape(2, 5), rng=1))


def test_buffers_and_lists(tmp_path: Path) -> None:
    x = values((4, 37), np.float32)
    right = everything(x)
    file = tmp_path / "logits.bin"
    x.tofile(file)
    mapped = np.memmap(file, np.float32, "r", shape=x.shape)
    assert rows.same_bits(everything(mapped), right)
    assert rows.same_bits(everything(list(x)), right)
    assert rows.same_bits(everything(memoryview(x)), right)
    row = everything(x[0].copy())
    assert rows.same_bits(everything(array.array("f", x[0])), row)
    assert rows.same_bits(everything((ctypes.c_float * 37)(*x[0])), row)
    wide = everything(x[0].astype(np.float64))
    assert rows.same_bits(everything(x[0].tolist()), wide)
    assert rows.same_bits(everything(tuple(x[0].tolist())), wide)


# ---- out= ----------------------------------------------------------------------------------------------------------


@by_name
def test_out_takes_any_layout_and_the_input_itself(isa: str, dtype: np.dtype[Any]) -> None:
    x = values((4, 37), dtype)
    sampler = fl.Sampler(**KEYWORDS)
    calls: dict[str, Any] = {"softmax": fl.softmax, "probs": sampler.probs, "filter_logits": sampler.filter_logits}
    for name, call in calls.items():
        right = call(x)
        for kind, other in layouts(np.zeros_like(x)).items():
            if kind not in ("read-only", "swapped", "subclass"):
                assert call(x, out=other) is other
                assert rows.same_bits(np.ascontiguousarray(other), right), (name, kind)
        for kind, other in layouts(x).items():
            if kind not in ("read-only", "swapped", "subclass"):
                assert call(other, out=other) is other
                assert rows.same_bits(np.ascontiguousarray(other), right), (name, kind)
        row = x[1].copy()
        call(row, out=row)
        assert rows.same_bits(row, right[1])


def test_out_of_sample() -> None:
    x = values((2, 3, 20), np.float32)
    right = fl.sample(x, rng=4)
    for out in (np.zeros((2, 3), np.int64), np.zeros((3, 2), np.int64).T, np.zeros((2, 6), np.longlong)[:, ::2]):
        assert fl.sample(x, rng=4, out=out) is out
        np.testing.assert_array_equal(out, right)
    single_row = np.zeros((), np.int64)
    assert fl.sample(x[0, 0], rng=4, out=single_row) is single_row
    assert single_row == right[0, 0]
    out = np.zeros((2, 3), np.int64)
    assert fl.sample(x, rng=4, out=out, logprobs=1).ids is out
