"""A scoring run or a calibration as one HTML page: figures, the text token by token, reliability, the hardest tokens.

A page is self-contained: styles and drawings are inside, nothing is fetched, no script runs, so it opens in any
browser and prints. Needs NumPy alone.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fastlogits.calibration import ReliabilityCurve
from fastlogits.report import curves as _curves
from fastlogits.report import svg as _svg
from fastlogits.report.colors import LEVELS, QUANTITIES, SERIES, ink
from fastlogits.report.scored import ScoredText, visible
from fastlogits.scoring.texts import TextScore

__all__ = ["ScoredText", "calibration_report", "save_report", "scoring_report"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; margin: 2rem auto; max-width: 60rem;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .9rem .15rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid #999; }
td.piece { white-space: pre; }
.text { line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere; }
.text span { padding: .15em 0; border-radius: 2px; }
.legend span { display: inline-block; padding: 0 .5em; font-size: .8rem; }
svg { max-width: 100%; height: auto; }
.note { color: #555; font-size: .9rem; }
figure { margin: 0; }
"""


def scoring_report(
    text: ScoredText | Sequence[ScoredText],
    *,
    curves: ReliabilityCurve | Mapping[str, ReliabilityCurve] | None = None,
    figures: Mapping[str, float] | None = None,
    title: str = "Scoring report",
    hardest: int = 20,
    most_tokens: int = 20_000,
) -> str:
    """The page of a scoring run, as a string.

    Parameters
    ----------
    text : ScoredText, or a sequence of them
        Pieces and figures of each text.
    curves : ReliabilityCurve, or mapping of str to ReliabilityCurve, optional
        What `reliability_curve` returns; up to six by name, as ``{"before": one, "after": other}``.
    figures : mapping of str to float, optional
        Further lines of the table of figures, by name.
    title : str, default "Scoring report"
        Heading of the page.
    hardest : int >= 0, default 20
        How many of the least likely tokens to list.
    most_tokens : int >= 1, default 20,000
        How many tokens of a text are shown; the page says what was left out. All count in the figures.

    Returns
    -------
    str
        HTML in UTF-8, with everything inside; the same string each time.

    Raises
    ------
    ValueError, TypeError
        No text, a wrong type, a number out of range, a curve without an event.

    Examples
    --------
    >>> from fastlogits.report import ScoredText, scoring_report
    >>> page = scoring_report(ScoredText(["To", " be", " <or>"], [-5.1, -0.3, -1.2], ranks=[40, 1, 2]))
    >>> page[:15], "&lt;or&gt;" in page, "<script" in page
    ('<!doctype html>', True, False)
    """
    texts = [text] if isinstance(text, ScoredText) else list(text)
    if not texts or not all(isinstance(each, ScoredText) for each in texts):
        raise TypeError("text must be a ScoredText or a sequence of at least one")
    for name, value, low in (("hardest", hardest, 0), ("most_tokens", most_tokens, 1)):
        given: Any = value
        if isinstance(given, bool) or not isinstance(given, int) or given < low:
            raise ValueError(f"{name} must be an integer >= {low}, got {value!r}")
    scores = [each.score() for each in texts]
    return scoring_page(
        texts, scores, {} if curves is None else _few(curves), figures or {}, title, (hardest, most_tokens)
    )


def scoring_page(
    texts: Sequence[ScoredText],
    scores: Sequence[TextScore],
    curves: Mapping[str, ReliabilityCurve],
    figures: Mapping[str, float],
    title: str,
    most: tuple[int, int] = (20, 20_000),
) -> str:
    """The page of `scoring_report`; `scores` holds the totals of each text, of which `texts` may show a part.

    most: how many of the hardest tokens, and of all tokens of a text, are shown.
    """
    parts = [_figures_table(texts, scores, figures)]
    for each in texts:
        parts += _text_parts(each, *most)
    if curves:
        parts.append(f"<h2>Calibration</h2>{_svg.reliability(curves)}")
    return _page(title, parts, _levels_style())


