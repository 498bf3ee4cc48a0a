"""Steps that name tokens, many of them by what stands before: vectors of other systems, places, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import reference, steps

INF = float("inf")
BIASES: dict[Any, float] = {(1,): 100.0, (4,): 100.0, (1, 0): -100.0, (0, 1, 2): -100.0, (1, 3, 1, 3): -100.0}


def test_sequence_bias_vector(isa: str) -> None:
    """The test of transformers."""
    context = [[0, 1, 3, 1], [0, 1, 0, 1]]
    expected = [[-100, 100, 0, -100, 100], [-100, 100, -100, 0, 100]]
    for bias in (BIASES, [[list(ids), value] for ids, value in BIASES.items()], [BIASES, BIASES]):
        got = fl.filter_logits(np.zeros((2, 5), np.float32), sequence_bias=bias, context=context)
        np.testing.assert_array_equal(got, expected)


def test_whole_context_is_a_prefix() -> None:
    row, bias = np.zeros(4, np.float32), {(1, 2, 3): 1.0, (2, 3): 1.0, (0, 1, 2, 3): 1.0}
    assert fl.filter_logits(row, sequence_bias=bias, context=[1, 2]).tolist() == [0, 0, 0, 2]
    assert fl.filter_logits(row, sequence_bias=bias).tolist() == [0, 0, 0, 0]


def test_rows_of_their_own() -> None:
    bias: list[Any] = [{(0,): 1.0}, None, {(1, 0): 2.0, (2,): -INF}]
    got = fl.filter_logits(np.zeros((3, 3), np.float32), sequence_bias=bias, context=[1])
    np.testing.assert_array_equal(got, [[1, 0, 0], [0, 0, 0], [2, 0, -INF]])
    np.testing.assert_array_equal(got, reference.filter_logits(np.zeros((3, 3)), sequence_bias=bias, context=[1]))


def test_behind_a_cut(isa: str) -> None:
    """What the cut removed stays removed."""
    row = np.array([3.0, 2.0, 1.0, 0.0], np.float32)
    sampler = fl.Sampler(steps.TopK(2), steps.SequenceBias({(3, 1): 5.0, (2,): 9.0}))
    np.testing.assert_array_equal(sampler.filter_logits(row, context=[3]), [3, 7, -INF, -INF])


@pytest.mark.parametrize(("bias", "words"), [
    ({(): 1.0}, "sequence_bias: a sequence must hold at least one token id"),
    ({(1, -2): 1.0}, r"sequence_bias: token id -2 must be in \[0, V\)"),
    ({(1,): INF}, r"sequence_bias: bias of \(1,\) must be finite or -inf, got inf"),
    ([[[1], 1.0], [[1], 2.0]], r"sequence_bias: sequence \(1,\) is given more than once"),
    ([None, {(7, 9): 1.0}], r"sequence_bias: token id 7 must be in \[0, 4\) \(row 1\)"),
    ([{}, {}, {}], "sequence_bias holds lists of 3 rows, logits have 2"),
])  # fmt: skip
def test_bad_sequence_bias(bias: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.probs(np.zeros((2, 4)), sequence_bias=bias)


@pytest.mark.parametrize("bias", [3, [3], {(1,): "a"}, {(1.5,): 1.0}, [[[1], 2.0, 3.0]]])
def test_wrong_type_of_sequence_bias(bias: Any) -> None:
    with pytest.raises(TypeError, match="sequence_bias"):
        fl.Sampler(sequence_bias=bias)
