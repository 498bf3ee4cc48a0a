"""Steering keywords: one line each, from which the keyword form of `Sampler` and of the four ends is made."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, TypeVar

import numpy as np

from fastlogits import steps as s
from fastlogits._common import params
from fastlogits.sampling.presets import Preset, chosen

F = TypeVar("F", bound=Callable[..., Any])


class Steering(TypedDict, total=False):
    """Every steering keyword; see `Sampler`."""

    guidance_scale: Any
    guidance_space: Any
    contrastive_alpha: Any
    contrastive_beta: Any
    dexperts_alpha: Any
    temperature: Any
    dynatemp_range: Any
    dynatemp_exponent: Any
    smoothing_factor: Any
    smoothing_curve: Any
    top_h: Any
    top_k: Any
    top_p: Any
    min_p: Any
    typical_p: Any
    epsilon_cutoff: Any
    eta_cutoff: Any
    top_n_sigma: Any
    top_a: Any
    tfs: Any
    p_less: Any
    min_k: Any
    ees: Any
    xtc_probability: Any
    xtc_threshold: Any
    xtc_special_tokens: Any
    mirostat: Any
    mirostat_tau: Any
    mirostat_eta: Any
    adaptive_target: Any
    adaptive_decay: Any
    skew: Any
    min_keep: Any
    ties: Any
    joint: Any
    strict: Any
    repetition_penalty: Any
    frequency_penalty: Any
    presence_penalty: Any
    penalty_window: Any
    penalty_prompt: Any
    penalty_decay: Any
    penalty_slope: Any
    dry_multiplier: Any
    dry_base: Any
    dry_allowed_length: Any
    dry_penalty_last_n: Any
    dry_sequence_breakers: Any
    no_repeat_ngram_size: Any
    encoder_no_repeat_ngram_size: Any
    encoder_ids: Any
    encoder_repetition_penalty: Any
    bad_words_ids: Any
    bad_words_output_only: Any
    logit_bias: Any
    sequence_bias: Any
    min_length: Any
    min_new_tokens: Any
    eos_token_id: Any
    allowed_token_ids: Any
    forced_bos_token_id: Any
    forced_eos_token_id: Any
    max_length: Any
    exponential_decay_length_penalty: Any
    suppress_tokens: Any
    begin_suppress_tokens: Any
    begin_index: Any
    mask: Any
    draw: str | None
    remove_invalid_values: Any
    renormalize_logits: Any
    preset: str | None


#: What a keyword is when it is not given; None for all others.
_DEFAULTS: dict[str, Any] = {
    "guidance_space": "logprobs",
    "penalty_decay": 0, "penalty_slope": 1.0, "dry_base": 1.75, "dry_allowed_length": 2, "dry_sequence_breakers": (),
    "temperature": 1.0, "dynatemp_exponent": 1.0, "smoothing_curve": 1.0, "xtc_threshold": 0.1,
    "xtc_special_tokens": (), "mirostat_tau": 5.0, "mirostat_eta": 0.1, "adaptive_decay": 0.9, "min_keep": 1,
    "ties": "id", "joint": False, "strict": False, "bad_words_output_only": False, "remove_invalid_values": False,
    "renormalize_logits": False, "ees": False,
}  # fmt: skip
KEYWORDS: dict[str, Any] = {name: _DEFAULTS.get(name) for name in Steering.__annotations__}


class _Line(NamedTuple):
    """A step of the keyword form: its class, the keywords of its fields, and the first one's off value."""

    made: Any
    keywords: tuple[str, ...]
    off: Any = None


