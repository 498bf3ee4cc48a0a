"""What comes in and what goes out: element types, strides, axes, alignment, tensors and results' types."""

from __future__ import annotations

import array
import ctypes
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
import rows

import fastlogits as fl
from fastlogits import _core, reference

if TYPE_CHECKING:
    from pathlib import Path

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), BF16, np.dtype(np.float64)]
KEYWORDS: dict[str, Any] = {"temperature": 0.8, "top_k": 9, "top_p": 0.95, "logit_bias": {1: 1.5, 2: -np.inf}}
ENDS = ["probs", "filter_logits"]
by_name = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def single(dtype: np.dtype[Any]) -> Any:
    return np.float64 if dtype == np.float64 else np.float32


def everything(x: Any) -> tuple[Any, ...]:
    """Bits of all functions on x."""
    sampler = fl.Sampler(**KEYWORDS)
    found = (fl.softmax(x), fl.log_softmax(x), fl.logsumexp(x), fl.argmax(x), tuple(fl.top_k(x, 4)))
    ends = tuple(getattr(sampler, end)(x) for end in ENDS)
    return (*found, *ends, tuple(sampler.sample(x, rng=5, logprobs=3)), rows.listed(sampler.candidates(x)))


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
    for end in ENDS:
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
    assert [type(part) for part in found[:4]] == [int, np.float32, np.float32, int]
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


# ---- the context, the mask and the bias in all their forms ---------------------------------------------------------


def test_context_forms() -> None:
    x = values((2, 20), np.float32)
    sampler = fl.Sampler(repetition_penalty=1.3, frequency_penalty=0.2)
    right = sampler.filter_logits(x, context=[[1, 2, 2], [3, 4, 4]])
    same = np.array([[1, 2, 2], [3, 4, 4]])
    forms: tuple[Any, ...] = (
        same, same.astype(np.int32), same.astype(np.uint8), np.asfortranarray(same), same.astype(">i8"), tuple(same),
        [same[0], (3, 4, 4)], list(map(list, same)),
    )  # fmt: skip
    for context in forms:
        np.testing.assert_array_equal(sampler.filter_logits(x, context=context), right)
        np.testing.assert_array_equal(sampler.filter_logits(x[None], context=np.asarray(context))[0], right)
    row = sampler.filter_logits(x[0], context=[1, 2, 2])
    forms = (same[0], same[0].astype(np.int16), (1, 2, 2), [[1, 2, 2]], same[:1], range(1, 3))
    for context in forms:
        expected = row if len(np.ravel(np.asarray(context))) == 3 else sampler.filter_logits(x[0], context=[1, 2])
        np.testing.assert_array_equal(sampler.filter_logits(x[0], context=context), expected)
    shared = sampler.filter_logits(x, context=[1, 2, 2])
    np.testing.assert_array_equal(shared, sampler.filter_logits(x, context=[[1, 2, 2]] * 2))
    ragged = sampler.filter_logits(x, context=[[], [3, 4, 4]])
    np.testing.assert_array_equal(ragged, np.stack([x[0], right[1]]))
    forms = (None, [], [[], []], np.zeros((2, 0), int))
    for nothing in forms:
        np.testing.assert_array_equal(sampler.filter_logits(x, context=nothing), x)


def test_context_moves_the_position() -> None:
    """The fast way of one plain row and the general way agree on seeds, positions, keys and contexts."""
    row = np.zeros(500, np.float32)
    sampler = fl.Sampler()
    for context, position, key in (([], None, None), ([1, 2, 3], None, 5), ([1], 7, None), (None, -1, 2**64 - 3)):
        ids = None if context is None else np.array(context, np.int64)
        keywords: dict[str, Any] = {"position": position, "keys": key, "rng": 11}
        got = sampler.sample(row, context=ids, **keywords)
        assert got == sampler.sample(row, context=context, threads=1, **keywords)
        assert got == sampler.sample(row[None], context=None if context is None else [context], **keywords)[0]
        assert got == reference.sample(row, context=context, **keywords)
        assert got == fl.sample(row, context=context, **keywords)


