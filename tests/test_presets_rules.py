"""Presets: strict sums, numbers that turn steps off, numbers per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits.sampling.presets import PRESETS


def test_strict() -> None:
    """Sums must exceed p in OpenVINO GenAI's nucleus and llama.cpp's typical set, mlx-lm's top choices theirs."""
    row = [0.0] * 4
    kept = {name: fl.candidates(row, preset=name, top_p=0.5).ids.size for name in PRESETS}
    assert kept == {"hf": 2, "vllm": 2, "llama.cpp": 2, "openvino": 3, "mlx": 2}
    assert fl.candidates(row, preset="openvino", top_p=0.5, strict=False).ids.size == 2
    assert fl.candidates(row, preset="hf", typical_p=0.5).ids.size == 4
    assert fl.candidates(row, preset="llama.cpp", typical_p=0.5).ids.size == 3
    halves = {"xtc_probability": 1.0, "xtc_threshold": 0.5}
    assert fl.candidates([0.0, 0.0], preset="llama.cpp", rng=0, **halves).ids.tolist() == [1]
    assert fl.candidates([0.0, 0.0], preset="mlx", rng=0, **halves).ids.tolist() == [0, 1]


@pytest.mark.parametrize("n", [4, 100, 1000, 50_000])
def test_strict_on_equal_logits(isa: str, n: int) -> None:
    """Of n equal tokens the sum exceeds k / n with the one behind the k-th; near a float sum either may be."""
    row = np.zeros(n, np.float32)
    for k in (n // 4, n // 2):
        assert fl.candidates(row.astype(np.float64), top_p=k / n, strict=True).ids.size == k + 1
        assert fl.candidates(row.astype(np.float64), top_p=k / n).ids.size == k
        assert np.count_nonzero(fl.probs(row, top_p=k / n, strict=True)) in (k, k + 1)


#: What a system writes for off.
OFF: list[tuple[str, dict[str, Any]]] = [
    ("llama.cpp", {"top_k": -1, "top_p": 1.0, "min_p": -0.5, "typical_p": 1.5, "top_n_sigma": -1.0, "temperature": 1.0,
                   "xtc_probability": -1.0, "adaptive_target": -1.0, "dynatemp_range": -0.5, "mirostat": 0}),
    ("mlx", {"top_p": 0.0, "min_p": 0.0, "top_k": -3, "xtc_probability": 0.0}),
    ("openvino", {"top_k": 2**64 - 1, "top_p": 1.0, "min_p": 0.0}),
    ("vllm", {"top_k": -1, "top_p": 1.0, "min_p": 0.0}),
    ("hf", {"top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keywords"), OFF)
def test_off(name: str, keywords: Any) -> None:
    row = np.random.default_rng(1).normal(size=50)
    np.testing.assert_array_equal(fl.filter_logits(row, preset=name, rng=0, **keywords), row)


def test_numbers_per_row_and_what_stays_refused() -> None:
    row = np.arange(6.0)
    both = fl.candidates([row, row], preset="llama.cpp", top_k=[-1, 2], temperature=[-1.0, 0.5])
    assert [each.ids.size for each in both] == [1, 2]
    for name, keywords, words in (
        ("hf", {"top_p": 95}, r"top_p must be in \[0, 1\], got 95"),
        ("llama.cpp", {"top_k": True}, "top_k must be an integer, got True"),
        ("mlx", {"top_p": -0.5}, r"top_p must be in \[0, 1\], got -0.5"),
        ("hf", {"top_n_sigma": 1.0}, "preset 'hf' knows no top_n_sigma"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            fl.probs(row, preset=name, **keywords)


def test_openvino_penalties_are_not_flipped() -> None:
    """Its own vectors add these penalties to negative logits ({-1, 2, 3} to {-.5, 1.5, 3}); not here."""
    got = fl.filter_logits([-1.0, 2.0, 3.0], preset="openvino", context=[1, 0], frequency_penalty=0.5)
    np.testing.assert_allclose(got, [-1.5, 1.5, 3.0])