#: In the order of work.
_LINES = (
    _Line(s.Guidance, ("guidance_scale", "guidance_space")),
    _Line(s.Contrastive, ("contrastive_alpha", "contrastive_beta")),
    _Line(s.DExperts, ("dexperts_alpha",)),
    _Line(s.RemoveInvalidValues, ("remove_invalid_values",), False),
    _Line(s.EncoderRepetitionPenalty, ("encoder_repetition_penalty", "encoder_ids"), 1.0),
    _Line(
        s.RepetitionPenalty,
        ("repetition_penalty", "penalty_window", "penalty_prompt", "penalty_decay", "penalty_slope"),
        1.0,
    ),
    _Line(s.FrequencyPenalty, ("frequency_penalty", "penalty_window", "penalty_prompt"), 0.0),
    _Line(s.PresencePenalty, ("presence_penalty", "penalty_window", "penalty_prompt"), 0.0),
    _Line(
        s.Dry, ("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"), 0.0
    ),
    _Line(s.NoRepeatNgram, ("no_repeat_ngram_size",), 0),
    _Line(s.EncoderNoRepeatNgram, ("encoder_no_repeat_ngram_size", "encoder_ids"), 0),
    _Line(s.BadWords, ("bad_words_ids", "bad_words_output_only")),
    _Line(s.LogitBias, ("logit_bias",)),
    _Line(s.SequenceBias, ("sequence_bias",)),
    _Line(s.MinLength, ("min_length", "eos_token_id"), 0),
    _Line(s.MinNewTokens, ("min_new_tokens", "eos_token_id"), 0),
    _Line(s.AllowedTokens, ("allowed_token_ids",)),
    _Line(s.ForcedBosToken, ("forced_bos_token_id",)),
    _Line(s.ForcedEosToken, ("forced_eos_token_id", "max_length")),
    _Line(s.ExponentialDecayLengthPenalty, ("exponential_decay_length_penalty", "eos_token_id")),
    _Line(s.SuppressTokens, ("suppress_tokens",)),
    _Line(s.BeginSuppressTokens, ("begin_suppress_tokens", "begin_index")),
    _Line(s.Mask, ("mask",)),
    _Line(s.Temperature, ("temperature",), 1.0),
    _Line(s.Smoothing, ("smoothing_factor", "smoothing_curve"), 0.0),
    _Line(s.TopH, ("top_h", "min_keep")),
    _Line(s.TopK, ("top_k", "min_keep", "ties", "joint"), 0),
    _Line(s.TopP, ("top_p", "min_keep", "joint", "strict"), 1.0),
    _Line(s.MinP, ("min_p", "min_keep"), 0.0),
    _Line(s.TypicalP, ("typical_p", "min_keep", "ties", "strict"), 1.0),
    _Line(s.EpsilonCutoff, ("epsilon_cutoff", "min_keep"), 0.0),
    _Line(s.EtaCutoff, ("eta_cutoff", "min_keep"), 0.0),
    _Line(s.TopNSigma, ("top_n_sigma", "min_keep"), 0.0),
    _Line(s.TopA, ("top_a", "min_keep"), 0.0),
    _Line(s.Tfs, ("tfs", "min_keep"), 1.0),
    _Line(s.PLess, ("p_less", "min_keep")),
    _Line(s.MinK, ("min_k", "min_keep")),
    _Line(s.EES, ("ees", "min_keep"), False),
    _Line(s.Xtc, ("xtc_probability", "xtc_threshold", "xtc_special_tokens", "min_keep", "ties", "strict"), 0.0),
    _Line(s.Mirostat, ("mirostat", "mirostat_tau", "mirostat_eta", "min_keep"), 0),
    _Line(s.AdaptiveP, ("adaptive_target", "adaptive_decay")),
    _Line(s.Skew, ("skew",), 0.0),
    _Line(s.RenormalizeLogits, ("renormalize_logits",), False),
)

#: The number that turns a step off, by its name.
OFF = {line.made.name: line.off for line in _LINES}


def keyword_steps(keywords: dict[str, Any], preset: Any = None) -> tuple[s.Step, ...]:
    """The steps of the keyword form, in the order of the preset if there is one; keywords at their off value make none.

    A step that the preset's system lacks is an error. Its boundary rules hold where the user gives none, and numbers
    mean what they mean there. What another step takes the place of is checked all the same.
    """
    system = chosen(preset)
    drawn = _drawn(keywords.get("draw"))
    if system is None:
        return _made(keywords, {}) + drawn
    read = system.read(keywords)
    made = _made(read, system.rules)
    for step in made:
        if step.name not in (*system.order, *system.instead):
            raise ValueError(
                f"preset {preset!r} knows no {step.name}; it has {', '.join((*system.order, *system.instead))}"
            )
    order = _order_of(system, made)
    if "dynamic_temperature" not in order:
        made = _made({**read, "dynatemp_range": None}, system.rules)
    return tuple(sorted((step for step in made if step.name in order), key=lambda step: order.index(step.name))) + drawn


