"""The four ends of one pipeline as functions: each is a `Sampler` made on the spot.

A loop is better served by a `Sampler`, prepared once.
"""

from __future__ import annotations

import functools
from typing import Any

from fastlogits.sampler import Sampler

__all__ = ["candidates", "filter_logits", "probs", "sample"]

_PLAIN = (float, int, str, bool, type(None))
# Keywords that are all plain scalars make the same Sampler again and again; typed, since True is no 1 here.
_kept = functools.lru_cache(maxsize=64, typed=True)(Sampler)


def _sampler(**keywords: Any) -> Sampler:
    """A Sampler of these keywords, made earlier where that is safe."""
    plain = all(type(value) in _PLAIN for value in keywords.values())
    return _kept(**keywords) if plain else Sampler(**keywords)


def sample(
    logits: Any, *, temperature: Any = 1.0, top_k: Any = None, top_p: Any = None, min_p: Any = None, min_keep: Any = 1,
    ties: Any = "id", joint: Any = False, repetition_penalty: Any = None, frequency_penalty: Any = None,
    presence_penalty: Any = None, penalty_window: Any = None, logit_bias: Any = None, mask: Any = None,
    context: Any = None, prompt_length: Any = 0, rng: Any = None, position: Any = None, keys: Any = None,
    logprobs: int | None = None, out: Any = None, threads: int | None = None, on_error: str = "raise",
    preset: str | None = None,
) -> Any:  # fmt: skip
    """Draw one token per row.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    temperature, top_k, top_p, min_p, min_keep, ties, joint, preset
        As in `Sampler`, in that order of work; all off by default.
    repetition_penalty, frequency_penalty, presence_penalty, penalty_window, logit_bias, mask
        Edits, which come before; as in `Sampler`.
    context, prompt_length, rng, position, keys, threads, on_error
        Inputs of the call; as in `Sampler.sample`.
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
    sampler = _sampler(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, min_keep=min_keep, ties=ties, joint=joint,
        repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
        penalty_window=penalty_window, logit_bias=logit_bias, mask=mask, preset=preset,
    )  # fmt: skip
    return sampler.sample(
        logits, context=context, prompt_length=prompt_length, rng=rng, position=position, keys=keys,
        logprobs=logprobs, out=out,
        threads=threads, on_error=on_error,
    )  # fmt: skip


def probs(
    logits: Any, *, temperature: Any = 1.0, top_k: Any = None, top_p: Any = None, min_p: Any = None, min_keep: Any = 1,
    ties: Any = "id", joint: Any = False, repetition_penalty: Any = None, frequency_penalty: Any = None,
    presence_penalty: Any = None, penalty_window: Any = None, logit_bias: Any = None, mask: Any = None,
    context: Any = None, prompt_length: Any = 0, rng: Any = None, position: Any = None, keys: Any = None,
    out: Any = None, threads: int | None = None, on_error: str = "raise",
    preset: str | None = None,
) -> Any:  # fmt: skip
    """Probabilities of the survivors, renormalised; 0 where removed.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    temperature, top_k, top_p, min_p, min_keep, ties, joint, preset
        As in `Sampler`, in that order of work; all off by default.
    repetition_penalty, frequency_penalty, presence_penalty, penalty_window, logit_bias, mask
        Edits, which come before; as in `Sampler`.
    context, prompt_length, rng, position, keys, threads, on_error
        Inputs of the call; as in `Sampler.sample`.
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
    sampler = _sampler(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, min_keep=min_keep, ties=ties, joint=joint,
        repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
        penalty_window=penalty_window, logit_bias=logit_bias, mask=mask, preset=preset,
    )  # fmt: skip
    return sampler.probs(
        logits, context=context, prompt_length=prompt_length, rng=rng, position=position, keys=keys,
        out=out,
        threads=threads, on_error=on_error,
    )  # fmt: skip


def filter_logits(
    logits: Any, *, temperature: Any = 1.0, top_k: Any = None, top_p: Any = None, min_p: Any = None, min_keep: Any = 1,
    ties: Any = "id", joint: Any = False, repetition_penalty: Any = None, frequency_penalty: Any = None,
    presence_penalty: Any = None, penalty_window: Any = None, logit_bias: Any = None, mask: Any = None,
    context: Any = None, prompt_length: Any = 0, rng: Any = None, position: Any = None, keys: Any = None,
    out: Any = None, threads: int | None = None, on_error: str = "raise",
    preset: str | None = None,
) -> Any:  # fmt: skip
    """Processed logits, -inf where removed; each rounded once, at the end.

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.
    temperature, top_k, top_p, min_p, min_keep, ties, joint, preset
        As in `Sampler`, in that order of work; all off by default.
    repetition_penalty, frequency_penalty, presence_penalty, penalty_window, logit_bias, mask
        Edits, which come before; as in `Sampler`.
    context, prompt_length, rng, position, keys, threads, on_error
        Inputs of the call; as in `Sampler.sample`.
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
    sampler = _sampler(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, min_keep=min_keep, ties=ties, joint=joint,
        repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
        penalty_window=penalty_window, logit_bias=logit_bias, mask=mask, preset=preset,
    )  # fmt: skip
    return sampler.filter_logits(
        logits, context=context, prompt_length=prompt_length, rng=rng, position=position, keys=keys,
        out=out,
        threads=threads, on_error=on_error,
    )  # fmt: skip


def candidates(
    logits: Any, *, temperature: Any = 1.0, top_k: Any = None, top_p: Any = None, min_p: Any = None, min_keep: Any = 1,
    ties: Any = "id", joint: Any = False, repetition_penalty: Any = None, frequency_penalty: Any = None,
    presence_penalty: Any = None, penalty_window: Any = None, logit_bias: Any = None, mask: Any = None,
    context: Any = None, prompt_length: Any = 0, rng: Any = None, position: Any = None, keys: Any = None,
    threads: int | None = None, on_error: str = "raise",
    preset: str | None = None,
) -> Any:  # fmt: skip
    """The survivors of each row, sorted by (logit descending, id ascending).

    Parameters
    ----------
    logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
        ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written.
    temperature, top_k, top_p, min_p, min_keep, ties, joint, preset
        As in `Sampler`, in that order of work; all off by default.
    repetition_penalty, frequency_penalty, presence_penalty, penalty_window, logit_bias, mask
        Edits, which come before; as in `Sampler`.
    context, prompt_length, rng, position, keys, threads, on_error
        Inputs of the call; as in `Sampler.sample`.

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
    sampler = _sampler(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, min_keep=min_keep, ties=ties, joint=joint,
        repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
        penalty_window=penalty_window, logit_bias=logit_bias, mask=mask, preset=preset,
    )  # fmt: skip
    return sampler.candidates(
        logits, context=context, prompt_length=prompt_length, rng=rng, position=position, keys=keys,

        threads=threads, on_error=on_error,
    )  # fmt: skip
