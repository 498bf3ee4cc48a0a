"""Bits: one digest of many results, equal on every instruction set and machine; equal bits for every batch size, row
position, thread count, alignment and stride.

The inputs are made from integers, so they are the same everywhere. DIGESTS was computed on x86-64; after a change that
means to change bits, ``python tests/test_digest.py`` prints the new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import made
import numpy as np
import pytest
import rows

import fastlogits
import fastlogits._core as _core
from fastlogits import steps

DIGESTS = {
    "float32": "3f9e702e4d67dd03a25b3c7e5f36b89985c26807fd5860335163a26c3c19735f",
    "float16": "8189ac47d3a56967fe4753e2547e674c2f9b6eccdad532072d4301ced0786dea",
    "bfloat16": "7080fe712e8ad9a40f91da0065c30e27be84fecf5370ab10f68d21bbfb928b33",
    "float64": "cc8a5d10433e87df6c8865bd07f3b2b099fcdb18a5f3395e510eee80f34cf68d",
}

Array = np.ndarray[Any, Any]

SCORES: dict[str, Any] = {
    "top_n": 7, "rank": True, "argmax": True, "entropy": True, "varentropy": True, "logsumexp": True, "margin": True,
}  # fmt: skip


def type_of(name: str) -> Any:
    """The NumPy type of that name; skips without ml_dtypes where it is needed."""
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def plans(n: int) -> Iterator[tuple[Any, ...]]:
    """Fixed plans that reach every step, order and path."""
    ids = (rows.words(min(n, 12), 5) % np.uint64(n)).astype(np.int64)
    bias = steps.LogitBias({int(t): (int(t) % 7 - 3) * 0.75 for t in ids})
    mask = steps.Mask(rows.words(n, 9) % np.uint64(3) != 0)
    packed = steps.Mask(rows.words(-(-n // 32), 10).astype(np.uint32).view(np.int32))
    penalties = (steps.RepetitionPenalty(1.25), steps.FrequencyPenalty(0.5, 20), steps.PresencePenalty(0.375))
    usual = (steps.Temperature(0.8), steps.TopK(50), steps.TopP(0.95), steps.MinP(0.05))
    yield ()
    yield (steps.Temperature(0.7),)
    yield (steps.Temperature(0),)
    yield (steps.Greedy(),)
    yield (steps.TopK(7),)
    yield (steps.TopK(7, ties="keep"), steps.Temperature(1.5))
    yield (steps.TopK(max(1, n // 2)),)
    yield (steps.TopP(0.9),)
    yield (steps.TopP(0.5), steps.Temperature(1.3))
    yield (steps.Temperature(3.0), steps.TopP(0.99))
    yield (steps.MinP(0.1),)
    yield (steps.Temperature(0.6), steps.MinP(0.02, min_keep=3))
    yield usual
    yield usual[::-1]
    yield (*penalties, bias, *usual, steps.Draw())
    yield (*penalties, bias, steps.Temperature(0.8), steps.TopP(0.95))
    yield (*penalties, bias, steps.Temperature(0.9))
    yield (bias, mask, *usual)
    yield (packed, steps.TopP(0.8))
    yield (steps.TopK(40), bias, steps.TopP(0.9), *penalties, steps.MinP(0.01))
    yield (steps.Temperature(0.5), bias, steps.Temperature(2.0), steps.TopK(30))
    yield (steps.TopK(20, joint=True), steps.TopP(0.6, joint=True))
    yield (steps.TopP(0.97), steps.TopK(10), steps.TopP(0.7), steps.MinP(0.2))
    yield (mask, *penalties, steps.TopP(0.9, min_keep=4))


@cache
def other_plans(n: int, length: int) -> list[tuple[Any, ...]]:
    """Every step alone, and beside usual ones, with parameters made of integers."""
    alone = [made.placed(name, made.Numbers.fixed(i, n, length)) for i, name in enumerate(made.NAMES)]
    return alone + [
        made.placed(name, made.Numbers.fixed(n + i, n, length), "temperature", "top_k", "top_p")
        for i, name in enumerate(made.NAMES)
    ]


def outcomes(row: Array, n: int, number: int) -> Iterator[Any]:
    """All results on one row, one after the other; of the other plans a third, by the number of the row."""
    for t in (1.0, 0.7, 1e-3, 50.0):
        yield from (f(row, temperature=t) for f in (fastlogits.softmax, fastlogits.log_softmax, fastlogits.logsumexp))
    yield fastlogits.argmax(row)
    for k in sorted({1, min(n, 40), n}):
        yield from fastlogits.top_k(row, k)
    for t in (1.0, 0.6):
        yield from fastlogits.token_logprobs(row, n // 2, temperature=t, candidates=[0, n - 1], **SCORES)
    context = (rows.words(40, 3) % np.uint64(n)).astype(np.int64)
    for i, plan in enumerate(plans(n)):
        inputs: dict[str, Any] = {"context": context, "prompt_length": 5}
        sampler = fastlogits.Sampler(*plan)
        try:
            found = sampler.candidates(row, **inputs)
        except ValueError:
            yield b"no token"
            continue
        yield from rows.listed(found)
        yield from (sampler.probs(row, **inputs), sampler.filter_logits(row, **inputs))
        for key in range(3):
            drawn = sampler.sample(row, **inputs, rng=99 + i, keys=[key], logprobs=5)
            yield from (drawn.ids, drawn.logprobs, drawn.raw_logprobs, drawn.ranks, drawn.top_ids, drawn.top_logprobs)
    for i, plan in enumerate(other_plans(n, len(context))):
        if i % 3 == number % 3:
            yield from outcomes_of(plan, row, context, i)


def outcomes_of(plan: tuple[Any, ...], row: Array, context: Array, i: int) -> Iterator[Any]:
    """The ends of one plan, and three tokens drawn behind each other with what the steps remember."""
    sampler = fastlogits.Sampler(*plan)
    rows_beside = made.beside(plan, row.astype(np.float64), made.Numbers.fixed(i, row.size))
    inputs: dict[str, Any] = {name: values.astype(row.dtype) for name, values in rows_beside.items()}
    before: dict[str, Any] = {"context": context, "prompt_length": 5, "rng": 99 + i}
    ends: list[Any] = [
        lambda: rows.listed(sampler.candidates(row, **inputs, **before)),
        lambda: (sampler.probs(row, **inputs, **before),),
        lambda: (sampler.filter_logits(row, **inputs, **before),),
        lambda: (sampler.sample(row, **inputs, **before, n=3),),
        lambda: (several(sampler, row, {**inputs, **before}),),
        lambda: (np.array(list(decoded(sampler, row, inputs, context))),),
    ]  # fmt: skip
    for end in ends:
        try:
            yield from end()
        except ValueError:
            yield b"no token"


def several(sampler: fastlogits.Sampler, row: Array, inputs: dict[str, Any]) -> Any:
    """Three different tokens, -1 for those that a row lacks."""
    found, status = sampler.sample(row, **inputs, n=3, replacement=False, on_error="status")
    if status not in (fastlogits.Status.OK, fastlogits.Status.TOO_FEW):
        raise ValueError(status)
    return found


def decoded(sampler: fastlogits.Sampler, row: Array, inputs: dict[str, Any], context: Array) -> Iterator[int]:
    """Three tokens of a sequence."""
    state = sampler.state(context, prompt_length=5)
    for _ in range(3):
        token = sampler.sample(row, **inputs, state=state, rng=5)
        state.accept(token)
        yield int(token)


def digest(name: str, lengths: tuple[int, ...]) -> str:
    """SHA-256 of all outcomes on rows of one type; a NaN counts as one NaN, whatever its sign and payload."""
    state = hashlib.sha256()
    for n in lengths:
        for number, (label, row) in enumerate(rows.exact_rows(n, n)):
            if name == "float16" and label in ("huge", "lowest"):
                continue  # beyond the range of the type
            for result in outcomes(row.astype(type_of(name)), n, number):
                if isinstance(result, bytes):
                    state.update(result)
                    continue
                value = np.asarray(result)
                if value.dtype.kind != "i":
                    wide = np.nan_to_num(value.astype(np.float64), nan=-12345.0, posinf=np.inf, neginf=-np.inf)
                    value = np.where(wide == 0, np.copysign(0.0, wide), wide)
                state.update(value.astype(value.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()


LENGTHS = {"float32": (1, 17, 257, 1000, 5000), "float16": (33, 1000), "bfloat16": (33, 1000), "float64": (33, 1000)}
#: Digests by (instruction set, type), as far as they were made.
known: dict[tuple[str, str], str] = {}


def digest_on(isa: str, name: str) -> str:
    if (isa, name) not in known:
        before = _core.isa()
        _core.set_isa(isa)
        try:
            known[isa, name] = digest(name, LENGTHS[name])
        finally:
            _core.set_isa(before)
    return known[isa, name]


@pytest.mark.parametrize("name", list(LENGTHS))
def test_digest(isa: str, name: str) -> None:
    type_of(name)
    found = digest_on(isa, name)
    print(f"{name} on {isa}: {found}")
    assert found == DIGESTS[name]


@pytest.mark.parametrize("label", ["bell", "ties", "banned"])
def test_long_rows(isa: str, label: str) -> None:
    """The same on a row of a real vocabulary's length, against the scalar code."""
    row = dict(rows.exact_rows(40_001, 4))[label].astype(np.float32)
    right = _long_right(label, row)
    assert all(map(rows.same_bits, _some(row), right))