def calibration_report(
    curves: ReliabilityCurve | Mapping[str, ReliabilityCurve],
    *,
    figures: Mapping[str, float | Sequence[float]] | None = None,
    title: str = "Calibration report",
) -> str:
    """The page of a calibration, as a string: figures, the reliability diagram, every bin in numbers.

    Parameters
    ----------
    curves : ReliabilityCurve, or mapping of str to ReliabilityCurve
        What `reliability_curve` returns; up to six by name, as ``{"before": one, "after": other}``.
    figures : mapping of str to float, or to one float per curve, optional
        Further lines of the table of figures, by name.
    title : str, default "Calibration report"
        Heading of the page.

    Returns
    -------
    str
        HTML in UTF-8, with everything inside; the same string each time.

    Raises
    ------
    ValueError, TypeError
        No curve or more than six, a wrong type, a curve without an event, figures that are not one per curve.

    Examples
    --------
    >>> import fastlogits as fl
    >>> from fastlogits.report import calibration_report
    >>> curve = fl.reliability_curve([0.2, 0.9, 0.8], [0, 1, 1], bins=2)
    >>> page = calibration_report({"before": curve, "after": curve}, figures={"temperature": [1.0, 1.2]})
    >>> page[:15], page.count("<svg"), "<script" in page
    ('<!doctype html>', 1, False)
    """
    found = _few(curves)
    rows: dict[str, list[Any]] = {"events": [int(curve.counts.sum()) for curve in found.values()]}
    rows |= {"calibration error over these bins": [_curves.ece(curve) for curve in found.values()]}
    for name, value in (figures or {}).items():
        values = list(value) if isinstance(value, Sequence | np.ndarray) else [value]
        if len(values) not in (1, len(found)):
            raise ValueError(f"figures[{name!r}] must hold one number, or one per curve ({len(found)}), got {values}")
        rows[name] = values
    lines = [[name, *map(_number, values), *[""] * (len(found) - len(values))] for name, values in rows.items()]
    parts = [_table(["", *found], lines)]
    parts.append(f"<h2>Reliability</h2>{_svg.reliability(found)}")
    for name, curve in found.items():
        parts.append(f"<h2>Bins{f', {_escaped(name)}' if name else ''}</h2>{_bins_table(curve)}")
    return _page(title, parts)


def _few(curves: Any) -> dict[str, ReliabilityCurve]:
    """Curves by name, no more than there are colors."""
    found = _curves.named(curves)
    if len(found) > len(SERIES):
        raise ValueError(f"curves must hold at most {len(SERIES)}, got {len(found)}")
    return found


