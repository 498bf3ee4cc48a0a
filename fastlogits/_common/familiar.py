"""Keywords that other libraries have, and what to pass here instead: the hint of an error about an unknown keyword."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from fastlogits._common.call_inputs import DEFAULTS

_LOOP = "the decoding loop decides that"
_GREEDY = "temperature=0 takes the likeliest token, any other temperature draws"
_ENGINE = "pass what the grammar engine allows as mask="
_BEAMS = "see fastlogits.beam_step"

#: Other names of arguments, by what they are called here.
_SAME = {
    "rng": ("seed", "generator", "random_seed", "random_state", "prng"),
    "logprobs": (
        "top_logprobs", "n_probs", "num_logprobs", "return_logprobs", "return_log_probs", "output_scores",
        "response_logprobs",
    ),
    "context": ("input_ids", "prev_tokens", "prompt_token_ids", "prompt", "tokens", "token_ids", "last_tokens"),
    "n": ("num_samples", "num_return_sequences", "candidate_count", "size"),
    "temperature": ("temp",),
    "top_k": ("k",),
    "top_p": ("p", "nucleus"),
    "typical_p": ("typ_p", "typical"),
    "tfs": ("tfs_z",),
    "repetition_penalty": ("repeat_penalty", "penalty_repeat", "rep_pen"),
    "frequency_penalty": ("penalty_freq", "freq_penalty", "alpha_frequency"),
    "presence_penalty": ("penalty_present", "alpha_presence"),
    "penalty_window": ("repeat_last_n", "penalty_last_n", "rep_pen_range", "repetition_context_size"),
    "mirostat": ("mirostat_mode",),
    "mirostat_tau": ("mirostat_ent",),
    "mirostat_eta": ("mirostat_lr",),
    "guidance_scale": ("cfg_scale", "guidance"),
    "min_new_tokens": ("min_tokens", "min_predict"),
    "allowed_token_ids": ("allowed_tokens", "allowed_ids"),
    "bad_words_ids": ("bad_words", "banned_tokens"),
    "eos_token_id": ("stop_token_id", "eos_token", "eos_id", "eos"),
    "logit_bias": ("bias", "token_bias"),
    "mask": ("bitmask", "token_bitmask", "vocab_mask"),
    "uncond": ("negative_logits", "uncond_logits"),
    "threads": ("num_threads", "n_threads", "n_jobs"),
}  # fmt: skip

#: What has no argument here, by the reason.
_ELSEWHERE = {
    _LOOP: (
        "stop", "stop_sequences", "stop_strings", "stop_token_ids", "stop_words", "stopping_criteria", "ignore_eos",
        "max_tokens", "max_new_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict",
        "stream", "echo",
    ),
    _GREEDY: ("do_sample", "greedy"),
    _ENGINE: (
        "grammar", "json_schema", "response_format", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
        "structured_outputs", "prefix_allowed_tokens_fn",
    ),
    _BEAMS: ("num_beams", "use_beam_search", "beam_width", "length_penalty", "early_stopping"),
    "draw n= tokens and choose among them by their log-probs": ("best_of",),
    "steps of fastlogits.steps do that; a processor of your own changes the logits before the call": (
        "logits_processor", "logits_processors", "logits_warper",
    ),
    "all computation is on the CPU": ("device",),
}  # fmt: skip

_HINTS = {name: f"{name} is called {ours} here" for ours, names in _SAME.items() for name in names}
_HINTS |= {name: f"{name} has no place here: {why}" for why, names in _ELSEWHERE.items() for name in names}

#: Arguments of the methods, which the constructor does not take.
_OF_THE_CALL = (*DEFAULTS, "out", "n", "replacement", "logprobs", "logprobs_mode")


def refuse_unknown(function: str, keywords: Iterable[str], known: Iterable[str], *, rng: str = "rng") -> None:
    """TypeError as Python words it for a keyword that is not known, with the one that was meant.

    ``rng`` is what the function calls its random numbers.
    """
    names = list(known)
    for keyword in keywords:
        if keyword not in names:
            hint = _hint(function, keyword, names, rng)
            raise TypeError(f"{function}() got an unexpected keyword argument {keyword!r}{hint and f'; {hint}'}")


def _hint(function: str, keyword: str, known: list[str], rng: str) -> str:
    """What to pass instead; empty where nothing is near."""
    if keyword in _OF_THE_CALL:
        ours = f"{keyword} is an argument of the call, as in sampler.sample(logits, {keyword}=...)"
        return ours if function == "Sampler" else ""
    snake = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", keyword).replace("-", "_").lower()
    if snake in known:
        return f"did you mean {snake!r}?"
    if snake in _SAME["rng"]:
        return f"{keyword} is called {rng} here"
    if snake in _HINTS:
        return _HINTS[snake]
    near = difflib.get_close_matches(snake, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
