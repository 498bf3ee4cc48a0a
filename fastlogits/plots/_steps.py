"""What each step of a Sampler does to the distribution of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from fastlogits._common.call_inputs import RowInputs, defaults_of, signed
from fastlogits.plots import _axes
from fastlogits.report.scored import visible
from fastlogits.sampling import call as _run
from fastlogits.sampling import explain as _explain
from fastlogits.sampling.sampler import Sampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of a column: the bar of the largest probability of a token, and the longest bar, which only all others may reach.
_BAR, _WIDEST = 0.6, 0.66
_LONGEST = 18
_UNIT = "probability, on one scale in all columns"
_BEFORE, _AFTER = "#8a8a8a", "#2f86c5"  # at least 3 to 1 on white and on black


class _Column(NamedTuple):
    """The distribution [V] after a step, which tokens are alive there, and its title."""

    heading: str
    probs: NDArray[np.float64]
    alive: NDArray[np.bool_]


@signed(RowInputs)
def step_distributions(
    sampler: Sampler,
    logits: Any,
    *,
    row: int = 0,
    tokens: int = 12,
    pieces: Any = None,
    ax: Axes | None = None,
    **inputs: Unpack[RowInputs],
) -> Axes:
    """Draws the distribution of a row before and after each step of a Sampler, one column of bars per step.

    All columns have one scale. A cross marks a token that is removed; the last line is what all other tokens hold.
    The headings say what the step asked of a token (see `Explanation`), how many are left, and which share of the
    probability before the step they held.

    Parameters
    ----------
    sampler : Sampler
        Its steps; a draw changes no distribution and has no column.
    logits, **inputs
        As in `Sampler.explain`, which has the same figures as numbers.
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
    count: Any = tokens
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= 100:
        raise ValueError(f"tokens must be an integer in [1, 100], got {tokens!r}")
    _axes.matplotlib()
    given = _run.taken("step_distributions", inputs, defaults_of(RowInputs))
    columns = _columns(_run.Call(sampler, logits, given), row)
    shown = _chosen(columns, int(tokens))
    place: Any = _axes.axes(ax, (1.6 + 1.25 * len(columns), 1.3 + 0.24 * (len(shown) + 1)))
    largest = max(float(column.probs.max()) for column in columns)
    for at, column in enumerate(columns):
        _bars(place, at, column, columns[max(at - 1, 0)], shown, largest)
    others = columns[0].probs.size - len(shown)
    labels = [_label(pieces, int(token)) for token in shown]
    if others:
        labels.append(f"{others:,} other" + "s" * (others > 1))
    place.set_yticks(range(len(labels)), labels, parse_math=False)
    place.set(xlim=(-0.04, len(columns)), ylim=(len(labels) - 0.4, -0.6), xticks=[], xlabel=_UNIT)
    place.tick_params(axis="y", length=0)
    place.spines[["top", "right", "bottom", "left"]].set_visible(False)
    return cast("Axes", place)


def _columns(call: _run.Call, row: int) -> list[_Column]:
    """The distribution of the row, then that after each step."""
    found: list[_Column] = []
    for left, report in _explain.stages(call, _explain.checked_row(call, row), _run.seed_of(call)):
        probs, alive = np.zeros(call.n), np.zeros(call.n, np.bool_)
        probs[left.ids], alive[left.ids] = np.exp(left.logprobs), True
        if report is None:
            found.append(_Column(f"as it came\n{left.ids.size:,} tokens", probs, alive))
        elif report.name not in ("draw", "gumbel"):
            found.append(_Column(_heading(report), probs, alive))
    return found


def _heading(report: _explain.StepReport) -> str:
    """Name, threshold, tokens left and the share that they held, a line each."""
    asked = f"{report.condition} {report.threshold:.3g}" if report.condition else ""
    signs = asked.replace(">=", "≥").replace("<=", "≤")
    kept = f"{report.kept:.1%} kept" if report.survived < report.given else ""
    return "\n".join(filter(None, (report.name, signs, f"{report.survived:,} left", kept)))


def _chosen(columns: list[_Column], count: int) -> NDArray[np.int64]:
    """Ids of the tokens that reach most in any column, the most likely of the row first."""
    peaks = np.max([column.probs for column in columns], axis=0)
    ids = np.argsort(-peaks, kind="stable")[:count]
    return ids[np.argsort(-columns[0].probs[ids], kind="stable")]


def _bars(place: Any, at: int, column: _Column, before: _Column, shown: NDArray[np.int64], largest: float) -> None:
    """One column: bars, figures after them, crosses for what the step removed."""
    text = place.xaxis.label.get_color()
    place.text(at, -0.75, column.heading, ha="left", va="bottom", fontsize=8, color=text, parse_math=False)
    held, alive = _lines(column, shown)
    removed = _lines(before, shown)[1] & ~alive
    place.plot([at, at], [-0.5, len(held) - 0.5], color=text, alpha=0.4, linewidth=0.8)
    widths = np.minimum(held / largest * _BAR, _WIDEST)
    place.barh(range(len(held)), widths, 0.72, left=at, color=_AFTER if at else _BEFORE)
    for j in np.flatnonzero(alive):
        place.text(at + widths[j] + 0.03, j, _figure(held[j]), va="center", fontsize=7, color=text)
    crosses = np.flatnonzero(removed)
    place.plot(np.full(len(crosses), at + 0.06), crosses, marker="x", color=text, linestyle="", markersize=4)


def _lines(column: _Column, shown: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the tokens shown hold, and all others together where there are any; and whether any of these is alive."""
    held, alive = column.probs[shown], column.alive[shown]
    if len(shown) == column.probs.size:
        return held, alive
    rest = np.delete(column.probs, shown).sum()
    return np.append(held, rest), np.append(alive, np.count_nonzero(column.alive) > np.count_nonzero(alive))


def _figure(p: float) -> str:
    """Three digits after the point, fewer for what is small."""
    return f"{p:.3f}" if p >= 0.0005 or not p else f"{p:.0e}".replace("e-0", "e-")


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
