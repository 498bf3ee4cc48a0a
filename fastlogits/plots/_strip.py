"""The heat strip: a text whose tokens carry the colors of their figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastlogits.plots import _axes
from fastlogits.report.colors import LEVELS, QUANTITIES, Quantity, ink
from fastlogits.report.scored import ScoredText, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

# Points: text, the band it stands in, a band below it, the gap between lines, the margin, the room behind a token.
_SIZE, _BAND, _THIN, _GAP, _MARGIN, _PAD = 9.0, 14.0, 4.5, 5.0, 8.0, 2.0
_NARROWEST = 3 * 72.0
_HINTED = 1.06  # letters fitted to the pixels of a PNG are up to this much wider than their outlines
# The legend: the widest swatch, and the narrowest that stands beside its title with its words on one line.
_SWATCH, _ROOMY, _INDENT = 46.0, 40.0, 92.0


class _Cell(NamedTuple):
    """A token, or a part of one that is longer than a line: where it stands and what is written."""

    token: int
    line: int
    left: float
    width: float
    text: str


def heat_strip(
    text: ScoredText, *, show: Sequence[str] | None = None, width: float = 7.5, ax: Axes | None = None
) -> Axes:
    """Draws a scored text token by token, wrapped into lines, coloured by log-prob, entropy and rank.

    The first quantity colors the tokens, the others the thin bands below them; the legend shows which and how much.
    The ramps go from light to dark, so they read without colors too. Tokens that were not scored have no color.

    Parameters
    ----------
    text : ScoredText
        Pieces and figures. Characters that ``rcParams["font.family"]`` lacks are boxes, of which matplotlib warns;
        name a font of the script there.
    show : sequence of "logprobs", "entropy" and "ranks", optional
        Which, in this order; by default all that the text has.
    width : float in [3, 100], default 7.5
        Inches of a new figure, whose height follows.
    ax : Axes, optional
        Where to draw, from the top left corner, at the size that these Axes have now; a new figure by default.

    Returns
    -------
    Axes
        Without ticks and frame.

    Raises
    ------
    ValueError
        A quantity that the text lacks, or Axes that are too small for the text.
    TypeError
        What is no ScoredText.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> from fastlogits import plots
    >>> from fastlogits.plots import ScoredText
    >>> text = ScoredText(["To", " be", ","], [-5.1, -0.3, -1.2], ranks=[40, 1, 2])
    >>> ax = plots.heat_strip(text)
    >>> [each.get_text() for each in ax.texts[:3]]
    ['To', 'be', ',']
    >>> import matplotlib.pyplot as plt
    >>> plt.close(ax.figure)
    """
    if not isinstance(text, ScoredText):
        raise TypeError(f"text must be a ScoredText, got {type(text).__name__}")
    shown = _shown(text, show)
    mpl = _axes.matplotlib()
    if not 3 <= width <= 100:
        raise ValueError(f"width must be in [3, 100], got {width}")
    if ax is None:
        room = width * 72
    else:
        box = _axes.axes(ax, (0, 0)).get_window_extent()
        room, has = box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi
    if room < _NARROWEST:
        raise ValueError(f"ax must be at least {_NARROWEST / 72:g} inches wide, got {room / 72:.2g}")
    cells = list(_cells(text.pieces, room - 2 * _MARGIN, _measure()))
    pitch = _BAND + _THIN * (len(shown) - 1) + _GAP
    needed = 2 * _MARGIN + pitch * (cells[-1].line + 1) + _legend_pitch(room - 2 * _MARGIN) * len(shown)
    if ax is None:
        figure = mpl.pyplot.figure(figsize=(width, needed / 72))
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    elif needed > has:
        raise ValueError(f"ax must be at least {needed / 72:.1f} inches high for this text, got {has / 72:.1f}")
    ax.set_axis_off()
    _draw(ax, text, cells, shown, pitch)
    _legend(ax, shown, _MARGIN + pitch * (cells[-1].line + 1), room - 2 * _MARGIN)
    return ax


def _shown(text: ScoredText, show: Sequence[str] | None) -> list[Quantity]:
    """The quantities asked for, each of which the text has."""
    there = text.figures()
    names = list(there) if show is None else [show] if isinstance(show, str) else list(show)
    if not names:
        raise ValueError("show must hold one quantity at least, got none")
    for name in names:
        if name not in there:
            raise ValueError(f"show must be of {', '.join(map(repr, there))}, which the text has, got {name!r}")
    return [QUANTITIES[name] for name in dict.fromkeys(names)]


def _measure() -> Callable[[str], float]:
    """A function that gives the advance of a string, spaces at its ends included, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    extent = partial(text_to_path.get_text_width_height_descent, prop=FontProperties(size=_SIZE), ismath=False)
    fence, known = extent("||")[0], dict[str, float]()

    def advance(string: str) -> float:
        if string not in known:
            known[string] = _HINTED * (extent(f"|{string}|")[0] - fence)
        return known[string]

    return advance


