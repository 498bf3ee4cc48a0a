"""Log-probs of the targets of dask arrays, and figures of whole texts."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np

from fastlogits.dask import _blocks
from fastlogits.scoring import targets as scoring
from fastlogits.scoring import texts


def token_logprobs(
    logits: Any,
    targets: Any,
    *,
    top_n: int = 0,
    rank: bool = False,
    argmax: bool = False,
    entropy: bool = False,
    varentropy: bool = False,
    logsumexp: bool = False,
    margin: bool = False,
    candidates: Any = None,
    ignore_index: int | None = -100,
    temperature: Any = 1.0,
    threads: int | None = None,
    on_error: str = "raise",
) -> Any:
    """Log-probs of the targets, one per row, and what is asked for next to them: `fastlogits.token_logprobs`, lazily.

    Parameters
    ----------
    logits : dask array [..., V]
        float32, float16, bfloat16 or float64.
    targets : dask array or array_like of int [...]
        The token of each row.
    candidates : array_like of int [K], or dask array or array_like of int [..., K], optional
        Further tokens whose log-probs are wanted.
    temperature : float > 0, or dask array or array_like [...], default 1.0
        T of the logits.
    top_n, rank, argmax, entropy, varentropy, logsumexp, margin, ignore_index, on_error
        As in `fastlogits.token_logprobs`.
    threads : int >= 0, optional
        Threads within each chunk, in addition to those that dask runs.

    Returns
    -------
    TokenLogprobs
        Of dask arrays, cut as the rows of the logits; with ``on_error="status"`` the pair (TokenLogprobs, status).
        ``dask.compute(found)`` computes all of them from one read.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.token_logprobs`: keywords and shapes at once, contents when computed, by the row of the whole.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> logits = da.from_array([[0.0, 0.0], [0.0, 9.0], [3.0, 0.0]], chunks=(2, 1))
    >>> found = fd.token_logprobs(logits, [1, 1, -100], argmax=True)
    >>> found.logprobs.round(3).compute(), found.greedy.compute()
    (array([-0.693, -0.   ,    nan]), array([False,  True, False]))
    """
    x = _blocks.rows_of("logits", logits)
    wide, shared = {"logits": x}, {}
    if np.ndim(candidates) > 1:
        wide["candidates"] = candidates
    else:
        shared["candidates"] = _blocks.in_memory("candidates", candidates)
    return _blocks.Call(
        scoring.token_logprobs, x.ndim - 1, wide,
        {"targets": targets, "temperature": _blocks.temperature_of(temperature, x.shape[:-1])},
        top_n=top_n, rank=rank, argmax=argmax, entropy=entropy, varentropy=varentropy, logsumexp=logsumexp,
        margin=margin, ignore_index=ignore_index, threads=threads, on_error=on_error, **shared,
    ).results()  # fmt: skip


def score_text(
    logprobs: Any,
    *,
    greedy: Any = None,
    mask: Any = None,
    text: str | None = None,
    words: int | None = None,
    bytes: int | None = None,  # noqa: A002
) -> Any:
    """Totals of a text from the log-probs of its tokens: `fastlogits.score_text`, lazily.

    Parameters
    ----------
    logprobs : dask array of float [...], or TokenLogprobs of dask arrays
        Log-prob of each token; what `token_logprobs` returned leaves its ignored rows out.
    greedy, mask : dask array or array_like of bool [...], optional
        Whether each token is the first maximum of its row; which tokens count.
    text, words, bytes
        As in `fastlogits.score_text`.

    Returns
    -------
    Delayed
        Of a `fastlogits.TextScore`, equal to the bit for every chunking; its figures are lazy as well:
        ``score.perplexity.compute()``.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.score_text`; what the log-probs hold is seen when computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> logprobs = da.log(da.from_array([0.5, 0.125, 0.25, 1.0], chunks=2))
    >>> score = fd.score_text(logprobs, mask=[True, True, False, False], text="to be")
    >>> round(score.perplexity.compute(), 12), score.compute().words
    (4.0, 2)
    """
    length = texts.score_text([], text=text, words=words, bytes=bytes)
    # The sizes of the text are added once; a chunk has 0 of those that are known.
    known = tuple(None if size is None else 0 for size in (length.words, length.bytes))
    call = _blocks.Call(*_tokens(logprobs, greedy, mask), sizes=known)
    call.probe()
    return _blocks.delayed(_blocks.total(call.blocks()), partial(operator.add, length))


def perplexity(logprobs: Any, *, mask: Any = None) -> Any:
    """Perplexity exp(-mean log-prob) of the tokens that count: `fastlogits.perplexity`, lazily.

    Parameters
    ----------
    logprobs : dask array of float [...], or TokenLogprobs of dask arrays
        Log-prob of each token; what `token_logprobs` returned leaves its ignored rows out.
    mask : dask array or array_like of bool [...], optional
        Which tokens count, all by default.

    Returns
    -------
    dask array []
        float64, equal to the bit for every chunking.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.perplexity`; what the log-probs hold is seen when computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> round(float(fd.perplexity(da.log(da.from_array([0.5, 0.125], chunks=1)))), 12)
    4.0
    """
    call = _blocks.Call(*_tokens(logprobs, None, mask))
    call.probe()
    return _blocks.number(_blocks.total(call.blocks()), operator.attrgetter("perplexity"))


def _tokens(logprobs: Any, greedy: Any, mask: Any) -> tuple[Any, int, dict[str, Any], dict[str, Any]]:
    """The score of a chunk, and log-probs and flags of tokens as `_blocks.Call` takes them."""
    values, greedy, skip_nan = texts.opened(logprobs, greedy)
    x = _blocks.rows_of("logprobs", values, 0)
    return partial(texts.scored, skip_nan=skip_nan), x.ndim, {}, {"logprobs": x, "greedy": greedy, "mask": mask}
