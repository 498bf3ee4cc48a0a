"""Context, randomness, mask, bias and parameters per row, in all their forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from calls import ENDS, refused, run, values

import fastlogits as fl
from fastlogits import reference

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


def nested(sequences: list[Any], outer: tuple[int, ...]) -> list[Any]:
    """Lists nested by `outer`, of which `sequences` are the leaves."""
    for size in outer[:0:-1]:
        sequences = [sequences[i : i + size] for i in range(0, len(sequences), size)]
    return sequences


RAGGED: list[Any] = [[], [3, 4, 4], [1], [2, 2, 5, 1], [], [7]]


@pytest.mark.parametrize("outer", [(6,), (1, 6), (6, 1), (2, 3), (3, 1, 2)])
@pytest.mark.parametrize("make", [list, tuple, np.array], ids=lambda make: make.__name__)
def test_ragged_contexts_nested_as_the_rows(outer: tuple[int, ...], make: Any) -> None:
    x = values((*outer, 20), np.float32)
    steering: dict[str, Any] = {"repetition_penalty": 1.3, "frequency_penalty": 0.2, "prompt_length": 1}
    sequences = [make(ids) if ids else [] for ids in RAGGED]
    right = np.stack([
        fl.filter_logits(row, context=ids, **steering) for row, ids in zip(x.reshape(6, 20), RAGGED, strict=True)
    ]).reshape(x.shape)  # fmt: skip
    drawn = fl.sample(x.reshape(6, 20), context=RAGGED, rng=4, **steering).reshape(outer)
    for context in (sequences, nested(sequences, outer)):
        np.testing.assert_array_equal(fl.filter_logits(x, context=context, **steering), right)
        np.testing.assert_array_equal(fl.sample(x, context=context, rng=4, **steering), drawn)
        np.testing.assert_array_equal(reference.sample(x, context=context, rng=4, **steering), drawn)


def test_nested_contexts_of_equal_lengths() -> None:
    x = values((2, 2, 20), np.float32)
    array = np.arange(12).reshape(2, 2, 3)
    right = fl.filter_logits(x, context=array, presence_penalty=1.0)
    for context in (array.tolist(), list(array), [array[0].tolist(), array[1]], array.reshape(4, 3).tolist()):
        np.testing.assert_array_equal(fl.filter_logits(x, context=context, presence_penalty=1.0), right)
    assert fl.sample(np.zeros((2, 0, 5)), context=[[], []]).shape == (2, 0)
    assert fl.sample(np.zeros((0, 5)), context=[]).shape == (0,)


WANTED = "context must hold one sequence of token ids, or one per row"


@pytest.mark.parametrize(
    ("outer", "context", "message"),
    [
        ((), [1, [2, 3]], "context: token ids must form one axis, got sequences among them"),
        ((), [[1], [2, 3]], f"{WANTED} (1 rows), got 2 sequences"),
        ((), [[1, [2]]], "context: token ids must form one axis, got sequences among them (row 0)"),
        ((2,), [[1], [[2], [3, 4]]], "context: token ids must form one axis, got sequences among them (row 1)"),
        ((2,), [[[1], [2]], [[3], [4]]], "context: token ids must form one axis, got shape (2, 1) (row 0)"),
        ((2,), [[1], 2], "context: token ids must form one axis, got 2; pass it in a list (row 1)"),
        ((2,), [1, [2, 3]], "context: token ids must form one axis, got sequences among them"),
        ((2,), [[[1], [2, 3]]], f"{WANTED} (2 rows), got 1 sequences"),
        ((2,), 12, "context: token ids must form one axis, got 12; pass it in a list"),
        ((2, 2), [[1], [2, 3]], f"{WANTED} (4 rows; in one list, or nested by (2, 2)), got 1 sequences in context[0]"),
        ((2, 2), [[[1], [2]], [[3]]], "got 1 sequences in context[1]"),
        ((2, 2), [[[1], [2]]], "got 1 sequences in context"),
        ((2, 2), [[[1], [2]], 3], "got 3 in context[1]"),
        ((2, 2), [[[1], [2]], [3, 4]], "context: token ids must form one axis, got 3; pass it in a list (row 2)"),
        ((2, 2), [[[1], [2, [3]]], [[4], [5]]], "got sequences among them (row 1)"),
        ((2, 2), np.zeros((2, 3), int), f"{WANTED} (4 rows; in one list, or nested by (2, 2)), got shape (2, 3)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("end", ENDS)
def test_contexts_of_another_nesting(end: str, outer: tuple[int, ...], context: Any, message: str) -> None:
    x = values((*outer, 20), np.float32)
    with refused(ValueError, message):
        run(end, x, context=context, presence_penalty=1.0)


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
    got = fl.sample(
        x,
        rng=3,
        context=context,
        keys=np.arange(6).reshape(2, 3),
        logprobs=4,
        logprobs_mode="both",
        **steering,
        **inputs,
    )
    for a in range(2):
        for b in range(3):
            at = {
                name: np.broadcast_to(value, (2, 3, 60) if name == "mask" else (2, 3))[a, b]
                for name, value in (steering | inputs).items()
            }
            mine = {name: value if name == "mask" else value.item() for name, value in at.items()}
            alone = fl.sample(
                x[a, b], rng=3, context=context[a, b], keys=3 * a + b, logprobs=4, logprobs_mode="both", **mine
            )
            for part, whole in zip(alone, got, strict=True):
                np.testing.assert_array_equal(part, whole[a, b])


def test_none_in_per_row_parameters() -> None:
    x = values((2, 30), np.float32)
    got = fl.candidates(x, top_k=[3, None], top_p=[None, 0.5], penalty_window=[None, 2], temperature=[0.5, None])
    assert got[0].ids.tolist() == fl.candidates(x[0], top_k=3).ids.tolist()
    assert got[1].ids.tolist() == fl.candidates(x[1], top_p=0.5).ids.tolist()


RECORD = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])


@pytest.mark.parametrize("n", [1, 16, 17, 256, 5003])
def test_records_in_place(isa: str, n: int) -> None:
    """Logits inside records of 12 bytes give the bits of a row of their own, whichever passes a plan takes."""
    rng = np.random.default_rng(n)
    data = np.zeros((3, n), RECORD)
    data["logit"] = rng.normal(size=(3, n)) * 3
    data["id"], data["p"] = -1, np.nan
    rows, plain = data["logit"], data["logit"].copy()
    assert rows.strides[-1] == 12
    bias = {0: 1.5, n - 1: -0.5}
    for keywords in (
        {"top_k": 40, "top_p": 0.9}, {"top_k": 300}, {"temperature": 0.7}, {"top_p": 0.9}, {"min_p": 0.01},
        {"min_p": 1e-9}, {"typical_p": 0.9}, {"top_n_sigma": 1.0}, {"mirostat": 1}, {"logit_bias": bias, "top_k": 5},
        {"xtc_probability": 0.9}, {"temperature": 1e-9, "top_p": 0.5}, {"temperature": 0},
    ):  # fmt: skip
        sampler = fl.Sampler(**keywords)
        for got, right in zip(sampler.candidates(rows, rng=3), sampler.candidates(plain, rng=3), strict=True):
            np.testing.assert_array_equal(got.ids, right.ids)
            np.testing.assert_array_equal(got.logprobs, right.logprobs)
        np.testing.assert_array_equal(sampler.probs(rows, rng=3), sampler.probs(plain, rng=3))
        for got, right in zip(
            sampler.sample(rows, rng=3, logprobs=3), sampler.sample(plain, rng=3, logprobs=3), strict=True
        ):
            np.testing.assert_array_equal(got, right)
    np.testing.assert_array_equal(fl.top_k(rows, min(n, 5)).indices, fl.top_k(plain, min(n, 5)).indices)
    np.testing.assert_array_equal(fl.softmax(rows), fl.softmax(plain))
    kept = fl.Sampler(top_k=3).filter_logits(plain)
    fl.Sampler(top_k=3).filter_logits(rows, out=rows)
    np.testing.assert_array_equal(rows, kept)


def test_records_of_which_one_is_bad() -> None:
    data = np.zeros((2, 300), RECORD)
    data["logit"][1, 299] = np.nan
    with pytest.raises(ValueError, match=r"logits\[1\] contains NaN"):
        fl.sample(data["logit"], rng=0, top_k=5)
    data["logit"][1] = -np.inf
    with pytest.raises(ValueError, match=r"logits\[1\] contains no finite logit"):
        fl.sample(data["logit"], rng=0, top_k=5)