def _cells(pieces: Sequence[str], room: float, advance: Callable[[str], float]) -> Iterator[_Cell]:
    """The tokens, one next to the other, in lines of width ``room``; a line feed ends its line."""
    line, left = 0, 0.0
    for token, piece in enumerate(pieces):
        rest = visible(piece)
        while rest:
            if left and left + advance(rest) + _PAD > room:
                line, left = line + 1, 0.0
            count = len(rest)
            while count > 1 and advance(rest[:count]) + _PAD > room:
                count -= max(1, count // 16)
            width = min(advance(rest[:count]) + _PAD, room)
            yield _Cell(token, line, left, width, rest[:count])
            rest, left = rest[count:], left + width
        if piece.endswith("\n"):
            line, left = line + 1, 0.0


def _points(ax: Any) -> Any:
    """Coordinates in points to the right of and below the top left corner of the Axes, at any resolution."""
    from matplotlib.transforms import Affine2D, ScaledTranslation

    corner = ScaledTranslation(0, 1, ax.transAxes)
    return Affine2D().scale(1 / 72, -1 / 72) + ax.get_figure(root=True).dpi_scale_trans + corner


def _draw(ax: Any, text: ScoredText, cells: list[_Cell], shown: list[Quantity], pitch: float) -> None:
    """Bands, then words."""
    from matplotlib.collections import PolyCollection

    points, outside = _points(ax), ax.xaxis.label.get_color()
    advance, figures, top = _measure(), text.figures(), _MARGIN
    main = _colours_of(shown[0], figures[shown[0].field])
    inks = [outside if colour == "none" else ink(colour) for colour in main]
    for quantity in shown:
        height = _BAND if quantity is shown[0] else _THIN
        colours = _colours_of(quantity, figures[quantity.field])
        corners = [_box(_MARGIN + cell.left, top + cell.line * pitch, cell.width, height) for cell in cells]
        faces = [colours[cell.token] for cell in cells]
        ax.add_collection(
            PolyCollection(corners, facecolors=faces, edgecolors="none", transform=points, clip_on=False),
            autolim=False,
        )
        top += height
    for cell in cells:
        words = cell.text.strip(" ")
        left = _MARGIN + cell.left + advance(" ") * (len(cell.text) - len(cell.text.lstrip(" ")))
        base = _MARGIN + cell.line * pitch + 0.74 * _BAND
        if words:
            ax.text(left, base, words, fontsize=_SIZE, color=inks[cell.token], transform=points, parse_math=False)


def _colours_of(quantity: Quantity, values: Any) -> list[str]:
    """The color of each token; "none" where the figure is not known."""
    return [quantity.ramp[level] if level >= 0 else "none" for level in quantity.levels(values)]


def _box(left: float, top: float, width: float, height: float) -> Any:
    """The corners of a rectangle; a hair of the background parts it from its neighbor."""
    right, low = left + width - 0.6, top + height - 0.6
    return np.array([(left, top), (right, top), (right, low), (left, low)])


def _is_roomy(room: float) -> bool:
    """Whether the legend's titles stand next to their swatches, not above them."""
    return (room - _INDENT) / LEVELS >= _ROOMY


def _legend_pitch(room: float) -> float:
    """The height of one quantity in the legend."""
    return 26.0 if _is_roomy(room) else 42.0


def _legend(ax: Any, shown: list[Quantity], top: float, room: float) -> None:
    """Nine swatches per quantity, with what each stands for."""
    from matplotlib.collections import PolyCollection

    points, colour, roomy = _points(ax), ax.xaxis.label.get_color(), _is_roomy(room)
    indent, drop = (_INDENT, 0.0) if roomy else (0.0, 12.0)
    step = min(_SWATCH, (room - indent) / LEVELS)
    for i, quantity in enumerate(shown):
        y = top + i * _legend_pitch(room) + 6
        name = f"{quantity.title} ({quantity.unit})" if quantity.unit else quantity.title
        ax.text(_MARGIN, y + 9, name, fontsize=8, color=colour, transform=points)
        boxes = [_box(_MARGIN + indent + k * step, y + drop, step, 10) for k in range(LEVELS)]
        ax.add_collection(
            PolyCollection(boxes, facecolors=list(quantity.ramp), edgecolors="none", transform=points, clip_on=False),
            autolim=False,
        )
        for k, words in enumerate(quantity.bounds()):
            told = words if roomy else re.sub(r" to |–| (?=−?\d)", lambda part: part[0].rstrip() + "\n", words)
            middle, base = _MARGIN + indent + (k + 0.5) * step, y + (17 if roomy else 36)
            ax.text(middle, base, told, fontsize=6 if roomy else 5.5, color=colour, ha="center", transform=points)
