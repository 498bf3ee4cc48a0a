"""Exact sums: math.fsum is the twin, whatever the order, the chunks and the threads."""

from __future__ import annotations

import math
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastlogits._core as _core
from fastlogits._common.exact import ExactSum

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LARGEST, LEAST = 1.7976931348623157e308, 5e-324


@given(st.lists(FINITE, max_size=60), st.randoms(use_true_random=False))
def test_fsum(values: list[float], order: random.Random) -> None:
    """To the bit, for any chunking and order of merging."""
    try:
        right = math.fsum(values)
    except OverflowError:
        right = None
    whole = ExactSum.of(values)
    assert Fraction(whole.units, 2**1074) == sum(map(Fraction, values))
    if right is not None:
        assert whole.over(1) == right
    order.shuffle(values)
    parts = [ExactSum.of(values[i : i + 7]) for i in range(0, len(values), 7)]
    order.shuffle(parts)
    assert reduce(add, parts, ExactSum()) == whole


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(1, 10**6))
def test_mean_is_rounded_once(values: list[float], count: int) -> None:
    exact = sum(map(Fraction, values)) / count
    if abs(exact) <= Fraction(LARGEST):
        assert ExactSum.of(values).over(count) == float(exact)


def test_extremes() -> None:
    values = np.array([LARGEST, LEAST, -LARGEST, LEAST, 2.0**-1022, -(2.0**-1022)])
    assert ExactSum.of(values).units == 2
    assert ExactSum.of([LARGEST] * 3).over(1) == math.inf
    assert ExactSum.of([LARGEST] * 3).over(3) == LARGEST
    assert ExactSum.of([-LARGEST] * 2).over(1) == -math.inf
    assert ExactSum().over(1) == ExactSum.of([]).over(1) == 0.0


def test_others() -> None:
    assert ExactSum.of([1.0, -math.inf]).over(1) == -math.inf
    assert (ExactSum.of([math.inf]) + ExactSum.of([2.0])).over(3) == math.inf
    assert math.isnan((ExactSum.of([math.inf]) + ExactSum.of([-math.inf])).over(1))
    assert math.isnan(ExactSum.of([math.nan, 1.0]).over(1))


def test_many_values_on_threads() -> None:
    """Carries move on; an array of any type and strides; equal on several threads."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=200_000) * 10.0 ** rng.integers(-200, 200, 200_000)
    right = math.fsum(values.tolist())
    assert ExactSum.of(values).over(1) == ExactSum.of(values[::-1]).over(1) == right
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(ExactSum.of, np.array_split(values, 11)))
    assert reduce(add, parts).over(1) == right
    singles = rng.normal(size=(50, 70)).astype(np.float32)
    assert ExactSum.of(singles.T).over(1) == math.fsum(singles.astype(float).ravel().tolist())
    assert ExactSum.of(np.full(10**6, -(2.0**53) + 1)).units == -(10**6) * (2**53 - 1) << 1074


def test_pickle_and_refusals() -> None:
    total = ExactSum.of([0.1, 0.2, -math.inf])
    assert pickle.loads(pickle.dumps(total)) == total
    with pytest.raises(TypeError):
        total + 1  # type: ignore[operator]
    with pytest.raises(TypeError, match="contiguous array"):
        _core.exact_sum(np.zeros(3, np.float32))  # type: ignore[arg-type]
