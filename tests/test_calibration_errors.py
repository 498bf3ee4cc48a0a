"""Calibration: what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_calibration import BAD_ROW, BINARY, FIGURES, NAN, ROWS

import fastlogits as fl

REFUSED: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    ([0.5, 1.5], [0, 1], {}, ValueError, r"predictions\[1\]: 1.5 must be in \[0, 1\]"),
    ([0.5, NAN], [0, 1], {}, ValueError, r"predictions\[1\]: nan must be in \[0, 1\]"),
    ([0.5], [2], {}, ValueError, "targets must be 0 or 1 for confidences, got 2"),
    ([0.5], [0, 1], {}, ValueError, r"targets must have the shape \(1,\) of predictions, got \(2,\)"),
    ([], [], {}, ValueError, "predictions must hold one value at least"),
    ([[0.5, 0.1]], [0], {}, ValueError, r"predictions\[0\] must sum to 1, got 0.6"),
    ([[0.5, 0.5]], [2], {}, ValueError, r"targets\[0\]: 2 must be in \[0, 2\)"),
    ([[0.5, 0.5]], [0.0], {}, TypeError, "targets must be integers, got dtype float64"),
    ([[0.5, 0.5]], [[[0]]], {}, ValueError, "as many axes as targets or one more, got 2 and 3"),
    ([[0.5, 0.5]], [7], {"ignore_index": 7}, ValueError, "got 1 rows, all of them ignored"),
    ([[0.5, 0.5]], [0], {"temperature": 2.0}, ValueError, "temperature needs from_logits=True, got 2"),
    (ROWS, [0, 1], {"from_logits": True}, ValueError, r"targets must have shape \(3,\), one per row, got \(2,\)"),
    (ROWS, [0, 1, 4], {"from_logits": True}, ValueError, r"targets\[2\]: 4 must be in \[0, 4\)"),
    (ROWS, [0, -1, 2], {"from_logits": True}, ValueError, r"targets\[1\]: -1 must be in \[0, 4\)"),
    (ROWS, [0, 1, 2], {"from_logits": True, "temperature": 0}, ValueError, "temperature must be finite and > 0"),
    (ROWS, [0, 1, 2], {"from_logits": True, "temperature": [1, 2]}, TypeError, "temperature must be one number"),
    (ROWS, [0, 1, 2], {"from_logits": True, "threads": -1}, ValueError, "threads must be an integer >= 0"),
    (BAD_ROW, [0, 1], {"from_logits": True}, ValueError, r"predictions\[1\] contains NaN"),
    ([[0.0, np.inf]], [0], {"from_logits": True}, ValueError, r"predictions\[0\] contains \+inf"),
    ([[-np.inf, -np.inf]], [0], {"from_logits": True}, ValueError, r"predictions\[0\] contains no finite logit"),
    ([["a"]], [0], {"from_logits": True}, TypeError, "predictions must hold float32"),
]  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("predictions", "targets", "keywords", "kind", "words"), REFUSED)
def test_refused(name: str, predictions: Any, targets: Any, keywords: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        getattr(fl, name)(predictions, targets, **keywords)


@pytest.mark.parametrize(("keywords", "kind", "words"), [
    ({"norm": "l3"}, ValueError, "norm must be 'l1' or 'l2' or 'max', got 'l3'"),
    ({"bins": 0}, ValueError, "bins must be an integer >= 1, got 0"),
    ({"bins": 1.5}, TypeError, "bins must be an integer >= 1, got 1.5"),
    ({"strategy": "kmeans"}, ValueError, "strategy must be 'uniform' or 'quantile'"),
    ({"rule": "mine"}, ValueError, "rule must be 'netcal' or 'torchmetrics' or 'sklearn'"),
    ({"rule": ["netcal"]}, TypeError, "rule must be one word"),
    ({"per_class": True}, ValueError, r"per_class needs probabilities"),
])  # fmt: skip
def test_words_refused(keywords: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        fl.calibration_error(*BINARY, **keywords)


def test_level_refused() -> None:
    for level in (0, 1, 2):
        with pytest.raises(ValueError, match="level must"):
            fl.reliability_curve(*BINARY, level=level)


@pytest.mark.parametrize(("logits", "targets", "keywords", "words"), [
    (ROWS, [0, 1], {}, r"targets must have shape \(3,\)"),
    (ROWS, [0, 1, 9], {}, r"targets\[2\]: 9 must be in \[0, 4\)"),
    (ROWS, [5, 5, 5], {"ignore_index": 5}, "all of them ignored"),
    (BAD_ROW, [0, 0], {}, r"logits\[1\] contains NaN"),
    ([[0.0, -np.inf]], [1], {}, r"logits\[0\]: the target's logit must be finite, got -inf"),
    (np.zeros((2, 0)), [0, 0], {}, "at least one token per row"),
    (ROWS, [0, 1, 2], {"bounds": (2, 1)}, r"bounds must be \(low, high\) with low < high"),
    (ROWS, [0, 1, 2], {"bounds": (0, 1)}, r"bounds must be in \[0.0001, 10000\], got 0"),
])  # fmt: skip
def test_fit_temperature_refuses(logits: Any, targets: Any, keywords: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.fit_temperature(logits, targets, **keywords)


@pytest.mark.parametrize(("logits", "targets", "keywords", "words"), [
    (ROWS, [0, 1, 2], {"method": "matrix"}, "method must be 'bias-corrected' or 'vector'"),
    (ROWS, [0, 1, 2], {"ridge": 0}, "ridge must be finite and > 0, got 0"),
    (np.zeros((1, 1025)), [0], {}, "at most 1024 classes, got 1025"),
    ([[0.0, 1.0], [0.0, -np.inf]], [0, 0], {}, r"logits\[1\] must be finite"),
    ([[NAN, 1.0], [0.0, NAN]], [5, 0], {"ignore_index": 5}, r"logits\[1\] must be finite"),
])  # fmt: skip
def test_fit_scaling_refuses(logits: Any, targets: Any, keywords: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.fit_scaling(logits, targets, **keywords)


def test_transform_refuses() -> None:
    found = fl.fit_scaling([[2.0, 0.0], [0.0, 1.0]], [0, 1])
    with pytest.raises(ValueError, match="logits must have 2 classes"):
        found.transform(ROWS)
