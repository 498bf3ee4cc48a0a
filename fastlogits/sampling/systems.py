"""Samplers from what users already hold: request fields and configuration objects of other systems.

Each function takes a mapping or an object with the fields as attributes and returns steps, in the order and with the
boundary rules of that system. None of those packages is needed. `Sampler.from_openai` and so on say what fields there
are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastlogits import steps as s
from fastlogits._common.inputs import id_array, is_sequence
from fastlogits._common.params import shown
from fastlogits.sampling.keywords import keyword_steps


def _nothing(value: Any) -> bool:
    """Whether a value stands for a field that is not given: None, or a sentinel of OpenAI's client."""
    return value is None or type(value).__name__ in ("NotGiven", "Omit")


def _off(value: Any) -> bool:
    """Whether a value asks for nothing: None, False, 0 or empty."""
    empty = isinstance(value, str | list | dict) and not value
    return _nothing(value) or value is False or empty or (isinstance(value, int | float) and value == 0)


def _neutral(value: Any) -> bool:
    """Whether a value asks for nothing, or for one of it."""
    return _off(value) or (isinstance(value, int | float) and value == 1)


def _attributes(fields: Any) -> dict[str, Any]:
    """Public attributes of an object: a namespace, a dataclass, pydantic's, msgspec's, or one with slots."""
    kind = type(fields)
    names: list[str] = list(getattr(fields, "__dict__", ()))
    for listed in ("__struct_fields__", "__dataclass_fields__", "model_fields", "_fields"):
        names += list(getattr(kind, listed, ()))
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    public = [name for name in dict.fromkeys(names) if not name.startswith("_") and hasattr(fields, name)]
    return {name: getattr(fields, name) for name in public}


def llama_seed(seed: int) -> int | None:
    """A seed of llama.cpp, which takes it mod 2^32; -1 is 2^32 - 1 to it, and asks for a random seed, here None."""
    word = seed & (2**32 - 1)
    return None if word == 2**32 - 1 else word


#: What a system's seed is to ``rng=``.
_SEEDS: dict[str, Callable[[int], int | None]] = {
    "openai": lambda seed: seed % 2**64,
    "vllm": lambda seed: None if seed == -1 else seed % 2**64,
    "llama.cpp": llama_seed,
}


def rng_of(fields: Any, system: Any) -> int | None:
    """The seed among the fields of a request, or a seed alone, as ``rng=``."""
    if not isinstance(system, str) or system not in _SEEDS:
        raise ValueError(f"system must be one of {', '.join(map(repr, _SEEDS))}, got {shown(system)}")
    if isinstance(fields, Mapping):
        seed = fields.get("seed")
    else:
        seed = fields if _nothing(fields) or isinstance(fields, int | np.integer) else getattr(fields, "seed", fields)
    if _nothing(seed):
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer or None, got {shown(seed)}")
    return _SEEDS[system](int(seed))


class _System(NamedTuple):
    """What fields a system has: ours to use, unsupported ones unless a test holds for their value, and others."""

    name: str
    used: frozenset[str]
    unsupported: Mapping[str, tuple[Callable[[Any], bool], str]]
    ignored: frozenset[str]

    def read(self, fields: Any) -> dict[str, Any]:
        """The fields that are given and used, by name."""
        if isinstance(fields, Mapping):
            given, strict = dict(fields), True
        elif fields is None or isinstance(fields, str | bytes | int | float | list | tuple | set) or callable(fields):
            raise TypeError(f"{self.name} takes a mapping or an object with fields, got {type(fields).__name__}")
        else:
            given, strict = _attributes(fields), False
        for field, value in given.items():
            self._check(field, value, strict)
        return {field: value for field, value in given.items() if field in self.used and not _nothing(value)}

    def _check(self, field: Any, value: Any, strict: bool) -> None:
        """Refuses what is unknown or unsupported; an object may have unknown fields that ask for nothing."""
        if field in self.unsupported:
            test, instead = self.unsupported[field]
            if not _nothing(value) and not test(value):
                raise ValueError(f"{self.name} does not support {field}={shown(value)}{instead and '; ' + instead}")
        elif field not in self.used and field not in self.ignored and (strict or not _off(value)):
            raise ValueError(f"{self.name} knows no field {field!r}")


