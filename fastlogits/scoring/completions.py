"""Comparing completions: several continuations of one prompt by their log-probs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.exact import ExactSum
from fastlogits._common.plain import to_dict
from fastlogits.scoring import labels

__all__ = [
    "CompletionPrefixes",
    "CompletionScores",
    "completion_prefixes",
    "score_completions",
]

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class CompletionPrefixes(NamedTuple):
    """What a model has to be asked for: each distinct prefix of the completions once.

    Attributes
    ----------
    prefixes : list of tuple of int
        What follows the prompt; the first one is empty. A row of logits is needed after each.
    rows : list of int64 array
        For each completion, the number of the prefix before each of its tokens.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.completion_prefixes([[5, 1], [5, 2]]).prefixes
    [(), (5,)]
    """

    prefixes: list[tuple[int, ...]]
    rows: list[Ids]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


class CompletionScores(NamedTuple):
    """Scores of C completions, natural logarithms, float64; None where nothing was given to make them of.

    Attributes
    ----------
    logprobs : array [C]
        Sum of the log-probs of the tokens.
    per_token, per_byte : array [C]
        The sum over the number of tokens, and of bytes in UTF-8.
    mutual_information : array [C]
        The sum less that of the same completion without the prompt.
    calibrated : array [C]
        Log of the contextually calibrated probability among the completions.
    greedy : bool array [C]
        Whether every token is its row's first maximum.
    tokens : list of array
        The log-prob of every token.

    Examples
    --------
    >>> import fastlogits as fl
    >>> scores = fl.score_completions([[[0.0, 0.0]], [[0.0, 0.0]]], [[0], [1]])
    >>> scores.per_token.round(3), scores.greedy
    (array([-0.693, -0.693]), array([ True, False]))
    """

    logprobs: Floats
    per_token: Floats
    per_byte: Floats | None
    mutual_information: Floats | None
    calibrated: Floats | None
    greedy: NDArray[np.bool_]
    tokens: list[Floats]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


def completion_prefixes(completions: Sequence[Any]) -> CompletionPrefixes:
    """The distinct prefixes of completions: what a model must be run on to score them all.

    Parameters
    ----------
    completions : sequence of sequences of int
        Token ids of each completion, one token at least.

    Returns
    -------
    CompletionPrefixes
        ``prefixes`` in order of appearance and, for each completion, the ``rows`` of its tokens among them.

    Raises
    ------
    ValueError
        No completion, or one without a token.
    TypeError
        Ids that are no integers.

    Examples
    --------
    >>> import fastlogits as fl
    >>> needed = fl.completion_prefixes([[5, 1, 7], [5, 1, 8], [9]])
    >>> needed.prefixes
    [(), (5,), (5, 1)]
    >>> needed.rows
    [array([0, 1, 2]), array([0, 1, 2]), array([0])]
    """
    return _prefixes(_ids(completions))


def _prefixes(ids: list[Ids]) -> CompletionPrefixes:
    """The distinct prefixes of checked ids."""
    known: dict[tuple[int, ...], int] = {}
    rows = []
    for each in ids:
        tokens = tuple(each.tolist())
        rows.append(np.array([known.setdefault(tokens[:t], len(known)) for t in range(len(tokens))], np.int64))
    return CompletionPrefixes(list(known), rows)


def _ids(completions: Any) -> list[Ids]:
    """Token ids of each completion."""
    ids = [_inputs.id_array(f"completions[{i}]", each) for i, each in enumerate(completions)]
    if not ids:
        raise ValueError("completions must hold one completion at least, got none")
    for i, each in enumerate(ids):
        if not each.size:
            raise ValueError(f"completions[{i}] must hold one token at least, got none")
    return ids


def score_completions(
    logits: Any,
    completions: Sequence[Any],
    *,
    texts: Sequence[str] | None = None,
    unconditioned: Any = None,
    content_free: Any = None,
    temperature: float = 1.0,
    threads: int | None = None,
) -> CompletionScores:
    """Scores several completions of one prompt by their log-probs; rows of shared prefixes are read once.

    Parameters
    ----------
    logits : sequence of arrays [T_i, V], array [C, T, V], or array [R, V]
        Row t of entry i is the model's row before token t of completion i; further rows are not read, nor are those of
        a prefix that an earlier completion shares. Or one row for each of the R distinct prefixes, in the order of
        `completion_prefixes`. float32, float16, bfloat16 or float64, read in place.
    completions : sequence of C sequences of int
        Token ids in [0, V), one at least in each.
    texts : sequence of C str, optional
        The completions as text, for ``per_byte``.
    unconditioned : array_like [C] or CompletionScores, optional
        Log-likelihoods of the completions without the prompt, for ``mutual_information``.
    content_free : array_like [C] or [M, C], or a CompletionScores or M of them, optional
        Log-likelihoods after M prompts without content ("N/A"), for ``calibrated``.
    temperature : float > 0, default 1.0
        T of the logits.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    CompletionScores
        ``logprobs, per_token, per_byte, mutual_information, calibrated, greedy, tokens``.

    Raises
    ------
    ValueError
        A token outside the row, too few rows, numbers of things that do not match, a row with NaN or +inf.
    TypeError
        A type that is not supported.

    Notes
    -----
    ``calibrated`` divides the probabilities among the completions by their mean after the content-free prompts and
    renormalizes (Zhao et al., 2021): log-softmax of the sums less the log of that mean. Sum, ``per_byte`` and
    ``mutual_information`` are the scores acc, acc_bytes and acc_mutual_info of lm-evaluation-harness choose by.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rows = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])  # behind the prompt, and behind the prompt and token 1
    >>> scores = fl.score_completions(rows, [[1, 2], [0]], texts=["an apple", "pear"])
    >>> np.exp(scores.logprobs).round(2), scores.per_byte.round(2)
    (array([0.24, 0.5 ]), array([-0.18, -0.17]))
    >>> fl.score_completions(rows, [[1, 2], [0]], unconditioned=np.log([0.1, 0.6])).mutual_information.argmax()
    np.int64(0)
    """
    t = labels.positive("temperature", temperature)
    ids = _ids(completions)
    tokens, greedy = _token_logprobs(logits, ids, t, threads)
    sums = np.array([ExactSum.of(each).over(1) for each in tokens])
    sizes = np.array([each.size for each in ids])
    return CompletionScores(
        sums,
        sums / sizes,
        None if texts is None else sums / _byte_lengths(texts, len(ids)),
        None if unconditioned is None else sums - _sums("unconditioned", unconditioned, len(ids))[0],
        None if content_free is None else _calibrated(sums, _sums("content_free", content_free, len(ids))),
        greedy,
        tokens,
    )


class _Rows:
    """Rows by prefix: where they lie, the largest logit, its id and -log p of it."""

    def __init__(self, ids: list[Ids], temperature: float, threads: int | None) -> None:
        self.plan = _prefixes(ids)
        self.ids, self.temperature, self.threads = ids, temperature, threads
        count = len(self.plan.prefixes)
        self.logits, self.tails, self.tops = np.empty(count), np.empty(count), np.empty(count, np.int64)
        self.places: list[tuple[Any, int]] = []

    def scan(self, name: str, x: Any, first: int, end: int) -> None:
        """Reads rows first .. end - 1 of x [T, V]: those of the next prefixes."""
        n = self.places[0][0].shape[-1] if self.places else x.shape[-1]
        if x.shape[-1] != n:
            raise ValueError(f"{name} must have {n} tokens per row, as logits[0], got {x.shape[-1]}")
        begin = len(self.places)
        seen = _temperatures.tops(name, x[first:end], self.temperature, self.threads, first)
        rows = slice(begin, begin + end - first)
        self.logits[rows], self.tops[rows], self.tails[rows] = seen
        self.places += [(x, row) for row in range(first, end)]

    def answer(self) -> tuple[list[Floats], NDArray[np.bool_]]:
        """Log-probs of the tokens of each completion, and whether all are greedy."""
        scores, greedy = [], []
        for tokens, rows in zip(self.ids, self.plan.rows, strict=True):
            own = [
                half.wide(self.places[row][0][self.places[row][1], [t]])[0] for row, t in zip(rows, tokens, strict=True)
            ]
            with np.errstate(over="ignore"):
                scores.append((own - self.logits[rows]) / self.temperature - self.tails[rows])
            greedy.append(bool((self.tops[rows] == tokens).all()))
        return scores, np.array(greedy)


def _token_logprobs(logits: Any, ids: list[Ids], t: float, threads: int | None) -> tuple[list[Floats], Any]:
    """Log-probs of all tokens, each distinct prefix read once."""
    work = _Rows(ids, t, threads)
    count = len(work.plan.prefixes)
    if not isinstance(logits, list | tuple):
        x = _temperatures.logits_of(logits)
        if x.ndim == 2:
            if len(x) != count:
                raise ValueError(f"logits must have {count} rows, one per distinct prefix, got {len(x)}")
            _check_ids(ids, x.shape[-1])
            work.scan("logits", x, 0, count)
            return work.answer()
        if x.ndim != 3:
            forms = "[C, T, V] or [R, V], or be one array per completion"
            raise ValueError(f"logits must have shape {forms}, got {x.shape}")
        logits = list(x)
    if len(logits) != len(ids):
        raise ValueError(f"logits must hold one array per completion ({len(ids)}), got {len(logits)}")
    for i, rows in enumerate(work.plan.rows):
        x = _temperatures.logits_of(logits[i], f"logits[{i}]")
        if x.ndim != 2 or len(x) < len(rows):
            raise ValueError(f"logits[{i}] must have shape [T >= {len(rows)}, V], got {x.shape}")
        if i == 0:
            _check_ids(ids, x.shape[-1])
        # Prefixes are numbered as they appear, a longer one behind its beginning: from `fresh` on all are new.
        fresh = int(np.searchsorted(rows, len(work.places)))
        if fresh < len(rows):
            work.scan(f"logits[{i}]", x, fresh, len(rows))
    return work.answer()


def _check_ids(ids: list[Ids], n: int) -> None:
    """Refuses a token outside the row."""
    for i, tokens in enumerate(ids):
        outside = np.flatnonzero((tokens < 0) | (tokens >= n))
        if outside.size:
            raise ValueError(f"completions[{i}]: token id {tokens[outside[0]]} must be in [0, {n})")


def _byte_lengths(texts: Any, count: int) -> Ids:
    """Bytes of each text in UTF-8, one at least."""
    if isinstance(texts, str) or len(texts) != count:
        raise ValueError(f"texts must hold one text per completion ({count}), got {texts!r:.60}")
    sizes = []
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {type(text).__name__}")
        if not text:
            raise ValueError(f"texts[{i}] must hold one character at least, got an empty text")
        sizes.append(len(text.encode()))
    return np.array(sizes)


def _sums(name: str, given: Any, count: int) -> Floats:
    """Finite log-likelihoods [M, C] from arrays or CompletionScores."""
    if isinstance(given, CompletionScores):
        given = given.logprobs
    elif isinstance(given, list | tuple) and any(isinstance(each, CompletionScores) for each in given):
        given = [each.logprobs if isinstance(each, CompletionScores) else each for each in given]
    sums = np.atleast_2d(np.asarray(given, np.float64))
    if sums.ndim != 2 or sums.shape[1] != count or not len(sums) or (name == "unconditioned" and len(sums) != 1):
        raise ValueError(f"{name} must hold one log-likelihood per completion ({count}), got shape {np.shape(given)}")
    if not np.isfinite(sums).all():
        raise ValueError(f"{name} must be finite, got {params.shown(sums[~np.isfinite(sums)][0])}")
    return sums


def _calibrated(sums: Floats, content_free: Floats) -> Floats:
    """Log of p_i / mean of p_i over the content-free prompts, renormalized."""
    if not np.isfinite(sums).any():
        raise ValueError("completions: at least one must have a probability above 0 to be calibrated")
    return labels.log_softmax(sums - np.log(np.exp(labels.log_softmax(content_free)).mean(0)))
