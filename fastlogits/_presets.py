"""Presets: the sequence of steps and the boundary rules of other systems, never a parameter's value.

Sources: transformers ``generation/utils.py``; vLLM V1 ``sample/sampler.py``; llama.cpp
``common_params_sampling.samplers``; OpenVINO GenAI ``sampler/logit_processor.hpp``; mlx-lm ``sample_utils.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """Names of the steps a system knows, in its order, and its value of keywords that set a boundary rule."""

    order: tuple[str, ...]
    rules: Mapping[str, Any] = MappingProxyType({})


_PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")
#: Tokens equal to the last one kept stay, as a comparison with its value leaves them.
_TIES = MappingProxyType({"ties": "keep"})

#: All penalties count the prompt.
_PROMPT = MappingProxyType({"penalty_prompt": True})

PRESETS = {
    "hf": Preset(
        ("guidance", "logit_bias", "sequence_bias", "repetition_penalty", "no_repeat_ngram", "encoder_no_repeat_ngram",
         "mask", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
        _TIES,
    ),
    "vllm": Preset(("mask", "logit_bias", *_PENALTIES, "temperature", "min_p", "top_k", "top_p"), _TIES),
    "llama.cpp": Preset(
        ("logit_bias", "mask", *_PENALTIES, "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc",
         "temperature", "dynamic_temperature", "mirostat", "adaptive_p"),
        _PROMPT,
    ),
    "openvino": Preset(
        ("mask", "repetition_penalty", "presence_penalty", "frequency_penalty", "top_k", "temperature", "min_p",
         "top_p")
    ),
    "mlx": Preset(
        ("logit_bias", "mask", "repetition_penalty", "presence_penalty", "frequency_penalty", "top_p", "min_p", "xtc",
         "top_k", "temperature"),
        _PROMPT,
    ),
}  # fmt: skip


def chosen(name: Any) -> Preset | None:
    """The preset of this name; None for None."""
    if name is None:
        return None
    if not isinstance(name, str) or name not in PRESETS:
        known = ", ".join(map(repr, PRESETS))
        raise ValueError(f"preset must be None or one of {known}, got {name!r}")
    return PRESETS[name]