def test_rng_forms() -> None:
    row = np.zeros(1000, np.float32)
    for seed in (0, 7, 2**64 - 1, 2**64, 2**200, np.int64(7)):
        assert fl.sample(row, rng=seed) == reference.sample(row, rng=seed) == fl.sample(row[None], rng=seed)[0]
    sequence = np.random.SeedSequence(5)
    word = int(sequence.generate_state(1, np.uint64)[0])
    assert fl.sample(row, rng=sequence) == fl.sample(row, rng=word) == fl.sample(row[None], rng=sequence)[0]
    for make in (np.random.default_rng, np.random.Philox, lambda s: np.random.Generator(np.random.MT19937(s))):
        one, two = make(3), make(3)
        assert [fl.sample(row, rng=one) for _ in range(5)] == [int(fl.sample(row[None], rng=two)[0]) for _ in range(5)]
    rng = np.random.default_rng(3)
    words = np.random.default_rng(3).bit_generator
    assert [fl.sample(row, rng=rng) for _ in range(3)] == [fl.sample(row, rng=words.random_raw()) for _ in range(3)]
    assert len({fl.sample(row) for _ in range(20)}) > 10


def test_keys_and_positions_wrap() -> None:
    x = np.zeros((3, 400), np.float32)
    for name in ("keys", "position"):
        given: list[Any] = [
            [-1, 2, 2**63],
            np.array([2**64 - 1, 2, 2**63], np.uint64),
            np.array([-1, 2, -(2**63)]),
            (2**64 - 1, 2 + 2**64, -(2**63)),
        ]
        results = [fl.sample(x, rng=1, **{name: value}).tolist() for value in given]
        assert results == [results[0]] * 4
    assert fl.sample(x, rng=1, keys=[0, 1, 2]).tolist() == fl.sample(x, rng=1).tolist()


def test_mask_forms(isa: str) -> None:
    x = values((3, 70), np.float32)
    allowed = np.random.default_rng(1).random((3, 70)) < 0.5
    right = np.where(allowed, x, -np.inf)
    packed = np.zeros((3, 12), np.uint8)
    packed[:, :9] = np.packbits(allowed, axis=1, bitorder="little")
    words = packed.view(np.int32)
    spread = np.zeros((3, 7), np.int32)
    spread[:, :3] = words
    misaligned = np.zeros(words.nbytes + 1, np.uint8)[1:].view(np.int32).reshape(words.shape)
    misaligned[...] = words
    for mask in (
        allowed, allowed.tolist(), words, words.view(np.uint32), spread[:, :3], np.asfortranarray(words), misaligned,
        words.astype(">i4"), words[::-1].copy()[::-1],
    ):  # fmt: skip
        np.testing.assert_array_equal(fl.filter_logits(x, mask=mask), right)
        np.testing.assert_array_equal(fl.filter_logits(x[1], mask=np.asarray(mask)[1]), right[1])
        np.testing.assert_array_equal(fl.filter_logits(x[None], mask=mask)[0], right)
    np.testing.assert_array_equal(fl.filter_logits(x, mask=words[0]), np.where(allowed[0], x, -np.inf))
    np.testing.assert_array_equal(fl.filter_logits(x[0], mask=words[:1]), right[0])
    short = fl.filter_logits(x, mask=allowed[0, :40])
    np.testing.assert_array_equal(short, np.where(np.arange(70) < 40, np.where(allowed[0], x, -np.inf), -np.inf))
    np.testing.assert_array_equal(fl.filter_logits(x, mask=words[0, :1])[:, 32:], np.full((3, 38), -np.inf))


def test_packed_words_are_read_at_each_call() -> None:
    words = np.array([0b0011], np.int32)
    sampler = fl.Sampler(mask=words)
    row = np.zeros(4, np.float32)
    assert sampler.candidates(row).ids.tolist() == [0, 1]
    words[0] = 0b1100
    assert sampler.candidates(row).ids.tolist() == [2, 3]


def test_bias_forms(isa: str) -> None:
    x = values((2, 20), np.float32)
    right = x.copy()
    right[:, 3] += np.float32(1.5)
    right[:, 7] = -np.inf
    ids, amounts = np.array([3, 7]), np.array([1.5, -np.inf])
    one = {3: 1.5, 7: -np.inf}
    for bias in (
        one, {np.int32(3): np.float32(1.5), 7: -np.inf}, (ids, amounts), ([7, 3], [-np.inf, 1.5]), [one, one],
        [(ids, amounts), one], ({3: 1.5, 7: -np.inf}, one), (ids.astype(np.int32), amounts.astype(np.float32)),
    ):  # fmt: skip
        np.testing.assert_array_equal(fl.filter_logits(x, logit_bias=bias), right)
    apart = fl.filter_logits(x, logit_bias=[None, one])
    np.testing.assert_array_equal(apart, np.stack([x[0], right[1]]))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 3), (2, 1)])
