"""Where pictures are drawn and how they are saved. The only place that imports matplotlib's parts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastlogits._common.errors import import_error

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING = "pictures need matplotlib: pip install matplotlib"


def matplotlib() -> Any:
    """The package with its pyplot, or an ImportError that names the extra."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise import_error(error, ("matplotlib",), MISSING) from error
    return matplotlib


def axes(ax: Axes | None, size: tuple[float, float], layout: str = "constrained") -> Any:
    """The caller's Axes, or those of a new figure of pyplot, ``size`` in inches."""
    mpl = matplotlib()
    if ax is None:
        return mpl.pyplot.subplots(figsize=size, layout=layout)[1]
    if not isinstance(ax, mpl.axes.Axes):
        raise TypeError(f"ax must be matplotlib Axes or None, got {type(ax).__name__}")
    return ax


def figure_of(target: Any) -> Any:
    """The figure of Axes, or the figure itself."""
    mpl = matplotlib()
    figure = target.get_figure(root=True) if isinstance(target, mpl.axes.Axes) else target
    if not isinstance(figure, mpl.figure.Figure):
        raise TypeError(f"picture must be matplotlib Axes or a Figure, got {type(target).__name__}")
    return figure


def save(picture: Axes | Figure, path: str | PathLike[str], *, dpi: float = 150) -> None:
    """Writes a picture as PNG or SVG, the same bytes each time: no date, no version, no random names.

    Parameters
    ----------
    picture : Axes or Figure
        What a function of `fastlogits.plots` returned, or any figure.
    path : path ending in .png or .svg
        Where to.
    dpi : float > 0, default 150
        Pixels per inch of a PNG.

    Raises
    ------
    ValueError
        Another ending, or a dpi out of range.
    TypeError
        What is no picture.
    ImportError
        matplotlib is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastlogits as fl
    >>> from fastlogits import plots
    >>> ax = plots.reliability_diagram(fl.reliability_curve([0.2, 0.9, 0.8], [0, 1, 1], bins=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plots.save(ax, pathlib.Path(folder) / "curve.svg")
    ...     (pathlib.Path(folder) / "curve.svg").read_text()[:5]
    '<?xml'
    >>> import matplotlib.pyplot as plt
    >>> plt.close(ax.figure)
    """
    figure = figure_of(picture)
    kind = Path(path).suffix.lower()
    unnamed: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    if kind not in unnamed:
        raise ValueError(f"path must end in .png or .svg, got {str(path)!r}")
    if not 0 < dpi < float("inf"):
        raise ValueError(f"dpi must be > 0, got {dpi}")
    with matplotlib().rc_context({"svg.hashsalt": "fastlogits", "svg.fonttype": "path"}):
        figure.savefig(path, format=kind[1:], dpi=dpi, metadata=unnamed[kind])
