"""What must hold for any shape, stride and value (hypothesis)."""

from __future__ import annotations

from typing import Any

import hypothesis
import made
import numpy as np
import plans
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import fastlogits
from fastlogits import reference, steps

Array = np.ndarray[Any, Any]
INF = np.inf

DTYPES = st.sampled_from([np.float32, np.float64, np.float16])


@st.composite
def arrays(draw: st.DrawFn, finite: bool = False, outer: int = 40) -> Array:
    """An array of 1 to 3 axes of any float class, seen through random steps and reversals of its axes.

    All axes but the last have at most ``outer`` entries.
    """
    dtype = np.dtype(draw(DTYPES))
    sides = draw(npst.array_shapes(min_dims=1, max_dims=3, max_side=40))
    shape = (*(min(side, outer) for side in sides[:-1]), sides[-1])
    width: Any = dtype.itemsize * 8
    small = st.floats(-30, 30, width=width) if finite else st.floats(width=width)
    values = st.one_of(small, st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.5] + ([] if finite else [-INF, INF, np.nan])))
    full = tuple(side * draw(st.integers(1, 3)) for side in shape)
    x = draw(npst.arrays(dtype, full, elements=values, fill=st.just(0.5)))
    cut = tuple(slice(None, None, n // side) for n, side in zip(full, shape, strict=True))
    view: Array = x[cut]
    turned = tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in shape)
    return view[turned]


@st.composite
def axes(draw: st.DrawFn, x: Array) -> int:
    return int(draw(st.integers(-x.ndim, x.ndim - 1)))


@given(st.data())
def test_softmax_family_anywhere(data: st.DataObject) -> None:
    """Equal to the reference for any values, NaN and infinities included."""
    x = data.draw(arrays())
    axis = data.draw(axes(x))
    t = data.draw(st.sampled_from([1.0, 0.7, 3.0]))
    wide = x.astype(np.float64)
    half = x.dtype == np.float16
    rtol, floor = (1e-3, 6.2e-8) if half else (3e-7, 2.4e-38) if x.dtype == np.float32 else (2e-13, 1e-300)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            fastlogits.softmax(x, axis=axis, temperature=t), reference.softmax(wide, axis=axis, temperature=t),
            rtol=rtol, atol=floor,
        )  # fmt: skip
        largest = np.finfo(np.float32).max if x.dtype != np.float64 else np.finfo(np.float64).max
        for name in ("log_softmax", "logsumexp"):
            got = getattr(fastlogits, name)(x, axis=axis, temperature=t)
            right = getattr(reference, name)(wide, axis=axis, temperature=t)
            right = np.where(np.abs(right) > largest, np.copysign(INF, right), right)  # beyond the result's own type
            np.testing.assert_allclose(got, right, rtol=3e-7 if x.dtype != np.float64 else 2e-13, atol=1e-7)


@given(st.data())
def test_order_anywhere(data: st.DataObject) -> None:
    x = data.draw(arrays())
    axis = data.draw(axes(x))
    k = data.draw(st.integers(1, x.shape[axis]))
    values, ids = fastlogits.top_k(x, k, axis=axis)
    np.testing.assert_array_equal(ids, reference.top_k(x, k, axis=axis).indices)
    np.testing.assert_array_equal(values, np.take_along_axis(x, ids, axis))
    np.testing.assert_array_equal(fastlogits.argmax(x, axis=axis), np.argmax(x, axis=axis))