def test_parameters_per_row(isa: str, shape: tuple[int, ...]) -> None:
    x = values((2, 3, 60), np.float32)
    rng = np.random.default_rng(0)
    steering: dict[str, Any] = {
        "temperature": rng.uniform(0.5, 2, shape),
        "top_k": rng.integers(1, 30, shape).tolist(),
        "top_p": rng.uniform(0.5, 1, shape).astype(np.float32),
        "min_p": rng.uniform(0, 0.1, shape),
        "min_keep": rng.integers(1, 4, shape),
        "ties": np.array(["id", "keep"])[rng.integers(0, 2, shape)].tolist(),
        "joint": (rng.random(shape) < 0.5).tolist(),
        "repetition_penalty": rng.uniform(0.5, 2, shape),
        "frequency_penalty": rng.uniform(-1, 1, shape),
        "presence_penalty": rng.uniform(-1, 1, shape),
        "penalty_window": rng.integers(0, 5, shape),
        "mask": rng.random((*shape, 60)) < 0.9,
    }
    inputs: dict[str, Any] = {"prompt_length": rng.integers(0, 3, shape), "position": rng.integers(0, 9, shape)}
    context = rng.integers(0, 60, (2, 3, 8))
    got = fl.sample(x, rng=3, context=context, keys=np.arange(6).reshape(2, 3), logprobs=4, **steering, **inputs)
    for a in range(2):
        for b in range(3):
            at = {
                name: np.broadcast_to(value, (2, 3, 60) if name == "mask" else (2, 3))[a, b]
                for name, value in (steering | inputs).items()
            }
            mine = {name: value if name == "mask" else value.item() for name, value in at.items()}
            alone = fl.sample(x[a, b], rng=3, context=context[a, b], keys=3 * a + b, logprobs=4, **mine)
            for part, whole in zip(alone, got, strict=True):
                np.testing.assert_array_equal(part, whole[a, b])


def test_none_in_per_row_parameters() -> None:
    x = values((2, 30), np.float32)
    got = fl.candidates(x, top_k=[3, None], top_p=[None, 0.5], penalty_window=[None, 2], temperature=[0.5, None])
    assert got[0].ids.tolist() == fl.candidates(x[0], top_k=3).ids.tolist()
    assert got[1].ids.tolist() == fl.candidates(x[1], top_p=0.5).ids.tolist()


# ---- torch and DLPack ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_torch(isa: str, torch: Any, name: str) -> None:
    x = values((4, 37), {d.name: d for d in DTYPES}[name])
    tensor = torch.tensor(x.astype(np.float64)).to(getattr(torch, name))
    assert rows.same_bits(everything(tensor), everything(x))
    assert rows.same_bits(everything(tensor[1]), everything(x[1]))
    assert rows.same_bits(everything(tensor.T), everything(np.ascontiguousarray(x.T)))
    transposed = tensor.T.contiguous().T
    assert rows.same_bits(everything(transposed), everything(x))
    for call in (fl.softmax, fl.Sampler(**KEYWORDS).probs, fl.Sampler(**KEYWORDS).filter_logits):
        right = call(x)
        for out in (torch.zeros_like(tensor), torch.zeros_like(tensor.T).T, tensor.clone()):
            source = out if out.any() else tensor
            assert call(source, out=out) is out
            assert rows.same_bits(out.to(torch.float64).numpy(), right.astype(np.float64))
    ids = torch.zeros(4, dtype=torch.int64)
    assert fl.sample(tensor, rng=3, out=ids) is ids
    assert ids.tolist() == fl.sample(x, rng=3).tolist()


def test_torch_is_not_copied(torch: Any) -> None:
    from fastlogits import _inputs

    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.zeros(3, 5, dtype=dtype)
        assert _inputs.logits_array("logits", tensor).__array_interface__["data"][0] == tensor.data_ptr()


def test_torch_operands(torch: Any) -> None:
    x = values((2, 40), np.float32)
    ids = [[1, 2, 2], [3, 4, 4]]
    right = fl.filter_logits(x, context=ids, repetition_penalty=1.5, temperature=[0.5, 0.75])
    got = fl.filter_logits(x, context=torch.tensor(ids), repetition_penalty=1.5, temperature=torch.tensor([0.5, 0.75]))
    np.testing.assert_array_equal(got, right)
    words = torch.tensor([[5, 1], [-1, 3]], dtype=torch.int32)
    np.testing.assert_array_equal(fl.filter_logits(x, mask=words), fl.filter_logits(x, mask=words.numpy()))
    assert fl.sample(x, rng=1, keys=torch.tensor([4, 5])).tolist() == fl.sample(x, rng=1, keys=[4, 5]).tolist()


