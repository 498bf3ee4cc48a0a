"""The functions of fastlogits on dask arrays: lazily, chunk by chunk, with the bits of the plain functions.

Names, keywords and figures are those of ``fastlogits``; results are lazy dask arrays, named tuples of them, or a
`dask.delayed.Delayed` that computes to an object; `fit_temperature` alone computes at once. ``dask.compute(found)``
computes everything that ``found`` holds from one read of the logits. Compute arrays and Delayed objects in calls of
their own: dask 2026.8 mixes up what one call returns for both. Needs dask: ``pip install "dask[array]"``.

- Logits are dask arrays. A vocabulary axis in several chunks is rechunked to one, and then the rows are cut anew to the
  chunk size that dask is set to (``array.chunk-size``); where it is one chunk already, all chunks stay as they are.
- The other inputs (targets, temperatures, candidates, the other model's logits) are cut as the logits are;
  dask arrays or, but for logits, anything array-like.
- Totals are exact and merged as a tree: equal to the bit for every chunking, scheduler and number of workers.
- Errors of a chunk name the row of the whole array. One chunk of the logits is in memory per running task.
"""

from fastlogits._common.errors import import_error as _import_error

try:
    from dask import array as _array  # noqa: F401
except ImportError as error:
    raise _import_error(error, ("dask",), 'fastlogits.dask needs dask: pip install "dask[array]"') from error

from fastlogits.dask._arrays import argmax, log_softmax, logsumexp, softmax, top_k
from fastlogits.dask._calibration import brier_score, calibration_error, negative_log_likelihood, reliability_curve
from fastlogits.dask._comparison import (
    Comparison,
    compare_distributions,
    cross_entropy,
    js_divergence,
    kl_divergence,
    top_n_agreement,
    total_variation,
)
from fastlogits.dask._labels import label_logprobs
from fastlogits.dask._scoring import perplexity, score_text, token_logprobs
from fastlogits.dask._temperature import fit_temperature

__all__ = [
    "Comparison",
    "argmax",
    "brier_score",
    "calibration_error",
    "compare_distributions",
    "cross_entropy",
    "fit_temperature",
    "js_divergence",
    "kl_divergence",
    "label_logprobs",
    "log_softmax",
    "logsumexp",
    "negative_log_likelihood",
    "perplexity",
    "reliability_curve",
    "score_text",
    "softmax",
    "token_logprobs",
    "top_k",
    "top_n_agreement",
    "total_variation",
]
