"""Drawings of the HTML pages, as SVG inside them."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fastlogits.calibration import ReliabilityCurve
from fastlogits.report import curves as _curves
from fastlogits.report.colors import SERIES

_WIDTH, _HEIGHT, _EDGE = 900, 220, 45


def stems(logprobs: NDArray[np.float64]) -> str:
    """Log-probs in order as stems, and their running mean over 32 tokens; of many tokens the lowest of each slice."""
    values = logprobs[np.isfinite(logprobs)]
    if not values.size:
        return "<p class='note'>No finite log-prob.</p>"
    slices = np.array_split(values, min(values.size, _WIDTH))
    low = min(float(values.min()), -1.0)
    x = np.linspace(_EDGE, _EDGE + _WIDTH, len(slices))
    y = [10 + _HEIGHT * float(part.min()) / low for part in slices]
    lines = "".join(f"M{a:.1f} 10V{b:.1f}" for a, b in zip(x, y, strict=True))
    near = np.convolve(values, np.ones(min(32, values.size)) / min(32, values.size), "same")
    means = [10 + _HEIGHT * float(part.mean()) / low for part in np.array_split(near, len(slices))]
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, means, strict=True))
    ticks = "".join(
        f"<text x='{_EDGE - 6}' y='{14 + _HEIGHT * part:.0f}' text-anchor='end'>{low * part + 0.0:.3g}</text>"
        for part in (0.0, 0.5, 1.0)
    )
    return (
        f"<figure><svg viewBox='0 0 {_WIDTH + 2 * _EDGE} {_HEIGHT + 40}' font-size='12' role='img' "
        f"aria-label='log-probs'><path d='{lines}' stroke='#9ab' fill='none'/>"
        f"<path d='{line}' stroke='{SERIES[1]}' stroke-width='2' fill='none'/>"
        f"{ticks}<text x='{_EDGE}' y='{_HEIGHT + 30}'>token 1</text>"
        f"<text x='{_EDGE + _WIDTH}' y='{_HEIGHT + 30}' text-anchor='end'>token {values.size:,}</text></svg>"
        "<figcaption class='note'>Nats; stems: each token, line: mean of 32 neighbours.</figcaption></figure>"
    )


_SIDE = 320


def reliability(found: Mapping[str, ReliabilityCurve]) -> str:
    """The reliability diagram: accuracy by confidence with intervals, above the shares of the events."""
    left, top, low = 50, 10, 20 + _SIDE + 80
    parts = [
        f"<rect x='{left}' y='{top}' width='{_SIDE}' height='{_SIDE}' fill='none' stroke='#444'/>",
        f"<path d='M{left} {top + _SIDE}L{left + _SIDE} {top}' stroke='#888' stroke-dasharray='2 3'/>",
    ]
    legend, most = [], max(_curves.shares(curve).max() for curve in found.values())
    for i, (name, curve) in enumerate(found.items()):
        parts.append(_points(curve, SERIES[i], left, top))
        parts.append(_shares(curve, SERIES[i], left, low, 60 / most))
        y = top + 20 + 20 * i
        legend.append(
            f"<text x='{left + _SIDE + 20}' y='{y}' fill='{SERIES[i]}'>{html.escape(_curves.label(name, curve))}</text>"
        )
    for part in (0.0, 0.5, 1.0):
        parts.append(f"<text x='{left - 6}' y='{top + 4 + _SIDE * (1 - part):.0f}' text-anchor='end'>{part:g}</text>")
        parts.append(f"<text x='{left + _SIDE * part:.0f}' y='{low + 16}' text-anchor='middle'>{part:g}</text>")
    parts.append(
        f"<text x='{left + _SIDE / 2:.0f}' y='{low + 34}' text-anchor='middle'>confidence (probability)</text>"
    )
    middle = top + _SIDE / 2
    turned = (
        f"<text x='14' y='{middle:.0f}' transform='rotate(-90 14 {middle:.0f})' text-anchor='middle'>accuracy</text>"
    )
    parts.append(turned)
    drawing = "".join(parts + legend)
    return (
        f"<figure><svg viewBox='0 0 640 {low + 45}' width='640' font-size='12' role='img' aria-label='reliability'>"
        f"{drawing}</svg>"
        "<figcaption class='note'>Below the diagonal: right less often than promised. Bars: confidence intervals; "
        "below: share of the events in each bin.</figcaption></figure>"
    )


def _points(curve: ReliabilityCurve, colour: str, left: int, top: int) -> str:
    """Points with their intervals, joined."""
    held = np.asarray(curve.counts) > 0
    x = left + _SIDE * np.asarray(curve.confidences)[held]
    y, low, high = (
        top + _SIDE * (1 - np.asarray(values, np.float64)[held]) for values in (curve.accuracies, curve.low, curve.high)
    )
    bars = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, low, high, strict=True))
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(f"<circle cx='{a:.1f}' cy='{b:.1f}' r='4' fill='{colour}'/>" for a, b in zip(x, y, strict=True))
    return f"<path d='{bars}{line}' stroke='{colour}' stroke-width='1.5' fill='none'/>{dots}"


def _shares(curve: ReliabilityCurve, colour: str, left: int, low: int, scale: float) -> str:
    """Shares of the events as boxes."""
    boxes = []
    for begin, end, share in zip(curve.lower, curve.upper, _curves.shares(curve), strict=True):
        wide, tall = max(_SIDE * (end - begin), 1.0), scale * share
        boxes.append(
            f"<rect x='{left + _SIDE * begin:.1f}' y='{low - tall:.1f}' width='{wide:.1f}' height='{tall:.1f}' "
            f"fill='{colour}' fill-opacity='.2' stroke='{colour}'/>"
        )
    return "".join(boxes)
