"""Builders next to the preset of their system, and the seeds of requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits import steps as s


@pytest.mark.parametrize(("builder", "fields", "preset", "keywords"), [
    ("from_vllm", {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.2}, "vllm",
     {}),
    ("from_hf", {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.02}, "hf",
     {"do_sample": None}),
    ("from_llama_cpp", {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95}, "llama.cpp",
     {}),
])  # fmt: skip
def test_presets_agree(builder: str, fields: Any, preset: str, keywords: dict[str, Any]) -> None:
    """The same steps and tokens as the keyword form with that system's preset."""
    named = {name: value for name, value in fields.items() if name not in keywords}
    built, other = getattr(fl.Sampler, builder)(fields), fl.Sampler(preset=preset, **named)
    assert built == other
    rows = np.random.default_rng(2).normal(size=(8, 500)).astype(np.float32) * 3
    assert built.sample(rows, rng=3, context=[1, 2]).tolist() == other.sample(rows, rng=3, context=[1, 2]).tolist()


# ---- the preset of llama.cpp beside its builder ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "steps"),
    [
        ({"mirostat": 2, "top_k": 40, "top_p": 0.9, "temperature": 0.7}, (s.Temperature(0.7), s.Mirostat(2))),
        ({"mirostat": 1, "dynatemp_range": 0.5, "temperature": 0.7}, (s.Temperature(0.7), s.Mirostat(1))),
        ({"mirostat": [1, 2], "min_p": 0.1}, (s.Mirostat([1, 2]),)),
        ({"mirostat": 2, "repetition_penalty": 1.2, "dry_multiplier": 0.8, "logit_bias": {1: 2.0}},
         (s.LogitBias({1: 2.0}), s.Mirostat(2))),
        ({"mirostat": 0, "top_k": 40}, (s.TopK(40),)),
        ({"dry_multiplier": 0.8, "dry_base": 0.5}, ()),
        ({"dry_multiplier": 0.8, "dry_base": 1.0}, (s.Dry(0.8, base=1.0),)),
        ({"dry_multiplier": 0.8, "dry_base": [0.5, 1.5]}, (s.Dry([0.0, 0.8], base=[1.0, 1.5]),)),
        ({"dry_multiplier": 0.8, "dry_penalty_last_n": -1}, (s.Dry(0.8, window=-1),)),
        ({"frequency_penalty": 0.5, "penalty_window": -1}, (s.FrequencyPenalty(0.5, prompt=True),)),
        ({"frequency_penalty": 0.5, "penalty_window": [-1, 9]}, (s.FrequencyPenalty(0.5, [None, 9], prompt=True),)),
    ],
)  # fmt: skip
def test_llama_cpp_preset(keywords: dict[str, Any], steps: tuple[Any, ...]) -> None:
    """Mirostat takes the place of other steps; a base below 1 turns DRY off."""
    assert fl.Sampler(preset="llama.cpp", **keywords).steps == steps


def test_llama_cpp_preset_searches_no_tokens() -> None:
    """0 tokens to search is off."""
    row = np.zeros(5)
    off = fl.Sampler(preset="llama.cpp", dry_multiplier=0.8, dry_penalty_last_n=0)
    np.testing.assert_array_equal(off.filter_logits(row, context=[1, 2, 1, 2]), row)


def test_llama_cpp_preset_refusals() -> None:
    for match, keywords in (
        ("mirostat must be on or off for all rows", {"mirostat": [0, 2], "top_k": 40}),
        ("top_k must be", {"mirostat": 2, "top_k": 1.5}),
        ("dry_base must be", {"dry_multiplier": 0.8, "dry_base": float("nan")}),
        ("dry_allowed_length must be an integer >= 0, got -1", {"dry_multiplier": 0.8, "dry_allowed_length": -1}),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            fl.Sampler(preset="llama.cpp", **keywords)  # type: ignore[misc, arg-type]
    assert fl.Sampler(preset="llama.cpp", mirostat=[0, 2]).steps == (s.Mirostat([0, 2]),)


@pytest.mark.parametrize(("system", "seed", "rng"), [
    ("openai", 7, 7), ("openai", None, None), ("openai", -1, 2**64 - 1), ("vllm", 7, 7), ("vllm", None, None),
    ("vllm", -1, None), ("vllm", -2, 2**64 - 2), ("vllm", 4294967295, 4294967295), ("llama.cpp", 7, 7),
    ("llama.cpp", None, None), ("llama.cpp", -1, None), ("llama.cpp", 4294967295, None), ("llama.cpp", 2**32, 0),
    ("llama.cpp", -2, 2**32 - 2), ("llama.cpp", np.int64(5), 5),
])  # fmt: skip
def test_seeds(system: str, seed: Any, rng: int | None) -> None:
    """Of a mapping, an object, or by itself; each system's own random is None."""
    for fields in ({"seed": seed, "top_k": 3}, SimpleNamespace(seed=seed), seed):
        found = fl.Sampler.rng_of(fields, system)
        assert found == rng
        assert found is None or type(found) is int
        assert fl.sample([1.0, 2.0], rng=found) in (0, 1)
    assert fl.Sampler.rng_of({"top_k": 3}, system) is None


def test_seeds_refused() -> None:
    with pytest.raises(ValueError, match="system must be one of 'openai', 'vllm', 'llama.cpp', got 'hf'"):
        fl.Sampler.rng_of(7, "hf")
    for bad in (True, 1.5, "7"):
        with pytest.raises(TypeError, match="seed must be an integer or None"):
            fl.Sampler.rng_of({"seed": bad}, "vllm")
    with pytest.raises(ValueError, match="rng must be >= 0, got -1; None means random"):
        fl.sample([1.0, 2.0], rng=-1)
