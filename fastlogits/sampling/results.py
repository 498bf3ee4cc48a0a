"""What the ends of the pipeline return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlogits._common.plain import to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class SampleResult(NamedTuple):
    """Drawn tokens and their log-probs, natural logarithms.

    ``logprobs``, ``ranks`` and ``top_*`` speak of the processed distribution, the one drawn from, or with
    ``logprobs_mode="raw"`` of the logits as they came, as the fields called ``raw_*`` always do. Log-probs are float32,
    float64 for float64 logits. For a single row they are ints and floats.

    With ``n`` the first four are [..., n]; what ``replacement=False`` could not draw is -1 and -inf there.

    Attributes
    ----------
    ids : int or int64 array [...]
        The drawn tokens; -1 for a bad row.
    logprobs, raw_logprobs : float or array [...]
        Log-probs of the drawn tokens; NaN for a bad row.
    ranks : int or int64 array [...]
        1 + the number of strictly greater logits.
    top_ids : int64 array [..., n]
        The n most likely tokens, of the processed logits those that survive, padded with -1.
    top_logprobs : array [..., n]
        Their log-probs, padded with -inf.
    raw_ranks, raw_top_ids, raw_top_logprobs
        With ``logprobs_mode="both"`` the same of the logits as they came, else None.

    Examples
    --------
    >>> import fastlogits as fl
    >>> result = fl.sample([1.0, 3.0, 2.0], rng=7, top_k=2, logprobs=3)
    >>> result.top_ids
    array([ 1,  2, -1])
    """

    ids: Any
    logprobs: Any
    raw_logprobs: Any
    ranks: Any
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[Any]
    raw_ranks: Any = None
    raw_top_ids: NDArray[np.int64] | None = None
    raw_top_logprobs: NDArray[Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


class GumbelMax(NamedTuple):
    """Tokens of the largest logit + Gumbel noise; padded with -1 and -inf where fewer than n survive.

    Attributes
    ----------
    ids : int or int64 array [...] or [..., n]
        Tokens of the vocabulary; -1 for a bad row.
    values : float or float64 array of that shape
        Processed logit - base + noise, descending; NaN for a bad row.
    base : float or float64 array [...]
        Of each row: 0 where its largest processed logit lies within 2^20 of 0, else that logit, next to which the noise
        would be lost to rounding. Over shards the token with the largest ``values + (base - b)`` wins, b the largest
        base of the row over all shards.

    Examples
    --------
    >>> import fastlogits as fl
    >>> found = fl.gumbel_max([[1.0, 3.0, 2.0], [0.0, 0.0, 9.0]], rng=7, n=2)
    >>> found.ids.shape, bool((found.values[:, 0] > found.values[:, 1]).all())
    ((2, 2), True)
    """

    ids: Any
    values: Any
    base: Any

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The survivors of all rows, one row after the other, each sorted by (logit descending, id ascending).

    ``len(c)`` is the number of rows, ``c[i]`` the Candidates of row i (rows of a batch [A, B, V] count in C order).

    Attributes
    ----------
    ids : int64 array [N]
        Token ids.
    logits : array [N]
        Processed logits; float32, or float64 for float64 logits.
    logprobs : array [N]
        Their log-softmax, of the same type.
    offsets : int64 array [rows + 1]
        Row i is ``offsets[i]`` .. ``offsets[i + 1] - 1``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> c = fl.candidates([[1.0, 3.0, 2.0], [0.0, 0.0, 9.0]], top_k=2)
    >>> len(c), c[0].ids, c[1].ids
    (2, array([1, 2]), array([2, 0]))
    """

    ids: NDArray[np.int64]
    logits: NDArray[Any]
    logprobs: NDArray[Any]
    offsets: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, row: int) -> Candidates:
        rows = len(self)
        if not -rows <= row < rows:
            raise IndexError(f"row must be in [{-rows}, {rows}), got {row}")
        begin, end = self.offsets[row % rows], self.offsets[row % rows + 1]
        span = slice(int(begin), int(end))
        return Candidates(self.ids[span], self.logits[span], self.logprobs[span], np.array([0, end - begin], np.int64))

    def __iter__(self) -> Iterator[Candidates]:
        return (self[row] for row in range(len(self)))