def _number(field: str, value: Any, low: float, high: float, *, above: bool = False) -> float:
    """A finite number in [low, high], or (low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{field} must be a number, got {shown(value)}")
    number = float(value)
    if not (low < number if above else low <= number) or not number <= high:
        raise ValueError(f"{field} must be in {'(' if above else '['}{low:g}, {high:g}], got {shown(value)}")
    return number


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, each of them a number."""
    for field, value in fields.items():
        _number(field, value, -np.inf, np.inf)
    return fields


def _whole(field: str, value: Any) -> int:
    """An integer >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{field} must be an integer >= 0, got {shown(value)}")
    if value < 0:
        raise ValueError(f"{field} must be an integer >= 0, got {value}")
    return int(value)


def _biases(field: str, given: Any, low: float, high: float, *, clamp: bool = False) -> dict[int, float]:
    """{id: bias} from a mapping whose keys may be strings of digits."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{field} must be a mapping {{id: bias}}, got {type(given).__name__}")
    found: dict[int, float] = {}
    for key, bias in given.items():
        value = _number(f"{field}[{key!r}]", bias, -np.inf, np.inf)
        token = _id(field, key)
        if token in found:
            raise ValueError(f"{field}: token id {token} is given more than once")
        found[token] = min(max(value, low), high) if clamp else _number(f"{field}[{key!r}]", bias, low, high)
    return found


def _id(field: str, key: Any) -> int:
    """A token id from an integer or from its digits."""
    if isinstance(key, str) and key.strip().isdecimal():
        return int(key)
    if isinstance(key, bool) or not isinstance(key, int | np.integer):
        raise ValueError(f"{field}: {key!r} is no token id")
    return int(key)


def _ids(field: str, value: Any) -> list[int]:
    """A token id, several, or None, as a list."""
    if value is None:
        return []
    several = list(value) if isinstance(value, set | frozenset) else value if is_sequence(value) else [value]
    found: list[int] = id_array(field, several).tolist()
    return found


# ---- OpenAI ---------------------------------------------------------------------------------------------------------

_BY_MASK = "pass what is allowed as mask="
_OPENAI = _System(
    "from_openai",
    frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias"}),
    {
        "response_format": (lambda v: isinstance(v, Mapping) and v.get("type") == "text", _BY_MASK),
        "tool_choice": (lambda v: v in ("none", "auto"), _BY_MASK),
        "function_call": (lambda v: v in ("none", "auto"), _BY_MASK),
        "best_of": (_neutral, ""),
        "prediction": (_nothing, ""),
    },
    frozenset({
        "model", "messages", "prompt", "input", "instructions", "suffix", "echo", "n", "max_tokens",
        "max_completion_tokens", "stop", "stream", "stream_options", "seed", "user", "logprobs", "top_logprobs",
        "tools", "functions", "parallel_tool_calls", "metadata", "store", "service_tier", "reasoning_effort",
        "verbosity", "modalities", "audio", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "safety_identifier", "moderation", "web_search_options", "extra_headers",
        "extra_query", "timeout",
    }),
)  # fmt: skip


def from_openai(fields: Any) -> tuple[s.Step, ...]:
    """Steps of a request."""
    f = _OPENAI.read(fields)
    ranges = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
    keywords: dict[str, Any] = {name: _number(name, f[name], *ranges[name]) for name in ranges if name in f}
    if f.get("logit_bias"):
        keywords["logit_bias"] = _biases("logit_bias", f["logit_bias"], -100, 100)
    return keyword_steps(keywords)


# ---- vLLM -----------------------------------------------------------------------------------------------------------