def _page(title: str, parts: Sequence[str], style: str = "") -> str:
    """The whole document."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>{_escaped(title)}</title><style>{_STYLE}{style}</style>"
    body = "\n".join([f"<h1>{_escaped(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def save_report(page: str, path: str | PathLike[str]) -> None:
    """Writes a page of `scoring_report`: whole or not at all.

    Parameters
    ----------
    page : str
        The page.
    path : path ending in .html or .htm
        Where to; a file that is there is replaced once the new one is complete.

    Raises
    ------
    ValueError
        Another ending.
    OSError
        The file cannot be written; what was there stays.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"path must end in .html or .htm, got {str(path)!r}")
    target = Path(path).resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _escaped(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _levels_style() -> str:
    """One class per level of each quantity."""
    rules = [
        f".{name[0]}{level}{{background:{colour};color:{ink(colour)}}}"
        for name, quantity in QUANTITIES.items()
        for level, colour in enumerate(quantity.ramp)
    ]
    return "".join(rules)


def _figures_table(texts: Sequence[ScoredText], scores: Sequence[TextScore], further: Mapping[str, float]) -> str:
    """Perplexity and the rest, a column per text."""
    names = {
        "tokens": "tokens", "loglikelihood": "log-likelihood (nats)", "perplexity": "perplexity",
        "bits_per_token": "bits per token", "bits_per_byte": "bits per byte", "word_perplexity": "perplexity per word",
        "accuracy": "accuracy (token is the likeliest)",
    }  # fmt: skip
    rows = []
    for field, words in names.items():
        values = [_figure(score, field) for score in scores]
        if any(value is not None for value in values):
            rows.append((words, [_number(value) for value in values]))
    rows += [(name, [_number(value)] + [""] * (len(texts) - 1)) for name, value in further.items()]
    heads = "".join(f"<th>{_escaped(each.name or f'text {i + 1}')}</th>" for i, each in enumerate(texts))
    lines = "".join(
        f"<tr><td>{_escaped(words)}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for words, values in rows
    )
    top = heads if len(texts) > 1 else "<th></th>"
    return f"<table><thead><tr><th></th>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _figure(score: TextScore, name: str) -> float | None:
    """A figure of the text, None where its length or hits were not counted."""
    try:
        return float(getattr(score, name)) if name != "tokens" else score.tokens
    except ValueError:
        return None


def _bins_table(curve: ReliabilityCurve) -> str:
    """A line per bin that holds an event."""
    lines = [
        [f"{lower:.3f} to {upper:.3f}", f"{count:,}", f"{promised:.4f}", f"{kept:.4f}", f"{low:.3f} to {high:.3f}"]
        for lower, upper, count, promised, kept, low, high in zip(*curve, strict=True)
        if count
    ]
    return _table(["confidence", "events", "promised", "came true", "interval"], lines)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table, of which the first column is text."""
    top = "".join(f"<th>{_escaped(head)}</th>" for head in heads)
    rows = "".join(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def _number(value: Any) -> str:
    """Six digits, or thousands with commas for a whole number."""
    if value is None or np.isnan(value):
        return "–"
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:,.6g}"


def _text_parts(text: ScoredText, hardest: int, most: int) -> Iterator[str]:
    """The text in colors, its curve, its hardest tokens."""
    heading = text.name or "Text"
    yield f"<h2>{_escaped(heading)}</h2>"
    for name in text.figures():
        yield f"<h3>By {QUANTITIES[name].title}</h3>{_legend(name)}<p class='text'>{_strip(text, name, most)}</p>"
    if len(text) > most:
        yield f"<p class='note'>{len(text) - most:,} more tokens are not shown; they count in the figures.</p>"
    yield f"<h3>Log-prob of each token</h3>{_svg.stems(text.logprobs)}"
    if hardest:
        yield f"<h3>The least likely tokens</h3>{_hardest(text, hardest)}"


def _legend(name: str) -> str:
    quantity = QUANTITIES[name]
    cells = "".join(f"<span class='{name[0]}{k}'>{words}</span>" for k, words in enumerate(quantity.bounds()))
    unit = f" ({quantity.unit})" if quantity.unit else ""
    return f"<p class='legend'>{quantity.title}{unit} {cells}</p>"


def _strip(text: ScoredText, name: str, most: int) -> str:
    """Every token in its color; what is known of it shows where the pointer rests."""
    levels = QUANTITIES[name].levels(text.figures()[name])
    spans = []
    for i, piece in enumerate(text.pieces[:most]):
        shown = _escaped(visible(piece)) + ("\n" if piece.endswith("\n") else "")
        kind = f" class='{name[0]}{levels[i]}'" if 0 <= levels[i] < LEVELS else ""
        spans.append(f"<span{kind} title='{_escaped(_told(text, i))}'>{shown}</span>")
    return "".join(spans)


def _told(text: ScoredText, i: int) -> str:
    """The figures of a token in words."""
    if not text.counted[i]:
        return f"token {i}: not scored"
    words = [f"token {i}: log-prob {text.logprobs[i]:.4g}"]
    if text.entropy is not None:
        words.append(f"entropy {text.entropy[i]:.4g}")
    if text.ranks is not None:
        words.append(f"rank {text.ranks[i]:,}")
    if text.best is not None:
        words.append(f"likeliest: {visible(text.best[i])}")
    return ", ".join(words)


def _hardest(text: ScoredText, count: int) -> str:
    """A table of the least likely tokens, with the words before them."""
    scored = np.flatnonzero(text.counted)
    order = scored[np.argsort(text.logprobs[scored], kind="stable")][:count]
    columns = [("rank", text.ranks), ("entropy", text.entropy), ("likeliest", text.best)]
    there = [(name, values) for name, values in columns if values is not None]
    lines = []
    for i in order:
        before = visible("".join(text.pieces[max(0, i - 8) : i]))
        cells = [f"{text.logprobs[i]:.4g}"]
        for _, values in there:
            value = values[i]
            cells.append(_escaped(visible(value)) if isinstance(value, str) else _number(value))
        figures = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(
            f"<tr><td class='piece'>{_escaped(before)}<b>{_escaped(visible(text.pieces[i]))}</b></td>{figures}</tr>"
        )
    heads = "".join(f"<th>{name}</th>" for name in ["log-prob", *(name for name, _ in there)])
    return f"<table><thead><tr><th>token</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
