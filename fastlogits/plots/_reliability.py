"""The reliability diagram: confidence against accuracy, and how many events there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastlogits.plots import _axes
from fastlogits.report import curves as _curves
from fastlogits.report.colors import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastlogits.calibration import ReliabilityCurve

_SIDE, _BELOW = 4.2, 0.32  # inches of the square; how far the histogram reaches below, as a part of it
_MARKERS = "osD^vP"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)), (0, (3, 1)))


def reliability_diagram(
    curves: ReliabilityCurve | Mapping[str, ReliabilityCurve], *, histogram: bool = True, ax: Axes | None = None
) -> Axes:
    """Draws confidence against accuracy with confidence intervals, above a histogram of the confidences.

    A point below the diagonal is a bin whose predictions were right less often than they promised. The legend gives
    the expected calibration error of each curve's bins. Curves differ in color, marker and dashes.

    Parameters
    ----------
    curves : ReliabilityCurve, or mapping of str to ReliabilityCurve
        What `reliability_curve` returns; up to six, by name: ``{"before": one, "after": other}``.
    histogram : bool, default True
        Whether to show below, on separate Axes (``ax.child_axes[0]``), the share of the events in each bin.
    ax : Axes, optional
        Where to draw; a new figure by default. The histogram hangs below these Axes and takes 0.32 of their height.

    Returns
    -------
    Axes
        Of the diagram.

    Raises
    ------
    ValueError
        No curve, more than six, or one without an event.
    TypeError
        What is no curve.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import fastlogits as fl
    >>> from fastlogits import plots
    >>> one = fl.reliability_curve([0.9, 0.8, 0.9, 0.6], [1, 0, 1, 1], bins=5)
    >>> other = fl.reliability_curve([0.8, 0.7, 0.8, 0.6], [1, 0, 1, 1], bins=5)
    >>> ax = plots.reliability_diagram({"one": one, "other": other})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['calibrated', 'one (ECE 0.250)', 'other (ECE 0.375)']
    >>> import matplotlib.pyplot as plt
    >>> plt.close(ax.figure)
    """
    found = _curves.named(curves)
    if len(found) > len(SERIES):
        raise ValueError(f"curves must hold at most {len(SERIES)}, got {len(found)}")
    place: Any = _own(histogram) if ax is None else _axes.axes(ax, (0, 0))
    grey = {"color": place.xaxis.label.get_color(), "alpha": 0.55}
    place.plot([0, 1], [0, 1], linewidth=1, linestyle=":", label="calibrated", **grey)
    for i, (name, curve) in enumerate(found.items()):
        _points(place, i, _curves.label(name, curve), curve)
    place.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", ylabel="accuracy (share that came true)")
    for words in place.legend(loc="upper left", frameon=False).get_texts():
        words.set_parse_math(False)
    lowest = _histogram(place, found) if histogram else place
    lowest.set_xlabel("confidence (probability)")
    return cast("Axes", place)


def _own(histogram: bool) -> Any:
    """Axes of a new figure, with space for the words at the present size of the font, and for a histogram."""
    pyplot = _axes.matplotlib().pyplot
    em = pyplot.rcParams["font.size"] / 72
    left, right, low = 5.0 * em, 1.5 * em, 4.0 * em + (_BELOW * _SIDE if histogram else 0)
    width, height = left + _SIDE + right, low + _SIDE + right
    figure = pyplot.figure(figsize=(width, height))
    return figure.add_axes((left / width, low / height, _SIDE / width, _SIDE / height))


def _points(place: Any, i: int, label: str, curve: ReliabilityCurve) -> None:
    """One curve with its intervals."""
    kept = np.asarray(curve.counts) > 0
    x, y = curve.confidences[kept], curve.accuracies[kept]
    # the interval may end a rounding error inside the point
    bars = np.maximum([y - curve.low[kept], curve.high[kept] - y], 0)
    # the first ones are drawn thicker, so that they stay to be seen under others that coincide
    place.errorbar(
        x, y, yerr=bars, label=label, color=SERIES[i], marker=_MARKERS[i], linestyle=_DASHES[i],
        markersize=7 - 0.7 * i, linewidth=2.6 - 0.3 * i, elinewidth=2.2 - 0.3 * i, capsize=4 - 0.4 * i,
    )  # fmt: skip


def _histogram(place: Any, found: Mapping[str, ReliabilityCurve]) -> Any:
    """Shares of the events, bin by bin, below the diagram; a bin without width is a stem."""
    below = place.inset_axes([0, -_BELOW, 1, _BELOW - 0.06], sharex=place)
    for i, curve in enumerate(found.values()):
        share, wide = _curves.shares(curve), curve.upper > curve.lower
        style = {"color": SERIES[i], "linestyle": _DASHES[i], "linewidth": 1.5}
        edges = np.r_[curve.lower[wide], curve.upper[wide][-1:]]
        if wide.any() and np.array_equal(curve.lower[wide][1:], curve.upper[wide][:-1]):
            below.stairs(share[wide], edges, **style)
            below.stairs(share[wide], edges, fill=True, color=SERIES[i], alpha=0.15)
        else:  # bins were left out, so that the others do not join
            below.bar(curve.lower[wide], share[wide], (curve.upper - curve.lower)[wide], align="edge", fill=False,
                      edgecolor=SERIES[i], linestyle=_DASHES[i], linewidth=1.5)  # fmt: skip
        below.vlines(curve.lower[~wide], 0, share[~wide], **style)
        below.plot(curve.lower[~wide], share[~wide], color=SERIES[i], marker=_MARKERS[i], linestyle="", markersize=4)
    below.set_ylim(bottom=0)
    below.set_ylabel("share of events")
    place.tick_params(labelbottom=False)
    return below