_VLLM = _System(
    "from_vllm",
    frozenset({
        "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
        "min_tokens", "stop_token_ids", "all_stop_token_ids", "logit_bias", "allowed_token_ids", "bad_words",
        "bad_words_token_ids",
    }),
    {
        "structured_outputs": (_nothing, _BY_MASK),
        "guided_decoding": (_nothing, _BY_MASK),
        "logits_processors": (_off, ""),
        "thinking_token_budget": (lambda v: v == -1, ""),
        "trace_decode_token_ids": (_off, ""),
        "use_beam_search": (_off, ""),
        "best_of": (_neutral, ""),
    },
    frozenset({
        "n", "seed", "stop", "ignore_eos", "max_tokens", "logprobs", "prompt_logprobs", "prompt_logprob_token_ids",
        "prompt_logprob_start", "logprob_token_ids", "flat_logprobs", "detokenize", "skip_special_tokens",
        "spaces_between_special_tokens", "include_stop_str_in_output", "output_kind", "stream_interval", "skip_clone",
        "output_text_buffer_length", "extra_args", "skip_reading_prefix_cache", "repetition_detection",
        "routed_experts_prompt_start", "truncate_prompt_tokens", "stop_reason",
    }),
)  # fmt: skip


def from_vllm(fields: Any, eos_token_id: Any = None) -> tuple[s.Step, ...]:
    """Steps of ``SamplingParams``."""
    f = _VLLM.read(fields)
    ranges: dict[str, tuple[float, float, bool]] = {
        "presence_penalty": (-2, 2, False), "frequency_penalty": (-2, 2, False), "top_p": (0, 1, True),
        "repetition_penalty": (0, float(np.finfo(np.float64).max), True), "min_p": (0, 1, False),
    }  # fmt: skip
    keywords: dict[str, Any] = {
        name: _number(name, f[name], low, high, above=above) for name, (low, high, above) in ranges.items() if name in f
    }
    if "temperature" in f:
        keywords["temperature"] = _vllm_temperature(_number("temperature", f["temperature"], 0, 2))
    keywords |= {name: f[name] for name in ("top_k", "allowed_token_ids") if name in f}
    if f.get("logit_bias"):
        keywords["logit_bias"] = _biases("logit_bias", f["logit_bias"], -100, 100, clamp=True)
    words = f.get("bad_words_token_ids", getattr(fields, "_bad_words_token_ids", None))
    if f.get("bad_words") and not words:
        raise ValueError("from_vllm cannot tokenize bad_words; pass their token ids as bad_words_token_ids")
    keywords |= {"bad_words_ids": words} if words else {}
    keywords |= _vllm_stops(f, fields, eos_token_id)
    return keyword_steps(keywords, "vllm")


def _vllm_temperature(t: float) -> float:
    """0 is greedy; values between 0 and 0.01 become 0.01."""
    if 0 < t < 0.01:
        warnings.warn(f"temperature {t} is raised to 0.01, as vLLM does", UserWarning, stacklevel=4)
        return 0.01
    return t


def _vllm_stops(f: dict[str, Any], fields: Any, eos_token_id: Any) -> dict[str, Any]:
    """The keywords of ``min_tokens``: all tokens that end a text are banned."""
    if not f.get("min_tokens"):
        return {}
    known = f.get("all_stop_token_ids", getattr(fields, "_all_stop_token_ids", None))
    stops = [
        *_ids("all_stop_token_ids", known), *_ids("stop_token_ids", f.get("stop_token_ids")),
        *_ids("eos_token_id", eos_token_id),
    ]  # fmt: skip
    if not stops:
        raise ValueError("min_tokens needs stop_token_ids or eos_token_id=")
    return {"min_new_tokens": f["min_tokens"], "eos_token_id": list(dict.fromkeys(stops))}


# ---- transformers ---------------------------------------------------------------------------------------------------

# ---- llama.cpp ------------------------------------------------------------------------------------------------------
