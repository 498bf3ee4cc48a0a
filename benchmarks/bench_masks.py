"""Masks of grammars, applied by their packages or read by the Sampler: `pytest benchmarks/bench_masks.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import fastlogits as fl

V = 128_256
STEERING: dict[str, Any] = {"temperature": 0.8, "top_k": 50, "top_p": 0.95}


def packed(share: float) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Words [1, V / 32] that allow this share of the tokens, or 20 of them."""
    allowed = np.random.default_rng(1).random(V) < max(share, 20 / V)
    return np.packbits(allowed, bitorder="little").view(np.int32)[None]


def by_llguidance(logits: Any, words: Any) -> Callable[[], Any]:
    """Its NumPy function, on a copy as the logits must last."""
    apply = pytest.importorskip("llguidance.numpy", reason="llguidance is not installed").apply_token_bitmask_inplace
    sampler = fl.Sampler(**STEERING)

    def call() -> Any:
        masked = logits.copy()
        apply(masked, words)
        return sampler.sample(masked, rng=7)

    return call


def by_xgrammar(logits: Any, words: Any) -> Callable[[], Any]:
    """Its CPU function, on a copy as the logits must last."""
    xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor, words, sampler = torch.from_numpy(logits), torch.from_numpy(words), fl.Sampler(**STEERING)

    def call() -> Any:
        masked = tensor.clone()
        xgrammar.apply_token_bitmask_inplace(masked, words)
        return sampler.sample(masked, rng=7)

    return call


def by_ours(logits: Any, words: Any) -> Callable[[], Any]:
    """The mask is a step."""
    sampler = fl.Sampler(mask=words, **STEERING)
    return lambda: sampler.sample(logits, rng=7)


def unmasked(logits: Any, words: Any) -> Callable[[], Any]:
    """Without any mask."""
    sampler = fl.Sampler(**STEERING)
    return lambda: sampler.sample(logits, rng=7)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999], ids=["20 tokens", "half", "nearly all"])
@pytest.mark.parametrize("way", [by_llguidance, by_xgrammar, by_ours, unmasked], ids=lambda way: way.__name__)
def test_mask(way: Callable[[Any, Any], Callable[[], Any]], share: float, benchmark: BenchmarkFixture) -> None:
    logits = 3 * np.random.default_rng(0).normal(size=(1, V)).astype(np.float32)
    call = way(logits, packed(share))
    benchmark.group = f"share {share}"
    benchmark.pedantic(call, rounds=200, warmup_rounds=5)  # type: ignore[no-untyped-call]
