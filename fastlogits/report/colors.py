"""Colors of pictures, and how quantities of tokens become one of nine levels.

Each ramp falls evenly in lightness from near white to dark (OKLab L 0.97 to 0.33 at one hue). It reads the same to
color-blind people and in gray. The text on a level is black or white, whichever contrasts more; one of the two
always reaches 4.58 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 9

# Okabe and Ito (2008), less black and yellow: series that color-blind people can distinguish, on white and on black.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class Quantity:
    """One figure per token: its field, its name for a reader, the lower edges of levels 1 to 8, and its ramp."""

    field: str
    title: str
    unit: str
    edges: tuple[float, ...]
    ramp: tuple[str, ...]
    sign: int = 1

    def levels(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """0 to 8 for each value, -1 for what is not known (NaN, rank -1)."""
        numbers = self.sign * values.astype(np.float64)
        known = numbers >= 0
        return np.where(known, np.searchsorted(self.edges, numbers, side="right"), -1).astype(np.int64)

    def bounds(self) -> list[str]:
        """What each level holds, in words for a legend."""
        edges = self.edges
        if self.field == "ranks":
            starts = [1, *map(int, edges)]
            spans = [f"{low:,}" if low == high - 1 else f"{low:,}–{high - 1:,}" for low, high in pairwise(starts)]
            return [*spans, f"> {starts[-1] - 1:,}"]
        marks = [f"{self.sign * edge:g}".replace("-", "−") for edge in edges]
        spans = [f"{low} to {high}" for low, high in zip(["0", *marks], marks, strict=False)]
        return [*spans, f"beyond {marks[-1]}"]


QUANTITIES = {
    quantity.field: quantity
    for quantity in (
        Quantity(
            "logprobs", "log-prob", "nats", (0.1, 0.5, 1, 2, 3, 4.5, 6, 8),
            ("#fff2ec", "#ffcfb6", "#fdaa7b", "#ee8a4f", "#d76e27", "#ba5705", "#984500", "#753606", "#4e2b17"),
            sign=-1,
        ),
        Quantity(
            "entropy", "entropy", "nats", (0.25, 0.75, 1.5, 2.25, 3, 4, 5, 6),
            ("#eef6ff", "#c0deff", "#8fc6ff", "#5badfd", "#3693e9", "#187acc", "#0863a9", "#114c80", "#1b3753"),
        ),
        Quantity(
            "ranks", "rank", "", (2, 3, 6, 11, 31, 101, 1001, 10001),
            ("#f8f2ff", "#e5d0ff", "#d2aefd", "#bd8fef", "#a574da", "#8d5cbe", "#73499d", "#583977", "#3d2d4e"),
        ),
    )
}  # fmt: skip


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    """Contrast of two colors, 1 to 21 (WCAG 2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(color: str) -> str:
    """Black or white, whichever reads better on ``color``."""
    return max(("#000000", "#ffffff"), key=lambda text: contrast(text, color))
