"""Reference of the four ends: the steps of a plan one after the other; see `fastlogits.reference`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference import Candidates, GumbelMax, SampleResult, log_softmax, softmax
from fastlogits.reference.repeats import Floats, Ids
from fastlogits.reference.rows import Row
from fastlogits.reference.step_functions import steps

# Step -> {field: keyword}; a step is asked for by the keyword of its first field.
_ORDER: dict[str, dict[str, str]] = {
    "guidance": {"scale": "guidance_scale", "space": "guidance_space"},
    "contrastive": {"alpha": "contrastive_alpha", "beta": "contrastive_beta"},
    "d_experts": {"alpha": "dexperts_alpha"},
    "remove_invalid_values": {"enabled": "remove_invalid_values"},
    "encoder_repetition_penalty": {"theta": "encoder_repetition_penalty", "ids": "encoder_ids"},
    "repetition_penalty": {
        "theta": "repetition_penalty", "window": "penalty_window", "prompt": "penalty_prompt", "decay": "penalty_decay",
        "slope": "penalty_slope",
    },
    "frequency_penalty": {"alpha": "frequency_penalty", "window": "penalty_window", "prompt": "penalty_prompt"},
    "presence_penalty": {"alpha": "presence_penalty", "window": "penalty_window", "prompt": "penalty_prompt"},
    "dry": {
        "multiplier": "dry_multiplier", "base": "dry_base", "allowed_length": "dry_allowed_length",
        "window": "dry_penalty_last_n", "sequence_breakers": "dry_sequence_breakers",
    },
    "no_repeat_ngram": {"size": "no_repeat_ngram_size"},
    "encoder_no_repeat_ngram": {"size": "encoder_no_repeat_ngram_size", "ids": "encoder_ids"},
    "bad_words": {"sequences": "bad_words_ids", "output_only": "bad_words_output_only"},
    "logit_bias": {"bias": "logit_bias"},
    "sequence_bias": {"bias": "sequence_bias"},
    "min_length": {"n": "min_length", "ids": "eos_token_id"},
    "min_new_tokens": {"n": "min_new_tokens", "ids": "eos_token_id"},
    "allowed_tokens": {"ids": "allowed_token_ids"},
    "forced_bos_token": {"ids": "forced_bos_token_id"},
    "forced_eos_token": {"ids": "forced_eos_token_id", "max_length": "max_length"},
    "exponential_decay_length_penalty": {"penalty": "exponential_decay_length_penalty", "ids": "eos_token_id"},
    "suppress_tokens": {"ids": "suppress_tokens"},
    "begin_suppress_tokens": {"ids": "begin_suppress_tokens", "begin_index": "begin_index"},
    "mask": {"mask": "mask"},
    "temperature": {"temperature": "temperature"},
    "smoothing": {"factor": "smoothing_factor", "curve": "smoothing_curve"},
    "top_h": {"h": "top_h", "min_keep": "min_keep"},
    "top_k": {"k": "top_k", "min_keep": "min_keep", "ties": "ties", "joint": "joint"},
    "top_p": {"p": "top_p", "min_keep": "min_keep", "joint": "joint", "strict": "strict"},
    "min_p": {"p": "min_p", "min_keep": "min_keep"},
    "typical_p": {"p": "typical_p", "min_keep": "min_keep", "ties": "ties", "strict": "strict"},
    "epsilon_cutoff": {"epsilon": "epsilon_cutoff", "min_keep": "min_keep"},
    "eta_cutoff": {"epsilon": "eta_cutoff", "min_keep": "min_keep"},
    "top_n_sigma": {"n": "top_n_sigma", "min_keep": "min_keep"},
    "top_a": {"a": "top_a", "min_keep": "min_keep"},
    "tfs": {"z": "tfs", "min_keep": "min_keep"},
    "p_less": {"order": "p_less", "min_keep": "min_keep"},
    "min_k": {"tau": "min_k", "min_keep": "min_keep"},
    "ees": {"enabled": "ees", "min_keep": "min_keep"},
    "xtc": {
        "probability": "xtc_probability", "threshold": "xtc_threshold", "special_tokens": "xtc_special_tokens",
        "min_keep": "min_keep", "ties": "ties", "strict": "strict",
    },
    "mirostat": {"version": "mirostat", "tau": "mirostat_tau", "eta": "mirostat_eta", "min_keep": "min_keep"},
    "adaptive_p": {"target": "adaptive_target", "decay": "adaptive_decay"},
    "skew": {"skew": "skew"},
    "renormalize_logits": {"enabled": "renormalize_logits"},
}  # fmt: skip


def keyword_plan(**keywords: Any) -> list[tuple[str, dict[str, Any]]]:
    """The plan of the keyword form: (name, fields) of the steps asked for, in the order of `_ORDER`.

    With `dynatemp_range` d the temperature T is one between max(0, T - d) and T + d (llama.cpp's rule).
    """
    keywords = dict(keywords)
    drawn: list[tuple[str, dict[str, Any]]] = [("gumbel", {})] if keywords.pop("draw", None) == "gumbel" else []
    spread, exponent = keywords.pop("dynatemp_range", None), keywords.pop("dynatemp_exponent", 1.0)
    if unknown := set(keywords) - {each for fields in _ORDER.values() for each in fields.values()}:
        raise TypeError(f"unknown keywords: {', '.join(sorted(unknown))}")
    if spread:
        keywords["temperature"] = keywords.get("temperature", 1.0)
    plan = [(name, _fields(fields, keywords)) for name, fields in _ORDER.items() if _asked(fields, keywords)]
    plan = [_dynamic(step, spread, exponent) if step[0] == "temperature" and spread else step for step in plan]
    return plan + drawn


def _asked(fields: Mapping[str, str], keywords: Mapping[str, Any]) -> bool:
    """Whether the keyword of a step's first field is given."""
    return keywords.get(next(iter(fields.values()))) is not None


def _fields(fields: Mapping[str, str], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """A step's fields from their keywords."""
    return {field: keywords[keyword] for field, keyword in fields.items() if keyword in keywords}


def _dynamic(step: tuple[str, dict[str, Any]], spread: float, exponent: float) -> tuple[str, dict[str, Any]]:
    """The dynamic temperature around a plain one."""
    t = step[1]["temperature"]
    return "dynamic_temperature", {"low": max(0.0, t - spread), "high": t + spread, "exponent": exponent}


def _named(step: Any) -> tuple[str, dict[str, Any]]:
    """Name and fields of a step: a dataclass of `fastlogits.steps`, or already (name, fields)."""
    if isinstance(step, tuple):
        return step
    return step.name, {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}


def _per_row(value: Any, shape: tuple[int, ...], inner: int = 0) -> Any:
    """One entry per row of a batch of `shape`: a value whose axes, less the `inner` last, broadcast against it."""
    axes = np.asarray(value)
    own = axes.shape[axes.ndim - inner :]
    return np.broadcast_to(axes, shape + own).reshape(-1, *own) if axes.ndim > inner else [value] * math.prod(shape)


def _depth(value: Any) -> int:
    """How deep sequences are nested."""
    return 1 + max(map(_depth, value), default=0) if hasattr(value, "__len__") else 0


def _of_row(field: str, value: Any, shape: tuple[int, ...], r: int) -> Any:
    """What row r sees of a step's field; biases and tokens differ from row to row when they stand in a list."""
    if field == "bias":
        return value[r] if isinstance(value, list) else value
    if depth := {"ids": 1, "sequence_breakers": 2, "sequences": 2}.get(field):
        mine = value[r] if _depth(value) > depth else value
        return () if mine is None else np.atleast_1d(np.asarray(mine, np.int64)) if depth == 1 else mine
    if field == "penalty":
        return tuple(_per_row(part, shape)[r] for part in value)
    return _per_row(value, shape, inner=int(field in ("mask", "special_tokens")))[r]


def process(row: Row, plan: Sequence[Any], shape: tuple[int, ...] = (1,), r: int = 0) -> Floats:
    """Processed logits [V] of row r of a batch: each step of the plan on what the last one left; ValueError if none."""
    named = [(name, {f: _of_row(f, v, shape, r) for f, v in fields.items()}) for name, fields in map(_named, plan)]
    for at, (name, mine) in _behind(row, named):
        row.at = at
        if name not in ("draw", "gumbel"):
            row.logits = getattr(steps, name)(row, **mine)
        if not np.isfinite(row.logits.max()):
            raise ValueError(f"{name} leaves no token, or made a +inf or NaN")
    return row.logits


def observed(row: Row, plan: Sequence[Any], token: int) -> list[float]:
    """What the drawn token is to each step of the plan that has run: its surprise in bits to mirostat, else NaN."""
    surprise = -log_softmax(row.logits)[token] / math.log(2)
    heard = {at: float(shares[token]) for at, shares in row.shares_at.items()}
    on = [
        at
        for at, (name, fields) in enumerate(map(_named, plan))
        if at >= row.first and name == "mirostat" and fields["version"]
    ]
    return [surprise if at in on else heard.get(at, math.nan) for at in range(len(plan))]


def _behind(row: Row, plan: list[tuple[str, dict[str, Any]]]) -> list[tuple[int, tuple[str, dict[str, Any]]]]:
    """The plan from its last step that forces a token of this row: earlier steps have no effect."""
    forcing = [i for i, (name, mine) in enumerate(plan) if name.startswith("forced_") and _forces(row, name, mine)]
    row.first = max(forcing, default=0)
    row.asked += sum(name == "xtc" for name, _ in plan[: row.first])
    row.skew += sum(mine["skew"] for name, mine in plan[: row.first] if name == "skew")
    repairs = row.first > 0 and plan[0][0] == "remove_invalid_values"
    return list(enumerate(plan))[:repairs] + list(enumerate(plan))[row.first :]


def _forces(row: Row, name: str, mine: dict[str, Any]) -> bool:
    """Whether a step that forces tokens does so here."""
    return getattr(steps, name)(row, **mine) is not row.logits


def _contexts(context: Any, rows: int) -> list[Ids]:
    """One array of ids per row: from None, one sequence for all rows, one per row, or one per row nested as those."""
    each = [] if context is None else list(context)
    if not any(hasattr(part, "__len__") for part in each):
        each = [each] * rows
    while any(hasattr(i, "__len__") for ids in each for i in ids):
        each = [ids for part in each for ids in part]
    return [np.asarray(ids, np.int64) for _, ids in zip(range(rows), each, strict=True)]


def _processed(logits: ArrayLike, plan: Sequence[Any] | None, inputs: Mapping[str, Any]) -> tuple[Floats, list[Row]]:
    """The logits [R, V] as they came, and the rows as the plan leaves them."""
    steering = {name: value for name, value in inputs.items() if name != "out_of_vocab"}  # see Row
    context, start = steering.pop("context", None), steering.pop("prompt_length", 0)
    rng, position, keys = (steering.pop(name, None) for name in ("rng", "position", "keys"))
    shape, held, beside = np.shape(logits)[:-1] or (1,), _rows(logits), _beside(steering)
    plan, seen = keyword_plan(**steering) if plan is None else plan, _contexts(context, len(held))
    rows = list(map(Row, held, seen, _per_row(start, shape), _random(rng, position, keys, seen, shape)))
    for r, row in enumerate(rows):
        row.beside = {name: values[r] for name, values in beside.items()}
        process(row, plan, shape, r)
    return held.astype(np.float64), rows


def _rows(logits: ArrayLike) -> Any:
    """The rows of a batch one below the other, [R, V], in their own type."""
    x = np.asarray(logits)
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _beside(steering: dict[str, Any]) -> dict[str, Floats]:
    """The rows that a step combines with the logits, taken out of `steering`, each [R, V]."""
    names = [name for name in ("uncond", "amateur", "expert", "anti") if name in steering]
    given = {name: steering.pop(name) for name in names}
    return {name: _rows(rows) for name, rows in given.items() if rows is not None}


def _random(
    rng: Any, position: Any, keys: Any, seen: Sequence[Ids], shape: tuple[int, ...]
) -> list[tuple[int, int, int]]:
    """(seed, key, position) of each row; the key is 0 by default where each row has its own seed."""
    own = hasattr(rng, "__len__")
    seeds = list(map(_seed, np.array(rng, object).ravel())) if own else [_seed(rng)] * len(seen)
    where = list(map(len, seen)) if position is None else _per_row(position, shape)
    named = _per_row(0 if keys is None else keys, shape) if own or keys is not None else range(len(seen))
    return [(seed, int(key), int(at)) for seed, key, at in zip(seeds, named, where, strict=True)]


def _logits_of(rows: Sequence[Row], shape: tuple[int, ...]) -> Floats:
    """The logits of the rows as one array."""
    return np.array([row.logits for row in rows], np.float64).reshape(shape)


def filter_logits(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Floats:
    """Processed logits [..., V], -inf where removed."""
    return _logits_of(_processed(logits, plan, inputs)[1], np.shape(logits))


def probs(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Floats:
    """Probabilities [..., V] of the survivors, renormalized; 0 where removed."""
    return softmax(filter_logits(logits, plan=plan, **inputs))


def candidates(logits: ArrayLike, *, plan: Sequence[Any] | None = None, **inputs: Any) -> Candidates:
    """The survivors of each row by (logit descending, id ascending), with their processed logits and log-probs."""
    raw, left = _processed(logits, plan, inputs)
    orders, rows = [row.order() for row in left], _logits_of(left, raw.shape)
    offsets = np.cumsum([0, *map(len, orders)], dtype=np.int64)
    flat = [np.concatenate([a[o] for a, o in zip(each, orders, strict=True)]) for each in (rows, log_softmax(rows))]
    return Candidates(np.concatenate(orders), flat[0], flat[1], offsets)


def _seed(rng: Any) -> int:
    """An int as it is (through SeedSequence from 2^64 on), one word of a Generator, or the system's entropy."""
    if isinstance(rng, np.random.Generator):
        return int(rng.bit_generator.random_raw())
    small = isinstance(rng, int | np.integer) and rng < 2**64
    return int(rng) if small else int(np.random.SeedSequence(rng).generate_state(1, np.uint64)[0])


def sample(
    logits: ArrayLike, *, plan: Sequence[Any] | None = None, n: int | None = None, replacement: bool = True,
    rng: Any = None, position: Any = None, keys: Any = None, logprobs: int | None = None,
    logprobs_mode: str = "processed", **inputs: Any,
) -> Any:  # fmt: skip
    """Token ids [...] or [..., n] drawn from the processed rows; with `logprobs=m` a SampleResult."""
    shapes = (np.shape(logits)[:-1] + (() if n is None else (n,)), np.shape(logits)[:-1])
    plan = keyword_plan(**_steering(inputs)) if plan is None else plan
    raw, rows = _processed(logits, plan, _call(inputs) | {"rng": rng, "position": position, "keys": keys})
    by_noise = bool(plan) and _named(plan[-1])[0] == "gumbel"
    ids = np.array([_drawn(row, n or 1, by_noise, replacement) for row in rows], np.int64).reshape(len(raw), n or 1)
    if logprobs is None:
        return ids.reshape(shapes[0])[()]
    came, left = _as_they_came(logits, plan), _logits_of(rows, raw.shape)
    found = [_result(ids, came, each, logprobs, shapes) for each in (left, came)]
    return {"processed": found[0], "raw": found[1], "both": SampleResult(*found[0][:6], *found[1][3:6])}[logprobs_mode]


def _as_they_came(logits: ArrayLike, plan: Sequence[Any]) -> Floats:
    """The rows [R, V], repaired if the plan begins with that."""
    repair = [step for step in plan[:1] if _named(step)[0] == "remove_invalid_values"]
    shape, rows = np.shape(logits)[:-1] or (1,), list(map(Row, _rows(logits)))
    return np.array([process(row, repair, shape, r) for r, row in enumerate(rows)], np.float64)


_CALL = ("context", "prompt_length", "out_of_vocab")


def _call(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call other than the steering keywords."""
    return {name: value for name, value in inputs.items() if name in _CALL}


def _steering(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The steering keywords."""
    return {name: value for name, value in inputs.items() if name not in _CALL}


def _drawn(row: Row, n: int, by_noise: bool, replacement: bool) -> list[int]:
    """The n tokens of a row: each by `steps.draw` with its u, by its noise, or all by one noise."""
    if not replacement:
        kept: list[int] = row.perturbed()[1][:n].tolist()
        if len(kept) < n:
            raise ValueError(f"n must be at most the number of tokens left, {len(kept)}, got {n}")
        return kept
    if by_noise:
        return [int(row.perturbed(number)[1][0]) for number in range(n)]
    return [steps.draw(row, row.draw_uniform(number)) for number in range(n)]


def gumbel_max(
    logits: ArrayLike, *, plan: Sequence[Any] | None = None, n: int | None = None, offset: int = 0, rng: Any = None,
    position: Any = None, keys: Any = None, **inputs: Any,
) -> GumbelMax:  # fmt: skip
    """Ids and values [...] or [..., n] of the largest logits - base + noise, tokens counted from `offset`; bases."""
    shape, many = np.shape(logits)[:-1] + (() if n is None else (n,)), n or 1
    plan = keyword_plan(**_steering(inputs)) if plan is None else plan
    _, rows = _processed(logits, plan, _call(inputs) | {"rng": rng, "position": position, "keys": keys})
    found = [row.perturbed(0, offset) for row in rows]
    ids = [[*(order + offset).tolist(), *[-1] * many][:many] for _, order in found]
    tops = [[*values[order], *[-np.inf] * many][:many] for values, order in found]
    return GumbelMax(
        np.array(ids, np.int64).reshape(shape)[()], np.array(tops, np.float64).reshape(shape)[()],
        np.array([row.base() for row in rows]).reshape(np.shape(logits)[:-1])[()],
    )  # fmt: skip


def _result(ids: Ids, raw: Floats, rows: Floats, n: int, shapes: tuple[tuple[int, ...], ...]) -> SampleResult:
    """What the drawn ids [R, draws] look like: log-probs, rank, and the n first survivors; padded with -1 and -inf."""
    at, there, scores = (np.arange(len(ids))[:, None], ids), ids >= 0, log_softmax(rows)
    ranks = np.where(there, 1 + np.count_nonzero(rows[:, None] > rows[at][..., None], axis=-1), -1)
    top = np.array([[*Row(x).order()[:n], *[-1] * n][:n] for x in rows], np.int64).reshape(len(ids), n)
    top_scores = np.where(top < 0, -np.inf, np.take_along_axis(scores, np.maximum(top, 0), 1))
    own = [np.where(there, each[at], -np.inf) for each in (scores, log_softmax(raw))]
    flat = [each.reshape(shapes[0])[()] for each in (ids, *own, ranks)]
    return SampleResult(*[*flat, *(each.reshape(*shapes[1], n) for each in (top, top_scores))])
