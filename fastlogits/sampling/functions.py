"""The four ends of one pipeline as functions: each is a `Sampler` made on the spot.

A loop is better served by a `Sampler`, prepared once.
"""

from __future__ import annotations

import functools
from typing import Any, Unpack

from fastlogits._common.docs import shared
from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling.keywords import KEYWORDS, Steering, spelled_out
from fastlogits.sampling.sampler import Sampler

__all__ = ["beam_step", "candidates", "filter_logits", "gumbel_max", "probs", "sample", "verify"]

_PLAIN = frozenset((float, int, str, bool, type(None)))
# Keywords that are all plain scalars make the same Sampler again and again; typed, since True is no 1 here.
_kept = functools.lru_cache(maxsize=64, typed=True)(Sampler)
_last: tuple[dict[str, Any], Sampler] = ({}, Sampler())  # a loop's call has the very same objects again


def sampler_of(function: str, keywords: Any, *, rng: str = "rng") -> Sampler:
    """A Sampler of these keywords, made earlier where that is safe; an error about one names the function.

    ``rng`` is what the function calls its random numbers.
    """
    global _last
    before, sampler = _last
    if len(keywords) == len(before):
        for name, value in keywords.items():
            if before.get(name, _last) is not value:
                break
        else:
            return sampler
    if not keywords.keys() <= KEYWORDS.keys():
        refuse_unknown(function, keywords, KEYWORDS, rng=rng)
    for value in keywords.values():
        if type(value) not in _PLAIN:
            return Sampler(**keywords)
    sampler = _kept(**keywords)
    _last = keywords, sampler
    return sampler