def _order_of(system: Preset, made: tuple[s.Step, ...]) -> tuple[str, ...]:
    """The order that holds; a step that would leave others out is on or off in all rows."""
    for step in made:
        order = system.instead.get(step.name, system.order)
        if order is not system.order:
            values = next(iter(vars(step).values()))
            if not np.all(values) and any(each.name not in order for each in made):
                raise ValueError(
                    f"{step.name} must be on or off for all rows, as other steps cannot run together with it"
                )
            return order
    return system.order


def _drawn(draw: Any) -> tuple[s.Step, ...]:
    """How the token is drawn, where that is not the usual way."""
    if draw not in (None, "cdf", "gumbel"):
        raise ValueError(f"draw must be None, 'cdf' or 'gumbel', got {draw!r}")
    return (s.Gumbel(),) if draw == "gumbel" else ()


def _made(keywords: dict[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> tuple[s.Step, ...]:
    """The steps of all keywords, in the default order; rules: what keywords are to a step where they are not given."""
    given = KEYWORDS | keywords
    # Made even if nothing uses them, so that a bad value of a shared keyword never passes unseen.
    for line in _LINES:
        if len(line.keywords) > 1:
            line.made(line.off, *(given[name] for name in line.keywords[1:]))
    s.DynamicTemperature(1.0, 1.0, given["dynatemp_exponent"])
    made = []
    for line in _LINES:
        own = {**KEYWORDS, **rules.get(line.made.name, {}), **keywords}
        values = [own[name] for name in line.keywords]
        if line.made is s.Temperature and given["dynatemp_range"] is not None:
            made.append(_dynamic_temperature(values[0], given["dynatemp_range"], given["dynatemp_exponent"]))
        elif values[0] is not None and not _is_off(step := line.made(*values), line.off):
            made.append(step)
    return tuple(made)


def _dynamic_temperature(temperature: Any, spread: Any, exponent: Any) -> s.Step:
    """llama.cpp's form: between max(0, T - range) and T + range."""
    middle = s.Temperature(1.0 if temperature is None else temperature).temperature
    around = params.number("dynatemp_range", spread, 0.0, off=0.0)
    low = params.paired("dynatemp_range", middle, around, lambda t, d: max(0.0, t - d))
    high = params.paired("dynatemp_range", middle, around, lambda t, d: t + d)
    if low == high:
        return s.Temperature(middle)
    return s.DynamicTemperature(low, high, exponent)


def _is_off(step: s.Step, off: Any) -> bool:
    """Whether a step's parameter is the number that turns it off."""
    if off is None:
        return False
    value = next(iter(vars(step).values()))
    return not isinstance(value, tuple) and (value == off or (isinstance(step, s.TopK) and value < 1))


def spelled_out(function: F) -> F:
    """``function`` with its steering keywords one by one in its signature, for help() and editors."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    keyword_only = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in KEYWORDS.items()]
    at = next((i for i, p in enumerate(own) if p.kind is p.KEYWORD_ONLY), len(own))
    function.__signature__ = signature.replace(parameters=[*own[:at], *keyword_only, *own[at:]])  # type: ignore[attr-defined]
    return function


def documented(doc: str | None) -> str | None:
    """The docstring of `Sampler` with the order of work, and the keywords that it does not describe by their steps."""
    if doc is None:  # python -OO has none
        return None
    order = textwrap.fill(_ORDER_OF_WORK, 114, break_long_words=False)
    missing = [line for line in _LINES if not re.search(rf"(?m)^    (.*, )?{line.keywords[0]}( :|, )", doc)]
    further = "\n    ".join(
        f"{line.keywords[0]} : {'bool, default False' if line.off is False else 'optional'}\n        {_sentence(line)}"
        for line in missing
    )
    return doc.replace("{order}", order.replace("\n", "\n    ")).replace(
        "    {further keywords}\n", further and f"    {further}\n"
    )


def _sentence(line: _Line) -> str:
    """What a step does."""
    text = inspect.getdoc(line.made) or ""
    return f"{text.partition(chr(10))[0]} See `fastlogits.steps.{line.made.__name__}`."


_ORDER_OF_WORK = ", ".join(line.keywords[0] for line in _LINES)