def test_torch_refused(torch: Any) -> None:
    with pytest.raises(TypeError, match=r"logits must not require a gradient; pass logits\.detach\(\)"):
        fl.sample(torch.zeros(3, requires_grad=True))
    with pytest.raises(ValueError, match="x must be in CPU memory, got a tensor on meta"):
        fl.softmax(torch.zeros(3, device="meta"))
    with pytest.raises(TypeError, match="x must be a dense tensor"):
        fl.softmax(torch.zeros(3, 3).to_sparse())
    with pytest.raises(TypeError, match="x must hold float32"):
        fl.softmax(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"x: dtype torch\.float8_e4m3fn is not supported"):
        fl.softmax(torch.zeros(3, dtype=torch.float8_e4m3fn))
    with pytest.raises(TypeError, match="out must have dtype bfloat16, got float32"):
        fl.softmax(torch.zeros(3, dtype=torch.bfloat16), out=torch.zeros(3))
    with pytest.raises(TypeError, match="out must have dtype float32, got bfloat16"):
        fl.softmax(torch.zeros(3), out=torch.zeros(3, dtype=torch.bfloat16))
    np.testing.assert_allclose(fl.softmax(torch.zeros(4, dtype=torch.int32)), [0.25] * 4)


class Exporter:
    """An object that knows DLPack and nothing else."""

    def __init__(self, tensor: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.tensor, self.device = tensor, device

    def __dlpack__(self, **_: Any) -> Any:
        return self.tensor.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_dlpack(torch: Any, name: str) -> None:
    x = values((4, 37), {d.name: d for d in DTYPES}[name])
    tensor = torch.tensor(x.astype(np.float64)).to(getattr(torch, name))
    assert rows.same_bits(everything(Exporter(tensor)), everything(x))
    assert rows.same_bits(everything(Exporter(tensor.T)), everything(np.ascontiguousarray(x.T)))
    assert rows.same_bits(everything(Exporter(tensor[1:, 3:])), everything(x[1:, 3:]))


def test_dlpack_owns_its_memory(torch: Any) -> None:
    """The imported array keeps the tensor alive, a capsule is read once, and other types are left to NumPy."""
    tensor = torch.arange(1000, dtype=torch.bfloat16)
    capsule = tensor.__dlpack__()
    bits = _core.dlpack_bfloat16(capsule)
    assert bits is not None
    assert bits.__array_interface__["data"][0] == tensor.data_ptr()
    assert not bits.flags.writeable
    assert _core.dlpack_bfloat16(capsule) is None
    kept = bits.view(np.uint16).copy()
    del tensor, capsule
    np.testing.assert_array_equal(bits.view(np.uint16), kept)
    assert _core.dlpack_bfloat16(torch.zeros(3).__dlpack__()) is None
    assert _core.dlpack_bfloat16("no capsule") is None


def test_dlpack_refused(torch: Any) -> None:
    with pytest.raises(ValueError, match=r"x must be in CPU memory, got DLPack device \(2, 0\)"):
        fl.softmax(Exporter(torch.zeros(3), (2, 0)))
    with pytest.raises(TypeError, match="x: "):
        fl.softmax(Exporter(torch.zeros(3, dtype=torch.float8_e4m3fn)))


# ---- without ml_dtypes ---------------------------------------------------------------------------------------------


def test_bfloat16_without_ml_dtypes(torch: Any) -> None:
    """Results are float32; a torch tensor still takes bfloat16 by out=."""
    code = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, torch, fastlogits as fl
x = torch.linspace(-2, 2, 40, dtype=torch.bfloat16)
for result in (fl.softmax(x), fl.probs(x), fl.filter_logits(x, top_k=3), fl.top_k(x, 3).values):
    assert result.dtype == np.float32, result.dtype
out = torch.zeros_like(x)
assert fl.softmax(x, out=out) is out
assert abs(fl.softmax(x) - out.float().numpy()).max() < 1e-3
assert fl.top_k(x, 2).values.tolist() == x.flip(0)[:2].tolist()
assert fl.softmax(np.zeros(2), dtype="bfloat16").dtype == np.float32
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
