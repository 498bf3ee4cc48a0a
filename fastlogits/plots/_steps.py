"""What each step of a Sampler does to the distribution of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogits import _inputs
from fastlogits.plots import _axes
from fastlogits.report._scored import visible
from fastlogits.sampler import Sampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 0.6  # of a column, for the largest probability of all
_LONGEST = 18
_BEFORE, _AFTER = "#8a8a8a", "#2f86c5"  # at least 3 to 1 on white and on black


class _Column(NamedTuple):
    """The distribution [V] behind a step, and what stands above it."""

    heading: str
    probs: NDArray[np.float64]


def step_distributions(
    sampler: Sampler,
    logits: Any,
    *,
    row: int = 0,
    tokens: int = 12,
    pieces: Any = None,
    context: Any = None,
    prompt_length: Any = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws the distribution of a row before and after each step of a Sampler, one column of bars per step.

    All columns have one scale. A cross marks a token that is removed; the last line is what all other tokens hold.
    The headings say how many tokens are left, and which share of the probability before the step they held.

    Parameters
    ----------
    sampler : Sampler
        Its steps; a draw changes no distribution and has no column.
    logits, context, prompt_length
        As in `Sampler.sample`.
    row : int, default 0
        Which row of a batch, in C order.
    tokens : int in [1, 100], default 12
        How many tokens to show: those that reach the largest probabilities in any column, by their logits.
    pieces : sequence of str [V], or mapping of id to str, optional
        The text of the tokens; ids are shown where it has none.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Column i starts at x = i; line j is at y = j, from the top.

    Raises
    ------
    ValueError, TypeError
        As `Sampler.sample`; a row or number of tokens out of range.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import fastlogits as fl
    >>> from fastlogits import plots
    >>> ax = plots.step_distributions(fl.Sampler(temperature=0.5, top_k=2), [1.0, 3.0, 2.0, 0.0], tokens=3)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['1', '2', '0', '1 other']
    >>> import matplotlib.pyplot as plt
    >>> plt.close(ax.figure)
    """
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler must be a Sampler, got {type(sampler).__name__}")
    if isinstance(tokens, bool) or not isinstance(tokens, int | np.integer) or not 1 <= tokens <= 100:
        raise ValueError(f"tokens must be an integer in [1, 100], got {tokens!r}")
    _axes.matplotlib()
    columns = _columns(sampler, logits, row, {"context": context, "prompt_length": prompt_length})
    shown = _chosen(columns, int(tokens))
    place: Any = _axes.axes(ax, (1.6 + 1.25 * len(columns), 1.1 + 0.24 * (len(shown) + 1)))
    largest = max(float(column.probs.max()) for column in columns)
    for at, column in enumerate(columns):
        _bars(place, at, column, columns[max(at - 1, 0)].probs, shown, largest)
    others = columns[0].probs.size - len(shown)
    labels = [_label(pieces, int(token)) for token in shown] + ([f"{others:,} other" + "s" * (others > 1)] * (others > 0))
    place.set_yticks(range(len(labels)), labels, parse_math=False)
    place.set(xlim=(-0.04, len(columns)), ylim=(len(labels) - 0.4, -0.6), xticks=[])
    place.tick_params(axis="y", length=0)
    place.spines[["top", "right", "bottom", "left"]].set_visible(False)
    return place  # type: ignore[no-any-return]


def _columns(sampler: Sampler, logits: Any, row: int, inputs: dict[str, Any]) -> list[_Column]:
    """The distribution of the row, then that behind each step."""
    reports = sampler.explain(logits, row=row, **inputs).steps
    x = _inputs.logits_array("logits", logits)
    steps, found = sampler.steps, []
    for count in range(len(steps) + 1):
        if count and steps[count - 1].name == "draw":
            continue
        p = Sampler(*steps[:count]).probs(x, **inputs).reshape(-1, x.shape[-1])[row].astype(np.float64)
        if not count:
            found.append(_Column(f"as it came\n{np.count_nonzero(p):,} tokens", p))
            continue
        report = reports[count - 1]
        kept = "" if report.survived == report.given else f"\n{report.kept:.1%} kept"
        found.append(_Column(f"{report.name.replace('_', ' ')}\n{report.survived:,} left{kept}", p))
    return found


def _chosen(columns: list[_Column], count: int) -> NDArray[np.int64]:
    """Ids of the tokens that reach most in any column, the likeliest of the row first."""
    peaks = np.max([column.probs for column in columns], axis=0)
    ids = np.argsort(-peaks, kind="stable")[:count]
    return ids[np.argsort(-columns[0].probs[ids], kind="stable")]


def _bars(
    place: Any, at: int, column: _Column, before: NDArray[np.float64], shown: NDArray[np.int64], largest: float
) -> None:
    """One column: bars, figures behind them, crosses for what the step removed."""
    text = place.xaxis.label.get_color()
    place.text(at, -0.75, column.heading, ha="left", va="bottom", fontsize=8, color=text, parse_math=False)
    place.plot([at, at], [-0.5, len(shown) + 0.5], color=text, alpha=0.4, linewidth=0.8)
    held = column.probs[shown]
    rest, rest_before = (max(0.0, 1.0 - float(p[shown].sum())) for p in (column.probs, before))
    if column.probs.size > len(shown):
        held, previous = np.append(held, rest), np.append(before[shown], rest_before)
        if not np.count_nonzero(column.probs) > np.count_nonzero(column.probs[shown]):
            held[-1] = 0.0  # not what rounding left over
    else:
        previous = before[shown]
    widths = held / largest * _BAR
    place.barh(range(len(held)), np.minimum(widths, 0.98), 0.72, left=at, color=_AFTER if at else _BEFORE)
    for j, (p, width) in enumerate(zip(held, widths, strict=True)):
        if p > 0:
            left, words = at + min(width, 0.66) + 0.03, _figure(p)
            place.text(left, j, words, va="center", fontsize=7, color=text)
        elif previous[j] > 0:
            place.plot(at + 0.06, j, marker="x", color=text, markersize=4)


def _figure(p: float) -> str:
    """Three digits behind the point, fewer for what is small."""
    return f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}".replace("e-0", "e-")


def _label(pieces: Any, token: int) -> str:
    """The text of a token in quotation marks, or its id."""
    try:
        piece = None if pieces is None else pieces[token]
    except (KeyError, IndexError):
        piece = None
    if piece is None:
        return str(token)
    words = visible(str(piece))
    return f"“{words}”" if len(words) <= _LONGEST else f"“{words[: _LONGEST - 1]}…”"
