"""CSV as the long commands write it (RFC 4180): a line per row of logits, or per bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastlogits._common.errors import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def texts(values: NDArray[Any]) -> list[str]:
    """Each number with as few digits as distinguish it from its neighbors in its own type; flags as 0 and 1."""
    if values.dtype.kind == "f":
        return [str(value) for value in values]
    return [str(int(value)) for value in values.tolist()]


def status_words(status: NDArray[np.int32]) -> list[str]:
    """ok, nan, pos_inf or no_finite for each row."""
    return [Status(code).name.lower() for code in status.tolist()]


def lines(first: int, words: Sequence[str], columns: Sequence[Sequence[str]], known: int = 0) -> bytes:
    """Row number, the `known` first columns, its word and the other columns, which stay empty unless it is ok."""
    told = []
    for row, (word, *cells) in enumerate(zip(words, *columns, strict=True), start=first):
        figures = cells[known:] if word == "ok" else [""] * (len(cells) - known)
        told.append(",".join([str(row), *cells[:known], word, *figures]) + "\r\n")
    return "".join(told).encode()
