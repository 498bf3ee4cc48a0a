"""The four ends of one pipeline as functions: each is a `Sampler` made on the spot.

A loop is better served by a `Sampler`, prepared once.
"""

from __future__ import annotations

from typing import Any, Unpack

from fastlogits._common.docs import shared
from fastlogits.sampling.on_the_spot import Keywords, on_the_spot
from fastlogits.sampling.sampler import Sampler

__all__ = ["beam_step", "candidates", "filter_logits", "gumbel_max", "probs", "sample", "verify"]


@on_the_spot
@shared
def sample(
    logits: Any, *, n: int | None = None, replacement: bool = True, logprobs: int | None = None, out: Any = None,
    **keywords: Unpack[Keywords],
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


@on_the_spot
@shared
def probs(logits: Any, *, out: Any = None, **keywords: Unpack[Keywords]) -> Any:
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


@on_the_spot
@shared
def filter_logits(logits: Any, *, out: Any = None, **keywords: Unpack[Keywords]) -> Any:
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


@on_the_spot
@shared
def candidates(logits: Any, **keywords: Unpack[Keywords]) -> Any:
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


@on_the_spot
@shared
def gumbel_max(logits: Any, *, n: int | None = None, offset: int = 0, **keywords: Unpack[Keywords]) -> Any:
    """Tokens of the largest logit + Gumbel noise, and these values: draws that merge over vocabulary shards.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        Whole rows, or the tokens from ``offset`` on; read in place, never written.
    n : int >= 1, optional
        The n largest: tokens drawn without replacement.
    offset : int >= 0, default 0
        Which token of the vocabulary the first one is. Noise belongs to (seed, key, position, offset + i).
    **inputs
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


@on_the_spot
@shared
def verify(
    target_logits: Any, draft_ids: Any, *, draft_logits: Any = None, draft_probs: Any = None, parents: Any = None,
    replacement: bool = True, draft_sampler: Sampler | None = None, **keywords: Unpack[Keywords],
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
    **inputs
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


@on_the_spot
@shared
def beam_step(
    logits: Any, scores: Any, *, n: int | None = None, num_beam_groups: int = 1, diversity_penalty: float = 0.0,
    eos: Any = None, length: Any = None, length_penalty: float = 1.0, **keywords: Unpack[Keywords],
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
    **inputs
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
