"""Long texts in windows that overlap."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastlogits._common.plain import to_dict
from fastlogits.scoring.texts import whole

__all__ = ["Window", "sliding_windows"]


class Window(NamedTuple):
    """Rows ``begin`` to ``end - 1`` of a text, read at one go, of which those from ``first`` on count.

    Attributes
    ----------
    begin, end : int
        What the model reads.
    first : int
        The first row that no earlier window has counted.
    """

    begin: int
    end: int
    first: int

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    @property
    def own(self) -> slice:
        """The rows that count, within the window."""
        return slice(self.first - self.begin, self.end - self.begin)

    @property
    def counted(self) -> slice:
        """The rows that count, within the text."""
        return slice(self.first, self.end)


def sliding_windows(rows: int, length: int, *, stride: int | None = None) -> list[Window]:
    """Windows over a text that is longer than what a model reads at one go; each row counts in exactly one.

    Row t of a text is where token t goes in and the log-prob of token t + 1 comes out. All windows hold ``length``
    rows, unless the text has fewer; the first counts all of its rows, each further one the ``stride`` next, after
    the rows that it reads again for their context (the last one counts what is left). These are the windows of
    lm-evaluation-harness with ``max_seq_len = length`` and ``context_len = length - stride + 1``.

    Parameters
    ----------
    rows : int >= 0
        How many rows the text has.
    length : int >= 1
        How many rows the model reads at one go.
    stride : int in [1, length], optional
        How many rows each further window counts; ``length``, so no overlap, by default.

    Returns
    -------
    list of Window
        In the order of the text; empty without rows.

    Raises
    ------
    ValueError
        A number out of range.
    TypeError
        Anything but integers.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.sliding_windows(10, 4, stride=3)
    [Window(begin=0, end=4, first=0), Window(begin=3, end=7, first=4), Window(begin=6, end=10, first=7)]
    >>> [(w.own, w.counted) for w in fl.sliding_windows(5, 4)]
    [(slice(0, 4, None), slice(0, 4, None)), (slice(3, 4, None), slice(4, 5, None))]
    """
    rows, length = whole("rows", rows, 0), whole("length", length, 1)
    stride = length if stride is None else whole("stride", stride, 1)
    if stride > length:
        raise ValueError(f"stride must be in [1, {length}], got {stride}: rows between the windows would be left out")
    ends = range(min(length, rows), rows + stride, stride) if rows else range(0)
    windows, first = [], 0
    for end in (min(end, rows) for end in ends):
        if end > first:
            windows.append(Window(max(0, end - length), end, first))
        first = end
    return windows