@st.composite
def steering(draw: st.DrawFn, x: Array) -> dict[str, Any]:
    """Keywords of a pipeline for the rows of `x`."""
    chosen: dict[str, Any] = {}
    n = x.shape[-1]
    if draw(st.booleans()):
        chosen["temperature"] = draw(st.floats(0.1, 5))
    if draw(st.booleans()):
        chosen["top_k"] = draw(st.integers(-1, n + 2))
    if draw(st.booleans()):
        chosen["top_p"] = draw(st.floats(0, 1))
    if draw(st.booleans()):
        chosen["min_p"] = draw(st.floats(0, 1))
    if draw(st.booleans()):
        chosen["min_keep"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        chosen["logit_bias"] = draw(st.dictionaries(st.integers(0, n - 1), st.floats(-20, 20), max_size=5))
    if draw(st.booleans()):
        chosen["repetition_penalty"] = draw(st.floats(0.5, 2))
        seen = st.lists(st.integers(0, n - 1), max_size=6)
        chosen["context"] = [draw(seen) for _ in range(x.size // n)] if x.ndim > 1 else draw(seen)
    return chosen


def lines(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


@given(st.data())
def test_ends_agree_with_each_other(data: st.DataObject) -> None:
    """Probabilities sum to 1 and are positive on candidates alone; filter_logits and probs say the same."""
    x = data.draw(arrays(finite=True))
    call = data.draw(steering(x))
    ends_agree(x, *(getattr(fastlogits, end)(x, **call) for end in ("probs", "filter_logits", "candidates")))


def ends_agree(x: Array, p: Any, kept: Any, listed: Any) -> None:
    """What three ends say of the rows of x."""
    assert p.shape == kept.shape == x.shape
    assert p.dtype == kept.dtype == x.dtype
    exact = np.zeros(lines(p).shape)
    for r, (row, logits) in enumerate(zip(lines(p), lines(kept), strict=True)):
        ids = listed.ids[listed.offsets[r] : listed.offsets[r + 1]]
        scores = listed.logprobs[listed.offsets[r] : listed.offsets[r + 1]].astype(np.float64)
        exact[r, ids] = np.exp(scores)
        assert set(np.flatnonzero(row)) <= set(ids.tolist())
        assert set(np.flatnonzero(logits > -INF)) == set(ids.tolist())
        assert abs(exact[r].sum() - 1) < 1e-6
        assert (np.diff(scores) <= 1e-12).all()
        again = reference.softmax(logits.astype(np.float64))
        step = {2: 2.0**-10, 4: 2.0**-23, 8: 2.0**-23}[x.dtype.itemsize]
        largest = np.abs(logits[np.isfinite(logits)].astype(np.float64)).max()
        assert (np.abs(again - row.astype(np.float64)) <= row.astype(np.float64) * step * (4 + largest) + 6e-8).all()
    rtol = 2e-6 if x.dtype != np.float16 else 1e-3
    np.testing.assert_allclose(lines(p).astype(np.float64), exact, rtol=rtol, atol=1e-7)


@given(st.data())
def test_ends_agree_with_the_reference(data: st.DataObject) -> None:
    x = data.draw(arrays(finite=True))
    call = data.draw(steering(x))
    got, right = fastlogits.candidates(x, **call), reference.candidates(x, **call)
    near = "top_p" in call or "min_p" in call  # a sum or a ratio may fall on its bound, there a rounding decides
    if near and not np.array_equal(got.ids, right.ids):
        for step in (-2e-7, 2e-7):
            nudged: dict[str, Any] = {k: np.clip(call[k] * (1 + step), 0, 1) for k in ("top_p", "min_p") if k in call}
            hypothesis.assume(np.array_equal(reference.candidates(x, **{**call, **nudged}).ids, right.ids))
    np.testing.assert_array_equal(got.ids, right.ids)
    np.testing.assert_array_equal(got.offsets, right.offsets)
    np.testing.assert_allclose(got.logprobs, right.logprobs, rtol=1e-6, atol=1e-6)


@st.composite
def cases(draw: st.DrawFn, name: str, x: Array) -> list[plans.Case]:
    """One plan with that step for all rows of x, alone or beside others, behind one context."""
    n = x.shape[-1]
    context = draw(st.lists(st.integers(0, n - 1), max_size=8))
    numbers = made.Numbers.fixed(draw(st.integers(0, 10_000)), n, len(context), name != "renormalize_logits")
    plan = made.placed(name, numbers, *draw(st.sampled_from([(), ("temperature", "top_k"), ("logit_bias", "top_p")])))
    rows = [(row, made.beside(plan, row.astype(np.float64), numbers)) for row in lines(x)]
    start = draw(st.integers(0, len(context)))
    return [
        plans.Case("", row, plan, context, start, 0, {each: values.astype(x.dtype) for each, values in beside.items()})
        for row, beside in rows
    ]


@pytest.mark.parametrize("name", made.NAMES)
@settings(max_examples=max(12, settings.default.max_examples // 4))
@given(data=st.data())
def test_any_step(name: str, data: st.DataObject) -> None:
    """The ends agree with the reference and with each other, and change no input."""
    x = data.draw(arrays(finite=True, outer=6))
    found = data.draw(cases(name, x))
    sampler, before = fastlogits.Sampler(*found[0].plan), x.copy()
    beside = {each: np.stack([case.beside[each] for case in found]).reshape(x.shape) for each in found[0].beside}
    call: dict[str, Any] = {**found[0].inputs(), **beside, "rng": 0, "keys": 0}
    rights = [plans.run(case) for case in found]
    if any(right is None for right in rights):
        with pytest.raises(ValueError, match=r"logits|token"):
            sampler.candidates(x, **call)
        return
    listed = sampler.candidates(x, **call)
    assert x.tobytes() == before.tobytes()
    for r, (case, right) in enumerate(zip(found, rights, strict=True)):
        ids = listed.ids[listed.offsets[r] : listed.offsets[r + 1]]
        if not np.array_equal(ids, reference.Row(right).order()):
            hypothesis.assume(not plans.near_a_bound(case))
        np.testing.assert_array_equal(ids, reference.Row(right).order(), err_msg=repr(case))
    if all(np.abs(right[np.isfinite(right)]).max() < 60_000 for right in rights):  # within the type
        ends_agree(x, sampler.probs(x, **call), sampler.filter_logits(x, **call), listed)


@given(st.data())
def test_ids_follow_a_permutation(data: st.DataObject) -> None:
    """Renaming the tokens renames the survivors; values that tie are left out, for the id breaks a tie."""
    n = data.draw(st.integers(2, 200))
    seed = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    row = rng.permutation(np.arange(n) * 0.0625).astype(np.float32)
    order = rng.permutation(n)
    call: dict[str, Any] = {"top_k": data.draw(st.integers(1, n)), "temperature": 0.9, "min_p": 0.01}
    one, two = fastlogits.candidates(row, **call), fastlogits.candidates(row[order], **call)
    np.testing.assert_array_equal(order[two.ids], one.ids)
    np.testing.assert_array_equal(one.logits, two.logits)


@given(st.data())
def test_a_shift_changes_nothing(data: st.DataObject) -> None:
    """Adding a constant that the type adds exactly leaves survivors, order and drawn token."""
    n = data.draw(st.integers(1, 300))
    row = np.round(np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=n) * 64).astype(np.float32) / 64
    shift = np.float32(data.draw(st.integers(-500, 500)))
    call: dict[str, Any] = {"temperature": 0.5, "top_k": 20}
    one, two = fastlogits.candidates(row, **call), fastlogits.candidates(row + shift, **call)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_allclose(one.logprobs, two.logprobs, rtol=1e-6, atol=1e-6)
    assert fastlogits.sample(row, top_k=1, rng=1) == fastlogits.sample(row + shift, temperature=0)


@given(st.data())
def test_one_token_is_the_greedy_one(data: st.DataObject) -> None:
    x = data.draw(arrays(finite=True))
    bias = data.draw(st.dictionaries(st.integers(0, x.shape[-1] - 1), st.floats(-20, 20), max_size=5))
    alone: list[dict[str, Any]] = [{"top_k": 1}, {"top_p": 0.0}, {"temperature": 0}]
    calls = [*alone, {"top_k": 1, "temperature": 0.3}, {"temperature": 0, "top_k": 5}]
    found = [fastlogits.sample(x, logit_bias=bias, rng=3, **call) for call in calls]
    found.append(fastlogits.Sampler(steps.LogitBias(bias), steps.Greedy()).sample(x))
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


@given(st.data())
def test_inputs_are_left_alone(data: st.DataObject) -> None:
    x = data.draw(arrays(finite=True))
    before = x.copy()
    call = data.draw(steering(x))
    fastlogits.sample(x, rng=1, logprobs=1, **call)
    fastlogits.filter_logits(x, **call)
    fastlogits.softmax(x)
    assert x.tobytes() == before.tobytes()
