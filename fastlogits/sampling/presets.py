"""Presets: the sequence of steps and the boundary rules of other systems, never a parameter's value.

Sources: transformers ``generation/utils.py``; vLLM V1 ``sample/sampler.py``; llama.cpp
``common_params_sampling.samplers``; OpenVINO GenAI ``sampler/logit_processor.hpp``; mlx-lm ``sample_utils.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from fastlogits._common import params

Numbers = Callable[[float], float | None]


class Preset(NamedTuple):
    """What a system does: its order of steps, its boundary rules, its numbers.

    order: names of the steps it knows. rules: by step the keywords that set a boundary. numbers: by keyword what a
    number of the system, its own off values among them, is here. instead: by step the order that holds where it
    runs, in which other steps of the usual one have no place. below: by keyword another one and the number below which
    that turns it off.
    """

    order: tuple[str, ...]
    rules: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    numbers: Mapping[str, Numbers] = MappingProxyType({})
    instead: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    below: Mapping[str, tuple[str, float]] = MappingProxyType({})

    def read(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """Keywords with this system's numbers as ours."""
        read = {name: _each(name, value, self.numbers.get(name)) for name, value in keywords.items()}
        for name, (other, low) in self.below.items():
            if keywords.get(name) is not None and keywords.get(other) is not None:
                mine, theirs = (params.nested(each, keywords[each]) for each in (name, other))
                read[name] = params.paired(name, mine, theirs, partial(_off_below, low))
                read[other] = _each(other, keywords[other], _least(low))
        return read


def _each(name: str, value: Any, meaning: Numbers | None) -> Any:
    """``meaning`` of each number; what is no number goes on to the step that refuses it."""
    if meaning is None:
        return value
    numeric = (int, float)

    def read(item: Any, _: tuple[int, ...]) -> Any:
        return meaning(item) if isinstance(item, numeric) and not isinstance(item, bool) and item == item else item

    return params.each(name, value, read)


def _off_below(low: float, value: Any, other: Any) -> Any:
    """``value``, or 0 where ``other`` is a number below ``low``."""
    return 0.0 if isinstance(other, int | float) and other < low else value


def _least(low: float) -> Numbers:
    """Lower numbers mean this one."""
    return lambda x: max(x, low)


def _most(high: float) -> Numbers:
    """Higher numbers mean this one."""
    return lambda x: min(x, high)


_PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")
#: Tokens equal to the last one kept stay, as a comparison with its value leaves them.
_TIES: Mapping[str, Any] = MappingProxyType({"ties": "keep"})
_STRICT: Mapping[str, Any] = MappingProxyType({"strict": True})

#: All penalties count the prompt.
_PROMPT: Mapping[str, Any] = {name: {"penalty_prompt": True} for name in _PENALTIES}

PRESETS = {
    "hf": Preset(
        ("guidance", "remove_invalid_values", "logit_bias", "sequence_bias", "encoder_repetition_penalty",
         "repetition_penalty", "no_repeat_ngram", "encoder_no_repeat_ngram", "bad_words", "min_length",
         "min_new_tokens", "allowed_tokens", "forced_bos_token", "forced_eos_token",
         "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "mask", "temperature",
         "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "renormalize_logits"),
        {"top_k": _TIES, "typical_p": _TIES},
    ),
    "vllm": Preset(
        ("mask", "allowed_tokens", "bad_words", "min_new_tokens", "logit_bias", *_PENALTIES, "temperature", "min_p",
         "top_k", "top_p"),
        {"top_k": _TIES, "bad_words": {"bad_words_output_only": True}},
    ),
    "llama.cpp": Preset(
        ("logit_bias", "mask", *_PENALTIES, "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc",
         "temperature", "dynamic_temperature", "adaptive_p"),
        {**_PROMPT, "typical_p": _STRICT},
        {"temperature": _least(0.0), "dynatemp_range": _least(0.0), "top_k": _least(0),
         "top_p": _most(1.0), "typical_p": _most(1.0), "min_p": lambda p: min(max(p, 0.0), 1.0),
         "penalty_window": lambda n: None if n < 0 else n,
         "top_n_sigma": _least(0.0), "xtc_probability": _least(0.0), "xtc_threshold": _most(1.0),
         "adaptive_target": lambda p: None if p < 0 else p},
        {"mirostat": ("logit_bias", "mask", "temperature", "mirostat")},
        {"dry_multiplier": ("dry_base", 1.0)},
    ),
    "openvino": Preset(
        ("mask", "repetition_penalty", "presence_penalty", "frequency_penalty", "top_k", "temperature", "min_p",
         "top_p"),
        {"top_p": _STRICT},
        {"top_k": _most(2**63 - 1)},
    ),
    "mlx": Preset(
        ("logit_bias", "mask", "repetition_penalty", "presence_penalty", "frequency_penalty", "top_p", "min_p", "xtc",
         "top_k", "temperature"),
        {**_PROMPT, "xtc": {**_TIES, **_STRICT}},
        {"top_k": _least(0), "top_p": lambda p: p or None},
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
