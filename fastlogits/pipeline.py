"""The four ends of one pipeline as functions: each is a `Sampler` made on the spot.

A loop is better served by a `Sampler`, prepared once.
"""

from __future__ import annotations

import functools
from typing import Any, Unpack

from fastlogits._steering import Steering, spelled_out
from fastlogits.sampler import Sampler

__all__ = ["candidates", "filter_logits", "probs", "sample"]

_PLAIN = (float, int, str, bool, type(None))
# Keywords that are all plain scalars make the same Sampler again and again; typed, since True is no 1 here.
_kept = functools.lru_cache(maxsize=64, typed=True)(Sampler)


def _sampler(keywords: Steering) -> Sampler:
    """A Sampler of these keywords, made earlier where that is safe."""
    plain = all(type(value) in _PLAIN for value in keywords.values())
    return _kept(**keywords) if plain else Sampler(**keywords)


@spelled_out
def sample(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, logprobs: int | None = None, out: Any = None, threads: int | None = None,
    on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Draw one token per row.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call; as in `Sampler.sample`.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default.
    logprobs : int >= 0, optional
        Return a `SampleResult` with the log-probs of the drawn tokens and of the ``logprobs`` likeliest ones.
    out : int64 array [...], optional
        Receives the ids.

    Returns
    -------
    int, or int64 array [...]
        The drawn ids; or a SampleResult; or (either, status) with ``on_error="status"``.

    Raises
    ------
    ValueError
        A row holds NaN or +inf, has no finite logit or no token left, or an argument is out of range. The message
        names row and argument.
    TypeError
        An argument is of a wrong type.

    Notes
    -----
    With an integer ``rng`` nothing advances: the same call gives the same token. **In a decoding loop pass the
    context**: its growing length is the position in the random stream, so the loop moves by itself. A loop without
    context must pass ``position`` or a Generator, else each call repeats the same u. Passing a context changes u even
    where no penalty reads it.

    Examples
    --------
    >>> import fastlogits as fl
    >>> ids = [3]
    >>> for _ in range(4):
    ...     ids.append(fl.sample([1.0, 3.0, 2.0, 2.5], context=ids, rng=7, temperature=0.8, top_k=2))
    >>> all(i in (1, 3) for i in ids)
    True
    """
    return _sampler(steering).sample(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        logprobs=logprobs, out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
def probs(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, out: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Probabilities of the survivors, renormalised; 0 where removed.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call; as in `Sampler.sample`.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default.
    out : array of the shape and type of logits, optional
        Receives the result; may be ``logits`` itself.

    Returns
    -------
    array [..., V] of the type of logits
        With ``on_error="status"`` the pair (array, status); a bad row holds NaN.

    Raises
    ------
    ValueError
        A row holds NaN or +inf, has no finite logit or no token left, or an argument is out of range. The message
        names row and argument.
    TypeError
        An argument is of a wrong type.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.probs([1.0, 3.0, 3.0], top_k=2)
    array([0. , 0.5, 0.5])
    """
    return _sampler(steering).probs(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
def filter_logits(
    logits: Any, *, context: Any = None, prompt_length: Any = 0, state: Any = None, rng: Any = None,
    position: Any = None, keys: Any = None, out: Any = None, threads: int | None = None, on_error: str = "raise",
    uncond: Any = None, amateur: Any = None, expert: Any = None, anti: Any = None, **steering: Unpack[Steering],
) -> Any:  # fmt: skip
    """Processed logits, -inf where removed; each rounded once, at the end.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call; as in `Sampler.sample`.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default.
    out : array of the shape and type of logits, optional
        Receives the result; may be ``logits`` itself.

    Returns
    -------
    array [..., V] of the type of logits
        With ``on_error="status"`` the pair (array, status); a bad row holds NaN.

    Raises
    ------
    ValueError
        A row holds NaN or +inf, has no finite logit or no token left, or an argument is out of range. The message
        names row and argument.
    TypeError
        An argument is of a wrong type.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.filter_logits([1.0, 3.0, 2.0], temperature=0.5, top_k=2)
    array([-inf,   6.,   4.])
    """
    return _sampler(steering).filter_logits(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        out=out, threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip


@spelled_out
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
    context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
        Inputs of the call; as in `Sampler.sample`.
    **steering
        The keywords of `Sampler`, in its order of work; all off by default.

    Returns
    -------
    Candidates
        With ``on_error="status"`` the pair (Candidates, status); a bad row has none.

    Raises
    ------
    ValueError
        A row holds NaN or +inf, has no finite logit or no token left, or an argument is out of range. The message
        names row and argument.
    TypeError
        An argument is of a wrong type.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.candidates([1.0, 3.0, 2.0], min_p=0.3).ids
    array([1, 2])
    """
    return _sampler(steering).candidates(
        logits, context=context, prompt_length=prompt_length, state=state, rng=rng, position=position, keys=keys,
        threads=threads, on_error=on_error,
        uncond=uncond, amateur=amateur, expert=expert, anti=anti,
    )  # fmt: skip