@spelled_out
@shared
def sample(
    logits: Any, *, n: int | None = None, replacement: bool = True, context: Any = None, prompt_length: Any = 0,
    state: Any = None, rng: Any = None, position: Any = None, keys: Any = None, logprobs: int | None = None,
    out: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Draw one token, or n of them, per row.

    Parameters
    ----------
    {logits}
    n : int >= 1, optional
        Draw n tokens from each row, processed once; the first of them is the one drawn without ``n``.
    replacement : bool, default True
        False: n different tokens, in the order in which they would be drawn one after the other. Fewer than n left
        are an error; with ``on_error="status"`` such a row is padded with -1 and its status is TOO_FEW.
    {inputs}
    {steering}
    logprobs : int >= 0, optional
        Return a `SampleResult` with the log-probs of the drawn tokens and of the ``logprobs`` most likely ones.
    out : int64 array [...] or [..., n], optional
        Receives the ids.

    Returns
    -------
    int, or int64 array [...] or [..., n]
        The drawn ids; or a SampleResult; or (either, status) with ``on_error="status"``.

    Raises
    ------
    {errors of rows}

    Notes
    -----
    A fixed ``rng`` repeats its number: the same call gives the same token. **In a decoding loop pass the
    context**: its growing length is the position in the random stream, so the loop advances automatically. A loop
    without context must pass ``position`` or a Generator, else each call repeats the same u. Passing a
    context changes u even where no penalty reads it.

    Examples
    --------
    >>> import fastlogits as fl
    >>> ids = [3]
    >>> for _ in range(4):
    ...     ids.append(fl.sample([1.0, 3.0, 2.0, 2.5], context=ids, rng=7, temperature=0.8, top_k=2))
    >>> all(i in (1, 3) for i in ids)
    True
    """
    return sampler_of("sample", steering).sample(
        logits, n=n, replacement=replacement, context=context, prompt_length=prompt_length, state=state, rng=rng,
        position=position, keys=keys, logprobs=logprobs, out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
@shared
def probs(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, out: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Probabilities of the survivors, renormalized; 0 where removed.

    Parameters
    ----------
    {logits}
    {inputs}
    {steering}
    {out}

    Returns
    -------
    {array}

    Raises
    ------
    {errors of rows}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.probs([1.0, 3.0, 3.0], top_k=2)
    array([0. , 0.5, 0.5])
    """
    return sampler_of("probs", steering).probs(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
@shared
def filter_logits(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, out: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Processed logits, -inf where removed; each rounded once, at the end.

    Parameters
    ----------
    {logits}
    {inputs}
    {steering}
    {out}

    Returns
    -------
    {array}

    Raises
    ------
    {errors of rows}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.filter_logits([1.0, 3.0, 2.0], temperature=0.5, top_k=2)
    array([-inf,   6.,   4.])
    """
    return sampler_of("filter_logits", steering).filter_logits(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
@shared
def candidates(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """The survivors of each row, sorted by (logit descending, id ascending).

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written.
    {inputs}
    {steering}

    Returns
    -------
    Candidates
        With ``on_error="status"`` the pair (Candidates, status); a bad row has none.

    Raises
    ------
    {errors of rows}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.candidates([1.0, 3.0, 2.0], min_p=0.3).ids
    array([1, 2])
    """
    return sampler_of("candidates", steering).candidates(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
@shared
def gumbel_max(
    logits: Any, *, n: int | None = None, offset: int = 0, context: Any = None, prompt_length: Any = 0,
    state: Any = None, rng: Any = None, position: Any = None, keys: Any = None, threads: int | None = None,
    on_error: str = "raise", **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Tokens of the largest logit + Gumbel noise, and these values: draws that merge over vocabulary shards.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        Whole rows, or the tokens from ``offset`` on; read in place, never written.
    n : int >= 1, optional
        The n largest: tokens drawn without replacement.
    offset : int >= 0, default 0
        Which token of the vocabulary the first one is. Noise belongs to (seed, key, position, offset + i).
    context, prompt_length, state, rng, position, keys, threads, on_error
        Inputs of the call; as in `Sampler.sample`. Context, biases and masks speak of the tokens at hand, counted from
        the first of them; of a shard ``position`` must be given where its context is not as long as that of the others.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default. Over shards only those have their meaning
        that look at no other token: temperature, biases, masks, penalties.

    Returns
    -------
    GumbelMax
        ids, values and base; the token with the largest ``values + (base - b)`` over all shards, b the largest base, is
        the one that ``sample(..., draw="gumbel")`` draws from whole rows. With ``on_error="status"`` the pair
        (GumbelMax, status).

    Raises
    ------
    {errors of rows}

    Examples
    --------
    >>> import fastlogits as fl
    >>> row = [1.0, 3.0, 2.0, 2.5, 0.0]
    >>> shards = [fl.gumbel_max(row[:2], rng=7), fl.gumbel_max(row[2:], rng=7, offset=2)]
    >>> base = max(shard.base for shard in shards)
    >>> best = max(shards, key=lambda shard: shard.values + (shard.base - base))
    >>> best.ids == fl.sample(row, rng=7, draw="gumbel")
    True
    """
    return sampler_of("gumbel_max", steering).gumbel_max(
        logits, n=n, offset=offset, context=context, prompt_length=prompt_length, state=state, rng=rng,
        position=position, keys=keys, threads=threads, on_error=on_error,
    )  # fmt: skip


@spelled_out
@shared
def verify(
    target_logits: Any, draft_ids: Any, *, draft_logits: Any = None, draft_probs: Any = None, parents: Any = None,
    replacement: bool = True, draft_sampler: Sampler | None = None, context: Any = None, prompt_length: Any = 0,
    state: Any = None, rng: Any = None, position: Any = None, keys: Any = None, threads: int | None = None,
    on_error: str = "raise", uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None,
    **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Speculative decoding: accept drafted tokens so that what is emitted follows the target distribution, exactly.

    Parameters
    ----------
    target_logits : array [..., n + 1, V]
        The target model's logits: row 0 after the context, row i + 1 after draft token i.
    draft_ids : int array [..., n]
        The drafted tokens; -1 ends a draft that is shorter.
    draft_logits, draft_probs : array [..., m, V], optional
        What they were drawn from: logits, through the same pipeline, or probabilities as they are; neither: q = 1.
    parents : int array [..., n] or [n], optional
        A tree of drafts: the earlier token that each one stands after, -1 for the context.
    replacement : bool, default True
        Whether tokens after one parent were drawn independently.
    draft_sampler : Sampler, optional
        Another pipeline for the draft logits.
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call, for each sequence; see `Sampler.verify`.
    {steering}

    Returns
    -------
    Verified
        ids, accepted, tokens and path; with ``on_error="status"`` the pair (Verified, status).

    Raises
    ------
    ValueError, TypeError
        As `Sampler.verify`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> found = fl.verify([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]], [1, 0], temperature=0)
    >>> found.ids, found.accepted, found.tokens
    (array([ 1,  2, -1]), 1, 2)
    """
    return sampler_of("verify", steering).verify(
        target_logits, draft_ids, draft_logits=draft_logits, draft_probs=draft_probs, parents=parents,
        replacement=replacement, draft_sampler=draft_sampler, context=context, prompt_length=prompt_length,
        state=state, rng=rng, position=position, keys=keys, threads=threads, on_error=on_error, uncond=uncond,
        amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
def beam_step(
    logits: Any, scores: Any, *, n: int | None = None, num_beam_groups: int = 1, diversity_penalty: float = 0.0,
    eos: Any = None, length: Any = None, length_penalty: float = 1.0, context: Any = None, prompt_length: Any = 0,
    state: Any = None, rng: Any = None, position: Any = None, keys: Any = None, threads: int | None = None,
    on_error: str = "raise", uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None,
    **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """One step of beam search: the best continuations of all beams, without an array of the size of the logits.

    Parameters
    ----------
    logits : array [..., beams, V]
        One row per beam; read in place.
    scores : array [..., beams]
        Running scores, sums of log-probs; -inf for a beam that is not in use.
    n : int >= 1, optional
        How many continuations; 2 * beams by default.
    num_beam_groups : int >= 1, default 1
        Diverse beam search: this many groups of beams, each with n / num_beam_groups own continuations.
    diversity_penalty : float >= 0, default 0.0
        What a token's log-prob loses for each beam of an earlier group that goes on with it.
    eos : int or sequence of int, optional
        Tokens that end a text, with which no beam goes on.
    length : int or int array [..., beams], at least 1, optional
        Tokens of each beam's text with the new one: continuations are ranked by score / length ** length_penalty.
    length_penalty : float, default 1.0
        The exponent; without ``length`` it does nothing.
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call, one row per beam; as in `Sampler.sample`.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default. Log-probs are those of what it leaves.

    Returns
    -------
    BeamStep
        scores, beams and ids [..., n], in each group by (score, or with ``length`` score / length ** length_penalty,
        descending, beam ascending, id ascending); with ``on_error="status"`` the pair (BeamStep, status).

    Raises
    ------
    ValueError, TypeError
        As `Sampler.beam_step`.

    Examples
    --------
    >>> import fastlogits as fl
    >>> step = fl.beam_step([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], [-1.0, -0.5], n=2)
    >>> step.scores.round(3), step.beams, step.ids
    (array([-0.595, -1.408]), array([1, 0]), array([0, 1]))
    >>> fl.beam_step([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], [-1.0, -2.5], n=1, length=[2, 5]).beams  # means, not sums
    array([1])
    """
    return sampler_of("beam_step", steering).beam_step(
        logits, scores, n=n, num_beam_groups=num_beam_groups, diversity_penalty=diversity_penalty, eos=eos,
        length=length, length_penalty=length_penalty, context=context, prompt_length=prompt_length, state=state,
        rng=rng, position=position, keys=keys, threads=threads, on_error=on_error, uncond=uncond, amateur=amateur,
        expert=expert, anti=anti,
    )  # fmt: skip
