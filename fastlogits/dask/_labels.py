"""Labels that are a single token, from dask arrays."""

from __future__ import annotations

from typing import Any

from fastlogits.dask import _blocks
from fastlogits.scoring import labels as plain


def label_logprobs(
    logits: Any,
    labels: Any,
    *,
    normalize: bool = False,
    temperature: float = 1.0,
    threads: int | None = None,
) -> Any:
    """Log-probs of labels that are a single token: `fastlogits.label_logprobs`, lazily.

    Parameters
    ----------
    logits : dask array [..., V]
        float32, float16, bfloat16 or float64.
    labels, normalize, temperature
        As in `fastlogits.label_logprobs`.
    threads : int >= 0, optional
        Threads within each chunk, in addition to those that dask runs.

    Returns
    -------
    dask array [..., L]
        float64, cut as the rows of the logits.

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.label_logprobs`: keywords at once, contents when computed, by the row of the whole.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastlogits.dask as fd
    >>> logits = da.log(da.from_array([[0.1, 0.2, 0.3, 0.4]], chunks=1))
    >>> da.exp(fd.label_logprobs(logits, [3, [0, 1]])).compute().round(3)
    array([[0.4, 0.3]])
    """
    x = _blocks.rows_of("logits", logits)
    return _blocks.Call(
        plain.label_logprobs, x.ndim - 1, {"logits": x}, {},
        labels=labels, normalize=normalize, temperature=temperature, threads=threads,
    ).results()  # fmt: skip