def _some(row: Array) -> list[Any]:
    chain = fastlogits.Sampler(temperature=0.8, top_p=0.95)
    usual = fastlogits.Sampler(temperature=0.8, top_k=50, top_p=0.95, min_p=0.05)
    return [
        fastlogits.softmax(row, temperature=0.9), fastlogits.log_softmax(row), fastlogits.logsumexp(row),
        *fastlogits.top_k(row, 1000), *rows.listed(chain.candidates(row)), usual.probs(row), chain.filter_logits(row),
        *(chain.sample(row, rng=1, position=i) for i in range(5)),
    ]  # fmt: skip


_long: dict[str, list[Any]] = {}


def _long_right(label: str, row: Array) -> list[Any]:
    if label not in _long:
        before = _core.isa()
        _core.set_isa("scalar")
        try:
            _long[label] = _some(row)
        finally:
            _core.set_isa(before)
    return _long[label]


# ---- batch, position, threads, alignment, stride -------------------------------------------------------------------


def ends(x: Array, **inputs: Any) -> dict[str, Any]:
    """The four ends and the array functions on a batch or a row."""
    keys = inputs.pop("keys", None)
    sampler = fastlogits.Sampler(steps.LogitBias({1: 1.0, 5: -2.0}), steps.Temperature(0.9), steps.TopP(0.9))
    usual = fastlogits.Sampler(temperature=0.8, top_k=20, min_p=0.01)
    drawn = sampler.sample(x, rng=3, keys=keys, position=2, logprobs=3, logprobs_mode="both", **inputs)
    return {
        "sample": tuple(drawn), "probs": sampler.probs(x, **inputs), "filter": usual.filter_logits(x, **inputs),
        "softmax": fastlogits.softmax(x, temperature=0.7), "log_softmax": fastlogits.log_softmax(x),
        "logsumexp": fastlogits.logsumexp(x), "argmax": fastlogits.argmax(x), "top_k": tuple(fastlogits.top_k(x, 6)),
    }  # fmt: skip


def row_of(result: Any, r: int) -> Any:
    return tuple(row_of(part, r) for part in result) if isinstance(result, tuple) else np.asarray(result[r])


def typed(alone: Any, whole: Any) -> Any:
    """A single row's result, Python numbers among it, in the types of the batch's."""
    if isinstance(whole, tuple):
        return tuple(map(typed, alone, whole))
    return np.asarray(alone, whole.dtype)


def batch(dtype: Any = np.float32, n: int = 1003) -> Array:
    return np.stack([row for name, row in rows.exact_rows(n, 2) if name not in ("huge", "lowest")]).astype(dtype)


if __name__ == "__main__":
    for dtype in LENGTHS:
        print(f'    "{dtype}": "{digest_on("scalar", dtype)}",')
